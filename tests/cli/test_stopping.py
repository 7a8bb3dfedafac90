"""A batch that is stopped: it ends in seconds with all its processes, and its summary is true."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portrait3d.cli.stopping import Stopped, stopped_by_signals
from slow_work import PROGRAM, running

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

TESTS = Path(__file__).resolve().parents[1]
LIMIT = 8.0
"""Seconds in which everything must have ended; a stubborn process gets two of them."""
PHOTOS = ("a.png", "b sleep.png", "c stubborn sleep first.png", "d sleep.png", "e sleep.png")


class Batch:
    """`reconstruct` on photos that sleep, in a session of its own as a terminal would have it."""

    def __init__(self, folder: Path, *options: str, photos: tuple[str, ...] = PHOTOS) -> None:
        self.out = folder / "out"
        (folder / "photos").mkdir()
        for name in photos:
            (folder / "photos" / name).touch()
        program = PROGRAM.format(tests=str(TESTS))
        arguments = ["reconstruct", str(folder / "photos"), "-o", str(self.out), "--json", *options]
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, *names: str) -> list[int]:
        """The processes that work on photos, when all of them are in work."""
        marks = [self.out / Path(name).stem / "process" for name in names]
        wait_until(lambda: all(mark.exists() and mark.read_text() for mark in marks), 60)
        return [int(mark.read_text()) for mark in marks]

    def outcome(self) -> tuple[float, dict[str, Any], str]:
        """Seconds until the command ends, what it prints, and its messages."""
        started = time.monotonic()
        printed, told = self.process.communicate(timeout=60)
        return time.monotonic() - started, json.loads(printed), told

    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "summary.json").read_text())


@pytest.fixture
def started() -> Iterator[Callable[..., Batch]]:
    """Start batches; whatever is left of them in the end is killed."""
    batches: list[Batch] = []

    def start(*arguments: Any, **options: Any) -> Batch:
        batches.append(Batch(*arguments, **options))
        return batches[-1]

    yield start
    for batch in batches:
        if batch.process.poll() is None:
            os.killpg(batch.process.pid, signal.SIGKILL)
        batch.process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stopped_batch_ends_with_its_processes_and_tells_what_it_did(
    number: signal.Signals, jobs: str, started: Callable[..., Batch], tmp_path: Path
) -> None:
    batch = started(tmp_path, "--jobs", jobs)
    processes = batch.wait_for("b sleep.png", *(["c stubborn sleep first.png"] if jobs == "2" else []))
    if number == signal.SIGINT:  # as Ctrl-C: every process of the terminal gets it
        os.killpg(batch.process.pid, number)
    else:
        batch.process.send_signal(number)
    seconds, printed, told = batch.outcome()
    assert seconds < LIMIT
    assert batch.process.returncode == 128 + number
    assert not any(running(process) for process in processes)
    assert told == ("error: interrupted\n" if number == signal.SIGINT else "error: terminated\n")
    summary = batch.summary()
    first = 1 if jobs == "2" else 0  # the first of forty faces
    assert (summary["done"], summary["failed"], summary["left"]) == (1 + first, 0, 4)
    assert [entry["status"] for entry in printed["portraits"]] == [
        entry["status"] for entry in summary["portraits"]
    ]
    assert {Path(entry["photo"]).name for entry in printed["portraits"]} == set(PHOTOS)


@pytest.mark.slow
def test_processes_end_when_the_command_is_killed(started: Callable[..., Batch], tmp_path: Path) -> None:
    batch = started(tmp_path, "--jobs", "2")
    processes = batch.wait_for("b sleep.png", "c stubborn sleep first.png")
    batch.process.kill()
    wait_until(lambda: not any(running(process) for process in processes), LIMIT)


@pytest.mark.slow
def test_a_process_that_dies_costs_its_own_photo(started: Callable[..., Batch], tmp_path: Path) -> None:
    batch = started(tmp_path, "--jobs", "2", photos=("a.png", "b die.png", "c.png", "d die.png", "e.png"))
    _, printed, told = batch.outcome()
    assert [entry["status"] for entry in printed["portraits"]] == ["done", "failed", "done", "failed", "done"]
    assert batch.process.returncode == 1
    assert len(told.strip().splitlines()) == 2
    assert batch.summary()["failed"] == 2


@pytest.mark.slow
def test_what_no_process_can_begin_with_is_one_failure(started: Callable[..., Batch], tmp_path: Path) -> None:
    batch = started(tmp_path, "--jobs", "2", "--models", "broken")
    _, printed, told = batch.outcome()
    assert printed == {"error": "broken can't be used."}
    assert told == "error: broken can't be used.\n"


def test_only_the_first_signal_counts() -> None:
    def tidy_up() -> None:
        with stopped_by_signals():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match="terminated") as caught:
        tidy_up()
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGINT) is before
