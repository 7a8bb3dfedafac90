"""The clock counts what it says."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from portrait3d import Portrait, Portrait3D, pipeline
from portrait3d.evaluation.benchmark import (
    TOGETHER,
    StageTime,
    clocked,
    forward_passes,
    measure_stages,
    pipeline_stages,
    run_benchmark,
    seconds_of_new_process,
)
from portrait3d.evaluation.profiling import profiled
from portrait3d.models.head_model import HeadModel
from portrait3d.reposing import Reposer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Image.fromarray(data.astronaut()[:256, 80:336]).save(tmp_path / "astronaut.png")
    return tmp_path / "astronaut.png"


def test_stages_take_turns_after_a_round_that_warms_up(model: Portrait3D, path: Path) -> None:
    calls = []
    stages = {"reconstruct": lambda: model.reconstruct(path), "a": lambda: calls.append("a")}
    times, _ = measure_stages(model, stages | {"b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert [(each.stage, each.runs) for each in times] == [("reconstruct", 2), ("a", 2), ("b", 2)]


def test_the_median_is_the_time_that_a_stage_takes() -> None:
    assert 0.02 <= clocked(lambda: time.sleep(0.02)) < 0.5
    assert StageTime.of("stage", [3.0, 1.0, 8.0]) == StageTime("stage", 3.0, 1.0, 3)


def test_a_new_process_is_timed_without_its_own_start() -> None:
    assert 0 <= seconds_of_new_process("pass") < 0.5


def test_every_network_is_timed_for_one_crop_and_left_as_it_was(model: Portrait3D, path: Path) -> None:
    stages = {"reconstruct": lambda: model.reconstruct(path)}
    times, networks = measure_stages(model, stages, 1)
    names = ["detector", "face", "earrings", "parsing", "depth", "glasses", "N:"]
    assert [each.stage.split()[0] for each in networks] == names
    assert all(0 < each.fastest <= each.median < 30 for each in networks)
    assert not model.face_net._forward_hooks
    assert not model.face_net._forward_pre_hooks
    detector, face, _, _, depth, _, together = networks
    # The face network passes twice: over the crop, then over the better placed one and its mirror image.
    assert face.runs == 2
    assert together.stage == TOGETHER
    assert detector.median + face.fastest + depth.median < together.median < times[0].median


def test_passes_are_counted_with_their_crops(model: Portrait3D, path: Path) -> None:
    with forward_passes(model) as passes:
        model.reconstruct(path)
    counted = [(each.network, each.crops) for each in passes]
    assert counted[:3] == [("detector", 1), ("face", 1), ("face", 2)]
    assert counted[-2:] == [("depth", 1), ("glasses", 1)]


def test_another_turn_is_not_the_first_one_of_its_portrait(
    model: Portrait3D, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    class Watched(Reposer):
        def __init__(self, portrait: Portrait, head_model: HeadModel) -> None:
            begun.append(portrait)
            super().__init__(portrait, head_model)

    monkeypatch.setattr(pipeline, "Reposer", Watched)
    stages = pipeline_stages(model, path, np.asarray(Image.open(path)))
    for _ in range(3):
        stages["first turn of a head"]()
        stages["another turn"]()
    assert len(begun) == 4


def test_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="runs >= 1, got 0"):
        run_benchmark(np.zeros((8, 8, 3), np.uint8), runs=0)


def test_a_profile_names_what_takes_long_and_leaves_torchs_threads() -> None:
    threads = torch.get_num_threads()
    picture = torch.zeros(1, 3, 64, 64)
    weight = torch.zeros(8, 3, 3, 3)

    def work() -> None:
        time.sleep(0.02)
        torch.conv2d(picture, weight)

    rows = profiled({"a": work, "b": lambda: time.sleep(0.01)})
    assert [(row.stage, row.function, row.calls) for row in rows] == [
        ("a", "time.sleep", 1.0),
        ("b", "time.sleep", 1.0),
    ]
    assert 0.02 <= rows[0].own <= rows[0].within < 0.5
    assert torch.get_num_threads() == threads
