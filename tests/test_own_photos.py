"""From a folder of plain photos to weights of one's own, by the three commands of docs/researchers.md."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from portrait3d.data.photos.labelled import PhotoFolder
from portrait3d.data.synthetic import SyntheticHeads, SyntheticView
from portrait3d.models.face_net import FaceNet
from portrait3d.parsing_classes import ParsingClass

TINY = {
    "working_size": 64,
    "batch": 2,
    "turned_share": 0,
    "synthetic_share": 0.5,
    "synthetic_count": 2,
    "synthetic_validation": 2,
    "loop.device": "cpu",
}
"""Settings of a training that takes seconds."""


def picture(view: SyntheticView) -> Image.Image:
    return Image.fromarray((view.image.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy())


@pytest.fixture(scope="module")
def views() -> dict[str, SyntheticView]:
    heads = SyntheticHeads(4)
    pair = heads.pair(0)
    singles = {f"somebody {k}": heads.pair(k).first for k in (2, 3, 6)}
    return {**singles, "twice/a": pair.first, "twice/b": pair.second}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, views: dict[str, SyntheticView]) -> tuple[Path, Path]:
    """A folder of six pictures, and what the first command makes of it."""
    root = tmp_path_factory.mktemp("own")
    photos, out = root / "photos", root / "data"
    (photos / "twice").mkdir(parents=True)
    Image.fromarray(data.astronaut()).save(photos / "astronaut.png")
    for name, view in views.items():
        picture(view).save(photos / f"{name}.png")
    assert run("prepare", "photos", photos, "--out", out, "--validation", 2)["photos"] == 6
    return photos, out


def run(*words: object, code: int = 0) -> dict:
    command = [sys.executable, "-m", "portrait3d", *(str(word) for word in words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_plain_photos_become_a_labelled_folder(
    prepared: tuple[Path, Path], views: dict[str, SyntheticView]
) -> None:
    photos = {photo.name: photo for photo in PhotoFolder(prepared[1], parsed=True)}
    assert set(photos) == {"astronaut", "somebody-2", "somebody-3", "somebody-6", "twice-a", "twice-b"}
    assert {photo.split for photo in photos.values()} == {"train", "val"}
    assert photos["twice-a"].person == photos["twice-b"].person == "twice"
    for name, view in views.items():
        photo = photos[name.replace("/", "-").replace(" ", "-")]
        # The picture is the head crop, so all of it is stored, and its truth is known.
        assert (photo.height, photo.width) == tuple(view.labels.shape)
        assert photo.has_maps
        assert photo.has_mesh_points
        truth, found = view.labels.numpy(), photo.parsing()
        face = truth == ParsingClass.FACE
        assert (found == ParsingClass.FACE)[face].mean() > 0.8
        assert (found == ParsingClass.FACE)[~face].mean() < 0.1
        assert (photo.probability("figure") > 0.5)[found == ParsingClass.FACE].mean() > 0.95
        hair = photo.probability("hair") > 0.5
        assert hair[found == ParsingClass.HAIR].mean() > 0.9
        assert hair[found == ParsingClass.FACE].mean() < 0.1
        off = np.linalg.norm(photo.landmarks - view.landmarks.numpy(), axis=1).mean()
        assert off < 0.04 * np.ptp(view.landmarks.numpy(), axis=0).max()
        yaw = float(view.camera_from_model.euler()[0])
        assert photo.yaw == pytest.approx(yaw, abs=0.15)


def test_labelled_photos_are_kept_and_bad_ones_named(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    photos, out = prepared
    first = out / "portraits" / "images" / "astronaut.jpg"
    before = first.stat().st_mtime_ns
    (tmp_path / "wall.png").write_bytes(b"")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "wall.png")
    done = run("prepare", "photos", photos, tmp_path, "--out", out, "--validation", 2, code=1)
    assert done["photos"] == 6
    assert [Path(failure["photo"]).name for failure in done["failures"]] == ["wall.png"]
    assert first.stat().st_mtime_ns == before


def test_a_teacher_labels_what_it_knows_and_the_networks_the_rest(
    prepared: tuple[Path, Path], tmp_path: Path
) -> None:
    photos, out = prepared
    (tmp_path / "photos").mkdir()
    for name in ("astronaut", "somebody 2"):
        shutil.copy(photos / f"{name}.png", tmp_path / "photos")
    teacher = tmp_path / "teacher.py"
    teacher.write_text("""
import numpy as np


def teach(portrait):
    if "somebody" in portrait.photo.name:
        raise RuntimeError("never seen")
    neck = portrait.parsing == 6
    return {"parsing": np.where(neck, 7, portrait.parsing), "hair": np.full(neck.shape, 0.2)}
""")
    done = run(
        *("prepare", "photos", tmp_path / "photos", "--out", tmp_path / "data", "--teacher", teacher), code=1
    )
    (failure,) = done["failures"]
    assert re.search(r"teacher.py fails on .*somebody 2.png: RuntimeError: never seen", failure["error"])
    (own,) = [photo for photo in PhotoFolder(out, parsed=True) if photo.name == "astronaut"]
    (taught,) = PhotoFolder(tmp_path / "data", parsed=True)
    neck = own.parsing() == ParsingClass.NECK
    assert neck.any()
    np.testing.assert_array_equal(taught.parsing(), np.where(neck, ParsingClass.BODY, own.parsing()))
    np.testing.assert_allclose(taught.probability("hair"), 0.2, atol=0.01)
    assert ((taught.probability("figure") > 0.5) == (own.parsing() > 0)).mean() > 0.99
    np.testing.assert_array_equal(taught.points, own.points)


def test_a_folder_that_somebody_else_labelled_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "portraits").mkdir()
    (tmp_path / "portraits" / "index.csv").write_text("id\n")
    (tmp_path / "photos").mkdir()
    done = run("prepare", "photos", tmp_path / "photos", "--out", tmp_path, code=1)
    assert "has not labelled" in done["error"]
    assert (tmp_path / "portraits" / "index.csv").read_text() == "id\n"


def test_own_photos_become_weights_and_heads(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    photos, out = prepared
    save_file(FaceNet(64).state_dict(), tmp_path / "start.safetensors")
    settings = {**TINY, "start": tmp_path / "start.safetensors"}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    trained = run("train", "face", "--data", out, "--out", tmp_path / "run", "--steps", 2, *words)
    assert {"nme", "portraits", "synthetic_rotation"} <= set(trained["best"]["evaluation"])
    run(
        "reconstruct", photos / "astronaut.png", "-o", tmp_path / "heads", "--models", tmp_path / "run/models"
    )
    assert list((tmp_path / "heads").rglob("*.glb"))
