"""Training samples of the two-sided depth network."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.two_sided_views import IS_HAIR, UNKNOWN, TwoSidedViews
from portrait3d.models.face_depth import carried_on
from portrait3d.parsing_classes import COVERING


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSidedAugmentation:
    """What is changed from sample to sample."""

    window: tuple[int, int] = (112, 96)
    """Height and width of the part of the wide crop that is looked at, multiples of 16."""
    shift: int = 8
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


class TwoSidedSamples(Dataset):
    """Views drawn at random; sample i depends on i and the seed alone.

    Args:
        sources: Views by source.
        shares: How often each source is drawn, for those there are.
        augmentation: What is changed; None changes nothing.
        seed: Of everything that is drawn.
    """

    def __init__(
        self,
        sources: Mapping[str, TwoSidedViews],
        shares: Mapping[str, float],
        augmentation: TwoSidedAugmentation | None = None,
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
        sample = view_tensors(views, int(rng.integers(len(views))))
        return sample if self.augmentation is None else augment(sample, self.augmentation, rng)


def view_tensors(views: TwoSidedViews, index: int) -> dict[str, Tensor]:
    """One view as the network and its losses take it; depths in mm, 0 where none is known.

    "head" is where the fitted head is, "front_known" and "back_known" where the truth is, "hair_known" where
    it is known whether the last surface is hair: all over the true head, and over neck and body.
    """
    center = float(views.center[index])

    def depth(relative: np.ndarray) -> Tensor:
        return torch.from_numpy(relative[index].astype(np.float32))[None] + center

    near, far, front, back = (depth(values) for values in (views.near, views.far, views.front, views.back))
    labels = torch.from_numpy(views.labels[index])[None]
    reached = torch.from_numpy(views.back_hair[index] != UNKNOWN)[None]
    covering = torch.isin(labels, labels.new_tensor(COVERING))
    return {
        "image": torch.from_numpy(views.image[index]).permute(2, 0, 1).float() / 255,
        "labels": labels,
        "near": carried_on(near),
        "far": carried_on(far),
        "head": near.isfinite(),
        "center": torch.tensor(center),
        "front": front.nan_to_num(0.0),
        "back": back.nan_to_num(0.0),
        "front_known": front.isfinite() & reached,
        "back_known": back.isfinite() & reached,
        "back_hair": torch.from_numpy(views.back_hair[index] == IS_HAIR)[None],
        "hair_known": (back.isfinite() | covering) & reached,
    }


def augment(
    sample: dict[str, Tensor], config: TwoSidedAugmentation, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Cut, mirror, recolour, and move the fitted head a little."""
    maps = {name: value for name, value in sample.items() if value.ndim == 3}
    height, width = sample["image"].shape[-2:]
    top, left = (
        int(np.clip((whole - part) // 2 + rng.integers(-config.shift, config.shift + 1), 0, whole - part))
        for whole, part in zip((height, width), config.window, strict=True)
    )
    cut = np.s_[..., top : top + config.window[0], left : left + config.window[1]]
    flip = rng.random() < config.mirror
    sample = sample | {name: value[cut].flip(-1) if flip else value[cut] for name, value in maps.items()}
    shift = float(rng.normal(0, config.depth_noise))
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
