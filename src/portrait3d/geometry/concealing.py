"""Keeping the closing surface out of the photo's sight: behind the sheet and inside the head's outline."""

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage

from portrait3d.geometry.backing import BEHIND, shown_ears, triangle_points
from portrait3d.geometry.diffusion import neighbours_mean
from portrait3d.geometry.limb import LIMB
from portrait3d.geometry.sheet import HEAD, NECK, pixel_under
from portrait3d.geometry.skin import FittedHead, flatten_ears, normals, view_cosine

TUCKS, SHOWING = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 0.02
"""How flat an ear that the photo doesn't show may be laid; the share of its vertices that may be in sight."""
STEP = 5.0
"""Depth differences (mm) between neighbouring pixels above this are steps between two surfaces."""
ROUNDS, SPREAD = 5, 3
"""How often what pokes through the sheet or out of the head sinks in, and how far around it what doesn't."""
COLLAR = 70.0
"""Height in the model's frame below which clothes may hide the neck, mm (y down)."""
PUSHES = 3
"""How often what still lies before the sheet is pushed back along its rays."""
LEAST_COSINE = 0.1
"""What is seen flatter than this cosine to the view sinks as if it were not."""
FARTHEST_PUSH = 8.0
"""How far the middles of triangles are pushed in one round, mm."""


def keep_behind(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    held: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "V 3"]:
    """The closing surface out of sight: inside the parsed head and behind the sheet; crop camera, mm.

    Ears that the photo doesn't show are laid against the head. Vertices that are `held` stay where they are.
    """
    allowed = (np.isin(labels, HEAD) & region) | (labels == NECK)
    bare = shown_ears(model, labels)
    tucked = (model.ears_mask > 0.05) & ~bare & ~held
    movable = ~held & ~bare & ~tucked
    movable &= np.isin(np.arange(len(held)), model.faces)
    # Clothes hide the lower neck.
    above = model.model_vertices[:, 1] < COLLAR
    beyond = distance_beyond(allowed), distance_beyond(labels != 0)
    # Ears sink as what is around them does: their own folds look everywhere.
    normal = flatten_ears(normals(vertices, model.faces), model.faces, tucked)
    for _ in range(SPREAD):
        normal = neighbours_mean(model.faces, normal)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    hiding = hiding_depth(sheet_depth)
    sunk = vertices
    for _ in range(ROUNDS):
        before = lacking_around(sunk, model.faces, hiding, model.focal)
        # Seen edge-on, a small step inward hides the surface, however far it lies before the sheet.
        needed = before * np.maximum(view_cosine(sunk, normal), LEAST_COSINE)
        outside = np.where(above, *(outside_by(model, sunk, distance) for distance in beyond))
        needed = np.minimum(np.maximum(needed, outside), FARTHEST_PUSH) * movable
        amount = needed
        for _ in range(SPREAD):
            amount = np.maximum(needed, neighbours_mean(model.faces, amount[:, None])[:, 0] * movable)
        sunk = sunk - amount[:, None] * normal
    shift = flatten_ears(sunk - vertices, model.faces, tucked)
    vertices = tuck_ears(model, vertices + shift, tucked, allowed, hiding)
    facing = view_cosine(vertices, normals(vertices, model.faces)) > LIMB
    return push_behind(vertices, model.faces, movable & facing, hiding, model.focal)


def tuck_ears(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    ears: Bool[np.ndarray, " V"],
    allowed: Bool[np.ndarray, "H W"],
    hiding: Float[np.ndarray, "H W"],
) -> Float[np.ndarray, "V 3"]:
    """Lay each ear that the photo doesn't show against the head, as far as it takes to keep it out of sight.

    An ear keeps its form: it is flattened as a whole.
    """
    for side in (-1, 1):
        own = ears & (side * model.model_vertices[:, 0] > 0)
        if not own.any():
            continue
        flat = flatten_ears(vertices, model.faces, own)
        for share in TUCKS:
            tucked = vertices + share * (flat - vertices)
            outside = ~model.read(allowed, tucked[own])
            before = lacking(tucked[own], hiding, model.focal) > BEHIND
            if (outside | before).mean() < SHOWING:
                break
        vertices = tucked
    return vertices


def distance_beyond(allowed: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """How far (pixels) each pixel is from the allowed ones that are not at their rim.

    So the closing surface lies a pixel inside the outline and does not show as a second contour.
    """
    core = ndimage.binary_erosion(allowed, border_value=1)
    return ndimage.distance_transform_edt(~(core if core.any() else allowed))


def outside_by(
    model: FittedHead, vertices: Float[np.ndarray, "V 3"], distance: Float[np.ndarray, "H W"]
) -> Float[np.ndarray, " V"]:
    """How far (mm) outside the allowed pixels vertices project, by the pixels' `distance`; 0 off the crop."""
    outside = np.where(model.in_crop(vertices), model.read(distance, vertices), 0.0)
    return outside * vertices[:, 2] / model.focal


def push_behind(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    movable: Bool[np.ndarray, " V"],
    hiding: Float[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, "V 3"]:
    """Move what lies before the sheet behind it along its rays, middles of edges and triangles too."""
    loose = faces[movable[faces].all(axis=1)]
    wanted = lacking(vertices, hiding, focal) * movable
    vertices = vertices / vertices[:, 2:] * (vertices[:, 2:] + wanted[:, None])
    for _ in range(PUSHES):
        wanted = np.minimum(lacking_around(vertices, loose, hiding, focal), FARTHEST_PUSH) * movable
        vertices = vertices / vertices[:, 2:] * (vertices[:, 2:] + wanted[:, None])
    return vertices


def in_the_way(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    hiding: Float[np.ndarray, "H W"],
    focal: float,
) -> Bool[np.ndarray, " F"]:
    """Triangles that stick out of the sheet all the same."""
    poking = np.zeros(len(faces), bool)
    for points in triangle_points(vertices, faces):
        poking |= lacking(points, hiding, focal) > BEHIND
    return poking


def lacking_around(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    hiding: Float[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, " V"]:
    """How far (mm) vertices, and points of the triangles around them, would have to go along their rays to
    lie behind the sheet."""
    wanted = lacking(vertices, hiding, focal)
    for points in triangle_points(vertices, faces):
        gap = lacking(points, hiding, focal)
        for k in range(3):
            np.maximum.at(wanted, faces[:, k], gap)
    return wanted


def hiding_depth(sheet_depth: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """The depth (mm) behind which the sheet hides things; minus infinity where it hides nothing.

    In each pixel that is the farthest of those around, but not the far side of a step such as the one behind
    an ear.
    """
    own = np.where(np.isfinite(sheet_depth), sheet_depth, -np.inf)
    around = ndimage.grey_dilation(own, (5, 5))
    return np.where(np.isfinite(own), np.minimum(around, own + STEP), around) + BEHIND


def lacking(
    points: Float[np.ndarray, "N 3"], hiding: Float[np.ndarray, "H W"], focal: float
) -> Float[np.ndarray, " N"]:
    """How far (mm) points would have to go along their rays to be hidden."""
    pixels = focal * points[:, :2] / points[:, 2:] + np.array(hiding.shape[::-1]) / 2
    return np.maximum(hiding[pixel_under(pixels, hiding.shape)] - points[:, 2], 0.0)
