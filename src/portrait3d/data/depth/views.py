"""Prepared wide crops on disk: what the depth network's training reads."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, UInt8

from portrait3d.data.whole_files import whole_file

NOT_HAIR, IS_HAIR, UNKNOWN = 0, 1, 255
"""What is known of the last surface."""


@dataclass(frozen=True, slots=True)
class DepthView:
    """One head in its wide crop, as the pipeline would meet it, and the truth in the fit's own scale.

    Depths are relative to that of the fitted head's centre, in mm; NaN where there is none. Nothing is known
    of the depth of photographed heads; what teaches is the other picture of a pair.
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
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    """camera_from_model of the fitted head, mm."""


DEPTHS = ("near", "far", "front", "back")


@dataclass(frozen=True, slots=True)
class DepthViews:
    """N views, and which of them show one head twice; fields as those of `DepthView`, depths in half
    precision."""

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
    rotation: Float[np.ndarray, "N 3 3"]
    translation: Float[np.ndarray, "N 3"]
    pairs: Int64[np.ndarray, "K 2"]

    def __len__(self) -> int:
        return len(self.name)

    @classmethod
    def collect(cls, views: Sequence[DepthView], pairs: Iterable[tuple[int, int]] = ()) -> "DepthViews":
        """Pack views of one size."""
        if not views:
            raise ValueError("There are no views to pack.")
        arrays = {}
        for field in fields(DepthView):
            values = np.stack([np.asarray(getattr(view, field.name)) for view in views])
            # Relative depths are a few hundred mm at most, where half precision has steps of a quarter mm.
            arrays[field.name] = values.astype(np.float16) if field.name in DEPTHS else values
        return cls(**arrays, pairs=np.array(list(pairs), np.int64).reshape(-1, 2))

    def without_clips(self, clips: Collection[str]) -> "DepthViews":
        """The same views without the pairs of some clips, whose frames are called `CLIP_FRAME`."""
        known = {str(name).rpartition("_")[0] for name in self.name}
        if unknown := set(clips) - known:
            raise ValueError(f"There are no clips {sorted(unknown)} among {sorted(known)}.")
        kept = [str(self.name[first]).rpartition("_")[0] not in clips for first, _ in self.pairs]
        return replace(self, pairs=self.pairs[np.array(kept, bool)])

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all."""
        with whole_file(path) as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "DepthViews":
        """Read files that `save` wrote, one after the other."""
        if not paths:
            raise FileNotFoundError("There are no prepared views to read.")
        names = [field.name for field in fields(cls)]
        parts, start = [], 0
        for path in paths:
            with np.load(path, allow_pickle=False) as table:
                part = {name: table[name] for name in names}
            part["pairs"] = part["pairs"] + start
            start += len(part["name"])
            parts.append(part)
        return cls(**{name: np.concatenate([part.pop(name) for part in parts]) for name in names})


def load_sources(folder: Path) -> dict[str, DepthViews]:
    """All views of a folder by source: `NAME-....npz` is of the source NAME, as is `NAME.npz`."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.npz")):
        groups.setdefault(path.stem.split("-")[0], []).append(path)
    return {name: DepthViews.load(paths) for name, paths in groups.items()}
