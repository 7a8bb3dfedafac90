"""Stage 2, the depth network: `portrait3d train depth --data DIR --minutes M --out runs/depth`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from portrait3d.data.depth.preparation import ViewCounts, prepare_depth_views
from portrait3d.data.depth.samples import DepthAugmentation, DepthSamples
from portrait3d.data.depth.views import load_sources
from portrait3d.evaluation.depth.hair import INPUTS, score_depth
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.warping import relative_motion
from portrait3d.losses import depth as losses
from portrait3d.models.depth_net import UNIT, DepthNet, Surfaces, head_region, uncovered_face
from portrait3d.parsing_classes import EARS, HAIRY
from portrait3d.rendering.warping import look_up, warp
from portrait3d.training.distributed import Workers
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.weights import load_state

REST = (*HAIRY, *EARS)
"""Hair, ears and headwear: H in the paper."""
BOUNDARY = 2
"""Pixels along a part's boundary whose colours are not compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthLossWeights:
    """Weights of the losses; depths are in units of 100 mm, colours in [0, 1]."""

    front: float = 1.0
    """Known first surface."""
    back: float = 1.0
    """Known last surface."""
    edges: float = 0.15
    """Steps of both."""
    hair: float = 0.1
    """Whether the last surface is hair."""
    sureness: float = 0.02
    """How well both expected errors fit."""
    face: float = 0.2
    """Eq. 7, for photographed heads as all below."""
    layer_order: float = 0.3
    """Eq. 9: hair lies before the fitted head."""
    rest_smoothness: float = 0.2
    """Eq. 6."""
    head_smoothness: float = 0.2
    """Eq. 8."""
    color: float = 0.15
    """Eq. 4, both directions."""
    gradient: float = 0.15
    """Eq. 5, both directions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceShares:
    """How often each source is drawn; one that is missing is left out."""

    avatars: float = 0.45
    """Artist-made heads."""
    synthetic: float = 0.2
    """The package's own heads with procedural hair."""
    hairstyles: float = 0.2
    """The same heads with hairstyles modelled by hand."""
    clips: float = 0.15
    """Pairs of frames of videos, whose depth nobody knows."""


@dataclass(frozen=True, kw_only=True)
class DepthTrainingConfig:
    """Everything that decides what a training run yields."""

    data: Path
    """Root of the training data (--data); its `avatars` and `clips` are used."""
    loop: LoopConfig
    avatars: bool = True
    """Learn from the artist-made heads in `avatars` too; without them from synthetic heads alone."""
    prepared: Path | None = None
    """Views that were prepared before; by default they are made in `prepared` beside the run."""
    hairstyles: Path | None = None
    """Hairstyles modelled by hand, a file that `tools/bind_hairstyles.py` writes; None leaves them out."""
    views: ViewCounts = field(default_factory=ViewCounts)
    size: int = 256
    """Pixels along a side of the wide crop."""
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    fitted: bool = True
    """Give the network the surfaces of the fitted head (d^f in the paper, for the whole head)."""
    parts: bool = True
    """Give it a mask of every part, not of the whole head alone."""
    outline: bool = True
    """Tell it how far every pixel is from the outline."""
    start: Path | None = None
    """Weights to start from, a safetensors file."""
    batch: int = 4
    """Samples of two views."""
    rate: float = 2e-3
    weight_decay: float = 0.001
    shares: SourceShares = field(default_factory=SourceShares)
    loss: DepthLossWeights = field(default_factory=DepthLossWeights)
    hold_out: tuple[str, ...] = ()
    """Clips that are not trained on, for `evaluate depth --clip`."""
    comparison: Literal["read", "drawn"] = "read"
    """How two real pictures are compared: the other one read where pixels move, which knows outlines, or the
    head drawn into the other view, as in the paper."""
    hidden_behind: float = 12.0
    """A moved point this far (mm) behind the other view's own surface is hidden there and does not pull."""
    augmentation: DepthAugmentation = field(default_factory=DepthAugmentation)

    def network(self) -> DepthNet:
        """The network that training starts from."""
        net = DepthNet(self.widths, self.size, fitted=self.fitted, parts=self.parts, outline=self.outline)
        if self.start is not None:
            load_state(net, self.start)
        return net


