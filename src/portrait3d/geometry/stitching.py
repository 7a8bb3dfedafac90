"""One head mesh from the fitted face, the lifted depth of everything else and a closed back."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage

from portrait3d.geometry.atlas import Atlas, clean_photo
from portrait3d.geometry.backing import close_behind, scalp_weight
from portrait3d.geometry.baking import Scene, Surfaces, bake_skin
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.following import chosen, follow, follow_beside, joined
from portrait3d.geometry.layout import Texels
from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPart
from portrait3d.geometry.openings import paint_pieces
from portrait3d.geometry.sheet import (
    EARS,
    HAIR,
    HEAD,
    HEADWEAR,
    NECK,
    OVERLAP,
    SKIN,
    Sheet,
    beside,
    hair_back,
    head_region,
    is_bald,
    lift,
    lift_ears,
    settle_depth,
    skirt,
)
from portrait3d.geometry.skin import FittedHead, normals, view_cosine

GRAZING = 0.04
"""Skin seen flatter than this cosine does not take the photo's colours."""
UNSEEN_SCALP = 0.002
"""Weight of hair where the photo does not show the scalp, against what it shows elsewhere."""


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


def stitch(
    model: FittedHead,
    texels: Texels,
    depth: DepthMap,
    parsing: Float[np.ndarray, "9 H W"],
    picture: UInt8[np.ndarray, "S S 3"],
    angle: float = 0.0,
) -> HeadMesh:
    """Join the face model and the lifted rest of the head into one closed, textured mesh.

    The head model's whole surface with eyes, teeth, tongue and mouth cavity is in it: its face where the
    photo shows it, and the rest grown to the hair's outline so that it closes the head behind. Hair, ears and
    what else the photo shows are a sheet over the crop's pixels that runs on under the face's border at the
    model's depth, so that no crack opens.

    Args:
        model: The fitted head model.
        texels: The texture's pixels that show the model, for the picture's size.
        depth: The predicted depth of face, hair, ears and headwear in the head crop's camera, mm.
        parsing: Probabilities of the nine classes in the head crop.
        picture: The head crop at the texture's resolution (`head_crop.resized(S).extract`, S even, <= 1024).
        angle: The crop's roll in the photo, radians; the mesh is returned in the photo's camera frame.
    """
    crop = depth.camera.width
    labels = parsing.argmax(axis=0).astype(np.uint8)
    coverage = parsing[list(HEAD)].sum(axis=0)
    region = head_region(labels, depth.valid.numpy())

    shown = photographed(model, parsing)
    seen = np.all(shown[model.faces], axis=1)
    covered = covered_pixels(model, seen, labels) & region
    settled = settle_depth(depth.depth.double().numpy(), region, labels, model.depth, covered)
    inner = ndimage.binary_erosion(covered, iterations=OVERLAP)
    ears = np.isin(labels, EARS) & region
    sheet = lift(settled, region & ~inner & ~ears, labels, coverage, model.focal)
    if ears.any():
        sheet = beside(sheet, lift_ears(settled, ears, region, labels, coverage, model.focal))

    held = np.zeros(len(model.vertices), bool)
    held[model.faces[seen]] = True
    backing = close_behind(model, held, sheet.depth, labels, region)
    hairy = under_hair(model, held, labels, region, coverage)

    atlas = Atlas(len(picture))
    follows = follow_beside(model, sheet, covered, labels)
    patches = [
        model_patch(model, backing, held, hairy, atlas),
        sheet_patch(sheet, follows, atlas, crop),
    ]
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    behind = hair_back(sheet, hair, model.face_index >= 0, model.focal)
    for grown in (skirt(sheet), behind):
        if grown is not None:
            patches.append(sheet_patch(grown[0], chosen(follows, grown[1]), atlas, crop, seen=False))

    scene = Scene.of(picture, labels, coverage)
    colours, _ = bake_skin(model, texels, scene, Surfaces(held, hairy))
    colours = paint_pieces(model, texels, scene, colours)
    texture = atlas.compose(clean_photo(scene), texels, colours)
    return assemble(patches, texture, angle)


