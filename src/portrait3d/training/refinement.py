"""Training of the refinement network: `portrait3d train refinement --data DIR --minutes M --out DIR`."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset

from portrait3d.data.photos.labelled import LabelledPhoto, people_photos
from portrait3d.data.photos.own_labels import OwnLabels
from portrait3d.data.refinement.samples import DamagedPhotos, Labels
from portrait3d.data.refinement.stored_turns import EXACT, FRAMES, TURNS, StoredTurns
from portrait3d.evaluation.refinement.repairs import Repair, held_out_damage, score_repair
from portrait3d.losses.perceptual import EfficientNetFeatures, Vgg19Features, perceptual_loss
from portrait3d.losses.refinement import (
    color_loss,
    discriminator_adversarial_loss,
    generator_adversarial_loss,
    hole_loss,
)
from portrait3d.models.discriminator import Discriminator
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.preprocessing.alignment import HEAD_SIZE
from portrait3d.pretrained import bundled
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.weights import load_state

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinementTrainingConfig:
    """Everything that decides what a training run yields."""

    data: Path
    """Root of the labelled photos (--data)."""
    loop: LoopConfig
    turns: Path | None = None
    """What `portrait3d prepare turns` wrote: turned photos, the unpaired data, and true pairs, drawn people
    who really turned and frames turned into real ones. Without it there are damaged photos alone."""
    preset: str = "light"
    """The generator: "light" for CPUs, "guided" for CPUs and turns' guides, "paper" for pix2pixHD's."""
    channels: tuple[int, ...] | None = None
    """Channels of the generator's levels, by default the preset's."""
    start: Path | None = None
    """Weights to start from, a safetensors file, perhaps of a narrower network."""
    blended: bool = False
    """Keep the input outside holes, instead of taking the network's whole picture as the paper does."""
    size: int = 64
    """Side of the training windows, cut from 256 px head crops at the head's outline."""
    batch: int = 8
    """Damaged photos in a batch."""
    exact_batch: int = 2
    """Turns of drawn people in a batch, where there are any."""
    frame_batch: int = 2
    """Frames turned into others in a batch, where there are any."""
    turn_batch: int = 2
    """Turned photos in a batch, where there are any."""
    generator_rate: float = 2e-3
    discriminator_rate: float = 4e-4
    filters: int = 16
    """Channels of the discriminators' first layers; 64 in pix2pixHD."""
    color_weight: float = 1.0
    """Of Eq. 10."""
    hole_weight: float = 2.0
    """Of the l1 over the holes of photos once more."""
    feature_weight: float = 4.0
    """Of Eq. 13."""
    adversarial_weight: float = 0.1
    """Of Eq. 11."""
    adversarial_after: float = 0.5
    """Part of the training after which the discriminator joins in."""
    feature_levels: int = 3
    """Levels of EfficientNet-Lite0's features, of four."""
    vgg: Path | None = None
    """VGG-19 weights (safetensors) for the features of the paper; EfficientNet-Lite0 without."""
    validation_photos: int = 16

    def __post_init__(self) -> None:
        if self.size % 32 or not 32 <= self.size <= HEAD_SIZE:
            raise ValueError(f"size is a multiple of 32 up to {HEAD_SIZE}, got {self.size}.")
        if self.feature_levels not in (1, 2, 3, 4):
            raise ValueError(f"feature_levels is 1 to 4, got {self.feature_levels}.")
        if not 0 <= self.adversarial_after <= 1:
            raise ValueError(f"adversarial_after is a share from 0 to 1, got {self.adversarial_after}.")


