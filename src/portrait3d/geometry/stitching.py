"""One head mesh from the fitted face, the lifted depth of everything else and a closed back."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage

from portrait3d.geometry.backing import close_behind, scalp_weight
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.filling import as_planes, push_pull, resample
from portrait3d.geometry.mesh import HeadMesh, HeadPart
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
from portrait3d.geometry.skin import FittedHead, closing_sheets, normals, view_cosine
from portrait3d.geometry.texture import DISC, Atlas, roughness_of, spread, strands

GRAZING = 0.04
"""Skin seen flatter than this cosine does not take the photo's colours."""
RIM = 1.5
"""Width of the outline (pixels of the crop) whose colours are taken from further inside."""
HAIR_RIM = 5.0
"""The same for hair, whose parsed outline is further off and which the background shines through."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A part of the mesh on its way into it."""

    vertices: Float[np.ndarray, "N 3"]
    faces: Int64[np.ndarray, "F 3"]
    part: UInt8[np.ndarray, " N"]
    uv: Float[np.ndarray, "N 2"]


def stitch(
    model: FittedHead,
    depth: DepthMap,
    parsing: Float[np.ndarray, "9 H W"],
    picture: UInt8[np.ndarray, "S S 3"],
    angle: float = 0.0,
) -> HeadMesh:
    """Join the face model and the lifted rest of the head into one closed, textured mesh.

    The face keeps the model's own vertices where the photo shows it. Hair, ears and the rest are a sheet over
    the crop's pixels that runs on under the face's border at the model's depth, so that no crack opens. The
    model, grown to the hair's outline, closes the head behind both.

    Args:
        model: The fitted head model.
        depth: The predicted depth of face, hair, ears and headwear in the head crop's camera, mm.
        parsing: Probabilities of the nine classes in the head crop.
        picture: The head crop at the texture's resolution (`head_crop.resized(S).extract`, S even, <= 1024).
        angle: The crop's roll in the photo, radians; the mesh is returned in the photo's camera frame.
    """
    crop = depth.camera.width
    labels = parsing.argmax(axis=0).astype(np.uint8)
    coverage = parsing[list(HEAD)].sum(axis=0)
    region = head_region(labels, depth.valid.numpy())

    sheets = closing_sheets(model.faces, model.model_vertices)
    faces = np.concatenate([model.faces, sheets])
    seen = photographed(model, faces, parsing)
    covered = covered_pixels(model, seen[: len(model.faces)], labels) & region
    settled = settle_depth(depth.depth.double().numpy(), region, labels, model.depth, covered)
    inner = ndimage.binary_erosion(covered, iterations=OVERLAP)
    ears = np.isin(labels, EARS) & region
    sheet = lift(settled, region & ~inner & ~ears, labels, coverage, model.focal)
    if ears.any():
        sheet = beside(sheet, lift_ears(settled, ears, region, labels, coverage, model.focal))

    held = np.zeros(len(model.vertices), bool)
    held[faces[seen]] = True
    backing = close_behind(model, held, sheet.depth, labels, region)
    hairy = under_hair(model, labels, region, backing)

    atlas = Atlas(len(picture))
    patches = [
        face_patch(model, faces[seen], atlas, crop),
        backing_patch(model, backing, faces[~seen], hairy, atlas),
        sheet_patch(sheet, atlas, crop),
        sheet_patch(skirt(sheet), atlas, crop),
    ]
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    if (behind := hair_back(sheet, hair, model.face_index >= 0, model.focal)) is not None:
        patches.append(sheet_patch(behind, atlas, crop))
    texture = paint(model, backing, hairy, sheet, labels, coverage, picture, atlas)
    return assemble(patches, texture, angle)


def photographed(
    model: FittedHead,
    faces: Int64[np.ndarray, "F 3"],
    parsing: Float[np.ndarray, "9 H W"],
) -> Bool[np.ndarray, " F"]:
    """Which of the skin's triangles the photo shows: turned to the camera, not hidden, on face or neck.

    `faces` are the skin's and then the sheets over eyes and mouth, which lie behind eyeballs and lips and so
    count by what the photo shows there. Well inside the face, surfaces seen edge-on take the photo's colours
    too: what is beside them is skin.
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
    shown &= on_skin & (model.ears_mask < 0.05)
    chosen = shown[faces].all(axis=1)
    chosen[len(model.faces) :] = on_skin[faces[len(model.faces) :]].all(axis=1)
    return chosen


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
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    vertices: Float[np.ndarray, "V 3"],
) -> Bool[np.ndarray, " V"]:
    """Vertices of the backing that take the hair's colour: the scalp, and what hair beside the face hides."""
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    if is_bald(labels):
        return np.zeros(len(vertices), bool)
    height, width = labels.shape
    column, row = np.floor(model.pixels(vertices)).astype(np.int64).clip(0, [width - 1, height - 1]).T
    scalp = scalp_weight(model.model_vertices, model.ears_mask) > 0.5
    before = (model.face_mask > 0.5) & (model.model_vertices[:, 2] < -5)
    return scalp | (hair[row, column] & ~before)


def face_patch(model: FittedHead, faces: Int64[np.ndarray, "F 3"], atlas: Atlas, crop: int) -> Patch:
    """The part of the model that the photo shows, with the photo's colours."""
    used, faces = np.unique(faces, return_inverse=True)
    part = np.where(model.face_mask[used] > 0.3, HeadPart.FACE, HeadPart.REST).astype(np.uint8)
    uv = atlas.of_photo(model.pixels(model.vertices[used]), crop)
    return Patch(model.vertices[used], faces.reshape(-1, 3), part, uv)


