"""Stage 2, the depth network: `portrait3d train depth --data DIR --minutes M --out runs/depth`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from portrait3d.data.depth_preparation import prepare_depth_views
from portrait3d.data.depth_samples import DepthAugmentation, DepthPairs
from portrait3d.data.depth_views import load_sources
from portrait3d.evaluation.depth import score_depth
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.warping import relative_motion
from portrait3d.losses import depth as losses
from portrait3d.models.depth_net import DepthNet, uncovered_face
from portrait3d.parsing_classes import EARS, HAIRY
from portrait3d.rendering.warping import look_up, warp
from portrait3d.training.distributed import Workers
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.weights import load_state

REST_LABELS = (*HAIRY, *EARS)
"""Hair, ears and headwear."""
RIM = 2
"""Pixels of a part's rim whose colours are not compared."""
UNTRUSTED = 0.5
"""Where depth is trusted less than this, smoothness (Eq. 6 and 8) takes part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthLossWeights:
    """Weights of the losses; depths are in mm, colours in [0, 1]."""

    supervised: float = 1.5
    """Known depth of everything but the bare face, times its trust."""
    edges: float = 0.5
    """Steps of known depth."""
    face: float = 0.3
    """Eq. 7."""
    layer_order: float = 0.5
    """Eq. 9."""
    rest_smoothness: float = 0.3
    """Eq. 6, where depth is not known."""
    head_smoothness: float = 0.3
    """Eq. 8, where depth is not known."""
    color: float = 25.0
    """Eq. 4, both directions."""
    gradient: float = 25.0
    """Eq. 5, both directions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceShares:
    """A number for every source of pairs."""

    portraits: float
    """Real portraits with inflated hair, and the same head from a made-up second view."""
    clips: float
    """Frames of videos, whose depth nobody knows."""
    synthetic: float
    """Drawn heads with exact depth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthTrainingConfig:
    """Everything that decides what a training run yields."""

    data: Path
    """Root of the labelled photos (--data)."""
    loop: LoopConfig
    prepared: Path | None = None
    """Views that were prepared before; by default they are made in `prepared` beside the run."""
    width: float = 0.5
    """Factor on the network's channel counts; 1 is the paper's size."""
    face_depth: bool = True
    """Give the network the face's depth (d^f in the paper)."""
    head_depth: bool = True
    """Give it the average head's depth too, to which it adds."""
    parsing: bool = True
    """Give it a mask of every part, not of the whole head alone."""
    outline: bool = True
    """Tell it how far every pixel is from the outline."""
    start: Path | None = None
    """Weights to start from, a safetensors file; inputs that they did not know yet count nothing at first."""
    batch: int = 4
    """Pairs in a batch."""
    rate: float = 8e-4
    weight_decay: float = 0.01
    shares: SourceShares = field(
        default_factory=lambda: SourceShares(portraits=0.15, clips=0.35, synthetic=0.5)
    )
    """How often pairs of each source are drawn; a source that is missing is left out."""
    photometric: SourceShares = field(
        default_factory=lambda: SourceShares(portraits=0.0, clips=1.0, synthetic=0.0)
    )
    """Share of the pairs whose pictures are compared; where depth is known, comparing them adds little."""
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
        net = DepthNet(
            self.width,
            face_depth=self.face_depth,
            head_depth=self.head_depth,
            parsing=self.parsing,
            outline=self.outline,
        )
        if self.start is not None:
            load_state(net, self.start, widen=True)
        return net


def train_depth(config: DepthTrainingConfig) -> nn.Module:
    """Train, or go on training, in the directory `config.loop.out`; returns the averaged network."""
    torch.manual_seed(config.loop.seed)
    prepared = config.prepared
    if prepared is None:
        prepared = config.loop.out.parent / "prepared"
        with Workers.join(config.loop.device).first_alone():
            prepare_depth_views(config.data, prepared, seed=config.loop.seed)
    net = config.network().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    validation = load_sources(prepared / "val")
    loop = TrainingLoop(
        config.loop,
        {"net": net},
        {"net": torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.weight_decay)},
        averaged="net",
        evaluate=lambda average: score_depth(average, validation),
        settings=config,
    )
    sources = load_sources(prepared / "train")
    if config.hold_out:
        if "clips" not in sources:
            raise ValueError(f"There are no frames of clips in {prepared} to hold out.")
        sources["clips"] = sources["clips"].without_clips(config.hold_out)
    samples = DepthPairs(
        sources,
        asdict(config.shares),
        asdict(config.photometric),
        config.augmentation,
        config.loop.seed,
    )
    for _, batch in zip(loop, loop.batches(samples, config.batch), strict=False):
        with loop.autocast():
            terms = depth_losses(net, batch, config)
        loop.update("net", terms["total"])
        loop.log(terms)
    return loop.averaged


