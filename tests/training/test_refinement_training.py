"""Training the refinement network."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from portrait3d.cli.configuration import build_config, merged, read_settings
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.refinement.samples import DamagedPhotos
from portrait3d.data.refinement.stored_turns import EXACT, FRAMES, TURNS, StoredTurn
from portrait3d.models.discriminator import Discriminator
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.reposing import CoarseTurn
from portrait3d.reposing.regions import Window
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.training.refinement import (
    RefinementTrainingConfig,
    batches,
    discriminator_loss,
    generator_losses,
    restored_and_turned,
    training_samples,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = RefinementTrainingConfig(data=Path(), loop=LoopConfig(out=Path(), steps=1))


class Planes(nn.Module):
    """The picture itself as its features."""

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image]


def _batch(turns: int = 1) -> dict[str, torch.Tensor]:
    original = torch.full((2, 3, 64, 64), 0.4)
    holes = torch.zeros(2 + turns, 1, 64, 64)
    holes[..., 20:40, 10:30] = 1
    image = torch.full((2 + turns, 3, 64, 64), 0.4) + 0.3 * holes
    return {"image": image, "holes": holes, "original": original, "inside": torch.ones(2, 1, 64, 64)}


def test_one_batch_is_learned_in_a_few_dozen_steps() -> None:
    torch.manual_seed(0)
    batch, net = _batch(), RefinementNet("light", [8, 8, 8, 8, 8]).train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    totals = []
    for _ in range(40):
        losses = generator_losses(net(batch["image"], batch["holes"]), batch, Planes(), None, CONFIG)
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
        totals.append(losses["total"].item())
    assert min(totals) < totals[0] / 3


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    batch, discriminator = _batch(), Discriminator(4, 2, 1)
    losses = generator_losses(batch["image"], batch, Planes(), discriminator, CONFIG)
    expected = (
        CONFIG.color_weight * losses["color"]
        + CONFIG.hole_weight * losses["holes"]
        + CONFIG.feature_weight * losses["features"]
        + CONFIG.adversarial_weight * losses["adversarial"]
    )
    torch.testing.assert_close(losses["total"], expected)
    assert "adversarial" not in generator_losses(batch["image"], batch, Planes(), None, CONFIG)


def test_turns_are_free_inside_holes_and_photos_are_not() -> None:
    batch = _batch()
    repaired = torch.full_like(batch["image"], 0.4)
    changed = repaired.clone()
    changed[2, :, 25:30, 15:20] = 0.9  # in a turn's hole
    losses = [generator_losses(r, batch, Planes(), None, CONFIG)["color"] for r in (repaired, changed)]
    torch.testing.assert_close(losses[0], losses[1])
    changed[0, :, 25:30, 15:20] = 0.9  # in a photo's
    assert generator_losses(changed, batch, Planes(), None, CONFIG)["color"] > losses[0]


@pytest.mark.parametrize("name", ["color", "hole", "feature"])
def test_a_loss_without_weight_is_left_out(name: str) -> None:
    config = replace(CONFIG, **{f"{name}_weight": 0.0})
    batch, discriminator = _batch(), Discriminator(4, 2, 1)
    found = generator_losses(batch["image"], batch, Planes(), discriminator, config)
    whole = generator_losses(batch["image"], batch, Planes(), discriminator, CONFIG)
    left_out = set(whole) - set(found)
    assert len(left_out) == 1
    (term,) = left_out
    expected = whole["total"] - getattr(CONFIG, f"{name}_weight") * whole[term]
    torch.testing.assert_close(found["total"], expected)


def test_settings_that_cannot_work_are_named() -> None:
    for name, value in (("size", 50), ("feature_levels", 5), ("adversarial_after", 2.0)):
        with pytest.raises(ValueError, match=name):
            replace(CONFIG, **{name: value})


@pytest.mark.parametrize("preset", ["light", "guided", "paper"])
def test_presets_are_settings_that_exist(preset: str, tmp_path: Path) -> None:
    settings = read_settings(ROOT / "configs" / f"refinement-{preset}.toml")
    config = build_config(
        RefinementTrainingConfig, merged(settings, {"data": tmp_path, "loop": {"out": tmp_path}})
    )
    assert config.preset == preset
    assert config.adversarial_weight > 0


@pytest.fixture
def turns(tmp_path: Path) -> Path:
    """One turn of each kind, as `prepare turns` writes them."""
    image, holes = torch.rand(3, 256, 256), torch.zeros(1, 256, 256)
    holes[0, 100:140, 80:100] = 1
    window = Window(0, 0, 256, 256)
    turn = CoarseTurn(image, holes, image, holes, window, False, torch.zeros(9, 256, 256))
    inside = torch.ones(1, 256, 256)
    StoredTurn.of(turn, image).save(tmp_path / "turns" / TURNS / "a-0.npz")
    StoredTurn.of(turn, image, image, inside).save(tmp_path / "turns" / FRAMES / "a-b.npz")
    StoredTurn.of(turn, image, 1 - image, inside).save(tmp_path / "turns" / EXACT / "s-0.npz")
    return tmp_path / "turns"


def test_batches_hold_photos_then_exact_turns_then_frames_then_turns(
    turns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = {"image": 0.0, "holes": 0.0, "guide": 0.0, "original": 0.0, "inside": 1.0}
    channels = {"image": 3, "holes": 1, "guide": 9, "original": 3, "inside": 1}
    monkeypatch.setattr(DamagedPhotos, "__init__", lambda self, photos, labels, **settings: None)
    monkeypatch.setattr(
        DamagedPhotos,
        "__getitem__",
        lambda self, number: {name: torch.full((channels[name], 64, 64), sample[name]) for name in sample},
    )
    config = replace(CONFIG, turns=turns, batch=3, exact_batch=1, frame_batch=2, turn_batch=1)
    net = torch.nn.Linear(1, 1)
    loop = TrainingLoop(LoopConfig(out=tmp_path / "run", steps=1), {"net": net}, {}, averaged="net")
    batch = next(batches(loop, training_samples([], LabelledPhoto.parsing, config)))
    assert {name: value.shape[0] for name, value in batch.items()} == {
        "image": 7,
        "holes": 7,
        "guide": 7,
        "original": 6,
        "inside": 6,
    }
    assert float(batch["image"][:3].abs().max()) == 0
    torch.testing.assert_close(batch["image"][3:4], 1 - batch["original"][3:4], atol=0.01, rtol=0)
    torch.testing.assert_close(batch["image"][4:6], batch["original"][4:])


def test_photos_alone_train_too() -> None:
    batch, discriminator = _batch(turns=0), Discriminator(4, 2, 1)
    assert generator_losses(batch["image"], batch, Planes(), discriminator, CONFIG)["total"].isfinite()
    assert discriminator_loss(batch["image"], batch, discriminator).isfinite()


def test_beyond_the_photo_the_output_does_not_count() -> None:
    batch = _batch()
    batch["inside"][..., :10] = 0
    restored, turned = restored_and_turned(torch.ones(3, 3, 64, 64), batch)
    assert float(restored[..., :10].abs().sum()) == 0
    assert float(turned.min()) == 1
    assert (len(restored), len(turned)) == (2, 1)


def test_the_discriminator_does_not_move_the_generator() -> None:
    batch, discriminator = _batch(), Discriminator(4, 2, 1)
    net = RefinementNet("light", [8, 8, 8, 8, 8])
    repaired = net(batch["image"], batch["holes"])
    discriminator_loss(repaired.detach(), batch, discriminator).backward()
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(parameter.grad is not None for parameter in discriminator.parameters())
