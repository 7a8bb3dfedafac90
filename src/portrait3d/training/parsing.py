"""Training of the parsing network: `portrait3d train parsing --data DIR --minutes M --out runs/parsing`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.compositions import store_photo
from portrait3d.data.parsing_samples import Augmentation, ParsingSamples
from portrait3d.data.photos import PhotoFolder, evenly
from portrait3d.evaluation.parsing import score_parsing
from portrait3d.losses.parsing import cross_entropy_loss, dice_loss
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.weights import load_state, tensor_names

FOLDER_WEIGHTS: Mapping[str, float] = {"portraits": 1.3, "clips": 0.5, "research/scut": 1.0}
"""How often photos of each folder are drawn; a folder that is missing is left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsingTraining:
    """Everything that decides what a training run yields."""

    data: Path
    """Root of the labelled photos (--data)."""
    loop: LoopConfig
    framing: str = "plain"
    """How the network sees heads, one of `preprocessing.framing.FRAMINGS`."""
    start: Path | None = None
    """Weights to start from, a safetensors file, rather than the encoder's ImageNet weights."""
    folded: bool = False
    """Fold the batch normalisations of `start` and train without them: two thirds of the time."""
    checked: int | None = None
    """Evaluate on so many photos of the validation split; None takes all."""
    research: bool = True
    """Use research-only photos too, which makes the weights non-commercial research only."""
    size: int = 224
    """Side of the training crops; on CPUs 256 px cost out of proportion, and still gain at inference."""
    batch: int = 16
    encoder_rate: float = 5e-4
    decoder_rate: float = 1e-3
    weight_decay: float = 0.01
    class_weights: tuple[float, ...] = (1.0, 1.0, 1.5, 2.5, 2.5, 2.5, 1.5, 1.0, 2.0)
    """Weights of the nine classes in the cross-entropy. They get small classes started and make them too
    large in the end: fine-tuning takes smaller ones."""
    dice_weight: float = 0.5
    width: float = 1.0
    """Factor on the encoder's channel counts; ImageNet weights are used at 1."""
    workers: int = 0
    """Processes that prepare samples; 0 prepares them in between."""
    augmentation: Augmentation = field(default_factory=Augmentation)


def train_parsing(config: ParsingTraining) -> ParsingNet:
    """Train, or go on training, in the directory `config.loop.out`; returns the averaged network."""
    torch.manual_seed(config.loop.seed)
    photos = PhotoFolder(config.data, research=config.research, parsed=True)
    # The middle of the warped frame is twice as fine.
    resolution = round((2.6 if config.framing == "tanh" else 1.3) * config.size)
    samples = ParsingSamples(
        [store_photo(photo, resolution) for photo in photos if photo.split == "train"],
        framing=config.framing,
        size=config.size,
        weights=FOLDER_WEIGHTS,
        augmentation=config.augmentation,
        seed=config.loop.seed,
    )
    checked = evenly([photo for photo in photos if photo.split == "val"], config.checked)
    net = starting_net(config)
    net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    loop = TrainingLoop(
        config.loop,
        {"net": net},
        {"net": parsing_optimizer(net, config)},
        averaged="net",
        evaluate=lambda average: score_parsing(cast(ParsingNet, average), checked, config.framing),
        settings=config,
    )
    class_weights = torch.tensor(config.class_weights, device=loop.device)
    for _, (images, shares) in zip(loop, loop.batches(samples, config.batch, config.workers), strict=False):
        with loop.autocast():
            logits = net.logits_at_half(images.contiguous(memory_format=torch.channels_last))
        losses = parsing_losses(logits.float(), shares, class_weights, config.dice_weight)
        loop.update("net", losses["total"])
        loop.log(losses)
    return cast(ParsingNet, loop.averaged)


def starting_net(config: ParsingTraining) -> ParsingNet:
    """The network that training starts from."""
    if config.start is None:
        if config.folded:
            raise ValueError("folded needs start: only weights that are already good train without norms.")
        net = ParsingNet(config.width, framing=config.framing)
        if config.width == 1:
            net.encoder.load_imagenet()
        return net
    folded = "encoder.stem.0.bias" in tensor_names(config.start)
    net = ParsingNet(config.width, folded=folded, framing=config.framing)
    load_state(net, config.start)
    return net.fold() if config.folded else net


def parsing_losses(
    logits: Float[Tensor, "B 9 H W"],
    shares: Float[Tensor, "B 9 H W"],
    class_weights: Float[Tensor, "9"],
    dice_weight: float,
) -> dict[str, Float[Tensor, ""]]:
    """The total and its parts."""
    cross_entropy = cross_entropy_loss(logits, shares, class_weights).mean()
    dice = dice_loss(logits, shares)
    return {"total": cross_entropy + dice_weight * dice, "cross_entropy": cross_entropy, "dice": dice}


def parsing_optimizer(net: ParsingNet, config: ParsingTraining) -> torch.optim.Optimizer:
    """AdamW with a lower rate for the encoder, which starts from ImageNet."""
    encoder = list(net.encoder.parameters())
    known = {id(parameter) for parameter in encoder}
    decoder = [parameter for parameter in net.parameters() if id(parameter) not in known]
    return torch.optim.AdamW(
        [{"params": encoder, "lr": config.encoder_rate}, {"params": decoder, "lr": config.decoder_rate}],
        weight_decay=config.weight_decay,
    )
