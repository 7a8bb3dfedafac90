"""Hairstyles modelled by hand, bound to the head model: `tools/bind_hairstyles.py` makes the file."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from portrait3d.data.synthetic.hair_mesh import HairMesh
from portrait3d.data.synthetic.scalp import to_polar
from portrait3d.data.whole_files import whole_file

HELD_OUT_HAIRSTYLES = ("bob01", "short02")
"""Hairstyles that parsing is measured on and no parsing network learns from."""
LASTING = 1000.0
"""mm of strand that is left everywhere: modelled hair has its own ends."""
ACROSS, ALONG = 90.0, 120.0
"""mm of strand texture for a radian around the crown and away from it."""


@dataclass(frozen=True, slots=True)
class Hairstyle:
    """A mesh of hair whose vertices follow the head model's."""

    name: str
    faces: Int64[np.ndarray, "F 3"]
    corners: Int64[np.ndarray, "N K"]
    """Vertices of the head model that each vertex of the hair follows."""
    weights: Float[np.ndarray, "N K"]
    """How much it follows each; together 1."""
    offsets: Float[np.ndarray, "N 3"]
    """From there to the vertex, mm, in the head model's axes."""

    def worn(self, vertices: Float[np.ndarray, "V 3"], volume: float = 1.0) -> HairMesh:
        """The hair on a head (model frame, mm); `volume` stretches what stands off or hangs from it."""
        roots = (vertices[self.corners] * self.weights[..., None]).sum(axis=1)
        points = roots + volume * self.offsets
        azimuth, polar, _ = to_polar(points)
        return HairMesh(
            vertices=points,
            faces=self.faces,
            strand=np.stack([azimuth * ACROSS, polar * ALONG], axis=1),
            rest=np.full(len(points), LASTING),
            depth=np.zeros(len(points)),
        )


def save_hairstyles(styles: Sequence[Hairstyle], path: Path) -> None:
    """Write an npz file, whole or not at all."""
    arrays = {
        f"{style.name}/{field.name}": getattr(style, field.name)
        for style in styles
        for field in fields(Hairstyle)
        if field.name != "name"
    }
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)


def read_hairstyles(path: Path) -> list[Hairstyle]:
    """Read what `save_hairstyles` wrote; `FileNotFoundError` if it is missing."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; tools/bind_hairstyles.py makes it.")
    with np.load(path, allow_pickle=False) as table:
        names = dict.fromkeys(name.rpartition("/")[0] for name in table.files)
        parts = [field.name for field in fields(Hairstyle) if field.name != "name"]
        return [Hairstyle(name, **{part: table[f"{name}/{part}"] for part in parts}) for name in names]
