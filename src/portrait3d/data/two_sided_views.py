"""Prepared wide crops on disk: what the two-sided depth network's training reads."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from portrait3d.data.whole_files import whole_file

NOT_HAIR, IS_HAIR, UNKNOWN = 0, 1, 255
"""What is known of the last surface."""


@dataclass(frozen=True, slots=True)
class TwoSidedView:
    """One head in its wide crop, as the pipeline would meet it, and the truth in the fit's own scale.

    Depths are relative to that of the fitted head's centre, in mm; NaN where there is none.
    """

    name: str
    style: str
    image: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]
    near: Float[np.ndarray, "H W"]
    """First surface of the fitted head."""
    far: Float[np.ndarray, "H W"]
    """Last surface of the fitted head."""
    front: Float[np.ndarray, "H W"]
    """True first surface of face, hair and ears."""
    back: Float[np.ndarray, "H W"]
    """True last surface of the same."""
    back_hair: UInt8[np.ndarray, "H W"]
    """`IS_HAIR` where that is hair, `NOT_HAIR`, or `UNKNOWN` where the photo does not reach."""
    center: float
    """Depth of the fitted head's centre, mm."""
    unseen_hair: Float[np.ndarray, "P 3"]
    """Points of the hair that the photo does not show, in the crop's camera, mm; NaN for none."""


DEPTHS = ("near", "far", "front", "back")


@dataclass(frozen=True, slots=True)
class TwoSidedViews:
    """N views; fields as those of `TwoSidedView`, depths in half precision."""

    name: np.ndarray
    style: np.ndarray
    image: UInt8[np.ndarray, "N H W 3"]
    labels: UInt8[np.ndarray, "N H W"]
    near: Float[np.ndarray, "N H W"]
    far: Float[np.ndarray, "N H W"]
    front: Float[np.ndarray, "N H W"]
    back: Float[np.ndarray, "N H W"]
    back_hair: UInt8[np.ndarray, "N H W"]
    center: Float[np.ndarray, " N"]
    unseen_hair: Float[np.ndarray, "N P 3"]

    def __len__(self) -> int:
        return len(self.name)

    @property
    def skull(self) -> Bool[np.ndarray, "N H W"]:
        """Where the fitted head is."""
        return np.isfinite(self.near)

    @classmethod
    def collect(cls, views: Sequence[TwoSidedView]) -> "TwoSidedViews":
        """Pack views of one size."""
        if not views:
            raise ValueError("There are no views to pack.")
        arrays = {}
        for field in fields(cls):
            values = np.stack([np.asarray(getattr(view, field.name)) for view in views])
            arrays[field.name] = values.astype(np.float16) if field.name in DEPTHS else values
        return cls(**arrays)

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all."""
        with whole_file(path) as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "TwoSidedViews":
        """Read files that `save` wrote, one after the other."""
        if not paths:
            raise FileNotFoundError("There are no prepared views to read.")
        names = [field.name for field in fields(cls)]
        parts = []
        for path in paths:
            with np.load(path, allow_pickle=False) as table:
                parts.append({name: table[name] for name in names})
        return cls(**{name: np.concatenate([part.pop(name) for part in parts]) for name in names})


def load_two_sided(folder: Path) -> dict[str, TwoSidedViews]:
    """All views of a folder by source: `NAME-....npz` is of the source NAME."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.npz")):
        groups.setdefault(path.stem.split("-")[0], []).append(path)
    return {name: TwoSidedViews.load(paths) for name, paths in groups.items()}
