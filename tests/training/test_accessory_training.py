"""Training the networks that find glasses and earrings, and measuring them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.data.photos.labelled import MAPS
from portrait3d.evaluation.accessories import DRAWN, evaluate_earrings, evaluate_glasses
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.head_model import HeadModel
from portrait3d.pretrained import load_network
from portrait3d.training.accessories import (
    AccessoryTraining,
    cover_losses,
    read_faces,
    train_earrings,
    train_glasses,
)
from portrait3d.training.loop import LoopConfig
from portrait3d.training.release import release_network
from tiny_photos import photo_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of photos with maps, one parsed as with glasses and earrings, one without."""
    root = photo_folder(tmp_path_factory.mktemp("photos"), HeadModel.load())
    for name in (*MAPS, "parsing"):
        (root / "portraits" / name).mkdir()
    for k in range(6):
        for name in MAPS:
            Image.fromarray(np.zeros((200, 200), np.uint8)).save(root / "portraits" / name / f"p{k}.png")
    for k in (4, 5):
        labels = np.zeros((200, 200), np.uint8)
        labels[50:90, 60:140] = 6 * (k == 4)
        labels[110:115, 50:55] = 9 * (k == 4)
        Image.fromarray(labels).save(root / "portraits" / "parsing" / f"p{k}.png")
    return root


def settings(data: Path, out: Path, wearers: Path | None = None) -> AccessoryTraining:
    loop = LoopConfig(out=out, steps=2)
    return AccessoryTraining(data=data, loop=loop, batch=2, width=0.25, wearers=wearers)


def test_wearers_are_left_out(data: Path, tmp_path: Path) -> None:
    names = tmp_path / "wearers.txt"
    names.write_text("p1\np5\n")
    learned, checked = read_faces(settings(data, tmp_path), HeadModel.load())
    assert (len(learned), len(checked)) == (4, 2)
    learned, checked = read_faces(settings(data, tmp_path, wearers=names), HeadModel.load())
    assert (len(learned), len(checked)) == (3, 1)
    names.write_text("p4\np5\n")
    with pytest.raises(FileNotFoundError, match="without it in both splits"):
        read_faces(settings(data, tmp_path, wearers=names), HeadModel.load())


def test_losses_are_least_where_the_cover_is_right() -> None:
    cover = torch.zeros(2, 1, 8, 8)
    cover[0, :, 2:5] = 1
    right, wrong = (cover_losses(sign * 20 * (2 * cover - 1), cover, 0.5) for sign in (1, -1))
    assert right["total"] < 0.01
    assert wrong["total"] > 5
    assert wrong["dice"] > 0.9
    assert right["total"] == pytest.approx(float(right["cross_entropy"] + 0.5 * right["dice"]))


KINDS = {
    "glasses": (train_glasses, evaluate_glasses, ["clear lenses", "dark lenses", "none"]),
    "earrings": (train_earrings, evaluate_earrings, ["small", "large", "none"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_released_and_measured(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, evaluate, rows = KINDS[kind]
    monkeypatch.setattr("portrait3d.training.accessories.CHECKED", 4)
    monkeypatch.setattr("portrait3d.evaluation.accessories.DRAWN", 12)
    train(settings(data, tmp_path / "run"))
    directory = release_network(kind, tmp_path / "run", tmp_path / kind)
    card = (directory / "README.md").read_text()
    assert "drawn by this project onto photos" in card
    assert f"people without {kind}" in card
    report = evaluate(load_network(AccessoryNet, directory), data)
    assert [row.drawn for row in report.drawn] == rows
    assert sum(row.pictures for row in report.drawn) == 12 < DRAWN
    assert all(row.pictures for row in report.drawn)
    assert [(row.photos, row.count) for row in report.wearers] == [("with", 1), ("without", 1)]


def test_an_earring_that_is_found_counts(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sure(AccessoryNet):
        """Sees a bar through the lobe."""

        def forward(self, band: torch.Tensor) -> torch.Tensor:
            logits = torch.full_like(band[:, :1], -20)
            logits[..., 36:60, 40:56] = 9
            return logits

    monkeypatch.setattr("portrait3d.evaluation.accessories.DRAWN", 6)
    report = evaluate_earrings(Sure().eval(), data)
    assert [(row.photos, row.found) for row in report.wearers] == [("with", 1), ("without", 1)]
    assert next(row.iou for row in report.drawn if row.drawn == "none") == 0
    names = tmp_path / "wearers.txt"
    names.write_text("p0\np5\n")
    seen = evaluate_earrings(Sure().eval(), data, names)
    assert [(row.photos, row.count) for row in seen.wearers] == [("with", 1), ("without", 1)]
    names.write_text("p0\n")
    assert [row.photos for row in evaluate_earrings(Sure().eval(), data, names).wearers] == ["without"]