def depth_losses(
    net: nn.Module, batch: Mapping[str, Tensor], config: DepthTrainingConfig
) -> dict[str, Float[Tensor, ""]]:
    """The weighted total and its parts, for B pairs of views ([B, 2, ...])."""
    views = {name: value.flatten(0, 1) for name, value in batch.items() if name != "photometric"}
    region, face_depth, labels = views["region"], views["face_depth"], views["labels"]
    rendered = face_depth > 0
    bare = uncovered_face(labels[:, 0]) & rendered & region
    covering = torch.isin(labels, labels.new_tensor(HAIRY)) & rendered & region
    given = torch.where(bare, face_depth, torch.zeros_like(face_depth))
    depth = net(views["image"], given, region, views["center"], labels, views["head_depth"]).float()
    trust = views["trust"] * region
    unknown = region & (trust < UNTRUSTED)
    terms = {
        "supervised": losses.supervised_depth_loss(depth, views["depth"], trust * ~bare),
        "edges": losses.depth_edge_loss(depth, views["depth"], trust),
        "face": losses.face_depth_loss(depth, face_depth, bare),
        "layer_order": losses.layer_order_loss(depth, face_depth, covering),
        "rest_smoothness": losses.rest_smoothness_loss(depth, unknown & ~bare),
        "head_smoothness": losses.head_smoothness_loss(depth, unknown),
    }
    compared = batch["photometric"]
    if compared.any():
        pairs = {name: value[compared] for name, value in batch.items()}
        predicted = depth.unflatten(0, (-1, 2))[compared]
        terms |= photometric_losses(predicted, pairs, config)
    means = {name: value.mean() for name, value in terms.items()}
    total = sum(getattr(config.loss, name) * value for name, value in means.items())
    return {"total": torch.as_tensor(total), **means}


def photometric_losses(
    depth: Float[Tensor, "B 2 1 H W"], pairs: Mapping[str, Tensor], config: DepthTrainingConfig
) -> dict[str, Float[Tensor, " B"]]:
    """Eq. 4 and 5 between the views of B pairs, both directions added up."""
    views = []
    for k in range(2):
        camera = Camera(pairs["focal"][:, k], pairs["principal"][:, k], depth.shape[-2], depth.shape[-1])
        views.append(DepthMap(depth[:, k, 0], pairs["region"][:, k, 0], camera))
    poses = [Pose(pairs["rotation"][:, k], pairs["translation"][:, k]) for k in range(2)]
    compare = read_views if config.comparison == "read" else drawn_views
    result: dict[str, Tensor] = {}
    for source, target in ((0, 1), (1, 0)):
        motion = relative_motion(poses[source], poses[target])
        own = {name: pairs[name][:, source] for name in ("image", "labels")}
        other = {name: pairs[name][:, target] for name in ("image", "covered")}
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
    seen = found.inside & (found.depth < found.surface + move.hidden_behind) & (found.values[:, 3:] > 0.99)
    part = compared_part(move.own["labels"], move.source.valid[:, None])
    return found.values[:, :3], move.own["image"], seen & part


def compared_part(
    labels: UInt8[Tensor, "B 1 H W"], region: Bool[Tensor, "B 1 H W"]
) -> Bool[Tensor, "B 1 H W"]:
    """Hair, ears and headwear (H in the paper) without the pixels at their rim, where parsing errs."""
    rest = torch.isin(labels, labels.new_tensor(REST_LABELS)) & region
    return -F.max_pool2d(-rest.float(), 2 * RIM + 1, 1, RIM) > 0.5
