"""From the fitted head, two depth maps and a photo to the head's layers, and from those to one mesh.

fitted head ─► skin (layer order) ──────────────┐
depth, far surface ─► hair view ─┬─► hair body ─┼─► HeadMesh
                                 └─► hair sheet ┘
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from portrait3d.geometry.binding import bind
from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPart, HeadPiece, SeeThrough
from portrait3d.head.atlas import Atlas, blend, ground
from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_body import shown_vertices
from portrait3d.head.hair_sheet import HAIR_REACH, lift_sheet
from portrait3d.head.hair_texture import PaintedHair, paint_hair
from portrait3d.head.hair_view import HairView
from portrait3d.head.layout import Texels
from portrait3d.head.scene import Scene
from portrait3d.head.shot import Shot
from portrait3d.head.skin import in_layers, neck_cut, photographed, under_hair
from portrait3d.head.skin_texture import SkinColours, bake_skin, bare_light, with_strands
from portrait3d.preprocessing.threads import at_once


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A layer of the head on its way into one mesh."""

    vertices: Float[np.ndarray, "N 3"]
    """Crop camera, mm."""
    faces: Int64[np.ndarray, "F 3"]
    part: UInt8[np.ndarray, " N"]
    piece: UInt8[np.ndarray, " N"]
    uv: Float[np.ndarray, "N 2"]
    seen: Bool[np.ndarray, " N"]
    binding: Binding


def assemble_head(
    model: FittedHead,
    view: HairView,
    scene: Scene,
    texels: tuple[Texels, Texels],
    size: int,
    angle: float = 0.0,
    others: Sequence[Shot] = (),
    *,
    delight: bool = False,
) -> HeadMesh:
    """Skin, hair body and hair sheet as one textured mesh in the photo's camera frame.

    Args:
        model: The head model fitted to the photo.
        view: Hair as the same camera sees it.
        scene: The photo in that crop.
        texels: The texture's pixels that show the model, at full and half resolution.
        size: Side of the hair's chart, pixels: half that of the texture.
        angle: The crop's roll in the photo, radians.
        others: Further photos of the same person.
        delight: Whether the fitted light's shading is taken out of the skin's colours.
    """
    others = [shot_in_layers(shot) for shot in others]
    model, view = in_layers(model, view)
    shown, atlas = photographed(model, view), Atlas(size)
    # Hair and skin need nothing of each other here, nor do the two below: each pair runs side by side.
    hair, skin = at_once(
        lambda: paint_hair(view, model, scene, size, others),
        lambda: bake_skin(model, texels, scene, shown, view.lying, others),
    )
    # What any of the photos shows bare is not under hair; above, the main photo alone said what it shows.
    shown = np.logical_or.reduce([shown, *(photographed(shot.model, shot.view) for shot in others)])
    hairy = under_hair(model, view, None if hair is None else hair.body, shown)
    patches = [skin_patch(model, shown, hairy, atlas), neck_patch(model, hairy, atlas)]
    texture, layers = at_once(
        lambda: painted_skin(model, texels, skin, hairy, hair, delight=delight),
        lambda: None if hair is None else hair_layers(view, model, scene, hair, atlas),
    )
    if hair is not None:
        atlas.place_hair(texture, hair.picture)
    if layers is None:
        return joined(patches, texture, None, angle)
    body, sheet = layers
    return joined([*patches, body], texture, sheet, angle)


def shot_in_layers(shot: Shot) -> Shot:
    """A further photo with skin and hair on its own outline and in layer order."""
    model, view = in_layers(shot.model, shot.view)
    return replace(shot, model=model, view=view)


def painted_skin(
    model: FittedHead,
    texels: tuple[Texels, Texels],
    skin: SkinColours,
    hairy: Float[np.ndarray, " V"],
    hair: PaintedHair | None,
    *,
    delight: bool,
) -> UInt8[np.ndarray, "T T 3"]:
    """The texture with the skin's colours: the photo's where it shows the skin, what is likely elsewhere."""
    fine, coarse = texels
    unseen = skin.unseen
    if hair is not None:
        unseen = with_strands(model, coarse, unseen, hairy, hair.colours)
    light = bare_light(model, fine, hairy) if delight else np.ones(len(fine.place), np.float32)
    texture = ground(coarse, unseen)
    blend(texture, fine, skin.seen, skin.share, light)
    return texture


