"""`turntable` and `animate` as a user meets them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from films import film, with_tone
from portrait3d.video.reading import inspect_video, open_video


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory, face: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(face).save(path)
    return path


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, face: np.ndarray) -> Path:
    """Ten frames of a face that does not move; one of them is empty."""
    place = tmp_path_factory.mktemp("driver")
    frames = [face] * 10
    frames[4] = np.full_like(face, 80)
    return with_tone(film(place / "mute.mp4", frames), place / "driver.mp4")


def invoke(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "portrait3d", *map(str, arguments)]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_animate_keeps_rate_and_sound_and_names_bridged_frames(
    photo: Path, driver: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    done = invoke("animate", photo, driver, "-o", out, "--size", 96, "--report", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bridged_frames"] == [4]
    assert (report["frames"], report["fps"], report["sound"]) == (10, 10.0, True)
    # All frames show the same face up to the driver's compression: hardly anything may move.
    assert report["jitter_percent"]["result"] < 0.5
    info, frames = open_video(out)
    assert info.audio is not None
    pictures = np.stack(list(frames)).astype(int)
    assert pictures.shape == (10, 96, 96, 3)
    assert np.abs(pictures - pictures[0]).mean() < 2


@pytest.mark.slow
def test_turntable_writes_a_gif_that_loops(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gif"
    options = ("--seconds", 0.4, "--fps", 10, "--size", 96, "--view", "both")
    done = invoke("turntable", photo, "-o", out, *options)
    assert done.returncode == 0, done.stderr
    assert "4 frames" in done.stdout
    with Image.open(out) as gif:
        assert gif.size == (192, 96)
        assert gif.info["loop"] == 0


def test_an_unknown_ending_fails_before_any_work(photo: Path, driver: Path, tmp_path: Path) -> None:
    for arguments in (("turntable", photo), ("animate", photo, driver)):
        done = invoke(*arguments, "-o", tmp_path / "out.avi")
        assert done.returncode == 1
        assert "must end in .mp4 or .gif" in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_driver_that_is_no_video_fails_in_one_line(photo: Path, tmp_path: Path) -> None:
    done = invoke("animate", photo, photo.parent / "missing.mp4", "-o", tmp_path / "out.mp4")
    assert done.returncode == 1
    assert "missing.mp4" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_written_video_can_be_a_driver(driver: Path) -> None:
    assert inspect_video(driver).rate == 10
