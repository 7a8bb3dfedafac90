"""The peak of memory that is measured is a process's own."""

import subprocess
import sys

import pytest

from portrait3d.memory import peak_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are inherited on Linux")

PRINT_PEAK = "from portrait3d.memory import peak_memory; print(peak_memory())"
LARGE_PARENT = """
import subprocess, sys
held = bytearray(b"x") * 400_000_000
del held
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
"""


def test_a_large_process_does_not_make_the_programs_that_it_starts_look_large() -> None:
    command = [sys.executable, "-c", LARGE_PARENT, "-c", PRINT_PEAK]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 1e6 < peak < 1e8


def test_what_was_given_back_still_counts() -> None:
    allocate = "held = bytearray(b'x') * 300_000_000; del held; "
    command = [sys.executable, "-c", allocate + PRINT_PEAK]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 3e8 < peak < 4e8


def test_another_process_is_asked_by_its_number() -> None:
    command = [sys.executable, "-c", "print(1, flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it runs
        peak = peak_memory(process.pid)
        assert peak is not None
        assert 1e6 < peak < 1e8
        process.communicate(b"\n")
    assert peak_memory(process.pid) is None
