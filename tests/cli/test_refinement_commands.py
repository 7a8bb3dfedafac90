"""`prepare turns` and `evaluate refinement`, their work done by stand-ins."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from portrait3d.cli import portraits
from portrait3d.cli.refinement import refinement, turns
from portrait3d.data.refinement import coarse_turns, exact_turns, turned_frames
from portrait3d.evaluation.refinement import report as refinement_report
from portrait3d.evaluation.refinement.repairs import RepairRow
from portrait3d.evaluation.refinement.report import RefinementReport
from portrait3d.models.head_model import HeadModel
from tiny_photos import photo_folder


@pytest.fixture(autouse=True)
def _without_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portraits, "load_model", lambda models, quiet: SimpleNamespace())


def test_without_data_nothing_is_prepared_or_measured(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none is no directory"):
        turns(data=tmp_path / "none", out=tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="none is no directory"):
        refinement(data=tmp_path / "none")
    assert not (tmp_path / "out").exists()


def test_training_photos_are_turned_in_a_random_order_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = photo_folder(tmp_path / "data", HeadModel.load())
    asked, drawn = [], []

    def prepare(model, photos, directory: Path, *, turns: int, seed: int) -> int:
        asked.append(([photo.name for photo in photos], directory, turns, seed))
        return turns * len(photos)

    monkeypatch.setattr(coarse_turns, "prepare_turns", prepare)

    def draw(model, scenes: object, directory: Path, *, people: int, turns: int, size: int) -> int:
        drawn.append((scenes, directory, people, size))
        return people * turns

    monkeypatch.setattr(turned_frames, "prepare_frames", lambda *_, **__: 0)
    monkeypatch.setattr(exact_turns, "turning_people", lambda data, avatars, seed, size: [size, avatars])
    monkeypatch.setattr(exact_turns, "prepare_exact_turns", draw)
    for seed in (0, 0, 5):
        out = tmp_path / "out"
        turns(data=root, out=out, avatars=root, people=4, photos=3, size=384, seed=seed, json=True)
        printed = json.loads(capsys.readouterr().out)
        assert printed == {"directory": str(tmp_path / "out"), "turns": 9, "frames": 0, "exact": 24}
    assert drawn[:2] == [(scenes, tmp_path / "out" / "exact", 4, 384) for scenes in (384, root)]
    assert asked[0] == asked[1] != asked[2]
    assert asked[0][1:] == (tmp_path / "out" / "turns", 3, 0)
    assert set(asked[0][0]) <= {"p0", "p1", "p2", "p3"}  # p4 and p5 are for validation


def test_the_report_is_printed_and_the_sheet_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = RepairRow("refined", 2, 22.5, 0.8, 0.25, 0.75, 1.0)
    report = RefinementReport(repairs=[row], identity=[], clips=[], background=[])
    monkeypatch.setattr(refinement_report, "evaluate_refinement", lambda *_, **__: report)
    monkeypatch.setattr(refinement_report, "repairs_sheet", lambda *_, **__: np.zeros((8, 40, 3), np.uint8))
    refinement(data=tmp_path, sheet=tmp_path / "s.png", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"repairs", "identity", "clips", "background"}
    assert printed["repairs"][0]["to_biharmonic"] == 0.75
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (40, 8)
    refinement(data=tmp_path)
    assert "How well are holes in photos repaired?" in capsys.readouterr().out
