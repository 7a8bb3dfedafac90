"""Training of the face network on photos that the head model was fitted to (paper, stage 1)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.face.appearance import load_or_explain
from portrait3d.data.face.avatars import load_or_draw_avatars
from portrait3d.data.face.crops import FaceBatch, FaceCrops, store_crops
from portrait3d.data.face.fits import FaceFits, load_or_fit
from portrait3d.data.face.synthetic import load_or_draw
from portrait3d.data.face.turned import load_or_turn
from portrait3d.data.photos.groups import DEEP_TONES, is_old, load_or_group
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, people_photos
from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, learn_slide, mirror_pairs
from portrait3d.models.recognition import RecognitionNet, Scaling
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE
from portrait3d.training.distributed import Workers
from portrait3d.training.face_losses import FaceLoss, FaceLossConfig
from portrait3d.training.face_validation import FaceValidation
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.weights import load_state


@dataclass(frozen=True, kw_only=True)
class FaceTrainingConfig:
    """Everything that a training of the face network depends on."""

    loop: LoopConfig
    data: Path
    """Root of the labelled photos (--data)."""
    cache: Path | None = None
    """Where fits and crops are kept between runs (3 GB for ten thousand photos); by default OUT/cache."""
    start: Path | None = None
    """Weights to go on from instead of ImageNet's: a model.safetensors or a run's best.safetensors."""
    recognition: Path | None = None
    """A face recognition network (ONNX) for the identity loss, Eq. 3; none is shipped."""
    recognition_scaling: Scaling = "imagenet"
    """The RGB values that network takes: imagenet (MobileFaceNet) or symmetric, -1 to 1 (ArcFace)."""
    encoder: str = "efficientnet-lite0"
    """efficientnet-lite0, or resnet50 as in the paper."""
    encoder_weights: Path | None = None
    """ImageNet weights of the encoder. EfficientNet-Lite0's come with a package; for ResNet-50, a safetensors
    file of torchvision's or timm's, or random weights without one."""
    working_size: int = 128
    """Pixels that the network works at."""
    batch: int = 32
    """Crops in a batch, of each process."""
    rate: float = 1e-3
    weight_decay: float = 0.02
    loss: FaceLossConfig = field(default_factory=FaceLossConfig)
    elderly: int = 3
    """How often photos of people of 60 and more come in an epoch: there are few of them."""
    deep_skin: int = 3
    """How often photos of people with deep skin come in an epoch: there are few of them, too."""
    turned_share: float = 0.125
    """Share of every batch that shows photographed faces turned by up to 60 degrees."""
    turned_count: int = 3000
    """How many such pictures are rendered before training."""
    synthetic_share: float = 0.125
    """Share of every batch that shows synthetic faces, turned by up to 100 degrees."""
    synthetic_count: int = 5000
    """How many such pictures are drawn before training."""
    synthetic_validation: int = 200
    """How many more are drawn to validate with."""
    avatars: bool = True
    """Learn from the artist-made heads in `avatars` below the root too, where there are any."""
    avatar_share: float = 0.125
    """Share of every batch that shows artist-made heads, turned by up to 100 degrees."""
    avatar_count: int = 3000
    """How many such pictures are drawn before training."""
    avatar_validation: int = 100
    """How many more are drawn to validate with, of heads that no training sees."""

    def __post_init__(self) -> None:
        drawn = self.turned_share + self.synthetic_share + self.avatar_share
        if drawn >= 1:
            raise ValueError(
                "turned_share, synthetic_share and avatar_share leave no room for photos: together they are "
                f"{drawn:g}."
            )

    @property
    def avatar_folder(self) -> Path | None:
        """The directory of artist-made heads to learn from, if any."""
        folder = self.data / "avatars"
        return folder if self.avatars and (folder / "index.csv").is_file() else None


class Source(NamedTuple):
    """Crops of one kind, the rows of them that are for training, and how many a batch takes."""

    crops: FaceCrops
    rows: np.ndarray
    count: int

    def batch(self, turn: int, size: int, seed: int, random: np.random.Generator) -> FaceBatch:
        """This source's part of the batch with this number."""
        return self.crops.batch(epoch_rows(self.rows, turn, self.count, seed), size, random)


