"""Hair that hangs lower than the head model's neck: the far side of it, behind the sheet."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry.backing import scalp_weight
from portrait3d.geometry.hair import UnseenHair
from portrait3d.geometry.scene import Scene, blurred, sample
from portrait3d.geometry.sheet import HAIR, HEADWEAR, Sheet
from portrait3d.geometry.skin import FittedHead

STEP = 3
"""Pixels of the crop between the rows of the hair's far side."""
COLUMNS = 25
"""Points across it."""
START = -40.0
"""Height (mm below the model's origin) at which it begins, inside the hair about the skull."""
SHORTEST = 75.0
"""Height (mm) below which hair must hang for it to have a far side of its own."""
UPPER, BURIED = 110.0, 1.5
"""Over this length (mm) from above it comes out of the hair about the skull, from so deep (mm) inside it."""
EMBEDDED = 6.0
"""Its sides lie so far (mm) inside the hair on either side and behind its front."""
INWARD = 0.12
"""How much hair that hangs from the back of the head draws in on the way down."""
LOWER = 110.0
"""Over this height (mm) its colours change from the scalp's to those of the hair on either side."""
TAPER = 45.0
"""Length over which its lower end draws in, mm."""
SMOOTH = 5.0
"""Rows over which the sides' colours are smoothed: curls at the sides are no bands across."""
INSET = 7.0
"""Pixels inside the outline at which the sides' colours are taken."""
NARROWEST = 60.0
"""Least distance (mm) between the strands left and right of the neck that it joins."""


def hair_tail(
    model: FittedHead,
    sheet: Sheet,
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    far: Float[np.ndarray, "H W"],
) -> tuple[Float[np.ndarray, "R C 3"], Float[np.ndarray, "R C"]] | None:
    """Points of the far side of hanging hair, rows from above, and the crop's column that each is like.

    Its sides are the outermost hair of the sheet, row by row; between them it is as deep as the neck with the
    hair behind it. None for hair that does not hang on both sides.
    """
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region & np.isfinite(sheet.depth)
    height, width = hair.shape
    middle = model.pixels(model.to_camera(np.array([[0.0, START, 40.0], [0.0, SHORTEST, 40.0]])))
    first, least = np.round(middle[:, 1]).astype(int)
    centre = middle[0, 0]
    columns = np.arange(width)
    left_side, right_side = (hair & side for side in (columns < centre, columns >= centre))
    both = np.flatnonzero(left_side.any(axis=1) & right_side.any(axis=1))
    rows = both[both >= max(first, 0)]
    if not len(rows) or rows.max() < least:
        return None
    rows = np.arange(rows.min(), rows.max() + 1, STEP)
    sides = []
    for side, outermost in (
        (left_side, np.argmax),
        (right_side, lambda m, axis: width - 1 - np.argmax(m[:, ::-1], axis)),
    ):
        known = np.flatnonzero(side.any(axis=1))
        at = outermost(side[known], 1)
        depth = sheet.depth[known, at]
        at, depth = (
            ndimage.gaussian_filter1d(np.interp(rows, known, values), 2.0, mode="nearest")
            for values in (at + 0.5, depth)
        )
        sides.append((at, depth))
    (left, left_depth), (right, right_depth) = sides
    if np.median(right - left) * np.median(left_depth) / model.focal < NARROWEST:
        return None
    occiput = float(far[rows.clip(0, height - 1)[:3]].max())
    millimetres = np.median(left_depth) / model.focal
    above_end = (rows.max() - rows) * millimetres
    full = np.sqrt(np.clip(1 - (1 - np.clip(above_end / TAPER, 0, 1)) ** 2, 0, 1))
    turn = np.linspace(0, np.pi, COLUMNS)
    grown = np.clip((rows - rows[0]) * millimetres / UPPER, 0, 1)
    grown = (grown * grown * (3 - 2 * grown))[:, None]
    share = (1 - np.cos(turn)) / 2
    bulge = np.sin(turn)
    left, right = left + EMBEDDED / millimetres, right - EMBEDDED / millimetres
    x = left[:, None] + (right - left)[:, None] * share
    side_depth = left_depth[:, None] + (right_depth - left_depth)[:, None] * share + EMBEDDED
    deep = occiput - INWARD * (rows - rows[0])[:, None] * millimetres
    depth = side_depth + np.maximum(deep - side_depth, 10.0) * bulge * full[:, None]
    # Above it hangs from where the hair about the skull is farthest back, just inside that.
    fallen = np.maximum.accumulate(far, axis=0)
    above = fallen[rows.clip(0, height - 1)[:, None], np.floor(x).astype(int).clip(0, width - 1)] - BURIED
    above = np.maximum(above, side_depth)
    depth = above + (depth - above) * grown
    rays = np.stack(
        [
            (x - width / 2) / model.focal,
            np.broadcast_to((rows[:, None] + 0.5 - height / 2) / model.focal, x.shape),
            np.ones_like(x),
        ],
        axis=-1,
    )
    return rays * depth[..., None], x


def tail_colours(
    model: FittedHead,
    points: Float[np.ndarray, "R C 3"],
    column: Float[np.ndarray, "R C"],
    scene: Scene,
    hair: UnseenHair,
    shape: tuple[int, int],
) -> Float[np.ndarray, "h w 3"]:
    """Colours of the hair's far side: those of its two sides row by row, mixed, with strands."""
    crop = len(scene.labels)
    row = model.pixels(points.reshape(-1, 3))[:, 1].reshape(column.shape)
    smooth = blurred(scene.coarse, hair.own, 4.0)
    ends = [
        ndimage.gaussian_filter1d(
            sample(smooth, np.stack([column[:, k] + inset, row[:, k]], axis=1) / crop), SMOOTH, axis=0
        )
        for k, inset in ((0, INSET), (-1, -INSET))
    ]
    share = np.linspace(0, 1, column.shape[1])[None, :, None]
    base = ends[0][:, None] * (1 - share) + ends[1][:, None] * share
    inner = model.to_model(points.reshape(-1, 3)).reshape(points.shape)
    # Above, it has the colours of the hair about the skull that it comes out of.
    scalp = np.flatnonzero(scalp_weight(model.model_vertices, model.ears_mask) > 0.5)
    _, near = cKDTree(model.model_vertices[scalp]).query(inner.reshape(-1, 3))
    above = ndimage.gaussian_filter(hair.base[scalp[near]].reshape(points.shape), (1, 1, 0), mode="nearest")
    fade = np.clip((inner[..., 1:2] - inner[0, 0, 1]) / LOWER, 0, 1)
    base = above + (base - above) * fade * fade * (3 - 2 * fade)
    grid = np.concatenate([base, inner], axis=-1)
    size = (shape[0] / grid.shape[0], shape[1] / grid.shape[1], 1)
    fine = ndimage.zoom(grid, size, order=1, mode="nearest", grid_mode=False)
    flat = fine.reshape(-1, 6)
    return hair.streaked(flat[:, :3], flat[:, 3:])[0].reshape(*fine.shape[:2], 3)
