"""From a film of a moving head to pairs that the depth network's training reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from films import film
from portrait3d import Portrait3D
from portrait3d.data.depth.preparation import Desk, register_clips
from portrait3d.data.depth.reading import Readers
from portrait3d.data.depth.samples import DepthAugmentation, DepthSamples
from portrait3d.data.face.fits import fit_photos
from portrait3d.data.photos.labelled import PhotoFolder
from portrait3d.evaluation.depth.pairs import evaluate_pairs
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.parsing_classes import ParsingClass
from portrait3d.video.clips import clip_name

YAWS = (-8.0, -3.0, 4.0, 9.0)


@pytest.fixture(scope="module")
def video(model: Portrait3D, astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut turning her head, two frames at each of a few angles."""
    photo = np.ascontiguousarray(astronaut[:288, 64:384])
    portrait = model.reconstruct(photo)
    frames = [model.repose(portrait, yaw=yaw) for yaw in YAWS]
    path = tmp_path_factory.mktemp("films") / "turning head.mp4"
    return film(path, [frame for frame in frames for _ in range(2)])


@pytest.mark.slow
def test_a_film_becomes_pairs_that_training_reads(video: Path, model: Portrait3D, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "portrait3d", "prepare", "pairs", str(video), "--out", str(tmp_path)]
    wall = film(video.with_name("wall.mp4"), [np.full((96, 96, 3), 90, np.uint8)] * 3)
    done = subprocess.run(
        [*command, str(wall), "--validation", "0", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 1, "one of the films shows nobody"
    told = json.loads(done.stdout)
    assert [clip["clip"] for clip in told["clips"]] == ["turning-head"]
    assert [Path(failure["video"]).name for failure in told["failures"]] == ["wall.mp4"]

    photos = PhotoFolder(tmp_path, parsed=True)
    pairs = list(photos.clip_pairs())
    assert len(pairs) == told["pairs"] >= 2
    for pair in pairs:
        assert 5 <= np.degrees(pair.rotation) <= 15
    fits = fit_photos(
        photos.photos, MeshPoints.from_head_model(model.head_model), slide=model.face_net.mesh_slide
    )
    assert fits.residual.max() < 0.02, "points and model belong together"

    desk = Desk(Readers.bundled(), tmp_path, 128)
    views = register_clips(desk, pairs, fits, MeshPoints.from_head_model(model.head_model))
    assert len(views) == len(photos)
    assert ((views.labels == ParsingClass.FACE).mean(axis=(1, 2)) > 0.03).all()
    assert np.isnan(views.front).all()
    turned = views.rotation[views.pairs[:, 1]] @ views.rotation[views.pairs[:, 0]].transpose(0, 2, 1)
    angle = np.degrees(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert ((angle > 2) & (angle < 18)).all()
    sample = DepthSamples({"clips": views}, {"clips": 1.0}, DepthAugmentation(window=(96, 96)))[0]
    assert sample["paired"]
    assert torch.isfinite(sample["near"]).all()

    none_left = views.without_clips(["turning-head"])
    assert len(none_left.pairs) == 0
    with pytest.raises(ValueError, match="no clips"):
        views.without_clips(["nobody"])

    (row,) = evaluate_pairs(model, tmp_path, 2, ["turning-head"])
    assert row["clip"] == "turning-head"
    floor, network, still = (float(row[name]) for name in ("floor", "network", "no motion"))
    assert floor < network < still
    with pytest.raises(ValueError, match="turning-head"):
        evaluate_pairs(model, tmp_path, 2, ["nobody"])

    changed = (tmp_path / "clips" / "parts" / "turning-head.npz").stat().st_mtime_ns
    again = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["clips"] == []
    assert (tmp_path / "clips" / "parts" / "turning-head.npz").stat().st_mtime_ns == changed


def test_names_of_clips_are_plain() -> None:
    assert clip_name(Path("films/Ein Film (2).mov")) == "Ein-Film-2-"
    assert clip_name(Path("a.b.mp4")) == "a.b"
