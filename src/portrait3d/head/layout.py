"""Where the head model's surfaces lie in a head's texture: the same place for every head.

The texture is a square of two by two sides of the hair's chart: the model's skin on top, the chart of the
hair's body at the bottom left, the model's smaller islands (eyes, teeth, tongue, cavities) at the bottom
right.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int32, Int64, UInt8

from portrait3d.compilation import compiled
from portrait3d.geometry.pixels import nearest
from portrait3d.geometry.topology import Topology

SIDES = 2
"""Sides of the hair's chart along the texture."""
DENSITY = 1 / 380
"""Sides of the hair's chart for a millimetre of the smaller islands: about as fine as the photo."""
GAP = 0.012
"""Empty space around an island, sides."""
MARGIN = 2.5
"""Pixels by which islands are dilated, so that no empty texel bleeds in."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class HeadLayout:
    """What all fits of the head model share."""

    faces: Int64[np.ndarray, "F 3"]
    """Triangles of all parts, outward; those of the skin come first."""
    piece: UInt8[np.ndarray, " F"]
    """`HeadPiece` of every triangle."""
    mirror: Int64[np.ndarray, " V"]
    """The vertex on the other side."""
    ear_light: Float[np.ndarray, " V"]
    """How much light reaches the ears' skin (`ears.ear_light`): little in their hollows; 1 off the ears."""
    points: Float[np.ndarray, "U 2"]
    """Places in the texture, in sides of the hair's chart, 0 to `SIDES`; (0, 0) is the top left corner."""
    point_faces: Int64[np.ndarray, "F 3"]
    """Corners of `faces` as places: there are more of them than vertices, as the layout has seams."""
    point_vertex: Int64[np.ndarray, " U"]
    """The vertex of every place."""


@dataclass(frozen=True, slots=True, eq=False)
class Texels:
    """The texture's pixels that show the head model."""

    side: int
    """Pixels of the texture's side."""
    place: Int64[np.ndarray, " N"]
    """Flat index into the texture."""
    face: Int64[np.ndarray, " N"]
    """Triangle of the layout."""
    corners: Int32[np.ndarray, "N 3"]
    """The triangle's vertices."""
    weight: Float[np.ndarray, "N 3"]
    """Barycentric coordinates in it, float32."""
    margin: Int64[np.ndarray, " M"]
    """Flat indices of the empty pixels around the islands."""
    beside: Int64[np.ndarray, " M"]
    """For each of those the nearest texel, 0 to N - 1."""

    @classmethod
    def of(
        cls,
        layout: HeadLayout,
        side: int,
        place: Int64[np.ndarray, " N"],
        face: Int64[np.ndarray, " N"],
        weight: Float[np.ndarray, "N 3"],
    ) -> "Texels":
        """Texels by the triangles that they lie in and their barycentric coordinates there."""
        index = np.full(side * side, -1)
        index[place] = np.arange(len(place))
        empty = (index < 0).reshape(side, side)
        away, (row, column) = nearest(~empty)
        margin = np.flatnonzero(empty & (away < MARGIN))
        beside = index[row.ravel()[margin].astype(np.int64) * side + column.ravel()[margin]]
        corners = layout.faces[face].astype(np.int32)
        return cls(side, place, face, corners, weight.astype(np.float32), margin, beside)

    def spread(
        self, values: Float[np.ndarray, "V C"], chosen: Int64[np.ndarray, " K"] | None = None
    ) -> Float[np.ndarray, "K C"]:
        """Values at the model's vertices, interpolated at all or some of the texels."""
        corners, weight = self.corners, self.weight
        if chosen is not None:
            corners, weight = corners.take(chosen, axis=0), weight.take(chosen, axis=0)
        spread = np.empty((len(corners), values.shape[1]), np.float32)
        _spread(corners, weight, values.astype(np.float32, order="C"), spread)
        return spread


@compiled
def _spread(corners, weight, values, spread):
    for n in range(len(corners)):
        # Unsigned, as an index below 0 would count from the end.
        a, b, c = np.uint32(corners[n, 0]), np.uint32(corners[n, 1]), np.uint32(corners[n, 2])
        for k in range(values.shape[1]):
            spread[n, k] = (
                weight[n, 0] * values[a, k] + weight[n, 1] * values[b, k] + weight[n, 2] * values[c, k]
            )


def pack(
    uv: Float[np.ndarray, "U 2"],
    uv_faces: Int64[np.ndarray, "F 3"],
    faces: Int64[np.ndarray, "F 3"],
    vertices: Float[np.ndarray, "V 3"],
) -> Float[np.ndarray, "U 2"]:
    """Lay the islands of a model's own texture coordinates out anew, each turned upright and scaled.

    `vertices` (mm) are those of the mean head: they say how large the islands are and where up is. The
    island of the most triangles fills the upper half, the others rows of the lower right quarter.
    """
    island = Topology(uv_faces, len(uv)).pieces
    count = int(island.max()) + 1
    at = np.zeros((len(uv), 3))
    at[uv_faces] = vertices[faces]
    sizes = np.bincount(island[uv_faces[:, 0]], minlength=count)
    placed, boxes = np.zeros_like(uv), {}
    for k in range(count):
        chosen = island == k
        triangles = uv_faces[chosen[uv_faces[:, 0]]]
        points = upright(uv[chosen], at[chosen])
        low, high = points.min(axis=0), points.max(axis=0)
        # The skin fills its half, which sets its density; smaller islands get theirs by the area of the
        # surface.
        if k == sizes.argmax():
            scale = ((np.array([SIDES, 1.0]) - 2 * GAP) / (high - low)).min()
        else:
            scale = DENSITY * np.sqrt(area(at, triangles) / area(uv, triangles))
        placed[chosen] = (points - low) * scale
        boxes[k] = (high - low) * scale
    # Shelf packing, tallest first: rows from left to right.
    x = y = row_height = 0.0
    for k in sorted(range(count), key=lambda k: (-boxes[k][1], k)):
        width, height = boxes[k]
        if k == sizes.argmax():
            placed[island == k] += ((SIDES - width) / 2, (1 - height) / 2)
            continue
        if x + width + GAP > 1:
            x, y, row_height = 0.0, y + row_height + GAP, 0.0
        placed[island == k] += (1 + GAP + x, 1 + GAP + y)
        x, row_height = x + width + GAP, max(row_height, height)
    return placed


def upright(points: Float[np.ndarray, "N 2"], at: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
    """Turn an island by quarters until it lies best as it looks from the front."""
    wanted = at[:, :2] - at[:, :2].mean(axis=0)
    turns = [
        points @ np.linalg.matrix_power(np.array([[0.0, 1.0], [-1.0, 0.0]]), quarter) for quarter in range(4)
    ]
    return max(turns, key=lambda turned: float(((turned - turned.mean(axis=0)) * wanted).sum()))


def area(points: Float[np.ndarray, "N D"], faces: Int64[np.ndarray, "F 3"]) -> float:
    """Total area of triangles in the plane or in space."""
    a, b = (points[faces[:, k]] - points[faces[:, 0]] for k in (1, 2))
    # |a x b|^2 = |a|^2 |b|^2 - (a b)^2, which needs no cross product and so holds in the plane as well.
    gram = (a * a).sum(1) * (b * b).sum(1) - (a * b).sum(1) ** 2
    return float(np.sqrt(np.maximum(gram, 0)).sum() / 2)
