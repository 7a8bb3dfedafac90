"""Where the sheet ends: at outlines seen edge-on, with a band back to what closes the head, in thick hair."""

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry.sheet import HAIR, HEADWEAR, Sheet, nearest, pixel_under

HAIR_DEPTH, THINNEST = 22.0, 0.5
"""Thickness of hair that hangs free, and at its rim, mm."""
SKIRT, LONGEST = 12.0, 70.0
"""How far the rim is drawn back, mm: at least, and at most where that meets what closes the head."""
NEAR_RIM, NEIGHBOURS, INWARD = 10.0, 8, 6.0
"""The closing surface counts within so many pixels of the rim, as the mean of so many points; the band ends
this far (mm) inside it."""
EDGE_ON, FOLLOWS, BESIDE = 5, 45.0, 4.0
"""Pixels of an outline that show hair edge-on; how far (mm) behind the sheet the surface that closes the head
continues it, with points so near (pixels)."""
LEAD, DIP = 8, 2.0
"""Pixels over which the sheet is led into the surface that continues it; how far below that it ends, mm."""
INSET, FARTHEST_INSET = 4, 12
"""How far inside hair (pixels) the colours of surfaces behind its rim are taken, and from how far at most."""
MOST_STEPS = 64
"""Points along a triangle's edge that stand for it, at most."""


def turned_away(
    depth: Float[np.ndarray, "H W"],
    head: Bool[np.ndarray, "H W"],
    covered: Bool[np.ndarray, "H W"],
    closing: Float[np.ndarray, "K 3"],
    focal: float,
) -> Bool[np.ndarray, "H W"]:
    """Pixels at the outline of hair that the surface closing the head follows: they show it edge-on.

    That surface continues the sheet round to the sides there, in colours that are not drawn out.
    """
    height, width = depth.shape
    rim = head & ~ndimage.binary_erosion(head, iterations=EDGE_ON, border_value=1)
    rim &= ~covered
    row, column = np.nonzero(rim)
    pixels = np.stack([column, row], axis=1) + 0.5
    behind, gap = depth_behind(closing, pixels, np.array([width, height], float), focal)
    followed = np.zeros(depth.shape)
    followed[row, column] = (behind - depth[row, column] < FOLLOWS) & (gap < BESIDE)
    # Decided together with the neighbours, so that the sheet's new border runs smoothly.
    share = ndimage.gaussian_filter(followed, EDGE_ON) / np.maximum(
        ndimage.gaussian_filter(rim.astype(float), EDGE_ON), 1e-9
    )
    return rim & (share > 0.5)


def meet(
    depth: Float[np.ndarray, "H W"],
    lifted: Bool[np.ndarray, "H W"],
    away: Bool[np.ndarray, "H W"],
    behind: Float[np.ndarray, "H W"],
) -> Float[np.ndarray, "H W"]:
    """The depth of the sheet, led smoothly into the surface that continues it where it is cut off (`away`).

    `behind` is that surface's depth, infinite where it isn't. The sheet dips just below it, so that its
    ragged border is out of sight.
    """
    if not away.any():
        return depth
    distance = ndimage.distance_transform_edt(~away)
    share = np.clip((distance - 1) / (LEAD - 1), 0, 1)
    share = np.where(lifted & np.isfinite(behind), share * share * (3 - 2 * share), 1.0)
    below = np.where(share < 1, behind + DIP, depth)
    return below + share * (depth - below)


