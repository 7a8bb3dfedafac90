"""Writing H.264 videos and GIFs that appear only when they are complete."""

import contextlib
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from portrait3d.names import naming
from portrait3d.video.reading import VideoInfo

ENDINGS = (".mp4", ".gif")
CRF = "18"
"""x264's constant quality; smaller is better, 18 shows no loss."""
PALETTE = (
    "split[colours][frames];[colours]palettegen=stats_mode=full[palette];"
    "[frames][palette]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
)
"""A GIF's 256 colours are chosen for the whole film; an ordered dither does not swarm from frame to frame."""
COPIED = ("aac", "mp3")
"""Sound that MP4 takes as it is; other kinds become AAC."""


class FrameWriter:
    """Takes frames of one size, one after the other."""

    def __init__(self, path: Path, rate: float, sound: VideoInfo | None) -> None:
        self._path = path
        self._rate = rate
        self._sound = sound
        self._shape: tuple[int, ...] = ()
        self._sink: Generator[Any, Any, None] | None = None

    def add(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """Append a frame; an odd last row or column is left out, as H.264's usual colours need even sizes."""
        height, width = (max(2, side // 2 * 2) for side in frame.shape[:2])
        if self._sink is None:
            self._shape = frame.shape
            self._sink = self._open(width, height)
        if frame.shape != self._shape:
            raise ValueError(f"All frames must have one size, got {frame.shape} after {self._shape}.")
        self._sink.send(np.ascontiguousarray(frame[:height, :width]))

    def close(self) -> None:
        """Let ffmpeg finish the file."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _open(self, width: int, height: int) -> Generator[Any, Any, None]:
        is_gif = self._path.suffix == ".gif"
        sound: dict[str, str] = {}
        if not is_gif and self._sound is not None and self._sound.audio is not None:
            copied = self._sound.audio.split()[0].strip(",") in COPIED
            sound = {
                "audio_path": str(self._sound.path.resolve()),
                "audio_codec": "copy" if copied else "aac",
            }
        mp4 = ["-crf", CRF, "-preset", "medium", "-movflags", "+faststart"]
        sink = imageio_ffmpeg.write_frames(
            str(self._path.resolve()),
            (width, height),
            fps=self._rate,
            quality=None,
            macro_block_size=1,
            codec="gif" if is_gif else "libx264",
            pix_fmt_out="pal8" if is_gif else "yuv420p",
            ffmpeg_log_level="error",
            output_params=["-filter_complex", PALETTE, "-loop", "0"] if is_gif else mp4,
            **sound,
        )
        sink.send(None)
        return sink


@contextmanager
def write_video(path: str | Path, rate: float, sound: VideoInfo | None = None) -> Iterator[FrameWriter]:
    """Open a video for writing; it is moved to `path` when the block ends, and a failure leaves nothing.

    Args:
        path: Ends in .mp4 (H.264) or .gif (plays for ever).
        rate: Frames a second.
        sound: A video whose sound is kept; GIFs have none.

    Raises `ValueError` for another ending, or if no frame was written.
    """
    path = Path(path)
    check_ending(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".portrait3d-", suffix=path.suffix.lower(), dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    writer = FrameWriter(temporary, rate, sound)
    try:
        try:
            yield writer
        finally:
            writer.close()
        if not temporary.stat().st_size:
            raise ValueError(f"{path} was not written: there was no frame.")
        mask = os.umask(0o077)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def check_ending(path: Path) -> None:
    """Raise `ValueError` if a path's ending names no kind of video that is written."""
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path} must end in {' or '.join(ENDINGS)}.")
