"""The parts that a head mesh is put together from."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from portrait3d.geometry.atlas import Atlas
from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPart, HeadPiece, LooseHair
from portrait3d.geometry.sheet import EARS, HAIR, HEADWEAR, SKIN, Sheet
from portrait3d.geometry.skin import FittedHead, openings

BARE = 0.2
"""Up to this share of hair (see `hairline.under_hair`) no strand reaches the neck's cut."""
LAYER = 6.0
"""Thickness of the hair that hangs behind the neck, mm."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A part of the mesh on its way into it."""

    vertices: Float[np.ndarray, "N 3"]
    faces: Int64[np.ndarray, "F 3"]
    part: UInt8[np.ndarray, " N"]
    uv: Float[np.ndarray, "N 2"]
    binding: Binding
    piece: UInt8[np.ndarray, " N"]
    seen: Bool[np.ndarray, " N"]


def model_patch(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    kept: Bool[np.ndarray, " F"],
    shown: Bool[np.ndarray, " V"],
    hairy: Float[np.ndarray, " V"],
    atlas: Atlas,
) -> Patch:
    """The head model's surface in its own texture coordinates, but for triangles that are not `kept`."""
    layout, at = model.layout, model.layout.point_vertex
    piece = np.zeros(len(at), np.uint8)
    piece[layout.point_faces] = layout.piece[:, None]
    part = np.where(model.face_mask > 0.3, HeadPart.FACE, HeadPart.REST).astype(np.uint8)
    part[(hairy > 0.5) & ~shown] = HeadPart.HAIR
    part[model.ears_mask > 0.5] = HeadPart.EAR
    visible = np.unique(model.face_index[model.face_index >= len(model.faces)])
    seen = shown.copy()
    seen[layout.faces[visible]] = True
    on_skin = np.zeros(len(part), bool)
    on_skin[model.faces] = True
    part[~on_skin] = HeadPart.FACE
    used, corners = np.unique(layout.point_faces[kept], return_inverse=True)
    at = at[used]
    return Patch(
        vertices=vertices[at],
        faces=corners.reshape(-1, 3),
        part=part[at],
        uv=atlas.of_model(layout.points[used]),
        binding=Binding.to_vertices(at),
        piece=piece[used],
        seen=seen[at],
    )


def neck_cap(
    model: FittedHead, vertices: Float[np.ndarray, "V 3"], hairy: Float[np.ndarray, " V"], atlas: Atlas
) -> Patch:
    """The cut through the neck, closed by a fan of triangles in the colour of the nape."""
    loop = openings(model.faces, model.model_vertices)[HeadPiece.SURFACE]
    bare = hairy[loop] < BARE
    nape = loop[np.where(bare | ~bare.any(), model.model_vertices[loop, 2], -np.inf).argmax()]
    place = np.flatnonzero(model.layout.point_vertex == nape)[0]
    count = len(loop)
    rim = np.arange(count)
    faces = np.stack([np.full(count, count), np.roll(rim, -1), rim], axis=1)
    part = np.where(hairy[loop] > 0.5, HeadPart.HAIR, HeadPart.REST).astype(np.uint8)
    own = Binding.to_vertices(np.append(loop, loop[0]))
    return Patch(
        vertices=np.concatenate([vertices[loop], vertices[loop].mean(axis=0, keepdims=True)]),
        faces=faces,
        part=np.append(part, part[0]),
        uv=atlas.of_model(np.repeat(model.layout.points[place : place + 1], count + 1, axis=0)),
        binding=own,
        piece=np.zeros(count + 1, np.uint8),
        seen=np.zeros(count + 1, bool),
    )


def sheet_patch(sheet: Sheet, binding: Binding, atlas: Atlas, crop: int, *, seen: bool = True) -> Patch:
    """A lifted part of the head, with the photo's colours."""
    part = np.full(len(sheet.label), HeadPart.REST, np.uint8)
    part[np.isin(sheet.label, (HAIR, HEADWEAR))] = HeadPart.HAIR
    part[np.isin(sheet.label, EARS)] = HeadPart.EAR
    part[np.isin(sheet.label, SKIN)] = HeadPart.FACE
    return Patch(
        vertices=sheet.vertices,
        faces=sheet.faces,
        part=part,
        uv=atlas.of_photo(sheet.pixels, crop),
        binding=binding,
        piece=np.zeros(len(part), np.uint8),
        seen=np.full(len(part), seen),
    )


def tail_patch(points: Float[np.ndarray, "R C 3"], atlas: Atlas) -> Patch:
    """The far side of hanging hair, a layer that is closed toward the front; it moves with no expression."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (k.ravel() for k in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    v, u = np.mgrid[:rows, :columns]
    places = np.stack([u / (columns - 1), v / (rows - 1)], axis=-1).reshape(-1, 2)
    far = points.reshape(-1, 3)
    near = far * (1 - LAYER / far[:, 2:])
    outer = np.concatenate([np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)])
    count = 2 * len(far)
    return Patch(
        vertices=np.concatenate([far, near]),
        faces=np.concatenate([outer, outer[:, ::-1] + len(far)]),
        part=np.full(count, HeadPart.HAIR, np.uint8),
        uv=np.tile(atlas.of_free(places), (2, 1)),
        binding=Binding.to_vertices(np.zeros(count, np.int64), 0.0),
        piece=np.zeros(count, np.uint8),
        seen=np.zeros(count, bool),
    )


def assemble(
    patches: list[Patch], texture: UInt8[np.ndarray, "T T 3"], loose: LooseHair | None, angle: float
) -> HeadMesh:
    """One mesh of all patches with its loose hair, turned back into the photo's camera frame."""
    offsets = np.cumsum([0] + [len(patch.vertices) for patch in patches[:-1]])
    vertices = np.concatenate([patch.vertices for patch in patches])
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    vertices = vertices @ turn
    if loose is not None:
        loose = replace(loose, vertices=(loose.vertices @ turn).astype(np.float32))
    faces = [patch.faces + start for patch, start in zip(patches, offsets, strict=True)]
    return HeadMesh(
        vertices=vertices.astype(np.float32),
        faces=np.concatenate(faces).astype(np.int64),
        part=np.concatenate([patch.part for patch in patches]),
        uv=np.concatenate([patch.uv for patch in patches]).astype(np.float32),
        texture=texture,
        binding=Binding.joined(*(patch.binding for patch in patches)),
        piece=np.concatenate([patch.piece for patch in patches]),
        seen=np.concatenate([patch.seen for patch in patches]),
        loose_hair=loose,
    )
