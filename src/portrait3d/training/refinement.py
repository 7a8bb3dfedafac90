"""Training of the refinement network: `portrait3d train refinement --data DIR --minutes M --out DIR`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.data.photos import PhotoFolder
from portrait3d.data.refinement_samples import CoarseTurns, DamagedPhotos
from portrait3d.evaluation.refinement import Repair, held_out_damage, score_repairs
from portrait3d.losses.perceptual import EfficientNetFeatures, Vgg19Features, perceptual_loss
from portrait3d.losses.refinement import (
    color_loss,
    discriminator_adversarial_loss,
    generator_adversarial_loss,
)
from portrait3d.models.discriminator import Discriminator
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.training.loop import LoopConfig, TrainingLoop


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinementTrainingConfig:
    """Everything that decides what a training run yields."""

    data: Path
    """Root of the labelled photos (--data)."""
    loop: LoopConfig
    turns: Path | None = None
    """Directory of coarse turns made from training photos, the unpaired data; without it there is none."""
    research: bool = False
    """Use research-only photos too, which makes the weights non-commercial research only."""
    preset: str = "light"
    """The generator: "light" for CPUs, "paper" for pix2pixHD's."""
    size: int = 64
    """Side of the training windows, cut from 256 px head crops at the head's outline."""
    batch: int = 8
    """Damaged photos in a batch."""
    turn_batch: int = 2
    """Coarse turns in a batch, where there are any."""
    generator_rate: float = 2e-3
    discriminator_rate: float = 4e-4
    filters: int = 16
    """Channels of the discriminators' first layers; 64 in pix2pixHD."""
    color_weight: float = 4.0
    """Of Eq. 10."""
    hole_weight: float = 4.0
    """Of the l1 over the holes of photos once more: they are a small part of a picture that is mostly right
    as it is, and with Eq. 10 alone, training hardly leaves doing nothing."""
    feature_weight: float = 1.0
    """Of Eq. 13."""
    adversarial_weight: float = 0.1
    """Of Eq. 11."""
    adversarial_after: float = 0.6
    """Part of the training after which the discriminator joins in."""
    feature_levels: int = 3
    """Levels of EfficientNet-Lite0's features, of four."""
    feature_photos: int = 2
    """Photos of each batch whose features are compared, which cost as much as everything else."""
    vgg: Path | None = None
    """VGG-19 weights (safetensors) for the features of the paper; EfficientNet-Lite0 without."""
    validation_photos: int = 16


def train_refinement(config: RefinementTrainingConfig) -> RefinementNet:
    """Train, or go on training, in the directory `config.loop.out`; returns the averaged generator."""
    torch.manual_seed(config.loop.seed)
    photos = PhotoFolder(config.data, research=config.research, parsed=True)
    seed = config.loop.seed
    damaged = DamagedPhotos([p for p in photos if p.split == "train"], size=config.size, seed=seed)
    turns = CoarseTurns(config.turns, size=config.size, seed=seed) if config.turns else None
    held_out = held_out_damage([p for p in photos if p.split == "val"], config.validation_photos)
    features = Vgg19Features(config.vgg) if config.vgg else EfficientNetFeatures(levels=config.feature_levels)
    generator, discriminator = RefinementNet(config.preset), Discriminator(config.filters)
    for module in (generator, discriminator, features):
        module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def evaluate(average: nn.Module) -> dict[str, float]:
        scores = score_repairs(cast(Repair, average.cpu()), held_out, features.cpu())
        features.to(loop.device)
        average.to(loop.device)
        return {"score": -scores["features"], **scores}

    loop = TrainingLoop(
        config.loop,
        {"generator": generator, "discriminator": discriminator},
        {
            "generator": torch.optim.Adam(generator.parameters(), config.generator_rate, (0.9, 0.99)),
            "discriminator": torch.optim.Adam(
                discriminator.parameters(), config.discriminator_rate, (0.5, 0.99)
            ),
        },
        averaged="generator",
        evaluate=evaluate,
        settings=config,
    )
    features.to(loop.device)
    for _, batch in zip(loop, batches(loop, damaged, turns, config), strict=False):
        adversarial = loop.progress >= config.adversarial_after
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        with loop.autocast():
            repaired = generator(image, batch["holes"]).float()

        discriminator.requires_grad_(False)
        losses = generator_losses(repaired, batch, features, discriminator if adversarial else None, config)
        loop.update("generator", losses["total"])

        if adversarial:
            discriminator.requires_grad_(True)
            losses["discriminator"] = discriminator_loss(repaired.detach(), batch, discriminator)
            loop.update("discriminator", losses["discriminator"])
        loop.log(losses)
    return cast(RefinementNet, loop.averaged)


