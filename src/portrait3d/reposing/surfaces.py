"""The layers of a head that turns, as triangles that know where the photo shows them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8

from portrait3d.geometry import Camera
from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPiece, SeeThrough, welded_normals
from portrait3d.geometry.pixels import smoothstep
from portrait3d.geometry.skin import HEAD_PIVOT, view_cosine
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.regions import SETTLED

STRETCHED, SMEARED = 1.6, 4.0
"""Surface drawn this many times wider than the photo shows it begins to lose the photo's colours, and has
lost them: the photo saw it edge-on and says little about it."""
STRETCHED_HAIR, SMEARED_HAIR = 1.3, 2.2
"""The same for hair, whose strands become smears where they are stretched; skin is smooth."""
BELOW = 0.02
"""What lags by this share of the turn lies below the head."""
FLATTEST = 0.05
"""Cosine to the view below which the photo's widths are not compared."""
EYES = (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE)
MOUTH = (HeadPiece.TEETH, HeadPiece.TONGUE, HeadPiece.MOUTH_CAVITY)


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles in the photo's pose, and how they move."""

    vertices: Float[np.ndarray, "N 3"]
    """Photo camera, mm."""
    faces: Int64[np.ndarray, "F 3"]
    normals: Float[np.ndarray, "N 3"]
    photo: Float[np.ndarray, "N 2"]
    """The photo's pixels at which the vertices are seen."""
    follow: Float[np.ndarray, " N"]
    """Share of the head's turn that each vertex takes part in."""
    binding: Binding
    """How the vertices follow the head model's expressions."""

    @classmethod
    def of(
        cls,
        vertices: Float[np.ndarray, "N 3"],
        faces: Int64[np.ndarray, "F 3"],
        binding: Binding,
        camera: Camera,
        source_pose: Turn,
    ) -> "Surface":
        """A surface in the photo's pose, as the photo's camera sees it."""
        vertices = np.asarray(vertices, np.float64)
        pixels = camera.project(torch.from_numpy(vertices)).double().numpy()
        return cls(
            vertices, faces, welded_normals(vertices, faces), pixels, source_pose.following(vertices), binding
        )

    @cached_property
    def moving(self) -> Float[np.ndarray, " N"]:
        """1 for what turns, 0 for what hardly takes part, where the photo stays as it is."""
        return np.clip(self.follow / SETTLED, 0, 1)

    @cached_property
    def steepness(self) -> Float[np.ndarray, " N"]:
        """How steeply the photo sees the surface, from either side: 1 straight on, 0 edge-on."""
        return np.abs(view_cosine(self.vertices, self.normals))

    def moved(self, turn: Turn, displacement: Float[np.ndarray, "M 3"] | None) -> Float[np.ndarray, "N 3"]:
        """The vertices after an expression, which displaces the head model's vertices (mm), and a turn."""
        if displacement is None:
            return turn.apply(self.vertices, self.follow)
        return turn.apply(self.vertices + self.binding.apply(displacement), self.follow)

    def kept(self, turn: Turn, hair: bool | Bool[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """How far the photo's colours are kept after a turn: 1, less where it stretches them, down to 0."""
        # A patch of the surface is seen as wide as its cosine: the ratio after to before is how far the photo
        # is stretched.
        turned = turn.rotate(self.normals, self.follow)
        after = np.abs(view_cosine(turn.apply(self.vertices, self.follow), turned))
        growth = after / np.maximum(self.steepness, FLATTEST)
        begins = np.where(hair, STRETCHED_HAIR, STRETCHED)
        return 1 - smoothstep((growth - begins) / (np.where(hair, SMEARED_HAIR, SMEARED) - begins))


@dataclass(frozen=True, slots=True, eq=False)
class OpaqueHead:
    """Skin, eyes, mouth and the hair's body: the surface, its texture and what it is."""

    surface: Surface
    uv: Float[np.ndarray, "N 2"]
    """Texture coordinates in [0, 1]."""
    shown: Bool[np.ndarray, " N"]
    """Vertices that the photo shows."""
    under: Float[np.ndarray, " N"]
    """1 for what clothes hide: the neck, and hair that hangs behind it."""
    piece: UInt8[np.ndarray, " N"]
    """`HeadPiece` of every vertex."""

    @classmethod
    def of(cls, head: HeadMesh, binding: Binding, camera: Camera, source_pose: Turn) -> "OpaqueHead":
        """The opaque part of a head in the photo's pose."""
        surface = Surface.of(head.vertices, head.faces, binding, camera, source_pose)
        inner = np.isin(head.piece, (*EYES, *MOUTH))
        surface = replace(surface, follow=np.where(inner, 1.0, surface.follow))
        # Clothes lie before hair that hangs down the back, and behind hair that falls on the chest.
        behind = source_pose.to_model(surface.vertices)[:, 2] > HEAD_PIVOT[2]
        hanging = behind | (head.piece != HeadPiece.HAIR)
        below = smoothstep((1 - surface.follow) / BELOW)
        return cls(surface, head.uv.astype(np.float64), head.seen, hanging * below, head.piece)


def sheet_surface(sheet: SeeThrough, camera: Camera, source_pose: Turn) -> Surface:
    """Hair, glasses or earrings."""
    return Surface.of(sheet.vertices, sheet.faces, sheet.binding, camera, source_pose)
