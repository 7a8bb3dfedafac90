"""The head model as the closed surface behind the lifted sheet: thickened by the hair, kept out of sight."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from portrait3d.geometry.sheet import EARS, HEAD, NECK, nearest
from portrait3d.geometry.skin import HEAD_CENTRE, FittedHead, flatten_ears, normals

BINS = 72
"""Directions about the head's centre in which hair thickness is measured."""
THINNEST, THICKEST = -20.0, 60.0
"""Range of hair thickness, mm. Negative where the fitted skull is larger than the head in the photo."""
BEHIND = 3.0
"""The backing stays this far behind the sheet, mm."""
STEP = 5.0
"""Depth differences (mm) between neighbouring pixels above this are steps between two surfaces."""
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


def outline_thickness(
    head: Bool[np.ndarray, "H W"],
    skull: Bool[np.ndarray, "H W"],
    centre: Float[np.ndarray, "2"],
    scale: float,
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    """Distance between the bald skull's outline and the head's, per direction about the head's centre.

    Returns thickness (mm) and the skull's radius (pixels) in `BINS` directions, from -pi on. `scale` is
    mm per pixel. Directions in which the head leaves the picture take the thickness of their neighbours.
    """
    reach = []
    for mask in (head, skull):
        row, column = np.nonzero(mask)
        dx, dy = column + 0.5 - centre[0], row + 0.5 - centre[1]
        sector = ((np.arctan2(dy, dx) + np.pi) / (2 * np.pi) * BINS).astype(np.int64) % BINS
        radius = np.zeros(BINS)
        np.maximum.at(radius, sector, np.hypot(dx, dy))
        cut = np.zeros(BINS, bool)
        border = (row == 0) | (column == 0) | (column == mask.shape[1] - 1)
        cut[sector[border]] = True
        reach.append((radius, cut))
    (outer, cut), (inner, _) = reach
    known = (outer > 0) & (inner > 0) & ~cut
    thickness = np.where(known, np.clip((outer - inner) * scale, THINNEST, THICKEST), 0.0)
    weight = ndimage.gaussian_filter1d(known.astype(float), 1.5, mode="wrap") + 1e-3 * known.mean()
    spread = ndimage.gaussian_filter1d(thickness, 1.5, mode="wrap") + 1e-3 * thickness.mean()
    return spread / np.maximum(weight, 1e-9), ndimage.gaussian_filter1d(inner, 1.5, mode="wrap")


def close_behind(
    model: FittedHead,
    photographed: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    labels: np.ndarray,
    region: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "V 3"]:
    """The head model's vertices, moved so that they close the head behind the sheet; crop camera, mm.

    The scalp grows to the outline of the hair, visible ears are flattened (the sheet has them), what sticks
    out of the parsed head is pulled in, and everything before the sheet goes behind it. Vertices
    that carry the photo's face stay where they are.
    """
    inner = model.model_vertices
    ears_mask = model.ears_mask
    centre = model.to_camera(HEAD_CENTRE[None])[0]
    middle = model.pixels(centre[None])[0]
    scale = centre[2] / model.focal
    skull_face = (ears_mask[model.faces].max(axis=1) < 0.3) & (inner[model.faces][..., 1].max(axis=1) < 62)
    shown = (model.face_index >= 0) & (model.face_index < len(model.faces))
    skull = shown & skull_face[np.where(shown, model.face_index, 0)]

    vertices = model.vertices.astype(np.float64)
    hidden = sheet_ears(labels, inner, ears_mask, middle)
    vertices = np.where(photographed[:, None], vertices, flatten_ears(vertices, model.faces, hidden))
    thickness, radius = outline_thickness(region & ~np.isin(labels, EARS), skull, middle, scale)
    pixels = model.pixels(vertices) - middle
    angle = np.arctan2(pixels[:, 1], pixels[:, 0])
    sectors = (np.arange(BINS) + 0.5) / BINS * 2 * np.pi - np.pi
    grow = np.interp(angle, sectors, thickness, period=2 * np.pi)
    limb = np.clip(
        np.hypot(*pixels.T) / np.maximum(np.interp(angle, sectors, radius, period=2 * np.pi), 1), 0, 1
    )
    above = sectors < 0
    grow = grow * limb**2 + np.median(thickness[above]) * (1 - limb**2)
    grow = grow * scalp_weight(inner, np.where(hidden, 0.0, ears_mask)) * ~photographed
    vertices = vertices + (grow - 0.3 * ~photographed)[:, None] * normals(vertices, model.faces)

    head = np.isin(labels, HEAD) & region
    vertices = pull_inside(vertices, ~photographed & (inner[:, 1] < 70), head | (labels == NECK), model.focal)
    return push_behind(vertices, ~photographed, sheet_depth, model.focal)


def sheet_ears(
    labels: np.ndarray,
    model_vertices: Float[np.ndarray, "V 3"],
    ears_mask: Float[np.ndarray, " V"],
    middle: Float[np.ndarray, "2"],
) -> Bool[np.ndarray, " V"]:
    """Vertices of the ears that the photo shows (the sheet has them) or hair hides."""
    hidden = np.zeros(len(ears_mask), bool)
    hair_share = (labels == 2).sum() / max(1, np.isin(labels, HEAD).sum())
    for side, ear in ((-1, EARS[0]), (1, EARS[1])):
        seen = (labels == ear).sum() >= 15
        other = (labels == EARS[0 if side > 0 else 1]).sum() >= 15
        if seen or (hair_share > 0.25 and not other):
            hidden |= (ears_mask > 0.05) & (side * model_vertices[:, 0] > 0)
    return hidden


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
    target = np.stack([to_column[row, column], to_row[row, column]], axis=1) + 0.5
    shift = (target - pixels) * (vertices[:, 2:] / focal)
    moved = vertices.copy()
    moved[out, :2] += shift[out]
    return moved


def push_behind(
    vertices: Float[np.ndarray, "V 3"],
    movable: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, "V 3"]:
    """Move what lies before the sheet along its ray to behind it."""
    height, width = sheet_depth.shape
    own = np.where(np.isfinite(sheet_depth), sheet_depth, -np.inf)
    # The farthest of the pixels around, but not the far side of a step such as the one behind an ear.
    around = ndimage.grey_dilation(own, (5, 5))
    depth = np.where(np.isfinite(own), np.minimum(around, own + STEP), around)
    pixels = focal * vertices[:, :2] / vertices[:, 2:] + np.array([width, height]) / 2
    column, row = np.floor(pixels).astype(np.int64).clip(0, [width - 1, height - 1]).T
    wanted = np.maximum(vertices[:, 2], depth[row, column] + BEHIND)
    return np.where(movable[:, None], vertices / vertices[:, 2:] * wanted[:, None], vertices)
