"""Prepared views of heads on disk: what the depth network's training reads."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from portrait3d.data.turning import HeadView
from portrait3d.data.whole_files import whole_file


@dataclass(frozen=True, slots=True)
class DepthViews:
    """N views of heads, and which of them show one head twice.

    Depths are relative to the head centre's, in mm, float16; NaN where there is none.
    """

    names: np.ndarray
    image: UInt8[np.ndarray, "N H W 3"]
    labels: UInt8[np.ndarray, "N H W"]
    region: Bool[np.ndarray, "N H W"]
    face_depth: Float[np.ndarray, "N H W"]
    depth: Float[np.ndarray, "N H W"]
    trust: UInt8[np.ndarray, "N H W"]
    """255 for full trust in `depth`."""
    rotation: Float[np.ndarray, "N 3 3"]
    translation: Float[np.ndarray, "N 3"]
    """camera_from_model."""
    centre_depth: Float[np.ndarray, " N"]
    """Depth of the head centre, mm."""
    focal: Float[np.ndarray, " N"]
    """Pixels; the principal point is the middle of the picture."""
    pairs: Int64[np.ndarray, "P 2"]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def collect(
        cls, names: Sequence[str], views: Sequence[HeadView], pairs: Iterable[tuple[int, int]]
    ) -> "DepthViews":
        """Pack views of one size."""
        if len(names) != len(views) or not views:
            raise ValueError(f"Every view needs a name, got {len(names)} names for {len(views)} views.")

        def relative(view: HeadView, depth: np.ndarray) -> np.ndarray:
            offset = np.where(np.isfinite(depth), depth - view.head.centre[2], np.nan)
            return offset.astype(np.float16)

        return cls(
            names=np.array(names),
            image=np.stack([view.image for view in views]),
            labels=np.stack([view.labels for view in views]),
            region=np.stack([view.region for view in views]),
            face_depth=np.stack([relative(view, view.face_depth) for view in views]),
            depth=np.stack([relative(view, view.depth) for view in views]),
            trust=np.stack([(255 * view.trust).round().astype(np.uint8) for view in views]),
            rotation=np.stack([view.head.rotation for view in views]).astype(np.float32),
            translation=np.stack([view.head.translation for view in views]).astype(np.float32),
            centre_depth=np.array([view.head.centre[2] for view in views], np.float32),
            focal=np.array([view.head.focal for view in views], np.float32),
            pairs=np.array(list(pairs), np.int64).reshape(-1, 2),
        )

    def without_clips(self, clips: Collection[str]) -> "DepthViews":
        """The same views without the pairs of some clips; frames are called `CLIP_FRAME`."""
        known = {str(name).rpartition("_")[0] for name in self.names}
        if unknown := set(clips) - known:
            raise ValueError(f"There are no clips {sorted(unknown)} among {sorted(known)}.")
        kept = [str(self.names[first]).rpartition("_")[0] not in clips for first, _ in self.pairs]
        return replace(self, pairs=self.pairs[np.array(kept, bool)])

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all."""
        with whole_file(path) as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, *paths: Path) -> "DepthViews":
        """Read one or several files that `save` wrote, one after the other."""
        if not paths:
            raise FileNotFoundError("There are no prepared views to read; `prepare` makes them.")
        parts = []
        for path in paths:
            with np.load(path, allow_pickle=False) as table:
                parts.append({field.name: table[field.name] for field in fields(cls)})
        start = 0
        for part in parts:
            part["pairs"] = part["pairs"] + start
            start += len(part["names"])
        names = list(parts[0])
        return cls(**{name: np.concatenate([part.pop(name) for part in parts]) for name in names})


def load_sources(folder: Path) -> dict[str, DepthViews]:
    """All files of a folder by source: `NAME.npz` and `NAME-....npz` are of the source NAME."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.npz")):
        groups.setdefault(path.stem.split("-")[0], []).append(path)
    return {name: DepthViews.load(*paths) for name, paths in groups.items()}
