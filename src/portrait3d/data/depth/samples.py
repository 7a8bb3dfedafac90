"""Training samples of the depth network: two views each, of one head or of any two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.depth.views import IS_HAIR, UNKNOWN, DepthViews
from portrait3d.geometry.camera import Camera
from portrait3d.models.face_depth import carried_on
from portrait3d.parsing_classes import COVERING
from portrait3d.preprocessing.alignment import WIDE_ZOOM, crop_camera


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthAugmentation:
    """What is changed from sample to sample."""

    window: tuple[int, int] = (224, 192)
    """Height and width of the part of the wide crop that is looked at."""
    shift: int = 16
    """Largest move of the window from the crop's middle, pixels."""
    mirror: float = 0.5
    """Share of mirrored samples."""
    colourless: float = 0.15
    """Share of samples that show an even grey alone: shapes tell most, and drawn colours aren't real."""
    gain: float = 0.3
    """Largest relative change of brightness; a third of it for each colour channel on its own."""
    gamma: float = 0.3
    """Largest change of the exponent of brightness, as a logarithm."""
    noise: float = 0.02
    """Largest standard deviation of the picture's noise."""
    depth_noise: float = 2.0
    """Standard deviation, mm, by which the fitted head is moved along the rays."""


class DepthSamples(Dataset):
    """Two views drawn at random; sample i depends on i and the seed alone.

    Views of a source that has pairs are those of one head ("paired"), others have nothing to do with each
    other. Both are cut and mirrored alike.

    Args:
        sources: Views by source.
        shares: How often each source is drawn, for those there are.
        augmentation: What is changed; None changes nothing.
        seed: Of everything that is drawn.
    """

    def __init__(
        self,
        sources: Mapping[str, DepthViews],
        shares: Mapping[str, float],
        augmentation: DepthAugmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.names = [name for name in sources if len(sources[name]) and shares.get(name, 0) > 0]
        if not self.names:
            raise ValueError(f"No source has views to draw: got {sorted(sources)} and shares {dict(shares)}.")
        weights = np.array([shares[name] for name in self.names])
        self.sources, self.weights = sources, weights / weights.sum()
        self.augmentation, self.seed = augmentation, seed

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        views = self.sources[self.names[rng.choice(len(self.names), p=self.weights)]]
        paired = len(views.pairs) > 0
        rows = views.pairs[rng.integers(len(views.pairs))] if paired else rng.integers(len(views), size=2)
        sample = view_tensors(views, rng.permutation(rows)) | {"paired": torch.tensor(paired)}
        return sample if self.augmentation is None else augment(sample, self.augmentation, rng)


def view_tensors(views: DepthViews, rows: Sequence[int] | Int64[np.ndarray, " V"]) -> dict[str, Tensor]:
    """Views as the network and its losses take them, one row each; depths in mm, 0 where none is known.

    "head" is where the fitted head is, "covered" where the photo reaches (crops are black beyond it),
    "front_known" and "back_known" where the truth is, "hair_known" where it is known whether the last surface
    is hair: all over the true head, and over neck and body.
    """
    rows = np.asarray(rows)
    center = torch.from_numpy(views.center[rows].astype(np.float32))
    camera = wide_camera(views.image.shape[1])

    def depth(relative: np.ndarray) -> Tensor:
        return torch.from_numpy(relative[rows].astype(np.float32))[:, None] + center[:, None, None, None]

    near, far, front, back = (depth(values) for values in (views.near, views.far, views.front, views.back))
    labels = torch.from_numpy(views.labels[rows])[:, None]
    reached = torch.from_numpy(views.back_hair[rows] != UNKNOWN)[:, None]
    covering = torch.isin(labels, labels.new_tensor(COVERING))
    return {
        "image": torch.from_numpy(views.image[rows]).permute(0, 3, 1, 2).float() / 255,
        "labels": labels,
        "covered": torch.from_numpy(views.image[rows].any(axis=-1))[:, None],
        "near": carried_on(near[:, 0])[:, None],
        "far": carried_on(far[:, 0])[:, None],
        "head": near.isfinite(),
        "center": center,
        "front": front.nan_to_num(0.0),
        "back": back.nan_to_num(0.0),
        "front_known": front.isfinite() & reached,
        "back_known": back.isfinite() & reached,
        "back_hair": torch.from_numpy(views.back_hair[rows] == IS_HAIR)[:, None],
        "hair_known": (back.isfinite() | covering) & reached,
        "rotation": torch.from_numpy(views.rotation[rows].astype(np.float32)),
        "translation": torch.from_numpy(views.translation[rows].astype(np.float32)),
        "focal": camera.focal.repeat(len(rows)),
        "principal": camera.principal.repeat(len(rows), 1),
    }


def wide_camera(size: int) -> Camera:
    """The wide crop's camera."""
    return crop_camera(size, WIDE_ZOOM)


def augment(
    sample: dict[str, Tensor], config: DepthAugmentation, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Cut, mirror and recolour; a fitted head alone is moved a little, and may lose its colours."""
    maps = {name: value for name, value in sample.items() if value.ndim == 4}
    height, width = sample["image"].shape[-2:]
    top, left = (
        int(np.clip((whole - part) // 2 + rng.integers(-config.shift, config.shift + 1), 0, whole - part))
        for whole, part in zip((height, width), config.window, strict=True)
    )
    flipped = rng.random() < config.mirror
    if flipped:
        flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
        maps = {name: value.flip(-1) for name, value in maps.items()}
        sample["rotation"] = flip @ sample["rotation"] @ flip
        sample["translation"] = sample["translation"] @ flip
    cut = np.s_[..., top : top + config.window[0], left : left + config.window[1]]
    sample = sample | {name: value[cut] for name, value in maps.items()}
    # A window is the same camera with its principal point elsewhere.
    sample["principal"] = sample["principal"] - torch.tensor([float(left), float(top)])
    # Pairs are compared through their poses, which would contradict heads that were moved.
    if not sample["paired"]:
        shift = torch.from_numpy(rng.normal(0, config.depth_noise, (len(sample["near"]), 1, 1, 1))).float()
        sample["near"], sample["far"] = sample["near"] + shift, sample["far"] + shift
        if rng.random() < config.colourless:
            sample["image"] = torch.full_like(sample["image"], 0.5)
            return sample
    common, own = rng.uniform(-1, 1), rng.uniform(-1, 1, size=(3, 1, 1)) / 3
    gain = torch.from_numpy((1 + config.gain * (common + own)).astype(np.float32))
    exponent = float(np.exp(config.gamma * rng.uniform(-1, 1)))
    image = sample["image"].pow(exponent) * gain
    grain = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    sample["image"] = (image + rng.uniform(0, config.noise) * grain).clamp(0, 1)
    return sample
