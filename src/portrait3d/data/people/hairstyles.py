"""Hairstyles modelled by hand, bound to the head model, which wears them in ever other shapes.

`tools/bind_hairstyles.py` makes a file of MakeHuman's; those of artist-made heads are bound as they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from scipy.spatial import cKDTree

from portrait3d.data.people.avatar_fits import AvatarFit
from portrait3d.data.people.avatars import Avatar
from portrait3d.data.synthetic.hair_mesh import HairMesh
from portrait3d.data.synthetic.scalp import to_polar
from portrait3d.data.whole_files import whole_file
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass

HELD_OUT_HAIRSTYLES = ("bob01", "short02")
"""Hairstyles that parsing is measured on and no parsing network learns from."""
LASTING = 1000.0
"""mm of strand that is left everywhere: modelled hair has its own ends."""
ACROSS, ALONG = 90.0, 120.0
"""mm of strand texture for a radian around the crown and away from it."""
NEIGHBOURS = 16
"""Vertices of the skin that a vertex of the hair follows."""
SOFT = 15.0
"""mm by which distances to these count as larger: neighbours of the hair follow nearly the same ones."""


def _no_waves() -> Float[np.ndarray, "0 4"]:
    return np.zeros((0, 4))


@dataclass(frozen=True, slots=True)
class HairShape:
    """How hair differs from what its artist made."""

    volume: float = 1.0
    """Stretch of what stands off the skin or hangs from it."""
    length: float = 1.0
    """Further stretch of what hangs."""
    waves: Float[np.ndarray, "K 4"] = field(default_factory=_no_waves)
    """Wave vectors (1 / mm) and phases of the places where there is more of it, and less."""
    strength: float = 0.0
    """How much more and less."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "HairShape":
        """A random shape; half of all hair keeps its length."""
        direction = rng.normal(size=(3, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        number = 2 * np.pi / rng.uniform(90, 300, (3, 1))
        return cls(
            volume=rng.uniform(0.85, 1.3),
            length=rng.uniform(0.35, 1.3) if rng.random() < 0.5 else 1.0,
            waves=np.concatenate([direction * number, rng.uniform(0, 2 * np.pi, (3, 1))], axis=1),
            strength=rng.uniform(0, 0.45),
        )

    def stretched(
        self, roots: Float[np.ndarray, "N 3"], offsets: Float[np.ndarray, "N 3"]
    ) -> Float[np.ndarray, "N 3"]:
        """What stands off these places by these offsets (y down), in this shape."""
        waves = np.sin(roots @ self.waves[:, :3].T + self.waves[:, 3]).sum(axis=1) / max(len(self.waves), 1)
        changed = offsets * (self.volume * (1 + self.strength * waves))[:, None]
        changed[:, 1] *= np.where(changed[:, 1] > 0, self.length, 1.0)
        return changed


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

    def placed(self, vertices: Float[np.ndarray, "V 3"], shape: HairShape) -> Float[np.ndarray, "N 3"]:
        """Where the hair's vertices lie on a head (model frame, mm)."""
        roots = (vertices[self.corners] * self.weights[..., None]).sum(axis=1)
        return roots + shape.stretched(roots, self.offsets)

    def worn(self, vertices: Float[np.ndarray, "V 3"], shape: HairShape | None = None) -> HairMesh:
        """The hair on a head (model frame, mm), as its artist made it or in another shape."""
        points = self.placed(vertices, shape or HairShape())
        azimuth, polar, _ = to_polar(points)
        return HairMesh(
            vertices=points,
            faces=self.faces,
            strand=np.stack([azimuth * ACROSS, polar * ALONG], axis=1),
            rest=np.full(len(points), LASTING),
            depth=np.zeros(len(points)),
        )


def bind(
    name: str,
    points: Float[np.ndarray, "N 3"],
    faces: Int64[np.ndarray, "F 3"],
    skin: Float[np.ndarray, "V 3"],
    chosen: Int64[np.ndarray, " C"],
) -> Hairstyle:
    """Let points follow the nearest of the head's vertices that are chosen; all in the model's frame, mm."""
    distance, nearest = cKDTree(skin[chosen]).query(points, k=NEIGHBOURS)
    weights = 1 / (distance + SOFT) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    corners = chosen[nearest]
    offsets = points - (skin[corners] * weights[..., None]).sum(axis=1)
    return Hairstyle(name, faces, corners, weights.astype(np.float32), offsets.astype(np.float32))


def hair_bearing(head: HeadModel) -> Int64[np.ndarray, " C"]:
    """Vertices of the head model that hair may follow: the skin without the ears."""
    return np.flatnonzero((head.part_of_vertex.numpy() == 0) & (head.ears_mask.numpy() < 0.05))


@dataclass(frozen=True, slots=True, eq=False)
class AvatarHair:
    """An artist-made head's hair, bound to the head model that was laid on it."""

    style: Hairstyle
    own: Int64[np.ndarray, " K"]
    """Vertices of the avatar that belong to its hair alone..."""
    place: Int64[np.ndarray, " K"]
    """... and the hair's vertices that they are."""
    skin: Float[np.ndarray, "V 3"]
    """The head model laid on the avatar, model frame, mm."""

    @classmethod
    def of(cls, avatar: Avatar, fit: AvatarFit, head: HeadModel) -> "AvatarHair | None":
        """The hair of an avatar at rest; None for the bald."""
        hairy = avatar.labels == ParsingClass.HAIR
        if not hairy.any():
            return None
        used, faces = np.unique(avatar.faces[hairy], return_inverse=True)
        basis = head.identity_basis.double().numpy()
        skin = head.mean.double().numpy() + np.tensordot(fit.identity, basis, 1)
        points = fit.in_model_frame(avatar).vertices[used].astype(np.float64)
        alone = ~np.isin(used, avatar.faces[~hairy])
        return cls(
            style=bind(avatar.style, points, faces.reshape(-1, 3), skin, hair_bearing(head)),
            own=used[alone],
            place=np.flatnonzero(alone),
            skin=skin,
        )

    def reshaped(self, avatar: Avatar, fit: AvatarFit, shape: HairShape) -> Avatar:
        """The avatar with this hair in another shape."""
        points = fit.avatar_from_model.apply(self.style.placed(self.skin, shape)[self.place])
        vertices = avatar.vertices.copy()
        vertices[self.own] = points
        return replace(avatar, vertices=vertices)


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
