"""Damaged pictures: each gives RGB pixels or `InvalidImageError`, soon, in little memory, without a word."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"

BAD_DECODER = """
import os, sys, warnings
sys.path.insert(0, sys.argv[1])
from fuzzing import judging
from portrait3d.errors import InvalidImageError
from portrait3d.preprocessing.image import Photo
import numpy as np

def raising(photo): raise KeyError("tag")
def printing(photo): os.write(2, b"TIFFReadDirectory: ..."); raise InvalidImageError("x can't be read: no.")
def warning(photo): warnings.warn("Corrupt EXIF data"); raise InvalidImageError("x can't be read: no.")
def grey(photo): return Photo(np.zeros((4, 4), np.uint8), "x")
def wordy(photo): raise InvalidImageError("x can't be read:\\nTraceback")

faults = []
with judging.Judge() as judge:
    for decoder in (raising, printing, warning, grey, wordy):
        judging.decode_photo = decoder
        faults.append(judge.fault(b"content", 0))
print(*faults, sep="\\n")
"""


@pytest.mark.slow
def test_five_hundred_damaged_pictures_are_decoded_or_refused(tmp_path: Path) -> None:
    command = [sys.executable, TOOLS / "fuzz.py", "--seeded", "--count", "500", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    account = json.loads(done.stdout)
    assert (done.returncode, done.stderr, account["faults"]) == (0, "", [])
    assert account["picture"] + account["refused"] == account["files"] == 500
    assert min(account["picture"], account["refused"]) > 50
    assert not list(tmp_path.iterdir())


def test_whatever_else_a_decoder_does_is_a_fault() -> None:
    command = [sys.executable, "-c", BAD_DECODER, TOOLS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    raised, printed, warned, grey, wordy = done.stdout.splitlines()
    assert raised == "KeyError: 'tag'"
    assert "TIFFReadDirectory" in printed
    assert "Corrupt EXIF data" in warned
    assert "shape (4, 4)" in grey
    assert "Traceback" in wordy
