"""The two-sided depth network: `portrait3d train two-sided --data DIR --minutes M --out runs/two_sided`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.data.two_sided_preparation import prepare_two_sided
from portrait3d.data.two_sided_samples import TwoSidedAugmentation, TwoSidedSamples
from portrait3d.data.two_sided_views import load_two_sided
from portrait3d.evaluation.two_sided import INPUTS, score_two_sided
from portrait3d.losses.depth import depth_edge_loss, supervised_depth_loss
from portrait3d.losses.two_sided import hair_behind_loss, laplace_loss, last_surface
from portrait3d.models.depth_net import UNIT
from portrait3d.models.two_sided_depth_net import TwoSidedDepthNet
from portrait3d.training.distributed import Workers
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.weights import load_state


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoSidedLossWeights:
    """Weights of the losses; depths are in units of 100 mm."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneShares:
    """How often each source is drawn; one that is missing is left out."""

    avatars: float = 0.55
    """Artist-made heads."""
    synthetic: float = 0.25
    """The package's own heads with procedural hair."""
    hairstyles: float = 0.2
    """The same heads with hairstyles modelled by hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoSidedTrainingConfig:
    """Everything that decides what a training run yields."""

    data: Path
    """Root of the training data (--data); its `avatars` are used."""
    loop: LoopConfig
    avatars: bool = True
    """Learn from the artist-made heads in `avatars` too; without them from synthetic heads alone."""
    prepared: Path | None = None
    """Views that were prepared before; by default they are made in `prepared` beside the run."""
    hairstyles: Path | None = None
    """Hairstyles modelled by hand, a file that `tools/bind_hairstyles.py` writes; None leaves them out."""
    avatar_views: int = 2400
    synthetic_views: int = 1800
    hairstyle_views: int = 900
    widths: tuple[int, ...] = (24, 48, 96, 128)
    start: Path | None = None
    """Weights to start from, a safetensors file."""
    batch: int = 8
    rate: float = 2e-3
    weight_decay: float = 0.001
    shares: SceneShares = field(default_factory=SceneShares)
    loss: TwoSidedLossWeights = field(default_factory=TwoSidedLossWeights)
    augmentation: TwoSidedAugmentation = field(default_factory=TwoSidedAugmentation)

    def network(self) -> TwoSidedDepthNet:
        """The network that training starts from."""
        net = TwoSidedDepthNet(self.widths)
        if self.start is not None:
            load_state(net, self.start)
        return net


def train_two_sided(config: TwoSidedTrainingConfig) -> nn.Module:
    """Train, or go on training, in the directory `config.loop.out`; returns the averaged network."""
    torch.manual_seed(config.loop.seed)
    prepared = _prepared(config)
    net = config.network().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    validation = load_two_sided(prepared / "val")
    loop = TrainingLoop(
        config.loop,
        {"net": net},
        {"net": torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.weight_decay)},
        averaged="net",
        evaluate=lambda average: score_two_sided(average, validation),
        settings=config,
    )
    sources = load_two_sided(prepared / "train")
    samples = TwoSidedSamples(sources, asdict(config.shares), config.augmentation, config.loop.seed)
    for _, batch in zip(loop, loop.batches(samples, config.batch), strict=False):
        with loop.autocast():
            terms = two_sided_losses(net, batch, config.loss)
        loop.update("net", terms["total"])
        loop.log(terms)
    return loop.averaged


def _prepared(config: TwoSidedTrainingConfig) -> Path:
    if config.prepared is not None:
        return config.prepared
    avatars = config.data / "avatars" if config.avatars else None
    if avatars is not None and not avatars.is_dir():
        raise FileNotFoundError(f"{avatars} is missing; --set avatars=false trains without avatars.")
    prepared = config.loop.out.parent / "prepared"
    with Workers.join(config.loop.device).first_alone():
        prepare_two_sided(
            prepared,
            avatars=avatars,
            hairstyles=config.hairstyles,
            avatar_views=config.avatar_views,
            synthetic_views=config.synthetic_views,
            hairstyle_views=config.hairstyle_views,
            seed=config.loop.seed,
        )
    return prepared


def two_sided_losses(
    net: nn.Module, batch: Mapping[str, Tensor], weights: TwoSidedLossWeights
) -> dict[str, Float[Tensor, ""]]:
    """The weighted total and its parts, for a batch of `view_tensors`."""
    found = net(*(batch[name] for name in INPUTS))
    back = last_surface(batch["back"], batch["far"], batch["head"])
    front_known, back_known = batch["front_known"], batch["back_known"]
    front_trust, back_trust = front_known.to(back), back_known.to(back)
    edges = depth_edge_loss(found.front, batch["front"], front_trust)
    terms = {
        "front": supervised_depth_loss(found.front, batch["front"], front_trust) / UNIT,
        "back": supervised_depth_loss(found.back, back, back_trust) / UNIT,
        "edges": (edges + depth_edge_loss(found.back, back, back_trust)) / UNIT,
        "hair": hair_behind_loss(found.hair_logit, batch["back_hair"], batch["hair_known"]),
        "sureness": laplace_loss(found.front - batch["front"], found.front_scale, front_known)
        + laplace_loss(found.back - back, found.back_scale, back_known),
    }
    means = {name: value.mean() for name, value in terms.items()}
    total = sum(getattr(weights, name) * value for name, value in means.items())
    return {"total": torch.as_tensor(total), **means}
