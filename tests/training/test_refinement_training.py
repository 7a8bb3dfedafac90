"""Training the refinement network."""

from pathlib import Path

import torch
from torch import nn

from portrait3d.models.discriminator import Discriminator
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.training.loop import LoopConfig
from portrait3d.training.refinement import (
    RefinementTrainingConfig,
    discriminator_loss,
    generator_losses,
    restored_and_turned,
)

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
