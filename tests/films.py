"""Short films for the tests of videos."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from portrait3d.video.writing import write_video


def film(path: Path, frames: Sequence[np.ndarray], rate: float = 10.0) -> Path:
    """Write frames as a video."""
    with write_video(path, rate) as video:
        for frame in frames:
            video.add(frame)
    return path


def with_tone(path: Path, out: Path) -> Path:
    """Add a tone of one second to a video."""
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), *tone]
    subprocess.run([*command, "-c:v", "copy", "-c:a", "aac", str(out)], check=True)
    return out
