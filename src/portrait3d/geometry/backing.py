"""The head model as the closed surface behind the lifted sheet: thickened by the hair, kept out of sight."""

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer, UInt8
from scipy import ndimage

from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.sheet import EARS, HAIR, HEAD, HEADWEAR, NECK, nearest
from portrait3d.geometry.skin import HEAD_CENTRE, FittedHead, flatten_ears, normals, view_cosine

BINS = 36
"""Directions in the upper half of the picture in which outlines are measured."""
ROW = 4
"""Pixels of the crop in a row in which outlines are measured below the head's middle."""
THINNEST, THICKEST = -20.0, 70.0
"""Range of hair thickness, mm. Negative where the fitted skull is larger than the head in the photo."""
SECTORS = ("above", "left", "right")
"""Parts of the picture, seen from the head's middle."""
SKIN_SHIFT = 8.0
"""How far bare skin may move to its outline in the photo, mm."""
LIMB = 0.3
"""Cosine to the view below which vertices at the model's rim are its outline."""
BEFORE_EARS = 15.0
"""Depth in the model's frame up to which the sides of cheek, jaw and throat keep their place, mm."""
BACK, STIFFNESS = 0.02, 0.05
"""Weight of the usual thickness on the unseen back, and how much smoother neighbours are to be."""
FEWEST = 15
"""Pixels of an ear that count as one."""
LEAST_SHOWN = 0.5
"""Part of the box about the model's ear that a parsed ear fills at least if hair does not hide most of it."""
HAIRY, VERY_HAIRY = 0.25, 0.4
"""Share of hair in the head from which it hides ears that the photo doesn't show."""
BEHIND = 3.0
"""The backing stays this far behind the sheet, mm."""
STEP = 5.0
"""Depth differences (mm) between neighbouring pixels above this are steps between two surfaces."""
ROUNDS = 3
"""How often what pokes through the sheet is pushed behind it."""
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
    hair has above. Ears that hair hides are flattened, what sticks out of the parsed head is pulled in, and
    what is before the sheet goes behind it. Vertices that are `held` stay where they are.
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
    still = held | ((inner[:, 2] < BEFORE_EARS) & (inner[:, 1] > 0))
    limb &= ~still & ~bare
    hairy = scalp_weight(inner, np.where(hidden, 0.0, ears_mask))
    above = limb & (inner[:, 1] < 0) & (hairy > 0.5)
    outward = (shift * normal).sum(axis=1)
    thickness = float(np.clip(np.median(outward[above]), THINNEST, THICKEST)) if above.any() else 0.0

    wanted = np.where(limb[:, None], shift, (thickness * hairy)[:, None] * normal)
    wanted[still] = 0.0
    weight = np.where(limb | still, 1.0, np.where(inner[:, 2] > 20, BACK, 0.1 * BACK))
    on_skin = np.zeros(len(held), bool)
    on_skin[model.faces] = True
    moved = diffuse(model.faces, wanted, weight * on_skin, STIFFNESS)
    moved[held | ~on_skin] = 0.0
    vertices = vertices + moved

    movable = ~held & on_skin
    allowed = (np.isin(labels, HEAD) & region) | (labels == NECK)
    vertices = pull_inside(vertices, movable & (inner[:, 1] < 70) & ~bare, allowed, model.focal)
    return push_behind(vertices, model.faces, movable & ~bare, sheet_depth, model.focal)


