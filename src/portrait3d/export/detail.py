"""Heads of fewer triangles, for games and phones, with the same targets, texture coordinates and weights."""

from dataclasses import replace

import numpy as np

from portrait3d import arguments
from portrait3d.export.normal_map import bake_normals
from portrait3d.geometry.mesh import SEE_THROUGH, HeadMesh, HeadPart, HeadPiece, SeeThrough
from portrait3d.geometry.simplification import simplified_faces
from portrait3d.geometry.topology import renumbered
from portrait3d.models.expressions import expression_displacement
from portrait3d.models.visemes import both

LEVELS = (30_000, 12_000, 5_000, 2_000)
"""Triangles of each level of detail, those of what is seen through among them."""
HAIR, FACE = 0.2, 2.0
"""How much it matters that hair and face stay where they are; 1 for all else."""
SMALLEST_SHEET = 60
"""Triangles with which what is seen through still shows something."""
# Three poses that together move all parts of the face: quadrics are summed over them, so each costs time.
EXPRESSIONS = (
    {"jawOpen": 1.0, **both(eyeBlink=1.0, mouthFrown=0.7)},
    {"mouthPucker": 1.0, **both(browDown=1.0, eyeWide=1.0)},
    {"browInnerUp": 1.0, "mouthShrugUpper": 1.0, **both(mouthSmile=1.0, cheekSquint=1.0)},
)
"""Poses, beside the rest, whose shape is to be kept."""


def at_detail(head: HeadMesh, level: int) -> HeadMesh:
    """The head with the number of triangles of a level of detail, over some of its own vertices.

    A head that has no more stays as it is. Hair gives way first, then skin that is flat in all expressions.
    Raises `TypeError` or `ValueError` for a level that doesn't exist.
    """
    if not arguments.whole_number(level, "level") < len(LEVELS):
        raise ValueError(f"level must be 0 to {len(LEVELS) - 1}, got {level}.")
    count = len(head.faces) + sum(len(layer.faces) for layer in head.see_through.values())
    share = LEVELS[level] / count
    if share >= 1:
        return head
    layers = {
        SEE_THROUGH[name]: _thinned(layer, max(SMALLEST_SHEET, round(share * len(layer.faces))))
        for name, layer in head.see_through.items()
    }
    goal = LEVELS[level] - sum(len(layer.faces) for layer in layers.values())
    weight = np.where(head.piece == HeadPiece.HAIR, HAIR, np.where(head.part == HeadPart.FACE, FACE, 1.0))
    faces = simplified_faces(_poses(head), head.faces, goal, weight)
    fewer = replace(head, faces=faces).kept(np.ones(len(faces), bool))
    return replace(fewer, **layers, normal_map=bake_normals(head, fewer))


def _poses(head: HeadMesh) -> np.ndarray:
    """The head's vertices [K, V, 3] at rest and, if it can move, in `EXPRESSIONS`."""
    if head.binding is None:
        return head.vertices[None]
    moved = [head.displaced(expression_displacement(weights)).vertices for weights in EXPRESSIONS]
    return np.stack([head.vertices, *moved])


def _thinned(sheet: SeeThrough, goal: int) -> SeeThrough:
    """A see-through layer of fewer triangles."""
    faces = simplified_faces(sheet.vertices[None], sheet.faces, goal, np.ones(len(sheet.vertices)))
    used, corners = renumbered(faces, len(sheet.vertices))
    return replace(
        sheet,
        vertices=sheet.vertices[used],
        faces=corners,
        uv=sheet.uv[used],
        binding=sheet.binding.chosen(used),
    )
