"""Normal maps: what a head of few triangles looks like in the light of a head of many."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from portrait3d.geometry.mesh import HeadMesh, welded_normals
from portrait3d.geometry.pixels import nearest
from portrait3d.geometry.tangents import vertex_tangents
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize

LARGEST = 1024
"""Pixels of a map's side at most: smooth skin needs no more."""
MARGIN = 4.0
"""Pixels by which the map goes on beyond the texture's islands."""
FLAT = np.array([128, 128, 255], np.uint8)
"""The colour of the surface's own normal."""
FAR = 1e4
"""mm; more than a head's radius."""


def bake_normals(fine: HeadMesh, coarse: HeadMesh) -> UInt8[np.ndarray, "S S 3"]:
    """The fine head's normals in the coarse one's tangent space, as glTF's `normalTexture` holds them.

    Both must have the same texture coordinates and lie in the same frame, as a head and its `simplified` do:
    so a texel is the same spot of the skin in both, and no ray has to be cast.
    """
    side = max(1, min(LARGEST, len(fine.texture) // 2))
    wanted, known = _in_texture(fine, welded_normals(fine.vertices, fine.faces), side)
    own = welded_normals(coarse.vertices, coarse.faces)
    tangents = vertex_tangents(coarse.vertices, own, coarse.uv, coarse.faces)
    sides = np.cross(own, tangents[:, :3]) * tangents[:, 3:]
    frame, shown = _in_texture(coarse, np.concatenate([tangents[:, :3], sides, own], axis=1), side)
    both = known & shown
    axes = frame[both].reshape(-1, 3, 3)
    axes = axes / np.maximum(np.linalg.norm(axes, axis=2, keepdims=True), 1e-9)
    # Between vertices axes are still nearly at right angles, so that their parts of the normal are products.
    parts = np.einsum("kij,kj->ki", axes, wanted[both])
    parts = parts / np.maximum(np.linalg.norm(parts, axis=1, keepdims=True), 1e-9)
    picture = np.tile(FLAT, (side, side, 1))
    # A normal map can't lean over: what would is an error of the texture's borders.
    picture[both] = np.where(parts[:, 2:] > 0, np.round((parts + 1) / 2 * 255), FLAT).astype(np.uint8)
    return _with_margin(picture, both)


def _in_texture(
    head: HeadMesh, values: Float[np.ndarray, "V C"], side: int
) -> tuple[Float[np.ndarray, "S S C"], Bool[np.ndarray, "S S"]]:
    """Values at a head's vertices at the texture's pixels, and where they are known. Where the hair's chart
    lies over itself, the outermost counts, as for its colours."""
    middle = head.camera_from_head.translation.numpy()
    depth = FAR - np.linalg.norm(head.vertices - middle, axis=1, keepdims=True)
    screen = torch.from_numpy(np.concatenate([head.uv * side, depth], axis=1)).float()
    faces = torch.from_numpy(head.faces)
    seen = rasterize(screen[None], faces, side, side)
    spread = interpolate(torch.from_numpy(values).float()[None], faces, seen)[0]
    return spread.permute(1, 2, 0).numpy(), (seen.face_index[0] >= 0).numpy()


def _with_margin(
    picture: UInt8[np.ndarray, "S S 3"], known: Bool[np.ndarray, "S S"]
) -> UInt8[np.ndarray, "S S 3"]:
    """The picture with its islands continued by `MARGIN`, so that nothing else shines in at their borders."""
    away, (row, column) = nearest(known)
    return np.where((away < MARGIN)[..., None], picture[row, column], picture)
