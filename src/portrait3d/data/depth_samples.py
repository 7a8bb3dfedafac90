"""Training samples of the depth network: two views of one head, drawn from several prepared sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.depth_views import DepthViews
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose
from portrait3d.models.face_depth import render_average_head
from portrait3d.models.head_model import HeadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthAugmentation:
    """What is changed from sample to sample; both views of a pair alike."""

    window: tuple[int, int] = (192, 160)
    """Height and width of the part of the head crop that is looked at; the network takes any size."""
    shift: int = 24
    """Largest move of the window from the crop's middle, pixels."""
    mirror: float = 0.5
    """Share of mirrored pairs."""
    gain: float = 0.25
    """Largest relative change of brightness; a third of it for each colour channel on its own."""
    gamma: float = 0.3
    """Largest change of the exponent of brightness, as a logarithm."""
    noise: float = 0.02
    """Largest standard deviation of the noise."""


class DepthPairs(Dataset):
    """Pairs of views; sample i depends on i and the seed alone.

    Args:
        sources: Views with pairs, by name.
        shares: How often each source is drawn, for those there are.
        photometric: Share of each source's pairs for which the two pictures are compared (Eq. 4 and 5).
        augmentation: What is changed.
        seed: Of everything that is drawn.
    """

    def __init__(
        self,
        sources: Mapping[str, DepthViews],
        shares: Mapping[str, float],
        photometric: Mapping[str, float],
        augmentation: DepthAugmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.names = [name for name in sources if len(sources[name].pairs) and shares.get(name, 0) > 0]
        if not self.names:
            raise ValueError(f"No source has pairs to draw: got {sorted(sources)} and shares {dict(shares)}.")
        self.sources = sources
        weights = np.array([shares[name] for name in self.names])
        self.weights = weights / weights.sum()
        self.photometric = photometric
        self.augmentation = augmentation or DepthAugmentation()
        self.seed = seed

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = np.random.default_rng([self.seed, index])
        name = self.names[generator.choice(len(self.names), p=self.weights)]
        views = self.sources[name]
        pair = views.pairs[generator.integers(len(views.pairs))]
        if generator.random() < 0.5:
            pair = pair[::-1]
        sample = pair_tensors(views, pair)
        sample["photometric"] = torch.tensor(bool(generator.random() < self.photometric.get(name, 0.0)))
        return augment(sample, self.augmentation, generator)


def pair_tensors(views: DepthViews, pair: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
    """Views as tensors with the views in front: images in [0, 1], depths in mm with 0 where there is none.

    "covered" is where the photo reaches: crops are black beyond it.
    """
    rows = np.asarray(pair)
    center = views.centre_depth[rows].astype(np.float32)

    def absolute(relative: np.ndarray) -> Tensor:
        depth = relative.astype(np.float32) + center[:, None, None]
        return torch.from_numpy(np.nan_to_num(depth, nan=0.0))[:, None]

    trust = np.where(np.isfinite(views.depth[rows]), views.trust[rows], 0).astype(np.float32) / 255
    size = views.image.shape[1]
    pose = Pose(torch.from_numpy(views.rotation[rows]), torch.from_numpy(views.translation[rows]))
    focal = torch.from_numpy(views.focal[rows].astype(np.float32))
    camera = Camera(focal, torch.full((len(rows), 2), size / 2), size, size)
    return {
        "image": torch.from_numpy(views.image[rows]).permute(0, 3, 1, 2).float() / 255,
        "labels": torch.from_numpy(views.labels[rows])[:, None],
        "region": torch.from_numpy(views.region[rows])[:, None],
        "covered": torch.from_numpy(views.image[rows].any(axis=-1))[:, None],
        "face_depth": absolute(views.face_depth[rows]),
        "head_depth": render_average_head(_head_model(), pose, camera)[:, None],
        "depth": absolute(views.depth[rows]),
        "trust": torch.from_numpy(trust)[:, None],
        "rotation": pose.rotation,
        "translation": pose.translation,
        "center": torch.from_numpy(center),
        "focal": focal,
        "principal": camera.principal,
    }


@lru_cache(maxsize=1)
def _head_model() -> HeadModel:
    return HeadModel.load()


def augment(
    sample: dict[str, Tensor], config: DepthAugmentation, generator: np.random.Generator
) -> dict[str, Tensor]:
    """Mirror, cut and recolour both views of a pair; poses and principal points follow."""
    sample = dict(sample)
    maps = ("image", "covered", "labels", "region", "face_depth", "head_depth", "depth", "trust")
    if generator.random() < config.mirror:
        flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
        for name in maps:
            sample[name] = sample[name].flip(-1)
        sample["rotation"] = flip @ sample["rotation"] @ flip
        sample["translation"] = sample["translation"] @ flip
    height, width = config.window
    size = sample["image"].shape[-2:]
    rows, columns = (
        int(
            np.clip(
                (whole - part) // 2 + generator.integers(-config.shift, config.shift + 1), 0, whole - part
            )
        )
        for whole, part in zip(size, config.window, strict=True)
    )
    for name in maps:
        sample[name] = sample[name][..., rows : rows + height, columns : columns + width]
    sample["principal"] = sample["principal"] - torch.tensor([float(columns), float(rows)])
    gain = (
        1
        + config.gain * generator.uniform(-1, 1)
        + config.gain / 3 * generator.uniform(-1, 1, size=(3, 1, 1))
    )
    exponent = np.exp(config.gamma * generator.uniform(-1, 1))
    image = sample["image"].pow(float(exponent)) * torch.from_numpy(gain.astype(np.float32))
    noise = generator.uniform(0, config.noise)
    grain = torch.from_numpy(generator.standard_normal(image.shape, dtype=np.float32)) * noise
    sample["image"] = (image + grain).clamp(0, 1)
    return sample
