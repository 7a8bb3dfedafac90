"""The head model as the closed surface behind the lifted sheet: thickened by the hair, kept out of sight."""

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer, UInt8
from scipy import ndimage

from portrait3d.geometry.diffusion import diffuse, neighbours_mean
from portrait3d.geometry.limb import LIMB, THICKEST, THINNEST, to_outline
from portrait3d.geometry.sheet import EARS, HAIR, HEAD, HEADWEAR, NECK, nearest
from portrait3d.geometry.skin import HEAD_CENTRE, FittedHead, flatten_ears, normals, view_cosine

BEFORE_EARS, TEMPLE = 15.0, -50.0
"""Depth and height in the model's frame (mm, y down) before and below which the sides of temple, cheek, jaw
and throat keep their place: hair beside them lies further back."""
WRAPPINGS = 2
"""How often the scalp is laid under the hair: it shows more of itself to the camera then."""
FACING = 0.2
"""Cosine to the view from which the scalp follows the hair that the photo shows before it."""
BACK, STIFFNESS = 0.02, 0.05
"""Weight of the usual thickness on the unseen back, and how much smoother neighbours are to be."""
FEWEST = 15
"""Pixels of an ear that count as one."""
LEAST_SHOWN = 0.5
"""Part of the box about the model's ear that a parsed ear fills at least if hair does not hide most of it."""
HAIRY, VERY_HAIRY = 0.25, 0.4
"""Share of hair in the head from which it hides ears that the photo doesn't show."""
TUCKS, SHOWING = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 0.02
"""How flat an ear that the photo doesn't show may be laid; the share of its vertices that may be in sight."""
BEHIND = 3.0
"""The backing stays this far behind the sheet, mm."""
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
SAMPLES = ((1 / 3, 1 / 3, 1 / 3), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5))
"""Points of a triangle, barycentric, that are to lie behind the sheet."""
HAIRLESS_BELOW = 75.0
"""Height in the model's frame below which nothing counts as scalp, mm (y down)."""


def scalp_weight(
    model_vertices: Float[np.ndarray, "V 3"], ears_mask: Float[np.ndarray, " V"]
) -> Float[np.ndarray, " V"]:
    """1 where hair grows: behind a line from the hairline over the temple to the nape."""
    y, z = model_vertices[:, 1], model_vertices[:, 2]
    line = np.interp(y, [-130, -95, -60, -20, 0, 30, 60], [-40, -28, 0, 30, 42, 70, 95])
    weight = np.clip((z - line) / 8 + 0.5, 0, 1) * np.clip(1 - ears_mask, 0, 1)
    return weight * np.clip((HAIRLESS_BELOW - y) / 20, 0, 1)


