"""Training the glasses network, and measuring it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.data.photos.labelled import MAPS
from portrait3d.evaluation.glasses import DRAWN, evaluate_glasses
from portrait3d.models.glasses_net import GlassesNet
from portrait3d.models.head_model import HeadModel
from portrait3d.pretrained import load_network
from portrait3d.training.glasses import GlassesTraining, glasses_losses, read_faces, train_glasses
from portrait3d.training.loop import LoopConfig
from portrait3d.training.release import release_network
from tiny_photos import photo_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of photos with maps, of which one is parsed as with glasses and one as without."""
    root = photo_folder(tmp_path_factory.mktemp("photos"), HeadModel.load())
    for name in (*MAPS, "parsing"):
        (root / "portraits" / name).mkdir()
    for k in range(6):
        for name in MAPS:
            Image.fromarray(np.zeros((200, 200), np.uint8)).save(root / "portraits" / name / f"p{k}.png")
    for k in (4, 5):
        labels = np.zeros((200, 200), np.uint8)
        labels[50:90, 60:140] = 6 * (k == 4)
        Image.fromarray(labels).save(root / "portraits" / "parsing" / f"p{k}.png")
    return root


def settings(data: Path, out: Path, wearers: Path | None = None) -> GlassesTraining:
    loop = LoopConfig(out=out, steps=2)
    return GlassesTraining(data=data, loop=loop, batch=2, width=0.25, wearers=wearers)


def test_wearers_are_left_out(data: Path, tmp_path: Path) -> None:
    names = tmp_path / "wearers.txt"
    names.write_text("p1\np5\n")
    learned, checked = read_faces(settings(data, tmp_path), HeadModel.load())
    assert (len(learned), len(checked)) == (4, 2)
    learned, checked = read_faces(settings(data, tmp_path, wearers=names), HeadModel.load())
    assert (len(learned), len(checked)) == (3, 1)
    names.write_text("p4\np5\n")
    with pytest.raises(FileNotFoundError, match="without glasses in both splits"):
        read_faces(settings(data, tmp_path, wearers=names), HeadModel.load())


def test_losses_are_least_where_the_cover_is_right() -> None:
    cover = torch.zeros(2, 1, 8, 8)
    cover[0, :, 2:5] = 1
    right, wrong = (glasses_losses(sign * 20 * (2 * cover - 1), cover, 0.5) for sign in (1, -1))
    assert right["total"] < 0.01
    assert wrong["total"] > 5
    assert wrong["dice"] > 0.9
    assert right["total"] == pytest.approx(float(right["cross_entropy"] + 0.5 * right["dice"]))


def test_a_run_is_released_and_measured(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portrait3d.training.glasses.CHECKED", 4)
    monkeypatch.setattr("portrait3d.evaluation.glasses.DRAWN", 8)
    train_glasses(settings(data, tmp_path / "run"))
    directory = release_network("glasses", tmp_path / "run", tmp_path / "glasses")
    assert "drawn by this project onto photos" in (directory / "README.md").read_text()
    net = load_network(GlassesNet, directory)
    report = evaluate_glasses(net, data)
    assert [row.glasses for row in report.drawn] == ["clear lenses", "dark lenses", "none"]
    assert sum(row.pictures for row in report.drawn) == 8 < DRAWN
    assert [(row.photos, row.count) for row in report.wearers] == [("with", 1), ("without", 1)]
