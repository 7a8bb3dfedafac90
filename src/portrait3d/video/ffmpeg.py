"""ffmpeg as a child process: the program that comes with imageio-ffmpeg."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import imageio_ffmpeg


class FFmpegError(OSError):
    """ffmpeg failed; the message is the last line that it wrote."""


def command(*arguments: str | Path) -> list[str]:
    """A command line for ffmpeg, which asks nothing and overwrites."""
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]


@contextmanager
def ffmpeg(
    *arguments: str | Path, stdin: int = DEVNULL, stdout: int = DEVNULL
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ffmpeg beside the block, which feeds or reads its pipes, and wait until it has made its files.

    A block that fails or is left early ends ffmpeg at once. Raises `FFmpegError` if ffmpeg fails.
    """
    run = command("-loglevel", "error", *arguments)
    with (
        tempfile.TemporaryFile() as log,
        # A session of its own: Ctrl-C at the terminal is for Python, which ends its child itself.
        subprocess.Popen(run, stdin=stdin, stdout=stdout, stderr=log, start_new_session=True) as process,
    ):
        try:
            yield process
            _end_input(process)
        except BrokenPipeError:
            _end_input(process)  # why ffmpeg stopped reading is in its log
        except BaseException:
            process.kill()
            _end_input(process)
            raise
        if process.wait():
            log.seek(0)
            told = log.read().decode("utf-8", "replace").split("\n")
            raise FFmpegError(next(filter(None, map(str.strip, reversed(told))), "ffmpeg failed."))


def _end_input(process: "subprocess.Popen[bytes]") -> None:
    """Close the pipe to ffmpeg, if there is one and whether or not anybody still reads it."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


__all__ = ["PIPE", "FFmpegError", "command", "ffmpeg"]
