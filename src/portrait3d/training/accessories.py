"""Training of the networks that find glasses and earrings, on people without, on whom they are drawn.

`portrait3d train glasses --data DATA --set wearers=FILE --minutes M --out runs/glasses`
`portrait3d train earrings --data DATA --set wearers=FILE --minutes M --out runs/earrings`
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.accessories.earrings import EarringSamples
from portrait3d.data.accessories.faces import AccessorySamples, BareFace, read_wearers
from portrait3d.data.accessories.glasses import GlassesSamples
from portrait3d.data.face.fits import load_or_fit
from portrait3d.data.photos.labelled import real_photos
from portrait3d.evaluation.accessories import score_earrings, score_glasses
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.training.optimizers import slow_encoder
from portrait3d.weights import load_state

CHECKED = 200
"""Samples of an evaluation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessoryTraining:
    """Everything that decides what a training run yields."""

    data: Path
    """Root of the photos with hair maps (--data)."""
    loop: LoopConfig
    wearers: Path | None = None
    """A text file with the names of the photos that show the accessory, one a line: they are left out."""
    start: Path | None = None
    """Weights to start from, a safetensors file, rather than the encoder's ImageNet weights."""
    cache: Path | None = None
    """Where the fits are kept between runs; by default OUT/cache."""
    batch: int = 16
    encoder_rate: float = 5e-4
    decoder_rate: float = 2e-3
    weight_decay: float = 0.01
    dice_weight: float = 0.5
    width: float = 1.0
    """Factor on the encoder's channel counts; ImageNet weights are used at 1."""
    workers: int = 0
    """Processes that prepare samples; 0 prepares them in between."""


def train_glasses(config: AccessoryTraining) -> AccessoryNet:
    """Train, or go on training, in the directory `config.loop.out`; returns the averaged network."""
    return _train(config, GlassesSamples, score_glasses)


def train_earrings(config: AccessoryTraining) -> AccessoryNet:
    """The same for the network that finds earrings."""
    return _train(config, EarringSamples, score_earrings)


def _train(
    config: AccessoryTraining,
    kind: type[AccessorySamples],
    score: Callable[[AccessoryNet, AccessorySamples, int], dict[str, float]],
) -> AccessoryNet:
    torch.manual_seed(config.loop.seed)
    head = HeadModel.load()
    learned, checked = read_faces(config, head)
    samples = kind(learned, head, seed=config.loop.seed)
    fixed = kind(checked, head, seed=config.loop.seed, still=True)
    net = AccessoryNet(config.width)
    if config.start is not None:
        load_state(net, config.start)
    elif config.width == 1:
        net.encoder.load_imagenet()
    optimizer = slow_encoder(net, config.encoder_rate, config.decoder_rate, config.weight_decay)
    loop = TrainingLoop(
        config.loop,
        {"net": net.to(memory_format=torch.channels_last)},  # pyright: ignore[reportCallIssue]
        {"net": optimizer},
        averaged="net",
        evaluate=lambda average: score(cast(AccessoryNet, average), fixed, CHECKED),
        settings=config,
    )
    for _, (pictures, cover) in zip(loop, loop.batches(samples, config.batch, config.workers), strict=False):
        with loop.autocast():
            logits = loop.parallel["net"](pictures.contiguous(memory_format=torch.channels_last))
        losses = cover_losses(logits.float(), cover, config.dice_weight)
        loop.update("net", losses["total"])
        loop.log(losses)
    return cast(AccessoryNet, loop.averaged)


def read_faces(config: AccessoryTraining, head: HeadModel) -> tuple[list[BareFace], list[BareFace]]:
    """The people without the accessory to learn from, and those of the validation split.

    `FileNotFoundError` if there are none of either.
    """
    worn = read_wearers(config.wearers)
    photos = real_photos(config.data)
    fits = load_or_fit(photos, MeshPoints.from_head_model(head), config.cache or config.loop.out / "cache")

    def faces(split: str) -> list[BareFace]:
        rows = [row for row, photo in enumerate(photos) if photo.split == split and photo.name not in worn]
        return [BareFace.read(photos[row], fits, row) for row in rows]

    learned, checked = faces("train"), faces("val")
    if not learned or not checked:
        raise FileNotFoundError(f"{config.data} has no photos of people without it in both splits.")
    return learned, checked


def cover_losses(
    logits: Float[Tensor, "B 1 H W"], cover: Float[Tensor, "B 1 H W"], dice_weight: float
) -> dict[str, Float[Tensor, ""]]:
    """The total and its parts."""
    entropy = F.binary_cross_entropy_with_logits(logits, cover)
    share = logits.sigmoid()
    # Over the batch: pictures without any have no overlap of their own.
    dice = 1 - (2 * (share * cover).sum() + 1) / (share.sum() + cover.sum() + 1)
    return {"total": entropy + dice_weight * dice, "cross_entropy": entropy, "dice": dice}