def to_outline(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    normal: Float[np.ndarray, "V 3"],
    head: Bool[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
    middle: Float[np.ndarray, "2"],
) -> tuple[Float[np.ndarray, "V 3"], Bool[np.ndarray, " V"]]:
    """How far the vertices on the model's outline are from the head's in the photo, mm, and which those are.

    Above the head's middle outlines are compared along rays from it, below along the rows of the crop. Skin
    moves a little; hair may be much wider than the head beneath it.
    """
    scale = vertices[:, 2] / model.focal
    pixels = model.pixels(vertices) - middle
    own, rim, hair = (np.zeros(len(pixels)) for _ in range(3))
    row, column = np.nonzero(head)
    at = np.stack([column, row], axis=1) + 0.5 - middle
    hairy = np.isin(labels[row, column], (HAIR, HEADWEAR)).astype(float)
    cut = (row == 0) | (column == 0) | (column == head.shape[1] - 1)
    skull = np.zeros(len(pixels), bool)
    skull[model.faces] = True
    skull &= model.ears_mask < 0.05
    for sector in SECTORS:
        there, place, reach = measured(pixels, sector)
        seen, seen_place, seen_reach = measured(at, sector)
        every = np.arange(max(BINS, len(head) // ROW)) + 0.5
        body, _ = outline(place[there & skull], reach[there & skull], None, None, len(every))
        outer, outer_hair = outline(seen_place[seen], seen_reach[seen], hairy[seen], cut[seen], len(every))
        for values, known in ((own, body), (rim, outer), (hair, outer_hair)):
            values[there] = np.interp(place[there], every, known)
    upper = pixels[:, 1] < 0
    away = np.where(upper[:, None], pixels, pixels * [1.0, 0.0])
    length = np.linalg.norm(away, axis=1)
    limb = (np.abs(view_cosine(vertices, normal)) < LIMB) & (length > 0.92 * own) & (own > 0) & (rim > 0)
    limit = np.where(hair > 0.5, THICKEST, SKIN_SHIFT)
    amount = np.clip((rim - own) * scale, np.where(hair > 0.5, THINNEST, -SKIN_SHIFT), limit)
    shift = np.zeros_like(vertices)
    shift[:, :2] = away / np.maximum(length, 1e-9)[:, None] * amount[:, None]
    return shift, limb


def measured(
    points: Float[np.ndarray, "N 2"], sector: str
) -> tuple[Bool[np.ndarray, " N"], Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Which points lie in a sector of the picture, the bin that each falls into, and how far out it is."""
    x, y = points.T
    if sector == "above":
        return y < 0, (np.arctan2(y, x) / np.pi + 1) * BINS, np.hypot(x, y)
    return (y >= 0) & ((x < 0) == (sector == "left")), y / ROW, np.abs(x)


def outline(
    place: Float[np.ndarray, " N"],
    reach: Float[np.ndarray, " N"],
    values: Float[np.ndarray, " N"] | None,
    cut: Bool[np.ndarray, " N"] | None,
    bins: int,
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    """The farthest points of each bin and their values; bins that are cut off by the picture or without
    points take those of their neighbours, or 0 beyond the last."""
    index = np.clip(place, 0, bins - 1).astype(np.int64)
    order = np.argsort(reach, kind="stable")
    far, value = np.zeros(bins), np.zeros(bins)
    far[index[order]] = reach[order]
    if values is not None:
        value[index[order]] = values[order]
    known = far > 0
    if cut is not None:
        known[index[cut]] = False
    if not known.any():
        return np.zeros(bins), value
    every = np.arange(bins)
    within = (every >= np.flatnonzero(known)[0]) & (every <= np.flatnonzero(known)[-1])
    far = np.where(within, np.interp(every, every[known], far[known]), 0.0)
    smooth = ndimage.gaussian_filter1d(far, 1.0, mode="nearest")
    return np.where(within, smooth, 0.0), np.where(within, np.interp(every, every[known], value[known]), 0.0)


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


def pull_inside(
    vertices: Float[np.ndarray, "V 3"],
    movable: Bool[np.ndarray, " V"],
    allowed: Bool[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, "V 3"]:
    """Move what projects outside the allowed pixels sideways to the nearest of them."""
    height, width = allowed.shape
    pixels = focal * vertices[:, :2] / vertices[:, 2:] + np.array([width, height]) / 2
    column, row = np.floor(pixels).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column.clip(0, width - 1), row.clip(0, height - 1)
    out = movable & inside & ~allowed[row, column]
    if not out.any() or not allowed.any():
        return vertices
    # One pixel further in than the rim, so that the backing does not show as a second contour.
    core = ndimage.binary_erosion(allowed, border_value=1)
    _, (to_row, to_column) = nearest(core if core.any() else allowed)
    # Anywhere in that pixel, so that no two vertices come to lie on each other.
    target = np.stack([to_column[row, column], to_row[row, column]], axis=1) + pixels % 1
    shift = (target - pixels) * (vertices[:, 2:] / focal)
    moved = vertices.copy()
    moved[out, :2] += shift[out]
    return moved


def push_behind(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    movable: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, "V 3"]:
    """Move what lies before the sheet behind it along its rays, middles of edges and triangles too."""
    vertices = (
        vertices
        / vertices[:, 2:]
        * (vertices[:, 2:] + np.where(movable, lacking(vertices, sheet_depth, focal), 0.0)[:, None])
    )
    loose = faces[movable[faces].all(axis=1)]
    for _ in range(ROUNDS):
        wanted = np.zeros(len(vertices))
        for weight in SAMPLES:
            middle = np.einsum("fkc,k->fc", vertices[loose], np.array(weight))
            gap = np.minimum(lacking(middle, sheet_depth, focal), FARTHEST_PUSH)
            for k in range(3):
                np.maximum.at(wanted, loose[:, k], gap)
        vertices = vertices / vertices[:, 2:] * (vertices[:, 2:] + wanted[:, None])
    return vertices


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