def generator_losses(
    repaired: Float[Tensor, "B 3 S S"],
    batch: Mapping[str, Tensor],
    features: nn.Module,
    discriminator: nn.Module | None,
    config: RefinementTrainingConfig,
) -> dict[str, Float[Tensor, ""]]:
    """The total of the generator's step and its parts; adversarial with a discriminator."""
    original = batch["original"]
    restored, turned = restored_and_turned(repaired, batch)
    coarse, known = batch["image"][len(original) :], batch["holes"][len(original) :] < 0.5
    compared = slice(config.feature_photos)
    with torch.no_grad():
        wanted = features(original[compared])
    losses = {
        "color": color_loss(turned, coarse, known, restored, original),
        "holes": hole_loss(restored, original, batch["holes"][: len(original)]),
        "features": perceptual_loss(features(restored[compared]), wanted),
    }
    weights = {
        "color": config.color_weight,
        "holes": config.hole_weight,
        "features": config.feature_weight,
    }
    total = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
    if discriminator is not None:
        turned_scores = discriminator(turned) if len(turned) else []
        losses["adversarial"] = generator_adversarial_loss(turned_scores, discriminator(restored))
        total = total + config.adversarial_weight * losses["adversarial"]
    return {"total": total, **losses}


def hole_loss(
    restored: Float[Tensor, "R 3 S S"], original: Float[Tensor, "R 3 S S"], holes: Float[Tensor, "R 1 S S"]
) -> Float[Tensor, ""]:
    """The l1 over the holes of photos, a mean over pixels and channels (Liu et al., ECCV 2018)."""
    return ((restored - original).abs() * holes).sum() / (3 * holes.sum()).clamp_min(1)


def discriminator_loss(
    repaired: Float[Tensor, "B 3 S S"], batch: Mapping[str, Tensor], discriminator: nn.Module
) -> Float[Tensor, ""]:
    """The loss of the discriminator's step; `repaired` carries no gradient."""
    restored, turned = restored_and_turned(repaired, batch)
    turned_scores = discriminator(turned) if len(turned) else []
    return discriminator_adversarial_loss(
        turned_scores, discriminator(restored), discriminator(batch["original"])
    )


def restored_and_turned(
    repaired: Float[Tensor, "B 3 S S"], batch: Mapping[str, Tensor]
) -> tuple[Float[Tensor, "R 3 S S"], Float[Tensor, "J 3 S S"]]:
    """Split a batch into G(R) and G(J); beyond the photo, where nothing is known, G(R) is black like R^."""
    photos = len(batch["original"])
    return repaired[:photos] * batch["inside"], repaired[photos:]


def batches(
    loop: TrainingLoop, damaged: DamagedPhotos, turns: CoarseTurns | None, config: RefinementTrainingConfig
) -> Iterator[dict[str, Tensor]]:
    """Batches of damaged photos followed by coarse turns; `original` and `inside` are those of the photos."""
    if turns is None:
        yield from loop.batches(damaged, config.batch)
        return
    pairs = zip(loop.batches(damaged, config.batch), loop.batches(turns, config.turn_batch), strict=False)
    for photos, coarse in pairs:
        joined = {name: torch.cat([photos[name], coarse[name]]) for name in ("image", "holes")}
        yield {**photos, **joined}
