"""Hair at the rim that is too thin for a surface: left out of the sheet, shown as fins that the matte fades.

Fins are those of Lengyel et al., "Real-Time Fur over Arbitrary Surfaces" (2001): triangles that stand at the
silhouette and carry a picture of strands.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry.atlas import as_bytes
from portrait3d.geometry.filling import push_pull, resample
from portrait3d.geometry.mesh import Binding, LooseHair
from portrait3d.geometry.scene import Scene
from portrait3d.geometry.sheet import HAIR, HEAD, JUMP, Sheet, nearest

FIRM = 3
"""Hair narrower than twice this, pixels of the crop, is loose."""
REACH, FADE = 10.0, 4.0
"""How far beyond the surface fins go, and over how much of that they fade out, pixels of the crop."""
SHARP, NOTCH = 2, 4.0
"""Pixels beyond the head's outline up to which a sharp one is blurred, and beyond the surface up to which its
triangles cut a corner: further hair lacks a surface."""
AROUND, ENOUGH = 5.0, 0.02
"""There are fins where such hair is within about so many pixels, whole ones where it is this much of them."""
SOLID = 1.0
"""Pixels inside the outline from which hair is no longer see-through."""
FAINTEST = 0.06
"""Coverage that counts as none: mattes are hazy where hair looks like what is behind it."""
INSET, BELOW = 7.0, 0.5
"""Pixels inside the outline at which fins begin, and by how much they lie behind the surface there: mm a mm
away from the outline."""
BACKWARD = 1.0
"""Slope by which fins bend back, mm of depth a mm away from the outline."""
CELL = 2
"""Side of the grid's cells, pixels of the crop."""
THICK = 4
"""Pixels of the crop from the outline to the inside of hair, where it is sure to be some."""
BLUR = 2.0
"""Width of the blur of the fins' depth, and of where there is hair, pixels of the crop."""


def without_loose_hair(
    parsing: Float[np.ndarray, "9 H W"], matte: Float[np.ndarray, "H W"]
) -> Float[np.ndarray, "9 H W"]:
    """Class probabilities in which hair that is thin, or little of a pixel, is what lies behind it.

    `matte` says how much of each pixel is head. Hair's probability becomes the matte's where that is lower,
    and its narrow parts are taken off by a morphological opening; skin, ears and hats stay.
    """
    head = parsing[list(HEAD)].sum(axis=0)
    hair = parsing[HAIR] > head / 2
    span = np.arange(-FIRM, FIRM + 1) ** 2
    disc = np.add.outer(span, span) < (FIRM + 0.5) ** 2
    firm = ndimage.grey_opening(np.minimum(head, matte), footprint=disc)
    firm = np.where(hair, np.minimum(firm, head), head)
    changed = parsing * ((1 - firm) / np.maximum(1 - head, 1e-6))
    changed[list(HEAD)] = parsing[list(HEAD)] * (firm / np.maximum(head, 1e-6))
    changed[0] += np.maximum(1 - changed.sum(axis=0), 0)
    return changed