def skin_patch(
    model: FittedHead,
    shown: Bool[np.ndarray, " V"],
    hairy: Float[np.ndarray, " V"],
    atlas: Atlas,
) -> Patch:
    """The head model's whole surface in its own texture coordinates, eyes and mouth among it."""
    layout = model.layout
    at, faces = layout.point_vertex, layout.point_faces
    piece = np.zeros(len(at), np.uint8)
    piece[faces] = layout.piece[:, None]
    part = np.where(model.face_mask > 0.3, HeadPart.FACE, HeadPart.REST).astype(np.uint8)
    part[hairy > 0.5] = HeadPart.HAIR
    part[model.ears_mask > 0.5] = HeadPart.EAR
    seen = shown.copy()
    # Triangles after those of the skin are eyes, teeth, tongue and cavity: seen where the opening shows them.
    visible = np.unique(model.face_index[model.face_index >= len(model.faces)])
    seen[layout.faces[visible]] = True
    # The masks of the head model are 0 off the skin, but what lies behind lids and lips is face.
    inner = np.ones(len(part), bool)
    inner[model.faces] = False
    part[inner] = HeadPart.FACE
    return Patch(
        vertices=model.vertices[at],
        faces=faces,
        part=part[at],
        piece=piece,
        uv=atlas.of_model(layout.points),
        seen=seen[at],
        binding=Binding.to_vertices(at),
    )


def neck_patch(model: FittedHead, hairy: Float[np.ndarray, " V"], atlas: Atlas) -> Patch:
    """The cut through the neck, closed by a fan of triangles in the colour of the nape's skin."""
    loop, faces = neck_cut(model)
    count = len(loop) + 1
    # One texel for the whole cut, of which no photo shows anything: the hindmost of its margin that is bare.
    bare = loop[hairy[loop] <= hairy[loop].min()]
    nape = bare[model.model_vertices[bare, 2].argmax()]
    place = model.layout.points[np.flatnonzero(model.layout.point_vertex == nape)[:1]]
    return Patch(
        vertices=np.concatenate([model.vertices[loop], model.vertices[loop].mean(axis=0, keepdims=True)]),
        faces=faces,
        part=np.full(count, HeadPart.REST, np.uint8),
        piece=np.zeros(count, np.uint8),
        uv=atlas.of_model(np.repeat(place, count, axis=0)),
        seen=np.zeros(count, bool),
        binding=Binding.to_vertices(np.append(loop, loop[0])),
    )


def hair_layers(
    view: HairView, model: FittedHead, scene: Scene, hair: PaintedHair, atlas: Atlas
) -> tuple[Patch, SeeThrough | None]:
    """The hair's body in its own chart, and the sheet before it."""
    body, chart = hair.body, hair.chart
    vertices = model.to_camera(body.vertices)[chart.source]
    count = len(vertices)
    patch = Patch(
        vertices=vertices,
        faces=chart.faces,
        part=np.full(count, HeadPart.HAIR, np.uint8),
        piece=np.full(count, HeadPiece.HAIR, np.uint8),
        uv=atlas.of_hair(chart.places),
        seen=shown_vertices(view, model, body)[chart.source],
        binding=bind(vertices, model.vertices, model.topology.used, HAIR_REACH),
    )
    return patch, lift_sheet(view, model, scene)


def joined(
    patches: list[Patch], texture: UInt8[np.ndarray, "T T 3"], sheet: SeeThrough | None, angle: float
) -> HeadMesh:
    """One mesh of all patches and the sheet, turned back into the photo's camera frame."""
    offsets = np.cumsum([0] + [len(patch.vertices) for patch in patches[:-1]])
    cosine, sine = np.cos(angle), np.sin(angle)
    # Rz(angle) for rows: from the upright crop's camera to the photo's.
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    if sheet is not None:
        sheet = replace(sheet, vertices=(sheet.vertices @ turn).astype(np.float32))
    faces = [patch.faces + start for patch, start in zip(patches, offsets, strict=True)]
    return HeadMesh(
        vertices=np.concatenate([patch.vertices @ turn for patch in patches]).astype(np.float32),
        faces=np.concatenate(faces).astype(np.int64),
        part=np.concatenate([patch.part for patch in patches]),
        uv=np.concatenate([patch.uv for patch in patches]).astype(np.float32),
        texture=texture,
        binding=Binding.joined(*(patch.binding for patch in patches)),
        piece=np.concatenate([patch.piece for patch in patches]),
        seen=np.concatenate([patch.seen for patch in patches]),
        hair_sheet=sheet,
    )