def train_depth(config: DepthTrainingConfig) -> nn.Module:
    """Train, or go on training, in the directory `config.loop.out`; returns the averaged network."""
    torch.manual_seed(config.loop.seed)
    prepared = _prepared(config)
    net = config.network().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    validation, sources = load_sources(prepared / "val"), load_sources(prepared / "train")
    loop = TrainingLoop(
        config.loop,
        {"net": net},
        {"net": torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.weight_decay)},
        averaged="net",
        evaluate=lambda average: score_depth(average, validation),
        # Without the loop's settings, which may change from start to start: more minutes, another device.
        settings={**asdict(config), "loop": None, "clips": "clips" in sources},
    )
    if config.hold_out:
        if "clips" not in sources:
            raise ValueError(f"There are no frames of clips in {prepared} to hold out.")
        sources["clips"] = sources["clips"].without_clips(config.hold_out)
    samples = DepthSamples(sources, asdict(config.shares), config.augmentation, config.loop.seed)
    for _, batch in zip(loop, loop.batches(samples, config.batch), strict=False):
        with loop.autocast():
            terms = depth_losses(loop.parallel["net"], batch, config)
        loop.update("net", terms["total"])
        loop.log(terms)
    return loop.averaged


def _prepared(config: DepthTrainingConfig) -> Path:
    if config.prepared is not None:
        return config.prepared
    avatars = config.data / "avatars" if config.avatars else None
    if avatars is not None and not avatars.is_dir():
        raise FileNotFoundError(f"{avatars} is missing; --set avatars=false trains without avatars.")
    prepared = config.loop.out.parent / "prepared"
    with Workers.join(config.loop.device).first_alone():
        prepare_depth_views(
            prepared,
            config.data,
            config.size,
            config.views,
            avatars=avatars,
            hairstyles=config.hairstyles,
            seed=config.loop.seed,
        )
    return prepared


def depth_losses(
    net: nn.Module, batch: Mapping[str, Tensor], config: DepthTrainingConfig
) -> dict[str, Float[Tensor, ""]]:
    """The weighted total and its parts, for B samples of two views ([B, 2, ...])."""
    # To the network the two views of a sample are pictures like any other.
    views = {name: value.flatten(0, 1) for name, value in batch.items() if name != "paired"}
    found: Surfaces = net(*(views[name] for name in INPUTS))
    terms = known_losses(found, views)
    paired = batch["paired"]
    if paired.any():
        pairs = {name: value[paired] for name, value in batch.items()}
        # float32: a metre away, steps of bfloat16 are millimetres.
        front = found.front.unflatten(0, (-1, 2))[paired].float()
        alone = {name: value.flatten(0, 1) for name, value in pairs.items() if name != "paired"}
        terms |= unknown_losses(front.flatten(0, 1), alone) | photometric_losses(front, pairs, config)
    means = {name: value.mean() for name, value in terms.items()}
    total = sum(getattr(config.loss, name) * value for name, value in means.items())
    return {"total": torch.as_tensor(total), **means}


def known_losses(found: Surfaces, views: Mapping[str, Tensor]) -> dict[str, Float[Tensor, " B"]]:
    """Errors of surfaces whose truth is known; 0 for heads without."""
    # The network cannot answer a back before the fitted skull's; the truth must not ask for one.
    back = losses.last_surface(views["back"], views["far"], views["head"])
    front_known, back_known = views["front_known"], views["back_known"]
    front_trust, back_trust = front_known.to(back), back_known.to(back)
    edges = losses.depth_edge_loss(found.front, views["front"], front_trust)
    return {
        "front": losses.supervised_depth_loss(found.front, views["front"], front_trust) / UNIT,
        "back": losses.supervised_depth_loss(found.back, back, back_trust) / UNIT,
        "edges": (edges + losses.depth_edge_loss(found.back, back, back_trust)) / UNIT,
        "hair": losses.hair_behind_loss(found.hair_logit, views["back_hair"], views["hair_known"]),
        "sureness": losses.laplace_loss(found.front - views["front"], found.front_scale, front_known)
        + losses.laplace_loss(found.back - back, found.back_scale, back_known),
    }


