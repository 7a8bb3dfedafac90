"""Training of the parsing network on drawn people with exact labels and on photos with label sets.

`portrait3d train parsing --data DATA --set drawn=DRAWN --minutes M --out runs/parsing`
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt16
from torch import Tensor

from portrait3d.data.parsing.label_sets import exact_sets, label_path, read_sets
from portrait3d.data.parsing.preparation import drawn_people
from portrait3d.data.parsing.samples import Augmentation, ParsingSamples
from portrait3d.data.parsing.weak_labels import weak_sets
from portrait3d.data.photos.compositions import StoredPhoto, store_photo
from portrait3d.data.photos.labelled import GENERATED, LabelledPhoto, PhotoFolder, evenly, real_photo_folders
from portrait3d.evaluation.parsing.scores import score_parsing
from portrait3d.losses.parsing import dice_loss, known_shares, set_cross_entropy
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.training.optimizers import slow_encoder
from portrait3d.weights import load_state, tensor_names

SHARES: Mapping[str, float] = {
    "drawn/avatars": 0.24,
    "drawn/hairstyles": 0.08,
    "drawn/synthetic": 0.18,
    "portraits": 0.27,
    "people": 0.13,
    "clips": 0.10,
}
"""Share of the samples that each folder has; a folder that is missing leaves its own to the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsingTraining:
    """Everything that decides what a training run yields."""

    data: Path
    """Root of the photos with hair and figure maps (--data)."""
    loop: LoopConfig
    drawn: Path | None = None
    """Root of drawn people with exact labels, from `prepare parsing`; None learns from photos alone."""
    labels: Path | None = None
    """Label sets of the photos from `prepare labels`; photos without any get those of their maps."""
    teacher: bool = False
    """Learn from the photos' own `parsing/` labels, wherever these come from, instead of their maps."""
    framing: str = "plain"
    """How the network sees heads, one of `preprocessing.framing.FRAMINGS`."""
    start: Path | None = None
    """Weights to start from, a safetensors file, rather than the encoder's ImageNet weights."""
    folded: bool = False
    """Fold the batch normalisations of `start` and train without them: two thirds of the time."""
    checked: int | None = None
    """Evaluate on so many pictures with exact labels of the validation split; None takes all."""
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
    # Photos are kept about as fine as samples zoom in, 1 / 0.75; the middle of the warped frame is twice as
    # fine.
    resolution = round((2.6 if config.framing == "tanh" else 1.3) * config.size)
    learned, checked = read_pictures(config, resolution)
    counts = Counter(photo.folder for photo in learned)
    samples = ParsingSamples(
        learned,
        framing=config.framing,
        size=config.size,
        # The shares are those of folders, the weights those of single photos.
        weights={folder: SHARES[folder] / count for folder, count in counts.items()},
        augmentation=config.augmentation,
        seed=config.loop.seed,
    )
    checked = evenly(checked, config.checked)
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
    for _, (images, sets) in zip(loop, loop.batches(samples, config.batch, config.workers), strict=False):
        with loop.autocast():
            logits = loop.parallel["net"](images.contiguous(memory_format=torch.channels_last))
        losses = parsing_losses(logits.float(), sets, class_weights, config.dice_weight)
        loop.update("net", losses["total"])
        loop.log(losses)
    return cast(ParsingNet, loop.averaged)


def read_pictures(config: ParsingTraining, resolution: int) -> tuple[list[StoredPhoto], list[LabelledPhoto]]:
    """What to learn from, in memory, and what to evaluate on: pictures whose labels are one class a pixel.

    `FileNotFoundError` if there is nothing of either.
    """
    photos = PhotoFolder(config.data, folders=real_photo_folders(config.data))
    drawn = [] if config.drawn is None else drawn_people(config.drawn)
    learned = [store_photo(photo, resolution) for photo in drawn if photo.split == "train"]
    for photo in photos:
        if photo.split == "train" and not photo.name.startswith(GENERATED):
            sets = sets_of_photo(config, photo)
            if sets is not None:
                learned.append(store_photo(photo, resolution, sets))
    exact = drawn or [photo for photo in photos if config.teacher and photo.parsing_path.is_file()]
    checked = [photo for photo in exact if photo.split == "val"]
    if not learned or not checked:
        raise FileNotFoundError(
            f"{config.data} has no photos to learn from, or nothing has exact labels to evaluate on: parsing "
            "needs drawn people (--set drawn=DIR) or, with --set teacher=true, photos with labels."
        )
    return learned, checked


def sets_of_photo(config: ParsingTraining, photo: LabelledPhoto) -> UInt16[np.ndarray, "H W"] | None:
    """What is known of a photo: its label sets, its teacher's labels or what its maps leave possible."""
    path = None if config.labels is None else label_path(config.labels, photo)
    # Label sets of a round of self-training know more than the maps alone.
    if path is not None and path.is_file():
        return read_sets(path)
    if config.teacher:
        return exact_sets(photo.parsing()) if photo.parsing_path.is_file() else None
    return weak_sets(photo) if photo.has_maps else None


def starting_net(config: ParsingTraining) -> ParsingNet:
    """The network that training starts from."""
    if config.start is None:
        if config.folded:
            raise ValueError("folded needs start: only weights that are already good train without norms.")
        net = ParsingNet(config.width, framing=config.framing)
        if config.width == 1:
            net.encoder.load_imagenet()
        return net
    # Convolutions have biases only where normalisations were folded into them.
    folded = "encoder.stem.0.bias" in tensor_names(config.start)
    net = ParsingNet(config.width, folded=folded, framing=config.framing)
    load_state(net, config.start)
    return net.fold() if config.folded else net


def parsing_losses(
    logits: Float[Tensor, "B 9 H W"],
    sets: Integer[Tensor, "B 4 H W"],
    class_weights: Float[Tensor, "9"],
    dice_weight: float,
) -> dict[str, Float[Tensor, ""]]:
    """The total and its parts."""
    cross_entropy = set_cross_entropy(logits, sets, class_weights).mean()
    dice = dice_loss(logits, known_shares(sets, logits.shape[1]))
    return {"total": cross_entropy + dice_weight * dice, "cross_entropy": cross_entropy, "dice": dice}


def parsing_optimizer(net: ParsingNet, config: ParsingTraining) -> torch.optim.Optimizer:
    """AdamW with a lower rate for the encoder, which starts from ImageNet."""
    return slow_encoder(net, config.encoder_rate, config.decoder_rate, config.weight_decay)