def close_behind(
    model: FittedHead,
    held: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "V 3"]:
    """The head model's vertices, moved so that they close the head behind the sheet; crop camera, mm.

    The model's own outline moves to the head's in the photo (its hair's, where that is wider), what lies
    between there and the photographed face follows smoothly, and the scalp grows by the thickness that the
    hair has above. Ears that hair hides are flattened. Vertices that are `held` stay where they are.
    """
    inner, ears_mask = model.model_vertices, model.ears_mask
    middle = model.pixels(model.to_camera(HEAD_CENTRE[None]))[0]
    bare = shown_ears(model, labels)
    hidden = hidden_ears(model, labels, bare)
    flat = flatten_ears(model.vertices.astype(np.float64), model.faces, hidden)
    vertices = np.where(held[:, None], model.vertices, flat)
    normal = normals(vertices, model.faces)
    head = np.isin(labels, HEAD) & ~np.isin(labels, EARS) & region
    shift, limb = to_outline(model, vertices, normal, head, labels, middle)
    # What is before the ears stays: hair beside the face lies behind the cheek's edge.
    still = held | ((inner[:, 2] < BEFORE_EARS) & (inner[:, 1] > TEMPLE))
    limb &= ~still & (ears_mask < 0.05)
    hairy = scalp_weight(inner, np.where(hidden, 0.0, ears_mask))
    above = limb & (inner[:, 1] < 0) & (hairy > 0.5)
    outward = (shift * normal).sum(axis=1)
    thickness = float(np.clip(np.median(outward[above]), THINNEST, THICKEST)) if above.any() else 0.0

    on_skin = np.zeros(len(held), bool)
    on_skin[model.faces] = True
    hair = np.where(np.isin(labels, (HAIR, HEADWEAR)), sheet_depth, np.inf)
    moved = np.zeros_like(vertices)
    for _ in range(WRAPPINGS):
        wrapped = vertices + moved
        facing = view_cosine(wrapped, normals(wrapped, model.faces)) > FACING
        gap, under = to_sheet(wrapped, (hairy > 0.5) & ~held & ~limb & facing, hair, model)
        wanted = np.where(limb[:, None], shift, (thickness * hairy)[:, None] * normal)
        wanted[still] = 0.0
        wanted[under] = (moved + gap)[under]
        sure = limb | still | under
        weight = np.where(sure, 1.0, np.where(inner[:, 2] > 20, BACK, 0.1 * BACK))
        moved = diffuse(model.faces, wanted, weight * on_skin, STIFFNESS)
        moved[held | ~on_skin] = 0.0
    return vertices + moved


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
    tucked = (model.ears_mask > 0.05) & ~bare & ~hidden_ears(model, labels, bare) & ~held
    movable = ~held & ~bare & ~tucked
    movable &= np.isin(np.arange(len(held)), model.faces)
    # Clothes hide the lower neck.
    above = model.model_vertices[:, 1] < COLLAR
    normal = normals(flatten_ears(vertices, model.faces, tucked), model.faces)
    for _ in range(SPREAD):
        normal = neighbours_mean(model.faces, normal)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    sunk = vertices
    for _ in range(ROUNDS):
        before = lacking_around(sunk, model.faces, sheet_depth, model.focal)
        # Seen edge-on, a small step inward hides the surface, however far it lies before the sheet.
        needed = before * np.maximum(view_cosine(sunk, normal), LEAST_COSINE)
        outside = np.where(above, outside_by(model, sunk, allowed), outside_by(model, sunk, labels != 0))
        needed = np.maximum(needed, outside)
        needed = np.minimum(needed, FARTHEST_PUSH) * movable
        amount = needed
        for _ in range(SPREAD):
            amount = np.maximum(needed, neighbours_mean(model.faces, amount[:, None])[:, 0] * movable)
        sunk = sunk - amount[:, None] * normal
    shift = flatten_ears(sunk - vertices, model.faces, tucked)
    vertices = tuck_ears(model, vertices + shift, tucked, allowed, sheet_depth)
    facing = view_cosine(vertices, normals(vertices, model.faces)) > LIMB
    return push_behind(vertices, model.faces, movable & facing, sheet_depth, model.focal)


