"""Reading videos frame by frame, at an even rate, through ffmpeg."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from portrait3d.errors import InvalidVideoError
from portrait3d.video.ffmpeg import PIPE, FFmpegError, command, ffmpeg

USUAL_RATE = Fraction(25)
"""Frames a second of a video that does not say."""
FASTEST = Fraction(240)
"""Frames a second that a video is read with at most."""
PICTURE = ("-map", "0:V:0")
"""The first stream of pictures that is no cover of a song."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file says about itself."""

    path: Path
    width: int
    height: int
    """Pixels of a frame as it is shown, turned as the file asks for."""
    rate: Fraction
    """Frames a second: of a video whose frames come unevenly, the mean."""
    seconds: float
    """0 if the file does not say."""
    audio: str | None
    """Codec of its sound, None without sound."""

    @property
    def expected_frames(self) -> int | None:
        """About how many frames there are, None if the file does not say."""
        return round(self.seconds * self.rate) or None


def inspect_video(path: str | Path) -> VideoInfo:
    """A video's size, rate and sound. Raises `InvalidVideoError` if no picture of it can be decoded."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is no file.")
    # The first frame as a PPM, which tells its size; ffmpeg writes about the file itself to stderr.
    frame = ("-frames:v", "1", "-c:v", "ppm", "-f", "image2pipe", "-")
    done = subprocess.run(
        command("-i", path.resolve(), *PICTURE, *frame), stdin=subprocess.DEVNULL, capture_output=True
    )
    size = re.match(rb"P6\s(\d+)\s(\d+)\s", done.stdout)
    told = done.stderr.decode("utf-8", "replace").split("Output #")[0]
    audio = re.search(r"^ *Stream .*: Audio: (\w+)", told, re.MULTILINE)
    if size is None:
        reason = "it has sound, but no picture" if audio else "ffmpeg decodes no picture of it"
        raise InvalidVideoError(f"{path} can't be read as a video: {reason}.")
    length = re.search(r"Duration: (\d+):(\d\d):(\d\d\.\d+)", told)
    hours, minutes, seconds = map(float, length.groups()) if length else (0.0, 0.0, 0.0)
    width, height = map(int, size.groups())
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        rate=_told_rate(told),
        seconds=3600 * hours + 60 * minutes + seconds,
        audio=audio.group(1) if audio else None,
    )


def open_video(path: str | Path) -> tuple[VideoInfo, "FrameReader"]:
    """What a video says about itself, and its frames. Raises as `inspect_video` does."""
    info = inspect_video(path)
    return info, FrameReader(info)


@dataclass(frozen=True, slots=True)
class FrameReader:
    """A video's frames at its even rate, uint8 RGB [height, width, 3].

    What is shown at frame / rate seconds: a frame that the file shows for long comes several times, and where
    frames follow one another faster than the rate some are left out.
    """

    info: VideoInfo

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        info = self.info
        shape = (info.height, info.width, 3)
        # A video may change its size on the way; the frames don't.
        sampled = ("-vf", f"fps={info.rate},scale={info.width}:{info.height}")
        raw = ("-pix_fmt", "rgb24", "-f", "rawvideo", "-")
        try:
            with ffmpeg("-i", info.path.resolve(), *PICTURE, *sampled, *raw, stdout=PIPE) as process:
                assert process.stdout is not None
                while frame := process.stdout.read(info.height * info.width * 3):
                    yield np.frombuffer(frame, np.uint8).reshape(shape)
        except (FFmpegError, ValueError) as error:
            raise InvalidVideoError(f"{info.path} breaks off: {error}") from error


def _told_rate(told: str) -> Fraction:
    """Frames a second of the first stream of pictures in what ffmpeg writes about a file."""
    streams = re.findall(r"^ *Stream .*: Video: .*$", told, re.MULTILINE)
    shown = next((stream for stream in streams if "attached pic" not in stream), "")
    printed = re.search(r" ([\d.]+) fps", shown)  # a rate of "1k fps" is the clock's, not the frames'
    rate = _exact_rate(printed.group(1)) if printed else USUAL_RATE
    return min(rate, FASTEST) or USUAL_RATE


def _exact_rate(printed: str) -> Fraction:
    """The rate that ffmpeg prints with two decimals: N / 1.001 for television's (29.97 is 30000/1001)."""
    rate = Fraction(printed)
    television = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
    is_television = rate.denominator > 1 and abs(television - rate) <= Fraction(5, 1000)
    return television if is_television else rate
