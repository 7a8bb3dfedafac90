"""Short films for the tests of videos."""

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from portrait3d.video.writing import write_video


def film(path: Path, frames: Sequence[np.ndarray], rate: float | Fraction = 10.0) -> Path:
    """Write frames as a video."""
    with write_video(path, rate) as video:
        for frame in frames:
            video.add(frame)
    return path


def make(path: Path, *arguments: str | Path) -> Path:
    """Let ffmpeg make a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *map(str, arguments), str(path)]
    subprocess.run(command, check=True)
    return path


def tone(seconds: float) -> tuple[str, ...]:
    """Arguments for ffmpeg: so many seconds of sound as an input."""
    return ("-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}")


def with_tone(path: Path, out: Path) -> Path:
    """Add a tone of one second to a video."""
    return make(out, "-i", path, *tone(1), "-c:v", "copy", "-c:a", "aac")


def uneven(path: Path) -> Path:
    """Two seconds with a tone: black at 10 frames a second, then white at 50; the clock ticks 50 times."""
    black, white = (f"color={colour}:size=64x48:rate=50:duration=1" for colour in ("black", "white"))
    picture = f"{black}[a];{white}[b];[a][b]concat,select='gte(t,1)+not(mod(n,5))'"
    options = ("-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")
    return make(path, "-f", "lavfi", "-i", picture, *tone(2), *options)


def seconds_of_sound(path: Path) -> float:
    """How long a file's sound is once decoded."""
    rate = 8000
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-map", "0:a:0"]
    raw = ("-f", "s16le", "-ac", "1", "-ar", str(rate), "-")
    done = subprocess.run([*command, *raw], check=True, capture_output=True)
    return len(done.stdout) / 2 / rate