def lacking_around(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    sheet_depth: Float[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, " V"]:
    """How far (mm) vertices, and points of the triangles around them, would have to go along their rays to
    lie behind the sheet."""
    wanted = lacking(vertices, sheet_depth, focal)
    for weight in SAMPLES:
        gap = lacking(np.einsum("fkc,k->fc", vertices[faces], np.array(weight)), sheet_depth, focal)
        for k in range(3):
            np.maximum.at(wanted, faces[:, k], gap)
    return wanted


def outside_by(
    model: FittedHead, vertices: Float[np.ndarray, "V 3"], allowed: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, " V"]:
    """How far (mm) vertices project outside the allowed pixels, and one pixel more; 0 inside."""
    height, width = allowed.shape
    # One pixel further in than the rim, so that the backing does not show as a second contour.
    core = ndimage.binary_erosion(allowed, border_value=1)
    distance, _ = nearest(core if core.any() else allowed)
    column, row = np.floor(model.pixels(vertices)).astype(np.int64).T
    known = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    outside = np.where(known, distance[row.clip(0, height - 1), column.clip(0, width - 1)], 0.0)
    return outside * vertices[:, 2] / model.focal


def tuck_ears(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    ears: Bool[np.ndarray, " V"],
    allowed: Bool[np.ndarray, "H W"],
    sheet_depth: Float[np.ndarray, "H W"],
) -> Float[np.ndarray, "V 3"]:
    """Lay each ear that the photo doesn't show against the head, as far as it takes to keep it out of sight.

    An ear keeps its form: it is flattened as a whole.
    """
    height, width = allowed.shape
    for side in (-1, 1):
        own = ears & (side * model.model_vertices[:, 0] > 0)
        if not own.any():
            continue
        flat = flatten_ears(vertices, model.faces, own)
        for share in TUCKS:
            tucked = vertices + share * (flat - vertices)
            column, row = np.floor(model.pixels(tucked[own])).astype(np.int64).T
            outside = ~allowed[row.clip(0, height - 1), column.clip(0, width - 1)]
            before = lacking(tucked[own], sheet_depth, model.focal) > BEHIND
            if (outside | before).mean() < SHOWING:
                break
        vertices = tucked
    return vertices


def to_sheet(
    vertices: Float[np.ndarray, "V 3"],
    chosen: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    model: FittedHead,
) -> tuple[Float[np.ndarray, "V 3"], Bool[np.ndarray, " V"]]:
    """How far vertices are from just behind the sheet, along their rays (mm), and which of the chosen lie
    under it."""
    height, width = sheet_depth.shape
    column, row = np.floor(model.pixels(vertices)).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    depth = sheet_depth[row.clip(0, height - 1), column.clip(0, width - 1)] + BEHIND
    chosen = chosen & inside & np.isfinite(depth)
    gap = np.where(chosen, depth - vertices[:, 2], 0.0)
    chosen &= np.abs(gap) < THICKEST
    return vertices / vertices[:, 2:] * gap[:, None], chosen


def shown_ears(model: FittedHead, labels: Integer[np.ndarray, "H W"]) -> Bool[np.ndarray, " V"]:
    """Vertices of the ears that the photo shows, most of them at least."""
    shown = np.zeros(len(model.vertices), bool)
    for side, ear in zip((-1, 1), EARS, strict=True):
        own = (model.ears_mask > 0.02) & (side * model.model_vertices[:, 0] > 0)
        box = np.ptp(model.pixels(model.vertices[own]), axis=0).prod() if own.any() else np.inf
        if (labels == ear).sum() >= max(FEWEST, LEAST_SHOWN * box):
            shown |= own
    return shown


def hidden_ears(
    model: FittedHead, labels: UInt8[np.ndarray, "H W"], shown: Bool[np.ndarray, " V"]
) -> Bool[np.ndarray, " V"]:
    """Vertices of the ears that hair hides: on a side where the photo of a hairy head shows none."""
    share = (labels == HAIR).sum() / max(1, np.isin(labels, HEAD).sum())
    some = any((labels == ear).sum() >= FEWEST for ear in EARS)
    if share <= (VERY_HAIRY if some else HAIRY):
        return np.zeros(len(shown), bool)
    return (model.ears_mask > 0.05) & ~shown


def push_behind(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    movable: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, "V 3"]:
    """Move what lies before the sheet behind it along its rays, middles of edges and triangles too."""
    loose = faces[movable[faces].all(axis=1)]
    wanted = lacking(vertices, sheet_depth, focal) * movable
    vertices = vertices / vertices[:, 2:] * (vertices[:, 2:] + wanted[:, None])
    for _ in range(PUSHES):
        wanted = np.minimum(lacking_around(vertices, loose, sheet_depth, focal), FARTHEST_PUSH) * movable
        vertices = vertices / vertices[:, 2:] * (vertices[:, 2:] + wanted[:, None])
    return vertices


def closing_points(model: FittedHead, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "K 3"]:
    """Points of the closing surface that face the camera or are its outline, mm: a few of every triangle."""
    cosine = view_cosine(vertices, normals(vertices, model.faces))
    faces = model.faces[(cosine > -LIMB)[model.faces].all(axis=1)]
    return np.concatenate([vertices[faces].transpose(0, 2, 1) @ np.array(weight) for weight in SAMPLES])


def in_the_way(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    sheet_depth: Float[np.ndarray, "H W"],
    focal: float,
) -> Bool[np.ndarray, " F"]:
    """Triangles that stick out of the sheet all the same."""
    poking = np.zeros(len(faces), bool)
    for weight in SAMPLES:
        middle = np.einsum("fkc,k->fc", vertices[faces], np.array(weight))
        poking |= lacking(middle, sheet_depth, focal) > BEHIND
    return poking


def lacking(
    points: Float[np.ndarray, "N 3"], sheet_depth: Float[np.ndarray, "H W"], focal: float
) -> Float[np.ndarray, " N"]:
    """How far (mm) points would have to go along their rays to lie behind the sheet."""
    height, width = sheet_depth.shape
    own = np.where(np.isfinite(sheet_depth), sheet_depth, -np.inf)
    # The farthest of the pixels around, but not the far side of a step such as the one behind an ear.
    around = ndimage.grey_dilation(own, (5, 5))
    depth = np.where(np.isfinite(own), np.minimum(around, own + STEP), around)
    pixels = focal * points[:, :2] / points[:, 2:] + np.array([width, height]) / 2
    column, row = np.floor(pixels).astype(np.int64).clip(0, [width - 1, height - 1]).T
    return np.maximum(depth[row, column] + BEHIND - points[:, 2], 0.0)