def surface_depths(
    vertices: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"], focal: float, size: tuple[int, int]
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Depth (mm) of a surface's nearest and farthest points in every pixel; plus and minus infinity where
    there are none."""
    height, width = size
    corners = vertices[faces]
    pixels = focal * corners[..., :2] / corners[..., 2:] + np.array([width, height]) / 2
    # Triangles stand for themselves by points less than a pixel apart.
    length = np.linalg.norm(pixels - np.roll(pixels, 1, axis=1), axis=2).max(axis=1)
    steps = 2 ** np.ceil(np.log2(np.clip(1.5 * length, 1, MOST_STEPS))).astype(np.int64)
    near, far = np.full(size, np.inf), np.full(size, -np.inf)
    for count in np.unique(steps):
        place = np.mgrid[: count + 1, : count + 1].reshape(2, -1).T
        place = place[place.sum(axis=1) <= count] / count
        weights = np.concatenate([place, 1 - place.sum(axis=1, keepdims=True)], axis=1)
        chosen = steps == count
        column, row = np.floor(weights @ pixels[chosen]).astype(np.int64).reshape(-1, 2).T
        depth = (weights @ corners[chosen, :, 2, None]).ravel()
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        at = row[inside], column[inside]
        np.minimum.at(near, at, depth[inside])
        np.maximum.at(far, at, depth[inside])
    known = np.isfinite(near)
    share = np.maximum(ndimage.gaussian_filter(known.astype(float), 1.0), 1e-9)
    near, far = (
        np.where(known, ndimage.gaussian_filter(np.where(known, depth, 0.0), 1.0) / share, depth)
        for depth in (near, far)
    )
    return near, far


def depth_behind(
    closing: Float[np.ndarray, "K 3"],
    pixels: Float[np.ndarray, "N 2"],
    size: Float[np.ndarray, "2"],
    focal: float,
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Depth (mm) of the closing surface at pixels of the crop, and how far the nearest of its points is."""
    if not len(closing) or not len(pixels):
        return np.full(len(pixels), np.inf), np.full(len(pixels), np.inf)
    places = cKDTree(closing[:, :2] / closing[:, 2:] * focal + size / 2)
    gap, near = places.query(pixels, min(NEIGHBOURS, len(closing)))
    gap, near = gap.reshape(len(pixels), -1), near.reshape(len(pixels), -1)
    weight = 1 / (gap + 1.0)
    return (closing[near, 2] * weight).sum(axis=1) / weight.sum(axis=1), gap[:, 0]


def skirt(
    sheet: Sheet,
    closed: Bool[np.ndarray, " M"],
    pixels: Float[np.ndarray, "M 2"],
    closing: Float[np.ndarray, "K 3"],
    focal: float,
) -> tuple[Sheet, Int64[np.ndarray, " N"]] | None:
    """A band from the sheet's outer rim straight back to what closes the head behind, so that no slit opens.

    `closing` are points on the outline of the closing surface (mm); where none is near, the band is short.
    There is none for a sheet without a rim, nor where the rim is `closed` by the far side of hanging hair.
    `pixels` are where its colours come from.
    Also returns which of the sheet's vertices each of its own comes from.
    """
    faces = sheet.faces
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = edges[sheet.rim[edges].all(axis=1) & ~closed[edges].all(axis=1)]
    size = len(sheet.vertices)
    forward, backward = edges[:, 0] * size + edges[:, 1], edges[:, 1] * size + edges[:, 0]
    open_edges = edges[~np.isin(forward, backward)]
    if not len(open_edges):
        return None
    used, ends = np.unique(open_edges, return_inverse=True)
    a, b = ends.reshape(-1, 2).T
    front = sheet.vertices[used]
    behind, gap = depth_behind(closing, front[:, :2] / front[:, 2:] * focal, np.zeros(2), focal)
    length = np.where(gap < NEAR_RIM, np.clip(behind - front[:, 2] + INWARD, SKIRT, LONGEST), SKIRT)
    _, beside = cKDTree(front).query(front, min(3 * NEIGHBOURS, len(front)))
    length = length[beside.reshape(len(front), -1)].mean(axis=1)
    back = front / front[:, 2:] * (front[:, 2:] + length[:, None])
    # Into the closing surface, so that no edge stands out behind the head's outline.
    toward = sheet.vertices[:, :2].mean(axis=0) - back[:, :2]
    inward = toward / np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-9)
    back[:, :2] += inward * np.where(length > SKIRT, INWARD, 0.0)[:, None]
    low_a, low_b = a + len(used), b + len(used)
    band = Sheet(
        vertices=np.concatenate([front, back]),
        pixels=np.tile(pixels[used], (2, 1)),
        faces=np.concatenate([np.stack([b, a, low_a], axis=1), np.stack([b, low_a, low_b], axis=1)]),
        label=np.tile(sheet.label[used], 2),
        rim=np.ones(2 * len(used), bool),
        depth=sheet.depth,
    )
    return band, np.tile(used, 2)


def deep_pixels(sheet: Sheet, hair: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "N 2"]:
    """For the sheet's vertices the pixel that a surface behind them takes its colour from.

    At the rim of hair that is the nearest one well inside, where nothing of the ground is mixed in.
    """
    deep = ndimage.binary_erosion(hair, iterations=INSET)
    if not deep.any():
        return sheet.pixels
    distance, (to_row, to_column) = nearest(deep)
    row, column = pixel_under(sheet.pixels, hair.shape)
    moves = np.isin(sheet.label, (HAIR, HEADWEAR)) & (distance[row, column] < FARTHEST_INSET)
    inside = np.stack([to_column[row, column], to_row[row, column]], axis=1) + sheet.pixels % 1
    return np.where(moves[:, None], inside, sheet.pixels)


def hair_back(
    sheet: Sheet,
    hair: Bool[np.ndarray, "H W"],
    skull: Bool[np.ndarray, "H W"],
    pixels: Float[np.ndarray, "M 2"],
    focal: float,
) -> tuple[Sheet, Int64[np.ndarray, " N"]] | None:
    """The far side of hair that hangs beside the skull: a mirrored sheet, closed at the hair's rim.

    Hair is as thick as a lens: nothing at its rim, `HAIR_DEPTH` from about half of it inward. Also returns
    which of the sheet's vertices each of its own comes from. `pixels` are where its colours come from.
    """
    row, column = pixel_under(sheet.pixels, hair.shape)
    free = ~ndimage.binary_erosion(skull, iterations=8)[row, column]
    beside = np.isin(sheet.label, (HAIR, HEADWEAR)) & free
    faces = sheet.faces[beside[sheet.faces].all(axis=1)][:, ::-1]
    if not len(faces):
        return None
    millimetres = np.median(sheet.vertices[:, 2]) / focal
    inward = ndimage.distance_transform_edt(hair) - 0.5
    reach = np.clip(inward * millimetres / HAIR_DEPTH, 0.0, 1.0)
    thickness = 2 * HAIR_DEPTH * np.sqrt(reach * (2 - reach)) * 0.5
    used, faces = np.unique(faces, return_inverse=True)
    vertices = sheet.vertices[used]
    back = vertices[:, 2] + np.where(sheet.rim[used], THINNEST, thickness[row[used], column[used]])
    far = Sheet(
        vertices=vertices / vertices[:, 2:] * back[:, None],
        pixels=pixels[used],
        faces=faces.reshape(-1, 3),
        label=sheet.label[used],
        rim=sheet.rim[used],
        depth=sheet.depth,
    )
    return far, used