def photographed(model: FittedHead, parsing: Float[np.ndarray, "9 H W"]) -> Bool[np.ndarray, " V"]:
    """Which of the model's vertices the photo shows: turned to the camera, not hidden, on face or neck.

    Well inside the face, surfaces seen edge-on count too: what is beside them is skin.
    """
    height, width = model.depth.shape
    pixels = model.pixels(model.vertices)
    at = pixels.T[::-1] - 0.5
    skin = parsing[[*SKIN, NECK]].sum(axis=0)
    deep = ndimage.minimum_filter(skin, 7) > 0.5
    on_skin, inner = (
        ndimage.map_coordinates(values, at, order=1, mode="constant") > 0.5
        for values in (skin, deep.astype(float))
    )
    cosine = view_cosine(model.vertices, normals(model.vertices, model.faces))
    row, column = np.floor(pixels.T[::-1]).astype(np.int64).clip(0, [[height - 1], [width - 1]])
    nearest = ndimage.grey_dilation(np.where(np.isfinite(model.depth), model.depth, -np.inf), (3, 3))
    hidden = model.vertices[:, 2] - nearest[row, column]
    shown = np.where(inner, (cosine > -0.7) & (hidden < 12.0), (cosine > GRAZING) & (hidden < 2.0))
    return shown & on_skin & (model.ears_mask < 0.05)


def covered_pixels(
    model: FittedHead, seen: Bool[np.ndarray, " F"], labels: UInt8[np.ndarray, "H W"]
) -> Bool[np.ndarray, "H W"]:
    """Pixels of the crop that show a photographed triangle, eyes and open mouth among them."""
    index = model.face_index
    skin = (index >= 0) & (index < len(seen))
    covered = skin & seen[np.where(skin, index, 0)]
    openings = ((index >= len(seen)) | (labels == SKIN[1])) & np.isin(labels, SKIN)
    return covered | (ndimage.binary_fill_holes(covered) & openings)


def under_hair(
    model: FittedHead,
    shown: Bool[np.ndarray, " V"],
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    coverage: Float[np.ndarray, "H W"],
) -> Float[np.ndarray, " V"]:
    """1 where hair covers the model's skin: on the scalp as far as the photo does not show it bare, and where
    hair beside the face hides it."""
    if is_bald(labels):
        return np.zeros(len(model.vertices))
    height, width = labels.shape
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    column, row = np.floor(model.pixels(model.vertices)).astype(np.int64).clip(0, [width - 1, height - 1]).T
    before = (model.face_mask > 0.5) & (model.model_vertices[:, 2] < -5)
    scalp = scalp_weight(model.model_vertices, model.ears_mask) > 0.5
    wanted = np.where(scalp, 1.0, hair[row, column] & ~before)
    # Where the photo shows the scalp, it decides; the scalp around takes what is likely from there.
    facing = view_cosine(model.vertices, normals(model.vertices, model.faces)) > 0.1
    sure = ndimage.binary_erosion(coverage > 0.8, iterations=2)
    bare = np.isin(labels, SKIN) & ndimage.binary_erosion(np.isin(labels, SKIN), iterations=2)
    evident = scalp & facing & (sure & (hair | bare))[row, column]
    wanted = np.where(evident, hair[row, column], wanted)
    weight = np.where(scalp & ~evident, UNSEEN_SCALP, 1.0)
    return diffuse(model.faces, wanted[:, None].astype(float), weight)[:, 0]


def model_patch(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    shown: Bool[np.ndarray, " V"],
    hairy: Float[np.ndarray, " V"],
    atlas: Atlas,
) -> Patch:
    """The head model's whole surface in its own texture coordinates."""
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
    return Patch(
        vertices[at], layout.point_faces, part[at], atlas.of_model(layout.points), follow(at), piece, seen[at]
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


def assemble(patches: list[Patch], texture: UInt8[np.ndarray, "T T 3"], angle: float) -> HeadMesh:
    """One mesh of all patches, turned back into the photo's camera frame."""
    offsets = np.cumsum([0] + [len(patch.vertices) for patch in patches[:-1]])
    vertices = np.concatenate([patch.vertices for patch in patches])
    cosine, sine = np.cos(angle), np.sin(angle)
    vertices = vertices @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    faces = [patch.faces + start for patch, start in zip(patches, offsets, strict=True)]
    return HeadMesh(
        vertices=vertices.astype(np.float32),
        faces=np.concatenate(faces).astype(np.int64),
        part=np.concatenate([patch.part for patch in patches]),
        uv=np.concatenate([patch.uv for patch in patches]).astype(np.float32),
        texture=texture,
        binding=joined([patch.binding for patch in patches]),
        piece=np.concatenate([patch.piece for patch in patches]),
        seen=np.concatenate([patch.seen for patch in patches]),
    )
