"""Triangle meshes of hair that remember where their strands run."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64


@dataclass(frozen=True, slots=True)
class HairMesh:
    """A triangle mesh whose texture runs along its strands. Model frame, mm."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int64[np.ndarray, "F 3"]
    strand: Float[np.ndarray, "V 2"]
    """Position across the strands and along them, mm."""
    rest: Float[np.ndarray, " V"]
    """Length of the strand that is left, mm."""
    depth: Float[np.ndarray, " V"]
    """0 on the outside of the hair, 1 on the skull."""


def as_mesh(points: Float[np.ndarray, "N K 3"], root: np.ndarray, longest_gap: float = np.inf) -> HairMesh:
    """Quads between neighbouring strands that lie close, as triangles, outward."""
    count, length = points.shape[:2]
    index = np.arange(count * length).reshape(count, length)
    following = np.roll(index, -1, axis=0)
    gap = np.linalg.norm(points - np.roll(points, -1, axis=0), axis=-1)
    step = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    # No triangles across partings, nor between strands that end: their last points coincide.
    close = (gap < longest_gap)[:, 1:] & (gap < longest_gap)[:, :-1] & (step + np.roll(step, -1, 0) > 1e-3)
    a, b = index[:, :-1][close], following[:, :-1][close]
    c, d = following[:, 1:][close], index[:, 1:][close]
    faces = np.concatenate([np.stack([a, d, c], 1), np.stack([a, c, b], 1)])
    along = np.concatenate([np.zeros((count, 1)), np.cumsum(step, axis=1)], axis=1)
    across = np.repeat((root * 90)[:, None], length, axis=1)
    rest = along[:, -1:] - along
    strand = np.stack([across, along], axis=-1).reshape(-1, 2)
    return HairMesh(points.reshape(-1, 3), faces, strand, rest.reshape(-1), np.zeros(count * length))


def merge(meshes: list[HairMesh]) -> HairMesh:
    """Several meshes as one."""
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    joined = {
        name: np.concatenate([getattr(mesh, name) for mesh in meshes])
        for name in ("vertices", "strand", "rest", "depth")
    }
    faces = np.concatenate([mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)])
    return HairMesh(faces=faces, **joined)