def train_refinement(config: RefinementTrainingConfig) -> RefinementNet:
    """Train, or go on training, in the directory `config.loop.out`; returns the averaged generator."""
    torch.manual_seed(config.loop.seed)
    photos, unseen = (people_photos(config.data, split) for split in ("train", "val"))
    labels = OwnLabels((config.turns or config.loop.out) / "labels", ParsingExperts.load(bundled("parsing")))
    # Minutes without another word, the first time.
    logger.info("Reading what %d photos show, each once, into %s.", len(photos), labels.directory)
    samples = training_samples(photos, labels, config)
    held_out = held_out_damage(unseen, labels, config.validation_photos)
    features = Vgg19Features(config.vgg) if config.vgg else EfficientNetFeatures(levels=config.feature_levels)
    # All levels, whichever the loss uses, so that runs can be compared.
    judge = features if config.vgg else EfficientNetFeatures()
    generator = RefinementNet(config.preset, config.channels, config.blended)
    if config.start is not None:
        load_state(generator, config.start, widen=True)
    discriminator = Discriminator(config.filters)
    for module in (generator, discriminator, features):
        module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def evaluate(average: nn.Module) -> dict[str, float]:
        scores = score_repair(cast(Repair, average.cpu()), held_out, judge.cpu())
        # The judge may be the loss's own features.
        features.to(loop.device)
        average.to(loop.device)
        return {"score": -scores.features, **asdict(scores)}

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
    for _, batch in zip(loop, batches(loop, samples), strict=False):
        # Until then D is not trained either: it would only learn to tell unfinished repairs.
        adversarial = config.adversarial_weight > 0 and loop.progress >= config.adversarial_after
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        with loop.autocast():
            repaired = loop.parallel["generator"](image, batch["holes"], batch["guide"]).float()

        # The generator's step: gradients pass through D and leave none in it, so that none are averaged.
        discriminator.requires_grad_(False)
        losses = generator_losses(repaired, batch, features, discriminator if adversarial else None, config)
        loop.update("generator", losses["total"])

        if adversarial:
            discriminator.requires_grad_(True)
            # Its own step sees the same repairs again, with G held fixed.
            losses["discriminator"] = discriminator_loss(
                repaired.detach(), batch, loop.parallel["discriminator"]
            )
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
    """The total of the generator's step and its parts; adversarial with a discriminator.

    Parts of weight 0 are neither computed nor named.
    """
    original = batch["original"]
    restored, turned = restored_and_turned(repaired, batch)
    losses: dict[str, Tensor] = {}
    weights = {
        "color": config.color_weight,
        "holes": config.hole_weight,
        "features": config.feature_weight,
        "adversarial": config.adversarial_weight,
    }
    if config.color_weight:
        coarse, known = batch["image"][len(original) :], batch["holes"][len(original) :] < 0.5
        losses["color"] = color_loss(turned, coarse, known, restored, original)
    if config.hole_weight:
        losses["holes"] = hole_loss(restored, original, batch["holes"][: len(original)] * batch["inside"])
    if config.feature_weight:
        with torch.no_grad():
            wanted = features(original)
        losses["features"] = perceptual_loss(features(restored), wanted)
    if discriminator is not None:
        turned_scores = discriminator(turned) if len(turned) else []
        losses["adversarial"] = generator_adversarial_loss(turned_scores, discriminator(restored))
    total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
    return {"total": total, **losses}


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
    """Split a batch into G(R) and G(J); where nothing is known, G(R) is black like R^."""
    photos = len(batch["original"])
    return repaired[:photos] * batch["inside"], repaired[photos:]


def training_samples(
    photos: list[LabelledPhoto], labels: Labels, config: RefinementTrainingConfig
) -> list[tuple[Dataset, int]]:
    """What a batch is made of and how much of each: pictures whose originals are known first."""
    seed, size = config.loop.seed, config.size
    samples: list[tuple[Dataset, int]] = [(DamagedPhotos(photos, labels, size=size, seed=seed), config.batch)]
    if config.turns is not None:
        for folder, batch in ((EXACT, config.exact_batch), (FRAMES, config.frame_batch)):
            if batch and (config.turns / folder).is_dir():
                samples.append((StoredTurns(config.turns / folder, size=size, seed=seed), batch))
        if config.turn_batch:
            samples.append((StoredTurns(config.turns / TURNS, size=size, seed=seed), config.turn_batch))
    return samples


def batches(loop: TrainingLoop, samples: list[tuple[Dataset, int]]) -> Iterator[dict[str, Tensor]]:
    """Batches joined from all samples; `original` and `inside` are shorter, for coarse turns have none."""
    # Samples with an original come first, so that the shorter maps are those of the first rows.
    for parts in zip(*(loop.batches(dataset, size) for dataset, size in samples), strict=False):
        yield {name: torch.cat([part[name] for part in parts if name in part]) for name in parts[0]}