def unknown_losses(
    front: Float[Tensor, "B 1 H W"], views: Mapping[str, Tensor]
) -> dict[str, Float[Tensor, " B"]]:
    """Eq. 6 to 9 for heads whose first surface nobody knows."""
    labels, fitted = views["labels"], views["near"]
    region = head_region(labels[:, 0]) & views["covered"]
    # Eq. 7 acts where skin is seen, Eq. 9 where hair or headwear lies before the fitted head.
    bare = uncovered_face(labels[:, 0]) & views["head"] & region
    covering = torch.isin(labels, labels.new_tensor(HAIRY)) & views["head"] & region
    terms = {
        "face": losses.face_depth_loss(front, fitted, bare),
        "layer_order": losses.layer_order_loss(front, fitted, covering),
        "rest_smoothness": losses.rest_smoothness_loss(front, region & ~bare),
        "head_smoothness": losses.head_smoothness_loss(front, region),
    }
    return {name: value / UNIT for name, value in terms.items()}


def photometric_losses(
    depth: Float[Tensor, "B 2 1 H W"], pairs: Mapping[str, Tensor], config: DepthTrainingConfig
) -> dict[str, Float[Tensor, " B"]]:
    """Eq. 4 and 5 between the views of B pairs, both directions added up."""
    views = []
    for k in range(2):
        camera = Camera(pairs["focal"][:, k], pairs["principal"][:, k], depth.shape[-2], depth.shape[-1])
        region = head_region(pairs["labels"][:, k, 0])[:, 0] & pairs["covered"][:, k, 0]
        views.append(DepthMap(depth[:, k, 0], region, camera))
    poses = [Pose(pairs["rotation"][:, k], pairs["translation"][:, k]) for k in range(2)]
    compare = read_views if config.comparison == "read" else drawn_views
    result: dict[str, Tensor] = {}
    for source, target in ((0, 1), (1, 0)):
        motion = relative_motion(poses[source], poses[target])
        own = {name: pairs[name][:, source] for name in ("image", "labels")}
        other = {name: pairs[name][:, target] for name in ("image", "covered")}
        # The other view's depth only tells what is hidden there: the comparison must not move it out of the
        # way.
        surface = replace(views[target], depth=views[target].depth.detach())
        pictures = compare(HeadMove(views[source], own, surface, other, motion, config.hidden_behind))
        for name, loss in (("color", losses.color_loss), ("gradient", losses.gradient_loss)):
            result[name] = result.get(name, 0) + loss(*pictures)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class HeadMove:
    """One view of B heads and its motion into the other view."""

    source: DepthMap
    own: Mapping[str, Tensor]
    """The source's "image" and "labels"."""
    target: DepthMap
    other: Mapping[str, Tensor]
    """The target's "image" and "covered"."""
    motion: Pose
    hidden_behind: float
    """See `DepthTrainingConfig.hidden_behind`."""


Pictures = tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"], Bool[Tensor, "B 1 H W"]]
"""Two pictures of the same, and where they should be equal."""


def drawn_views(move: HeadMove) -> Pictures:
    """The head drawn as the other camera sees it and the real picture, as in the paper."""
    moved = warp(move.own["image"], move.source, move.motion, move.target.camera)
    farthest = move.target.depth[:, None] + move.hidden_behind
    seen = moved.visible & move.target.valid[:, None] & (moved.depth < farthest)
    return moved.values, move.other["image"], seen


def read_views(move: HeadMove) -> Pictures:
    """What the other picture shows where hair, ears and headwear move, and what they look like."""
    shown = torch.cat([move.other["image"], move.other["covered"].float()], dim=1)
    found = look_up(shown, move.source, move.motion, move.target)
    # Read bilinearly, "covered" falls below 1 where a neighbour lies beyond the photo.
    seen = found.inside & (found.depth < found.surface + move.hidden_behind) & (found.values[:, 3:] > 0.99)
    part = compared_part(move.own["labels"], move.source.valid[:, None])
    return found.values[:, :3], move.own["image"], seen & part


def compared_part(
    labels: UInt8[Tensor, "B 1 H W"], region: Bool[Tensor, "B 1 H W"]
) -> Bool[Tensor, "B 1 H W"]:
    """Hair, ears and headwear (H in the paper) but for the pixels along its boundary, where parsing errs."""
    rest = torch.isin(labels, labels.new_tensor(REST)) & region
    # Erosion: the greatest of the negative is the least.
    return -F.max_pool2d(-rest.float(), 2 * BOUNDARY + 1, 1, BOUNDARY) > 0.5
