"""Stands in for the reconstruction of photos in processes of their own: as slow or as deadly as names say."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from portrait3d.cli.batch import DONE, Options, Result

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import slow_work
from portrait3d.cli import app, batch
batch._start, batch._work_on = slow_work.start, slow_work.work
app()
"""
"""The command line with this module in the place of the networks; `tests` is this file's directory."""


def start(options: Options, threads: int | None) -> None:
    """Load nothing."""
    if options.models is not None:
        raise ValueError(f"{options.models} can't be used.")


def work(photo: Path, directory: Path, options: Options) -> Iterator[Result]:
    """One result for each `face` in the photo's name, then what the name says: sleep, be stubborn, die."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "process").write_text(str(os.getpid()))
    known: dict[str, Any] = {"pose": {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}, "vertices": 4, "files": []}
    result = Result(photo, directory, DONE, 0, 1, known, 0.5)
    name = photo.stem
    if "die" in name:
        os._exit(9)
    if "stubborn" in name:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "first" in name:
        yield replace(result, faces=40)
    if "sleep" in name:
        time.sleep(600)
    if "first" not in name:
        yield result


def running(process: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start_nothing() -> None:
    """Load nothing."""


def count_up(record: Path, first: int, length: int) -> Iterator[np.ndarray]:
    """A megabyte each of first, first + 10, ...; tells a file how many have been made, and dies below 0."""
    for k in range(length):
        if first < 0:
            os._exit(9)
        record.write_text(str(k + 1))
        yield np.full(1_000_000, first + 10 * k, np.uint8)