def backing_patch(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    hairy: Bool[np.ndarray, " V"],
    atlas: Atlas,
) -> Patch:
    """The hidden part of the model, coloured from the disc."""
    used, corners = np.unique(faces, return_inverse=True)
    part = np.full(len(used), HeadPart.REST, np.uint8)
    part[model.face_mask[used] > 0.3] = HeadPart.FACE
    part[hairy[used]] = HeadPart.HAIR
    part[model.ears_mask[used] > 0.5] = HeadPart.EAR
    uv = atlas.of_disc(model.to_model(vertices[used]))
    return Patch(vertices[used], corners.reshape(-1, 3), part, uv)


def sheet_patch(sheet: Sheet, atlas: Atlas, crop: int) -> Patch:
    """The lifted part of the head, with the photo's colours."""
    part = np.full(len(sheet.label), HeadPart.REST, np.uint8)
    part[np.isin(sheet.label, (HAIR, HEADWEAR))] = HeadPart.HAIR
    part[np.isin(sheet.label, EARS)] = HeadPart.EAR
    part[np.isin(sheet.label, SKIN)] = HeadPart.FACE
    return Patch(sheet.vertices, sheet.faces, part, atlas.of_photo(sheet.pixels, crop))


def paint(
    model: FittedHead,
    backing: Float[np.ndarray, "V 3"],
    hairy: Bool[np.ndarray, " V"],
    sheet: Sheet,
    labels: UInt8[np.ndarray, "H W"],
    coverage: Float[np.ndarray, "H W"],
    picture: UInt8[np.ndarray, "S S 3"],
    atlas: Atlas,
) -> UInt8[np.ndarray, "S T 3"]:
    """The texture: the photo with a clean rim, and what it shows of hair and skin spread over the rest."""
    height, width = labels.shape
    whole = (atlas.size, atlas.size)
    fine = as_planes(picture)
    coarse = resample(fine, (height, width))
    # Colours mix with the background's at the rim: take them from further inside. The neck keeps its own.
    inner = (coverage > 0.5) & ~(np.isin(labels, (HAIR, HEADWEAR)) & is_bald(labels))
    depth_inside = ndimage.distance_transform_edt(inner)
    rim = np.where(np.isin(labels, (HAIR, HEADWEAR)), HAIR_RIM, RIM)
    trusted = resample(torch.from_numpy(np.clip(depth_inside - rim, 0, 1)).float()[None], whole)[0]
    neck = torch.from_numpy(ndimage.binary_erosion(labels == NECK)).float()[None]
    trusted = torch.maximum(trusted, resample(neck, whole)[0])
    half = (atlas.size // 2, atlas.size // 2)
    sure = (resample(trusted[None], half)[0] > 0.99).float()
    filled = resample(push_pull(resample(fine, half), sure), whole)
    photo = filled + (fine - filled) * trusted

    inside = ndimage.binary_erosion(coverage > 0.8, iterations=2)
    colours = coarse.numpy().transpose(1, 2, 0)
    skin_seen = ndimage.binary_erosion(np.isin(labels, (*SKIN, NECK)), iterations=2)
    row, column = np.nonzero(skin_seen & np.isfinite(model.depth) & (model.face_index < len(model.faces)))
    points = lifted(row, column, model.depth[row, column], model, width)
    plain = ~features(points)
    if plain.sum() < 20:
        plain[:] = True
    disc = resample(spread(points[plain], colours[row[plain], column[plain]]), (2 * DISC, 2 * DISC))
    visible_hair = np.isin(labels, (HAIR, HEADWEAR)) & inside
    column, row = np.floor(sheet.pixels).astype(np.int64).clip(0, [width - 1, height - 1]).T
    chosen = visible_hair[row, column]
    if hairy.any() and chosen.any():
        points = model.to_model(sheet.vertices[chosen])
        hair = spread(points, colours[row[chosen], column[chosen]])
        rough = 1 + roughness_of(coarse, visible_hair) * strands(2 * DISC)
        hair = resample(hair, (2 * DISC, 2 * DISC)) * rough
        border = spread(model.to_model(backing), hairy[:, None].astype(float))
        border = ((resample(border, (2 * DISC, 2 * DISC)) - 0.5) * 3 + 0.5).clamp(0, 1)
        disc = disc + (hair - disc) * border
    return atlas.paint(photo, disc)


def lifted(
    row: np.ndarray, column: np.ndarray, depth: np.ndarray, model: FittedHead, size: int
) -> Float[np.ndarray, "N 3"]:
    """Pixels of the crop with depths (mm) as points of the model's frame."""
    rays = (np.stack([column, row], axis=1) + 0.5 - size / 2) / model.focal
    return model.to_model(np.concatenate([rays, np.ones((len(row), 1))], axis=1) * depth[:, None])


def features(points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
    """Points (model frame, mm) about eyes and mouth, whose colours are not spread over hidden skin."""
    x, y, z = points.T
    eyes = (np.abs(np.abs(x) - 31) < 24) & (np.abs(y + 26) < 22)
    mouth = (np.abs(x) < 34) & (y > 18) & (y < 62)
    return (eyes | mouth) & (z < 0)


def assemble(patches: list[Patch], texture: UInt8[np.ndarray, "S T 3"], angle: float) -> HeadMesh:
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
    )