def loose_hair(
    sheet: Sheet,
    follows: Binding,
    front: Float[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    matte: Float[np.ndarray, "M M"],
    coarse: Float[np.ndarray, "H W"],
    scene: Scene,
    focal: float,
) -> LooseHair | None:
    """Fins along the outline where the photo shows hair that the surface lacks, faded by the matte; or None.

    They continue the surface at its depth, bending back, and move with the sheet's nearest vertices. Their
    colours come from well inside the hair, where nothing of the background is mixed in.

    Args:
        sheet: The lifted part of the head.
        follows: What the sheet's vertices follow.
        front: Depth of the head's nearest surface in every pixel of the crop, mm; infinite beside it.
        region: Pixels of the head, loose hair left out; even numbers of rows and columns.
        matte: How much of every pixel is head, loose hair included, at a multiple of the crop's resolution.
        coarse: The same at the crop's resolution.
        scene: The head crop, loose hair left out.
        focal: Of the crop's camera, pixels.
    """
    box = around(coarse > FAINTEST)
    region, front, coarse = region[box], front[box], coarse[box]
    deep = scene.inside(HAIR)[box]
    hair = (scene.labels[box] == HAIR) & ndimage.binary_dilation(deep > 0, iterations=THICK)
    known = region & np.isfinite(front)
    rim = hair & known & ~ndimage.binary_erosion(known, border_value=1)
    if not rim.any():
        return None
    distance, beside = nearest(known)
    distance -= ndimage.distance_transform_edt(known)
    sharp = ndimage.binary_dilation(region, iterations=SHARP)
    lacking = (coarse > FAINTEST) & (~sharp | (distance > NOTCH))
    share = where_loose(hair[beside], distance, lacking)
    wanted = coarse * share > FAINTEST
    away, source = nearest(rim)
    depth = ndimage.gaussian_filter(front[source], BLUR)
    depth += np.where(known, BELOW, BACKWARD) * away * depth / focal
    places, depths, faces = grid_over(wanted, depth)
    if not len(faces):
        return None
    pixels = places + np.array([box[1].start, box[0].start])
    rays = (pixels - np.array(scene.labels.shape[::-1]) / 2) / focal
    _, followed = cKDTree(sheet.pixels).query(pixels)

    drawn = ndimage.binary_dilation(wanted, iterations=CELL)
    colours = push_pull(scene.coarse[:, *box], torch.from_numpy(deep).float())
    # Even where no fin is, so that the picture packs well.
    colours = torch.where(torch.from_numpy(drawn), colours, colours[:, drawn].mean(dim=1)[:, None, None])
    solid = np.clip(-distance - SOLID, 0, 1)
    maps = torch.from_numpy(np.stack([share * drawn, solid])).float()
    scale = len(matte) // len(scene.labels)
    fine = torch.from_numpy(matte[tuple(slice(scale * side.start, scale * side.stop) for side in box)])
    *planes, share, solid = resample(torch.cat([colours, maps]), (fine.shape[0], fine.shape[1]))
    clear = (fine - FAINTEST) / (1 - FAINTEST)
    alpha = share * torch.maximum(clear.clamp_min(0), solid)
    return LooseHair(
        vertices=(np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depths[:, None]).astype(
            np.float32
        ),
        faces=faces,
        uv=(places / np.array(region.shape[::-1])).astype(np.float32),
        texture=as_bytes(torch.stack([*planes, alpha])),
        binding=follows.chosen(followed),
    )


def around(wanted: Bool[np.ndarray, "H W"]) -> tuple[slice, slice]:
    """Rows and columns of the wanted pixels with as much room as fins need, in whole cells of the grid."""
    room = round(REACH)
    sides = []
    for axis, size in ((1, len(wanted)), (0, wanted.shape[1])):
        line = np.flatnonzero(wanted.any(axis=axis))
        low, high = (line[0], line[-1] + 1) if len(line) else (0, size)
        sides.append(slice(max(0, low - room) // CELL * CELL, min(size, -(-(high + room) // CELL) * CELL)))
    return sides[0], sides[1]


def where_loose(
    hairy: Bool[np.ndarray, "H W"], distance: Float[np.ndarray, "H W"], lacking: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W"]:
    """How much of a fin there is in every pixel: 1 along outlines of hair near pixels that are `lacking`.

    `hairy` says whether the nearest pixel of the surface is hair's, `distance` how far that is, pixels, and
    below 0 how far the outline is from inside.
    """
    share = ndimage.gaussian_filter(hairy.astype(float), BLUR)
    loose = ndimage.gaussian_filter(lacking.astype(float), AROUND)
    band = np.minimum(REACH - distance, INSET + distance) / FADE
    return np.clip(2 * share - 1, 0, 1) * np.clip(loose / ENOUGH, 0, 1) * np.clip(band, 0, 1)


def grid_over(
    wanted: Bool[np.ndarray, "H W"], depth: Float[np.ndarray, "H W"]
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, " N"], Int64[np.ndarray, "F 3"]]:
    """Cells of `CELL` pixels that cover the wanted pixels but no jump of the depth, each two triangles that
    face the camera: pixels and depths of their corners, and the triangles."""
    height, width = wanted.shape
    cells = wanted.reshape(height // CELL, CELL, width // CELL, CELL).any(axis=(1, 3))
    y, x = np.mgrid[: height + 1 : CELL, : width + 1 : CELL]
    depths = depth[y.clip(max=height - 1), x.clip(max=width - 1)]
    index = np.arange(depths.size).reshape(depths.shape)
    corners = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]], axis=-1)
    corners = corners[cells & (np.ptp(depths.ravel()[corners], axis=-1) < JUMP)]
    used, faces = np.unique(corners[:, [[0, 2, 1], [1, 2, 3]]].reshape(-1, 3), return_inverse=True)
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2)[used].astype(float)
    return pixels, depths.ravel()[used], faces.reshape(-1, 3).astype(np.int64)
