"""The clock counts what it says."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from portrait3d import Portrait3D
from portrait3d.evaluation.benchmark import (
    measure,
    measure_networks,
    run_benchmark,
    seconds_of_new_process,
)


def test_a_stage_runs_once_to_warm_up_and_then_as_often_as_asked() -> None:
    calls = []
    result = measure("stage", lambda: calls.append(1), 3)
    assert len(calls) == 4
    assert result.runs == 3
    assert 0 < result.fastest <= result.median


def test_the_median_is_the_time_that_a_stage_takes() -> None:
    result = measure("stage", lambda: time.sleep(0.02), 3)
    assert 0.02 <= result.fastest <= result.median < 0.5


def test_a_new_process_is_timed_without_its_own_start() -> None:
    assert 0 <= seconds_of_new_process("pass") < 0.5


def test_every_network_is_timed_for_one_crop_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "astronaut.png"
    Image.fromarray(data.astronaut()[:256, 80:336]).save(path)
    model = Portrait3D.from_pretrained()
    times = measure_networks(model, path, 1)
    assert [time.stage.split()[0] for time in times] == [
        "face",
        "parsing",
        "depth",
        "refinement",
    ]
    assert all(0 < time.fastest <= time.median < 30 for time in times)
    assert times[0].runs == 2  # two passes
    assert not model.face_net._forward_hooks
    assert not model.face_net._forward_pre_hooks


def test_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="runs >= 1, got 0"):
        run_benchmark(np.zeros((8, 8, 3), np.uint8), runs=0)
