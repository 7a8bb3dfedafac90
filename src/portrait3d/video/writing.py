"""Writing H.264 videos and GIFs that appear only when they are complete."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8

from portrait3d import arguments
from portrait3d.names import naming
from portrait3d.video.ffmpeg import PIPE, FFmpegError, ffmpeg
from portrait3d.video.reading import VideoInfo

ENDINGS = (".mp4", ".gif")
RATES = (0.01, 1000.0)
"""Least and largest number of frames a second."""
CRF = "18"
"""x264's constant quality; smaller is better, 18 shows no loss."""
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", CRF, "-movflags", "+faststart")
LOSSLESS = ("-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast")
FIND_PALETTE = "split[film][frames];[frames]palettegen=stats_mode=full[palette]"
USE_PALETTE = "paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
"""A GIF's 256 colours are chosen for the whole film; an ordered dither does not swarm from frame to frame."""
COPIED = ("aac", "mp3")
"""Sound that MP4 takes as it is; other kinds become AAC."""


class FrameWriter:
    """Takes frames of one size, one after the other; made by `write_video`."""

    def __init__(self, path: Path, rate: Fraction, sound: VideoInfo | None, running: ExitStack) -> None:
        self._path = path
        self._rate = rate
        self._sound = sound
        self._running = running
        self._shape: tuple[int, ...] = ()
        self._sink: IO[bytes] | None = None

    def add(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """Append a frame; an odd last row or column is left out, as H.264's usual colours need even sizes."""
        arguments.picture(frame, "frame")
        height, width = (max(2, side // 2 * 2) for side in frame.shape[:2])
        if self._sink is None:
            self._shape = frame.shape
            self._sink = self._start(width, height)
        if frame.shape != self._shape:
            raise ValueError(f"All frames must have one size, got {frame.shape} after {self._shape}.")
        self._sink.write(np.ascontiguousarray(frame[:height, :width]).data)

    def _start(self, width: int, height: int) -> IO[bytes]:
        """Run ffmpeg until the film ends, on what is written into the result."""
        size = ("-s", f"{width}x{height}", "-framerate", str(self._rate))
        frames = ("-f", "rawvideo", "-pix_fmt", "rgb24", *size, "-i", "-")
        if self._path.suffix == ".gif":
            outputs = self._running.enter_context(_painted(self._path))
        else:
            outputs = (*_sound_of(self._sound), *H264, self._path)
        process = self._running.enter_context(ffmpeg(*frames, *outputs, stdin=PIPE))
        assert process.stdin is not None
        return process.stdin


def _sound_of(video: VideoInfo | None) -> tuple[str | Path, ...]:
    """Arguments that give ffmpeg's output the sound of a video, if it has any."""
    if video is None or video.audio is None:
        return ()
    codec = "copy" if video.audio in COPIED else "aac"
    return ("-i", video.path.resolve(), "-map", "0:v:0", "-map", "1:a:0", "-c:a", codec)


@contextmanager
def _painted(path: Path) -> Iterator[tuple[str | Path, ...]]:
    """Arguments for a film without loss and its palette, of which the end of the block makes a GIF.

    The palette is known at the end alone: frames that wait for it lie on the disk, not in memory.
    """
    with tempfile.TemporaryDirectory(prefix=f"{path.stem}.", dir=path.parent) as folder:
        film, palette = Path(folder) / "film.mkv", Path(folder) / "palette.mkv"
        still = ("-map", "[palette]", "-c:v", "png", palette)
        yield ("-filter_complex", FIND_PALETTE, "-map", "[film]", *LOSSLESS, film, *still)
        colours = ("-i", film, "-i", palette, "-filter_complex", USE_PALETTE)
        with ffmpeg(*colours, "-loop", "0", path):
            pass


@contextmanager
def write_video(
    path: str | Path, rate: float | Fraction, sound: VideoInfo | None = None
) -> Iterator[FrameWriter]:
    """Open a video for writing; it is moved to `path` when the block ends, and a failure leaves nothing.

    Memory does not grow with the number of frames.

    Args:
        path: Ends in .mp4 (H.264) or .gif (plays for ever).
        rate: Frames a second, from 0.01 to 1000.
        sound: A video whose sound is kept; GIFs have none.

    Raises `ValueError` for another ending, another rate or if no frame was written, `TypeError` for arguments
    of another kind, `OSError` if writing fails.
    """
    path = Path(arguments.path(path, "path"))
    arguments.number(rate, "rate", *RATES)
    if sound is not None:
        arguments.instance(sound, VideoInfo, "sound")
    check_ending(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".portrait3d-", suffix=path.suffix.lower(), dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with ExitStack() as running:
            yield FrameWriter(temporary, Fraction(rate).limit_denominator(), sound, running)
        if not temporary.stat().st_size:
            raise ValueError(f"{path} was not written: there was no frame.")
        # Temporary files are the user's alone; the result gets the permissions that any new file would have.
        # The mask can only be read by setting it.
        mask = os.umask(0o077)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except FFmpegError as error:
        raise OSError(f"{path} can't be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_ending(path: Path) -> None:
    """Raise `ValueError` if a path's ending names no kind of video that is written."""
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path} must end in {' or '.join(ENDINGS)}.")