def train_face(config: FaceTrainingConfig) -> Path:
    """Train the face network, going on where an earlier start with the same directory stopped.

    Fits, crops and checkpoints are kept, so a second start costs seconds. Returns the run's directory, which
    holds the network with the best validation error as `best.safetensors`.
    """
    head = HeadModel.load()
    cache = config.cache or config.loop.out / "cache"
    with Workers.join(config.loop.device).first_alone():
        sources, validation = prepare_sources(config, head, cache)
    photos = sources[0]

    torch.manual_seed(config.loop.seed)
    net = initial_net(config)
    net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    statistics = target_statistics(photos.crops, np.unique(photos.rows))
    if config.start is not None:
        # Weights mean something with the statistics alone that they were trained with.
        statistics = {name: value for name, value in statistics.items() if name.endswith("slide")}
    # Means and deviations are buffers, a part of the weights: inference needs them too.
    net.load_state_dict(statistics, strict=False)
    loop = TrainingLoop(
        config.loop,
        {"net": net},
        {"net": face_optimizer(net, config)},
        averaged="net",
        evaluate=validation,
        settings={
            **asdict(config),
            "loop": None,
            "cache": None,
            "avatars": config.avatar_folder is not None,
        },
    )
    # Colours may have been explained only after an earlier start.
    for module in (net, loop.averaged):
        module.load_state_dict(statistics, strict=False)
    recognition = None
    if config.recognition is not None:
        recognition = RecognitionNet(config.recognition, config.recognition_scaling)
    loss = FaceLoss(config.loss, head, net, recognition)
    for _ in loop:
        # A function of the turn alone, so that a resumed run sees what an uninterrupted one would.
        random = np.random.default_rng([config.loop.seed, loop.turn])
        parts = [source.batch(loop.turn, config.working_size, config.loop.seed, random) for source in sources]
        batch = FaceBatch.joined(parts).to(loop.device)
        with loop.autocast():
            output = loop.parallel["net"](batch.images)
        losses = loss(output, batch, loop.progress)
        loop.update("net", losses["total"])
        loop.log(losses)
    return config.loop.out


def initial_net(config: FaceTrainingConfig) -> FaceNet:
    """The network that a training starts with."""
    net = FaceNet(config.working_size, encoder=config.encoder)
    if config.start is not None:
        load_state(net, config.start)
    elif config.encoder_weights is not None or config.encoder == "efficientnet-lite0":
        net.load_imagenet(config.encoder_weights)
    return net


def prepare_sources(
    config: FaceTrainingConfig, head: HeadModel, cache: Path
) -> tuple[list[Source], FaceValidation]:
    """Photos and exact faces, made in the cache where they are missing, and the validation."""
    points = MeshPoints.from_head_model(head)
    photos = people_photos(config.data)
    fits = load_or_fit(photos, points, cache)
    images = store_crops(photos, fits, cache)
    crops = FaceCrops(fits, images, head, load_or_explain(fits, images, head, cache))
    rows = repeated_rows(np.flatnonzero(~fits.validation), load_or_group(photos, cache), config)
    others = [source for source in exact_sources(config, head, fits, images, cache) if source.count]
    # Photos fill what the exact sources leave of a batch.
    count = config.batch - sum(source.count for source in others)
    held_out = {"synthetic": load_or_draw(cache, config.synthetic_validation, split="val")}
    if config.avatar_folder is not None:
        held_out["avatars"] = load_or_draw_avatars(
            cache, config.avatar_folder, config.data, config.avatar_validation, split="val"
        )
    validation = FaceValidation.prepare(head, photos, fits, held_out)
    return [Source(crops, rows, count), *others], validation


