"""Reading videos frame by frame, through imageio-ffmpeg."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from portrait3d.errors import InvalidVideoError

USUAL_RATE = 25.0
"""Frames a second of a video that does not say."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file says about itself."""

    path: Path
    width: int
    height: int
    """Pixels of a frame."""
    rate: float
    """Frames a second."""
    seconds: float
    """0 if the file does not say."""
    audio: str | None
    """Codec of its sound, None without sound."""

    @property
    def expected_frames(self) -> int | None:
        """About how many frames there are, None if the file does not say."""
        return round(self.seconds * self.rate) or None


def inspect_video(path: str | Path) -> VideoInfo:
    """A video's size, rate and sound. Raises `InvalidVideoError` if ffmpeg finds no video in it."""
    info, frames = open_video(path)
    frames.close()
    return info


def open_video(path: str | Path) -> tuple[VideoInfo, "FrameReader"]:
    """What a video says about itself, and its frames."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is no file.")
    frames = imageio_ffmpeg.read_frames(str(path.resolve()), pix_fmt="rgb24")
    try:
        told = next(frames)
    except (OSError, RuntimeError, StopIteration, IndexError, ValueError) as error:
        frames.close()
        raise InvalidVideoError(f"{path} can't be read as a video.") from error
    width, height = told["size"]
    info = VideoInfo(
        path=path,
        width=int(width),
        height=int(height),
        rate=float(told.get("fps") or USUAL_RATE),
        seconds=float(told.get("duration") or 0.0),
        audio=told.get("audio_codec") or None,
    )
    return info, FrameReader(info, frames)


class FrameReader:
    """Iterates over a video's frames, uint8 RGB [height, width, 3]; `close` it if not read to the end."""

    def __init__(self, info: VideoInfo, frames: Generator[Any, Any, None]) -> None:
        self._info = info
        self._frames = frames

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        shape = (self._info.height, self._info.width, 3)
        try:
            for frame in self._frames:
                yield np.frombuffer(frame, np.uint8).reshape(shape)
        except (OSError, RuntimeError) as error:
            raise InvalidVideoError(f"{self._info.path} breaks off: {error}") from error
        finally:
            self.close()

    def close(self) -> None:
        """End ffmpeg."""
        self._frames.close()