def exact_sources(
    config: FaceTrainingConfig, head: HeadModel, fits: FaceFits, images: np.ndarray, cache: Path
) -> Iterator[Source]:
    """Turned photos, synthetic people and artist-made heads, whose poses are known exactly."""

    def source(labels: FaceFits, pictures: np.ndarray, known: np.ndarray | None, share: float) -> Source:
        crops = FaceCrops(labels, pictures, head, known, exact=True)
        return Source(crops, np.arange(len(crops)), round(share * config.batch))

    points, slide = MeshPoints.from_head_model(head), torch.from_numpy(fits.slide)
    if config.turned_share:
        turned = load_or_turn(fits, images, head, config.turned_count, cache)
        yield source(*turned, None, config.turned_share)
    if config.synthetic_share:
        faces = load_or_draw(cache, config.synthetic_count)
        yield source(faces.labels(points, slide), faces.images, faces.appearance, config.synthetic_share)
    if config.avatar_share and config.avatar_folder is not None:
        faces = load_or_draw_avatars(cache, config.avatar_folder, config.data, config.avatar_count)
        labels = faces.labels(points, slide, "avatars")
        appearance = load_or_explain(labels, faces.images, head, cache, name="avatar-appearance")
        yield source(labels, faces.images, appearance, config.avatar_share)


def repeated_rows(
    rows: np.ndarray, groups: Sequence[Mapping[str, str]], config: FaceTrainingConfig
) -> np.ndarray:
    """The rows, with those of people of whom there are few photos repeated."""
    times = [
        max(
            config.elderly if is_old(groups[row]) else 1,
            config.deep_skin if groups[row].get("skin") in DEEP_TONES else 1,
        )
        for row in rows
    ]
    return np.repeat(rows, times)


def epoch_rows(rows: np.ndarray, turn: int, size: int, seed: int) -> np.ndarray:
    """The rows of one batch: every epoch is a fresh permutation, and the batch's number alone decides."""
    turns = max(len(rows) // size, 1)
    epoch, place = divmod(turn, turns)
    # The million keeps permutations apart from the random numbers of the turns.
    order = np.random.default_rng([seed, 1_000_000 + epoch]).permutation(rows)
    return order[place * size : (place + 1) * size]


def face_optimizer(net: FaceNet, config: FaceTrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays weights, not biases and norms."""
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.99))


def target_statistics(crops: FaceCrops, rows: np.ndarray) -> dict[str, Tensor]:
    """What the network's buffers hold: means and deviations of the training targets, and the sliding."""
    vector = crops.coefficients[rows]
    shape, translation = vector[:, :144], crops.pose.translation[rows]
    place = (translation[:, :2] / translation[:, 2:] * FACE_FOCAL).mean(0)
    # A floor under the deviations: what hardly varies in the fits must not be scaled up to matter. The mean
    # depth is geometric, as the network answers the logarithm of its ratio to it.
    statistics = {
        "shape_mean": shape.mean(0),
        "shape_scale": shape.std(0).clamp_min(0.03),
        "place_mean": torch.cat([place, translation[:, 2:].log().mean(0).exp()]),
        "mesh_slide": torch.from_numpy(crops.fits.slide),
        "slide": landmark_slide(crops, rows),
    }
    known = vector[crops.has_appearance[rows]]
    if len(known) > 1:
        for name, part in (("albedo", slice(144, 224)), ("lighting", slice(224, None))):
            statistics[f"{name}_mean"] = known[:, part].mean(0)
            statistics[f"{name}_scale"] = known[:, part].std(0).clamp_min(0.03)
    return statistics


@torch.no_grad()
def landmark_slide(crops: FaceCrops, rows: np.ndarray) -> Float[Tensor, "7 68 2"]:
    """Where detectors' 68 landmarks lie off the model's own: the jaw slides, others are off a little."""
    head, pose = crops.head, Pose(crops.pose.rotation[rows], crops.pose.translation[rows])
    vectors = crops.coefficients[rows].split(256)
    points = torch.cat(
        [head.landmarks(head.vertices(FaceCoefficients.from_vector(part))) for part in vectors]
    )
    camera = pose.apply(points)
    pixels = FACE_SIZE / 2 + FACE_FOCAL * camera[..., :2] / camera[..., 2:]
    pairs = mirror_pairs(head.landmarks(head.mean[None])[0])
    offsets = crops.points[rows][:, LANDMARKS_OF_MESH] - pixels
    return learn_slide(offsets, pose, FACE_FOCAL, pairs, torch.ones(68, dtype=torch.bool))
