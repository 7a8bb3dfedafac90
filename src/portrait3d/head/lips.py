"""The head model's lips, moved to where the photo shows them, and closed."""

import weakref
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.pixels import smoothstep
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.skin import openings
from portrait3d.geometry.topology import Topology
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass

FIRM, LOOSE = 10.0, 26.0
"""Geodesic distance from a lip's inner margin (mm) up to which the skin moves with its edge, and from
which it stays."""
LINING = 2.0
"""Inside the mouth distances count so many times: the fold behind a lip stays, and does not come out of the
chin below it."""
FEWEST = 12.0
"""Pixels of the head crop below which the photo shows a closed mouth."""
AROUND = 12
"""Pixels of the head crop about the fitted lips in which the mouth's opening is looked for."""
FARTHEST = 10.0
"""Millimetres by which an edge moves at most."""
OVERLAP = 0.4
"""Closed lips overlap by so much, mm, so that no light comes through between their vertices."""
NARROW = 0.5
"""Millimetres of opening from which the photo tells where its middle is."""


@dataclass(frozen=True, slots=True, eq=False)
class Lip:
    """One lip of the head model: strips of vertices, each behind a vertex of the mouth's opening."""

    down: int
    """1 if the lip's free edge is its lower one, as the upper lip's is; -1 for the lower lip."""
    vertices: Int64[np.ndarray, " N"]
    """Vertices of the model that move with the edge, inside the mouth as well."""
    strip: Int64[np.ndarray, " N"]
    """The strip that each lies in; strips are numbered from the picture's left corner of the mouth."""
    share: Float[np.ndarray, " N"]
    """Share of the edge's way that each goes."""

    def edge(self, places: Float[np.ndarray, "V 2"]) -> Float[np.ndarray, "K 2"]:
        """Where each strip ends toward the other lip, seen from the front: x rises, y points down."""
        own = places[self.vertices]
        # Of each strip the vertex furthest toward the other lip.
        order = np.lexsort((self.down * own[:, 1], self.strip))
        last = np.append(np.flatnonzero(np.diff(self.strip[order])), len(order) - 1)
        edge = own[order[last]]
        edge[:, 0] = np.sort(edge[:, 0])  # strips may slant; their order stays
        return edge

    def follow(self, way: Float[np.ndarray, " K"]) -> Float[np.ndarray, " N"]:
        """How far the lip's vertices go down if the strips' ends do so."""
        # The corners join both lips and stay; between strips the way changes gradually.
        way = ndimage.gaussian_filter1d(way, 0.7, mode="nearest")
        from_corner = np.minimum(np.arange(len(way)), np.arange(len(way))[::-1])
        return (way * np.clip(from_corner / 2, 0, 1))[self.strip] * self.share


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """How far a mouth is open, seen from the front."""

    x: Float[np.ndarray, " W"]
    """Columns, rising."""
    height: Float[np.ndarray, " W"]
    middle: Float[np.ndarray, " W"]
    """Meaningless where the height is 0."""


_lips: "weakref.WeakKeyDictionary[HeadModel, tuple[Lip, Lip]]" = weakref.WeakKeyDictionary()


def lips_of(model: HeadModel) -> tuple[Lip, Lip]:
    """The upper and the lower lip of a head model; made once for each."""
    if model not in _lips:
        mean = model.mean.double().numpy()
        loop = openings(model.skin_faces.numpy(), mean)[HeadPiece.MOUTH_CAVITY]
        # The opening, from the left corner of the mouth to the right one and back: two arcs, the upper one
        # first.
        loop = np.roll(loop, -int(mean[loop, 0].argmin()))
        right = int(mean[loop, 0].argmax())
        arcs = sorted(
            (loop[: right + 1], np.append(loop[right:], loop[0])[::-1]), key=lambda k: mean[k, 1].mean()
        )
        distance, source = _ways(model, mean, loop)
        _lips[model] = (_lip(1, arcs[0], distance, source), _lip(-1, arcs[1], distance, source))
    return _lips[model]


def _ways(
    model: HeadModel, mean: Float[np.ndarray, "V 3"], loop: Int64[np.ndarray, " M"]
) -> tuple[Float[np.ndarray, " V"], Int64[np.ndarray, " V"]]:
    """Geodesic distance from the mouth's opening, mm, within the mouth times `LINING`, and the vertex of the
    opening that is nearest in it."""
    faces = model.faces.numpy()
    a, b = Topology(faces, len(mean)).edges.T
    lengths = np.linalg.norm(mean[a] - mean[b], axis=1)
    outside = np.zeros(len(mean), bool)
    outside[model.skin_faces.numpy()] = True
    lengths = np.where(outside[a] & outside[b], lengths, LINING * lengths)
    graph = coo_array((lengths, (a, b)), (len(mean), len(mean))).tocsr()
    # Along the surface, not through the air: the other lip is near, but not on the way.
    found = dijkstra(
        graph, directed=False, indices=loop, min_only=True, limit=LOOSE, return_predecessors=True
    )
    return found[0], found[2].astype(np.int64)


def _lip(
    down: int,
    arc: Int64[np.ndarray, " K"],
    distance: Float[np.ndarray, " V"],
    source: Int64[np.ndarray, " V"],
) -> Lip:
    """The lip behind one half of the mouth's opening."""
    number = np.full(len(distance), -1)
    number[arc] = np.arange(len(arc))
    near = np.isfinite(distance)
    vertices = np.flatnonzero(near & (number[np.where(near, source, 0)] >= 0))
    share = 1 - smoothstep((distance[vertices] - FIRM) / (LOOSE - FIRM))
    return Lip(down, vertices, number[source[vertices]], share)


def close_lips(model: HeadModel, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """A face's vertices (model frame, mm) with its lips closed, if they gape."""
    closed = Opening(np.array([0.0, 1.0]), np.zeros(2), np.zeros(2))
    moved = vertices.copy()
    moved[:, 1] += lip_ways(lips_of(model), vertices[:, :2], closed, 1.0)
    return moved


def fit_lips(
    model: HeadModel,
    vertices: Float[np.ndarray, "V 3"],
    crop_from_model: Pose,
    focal: float,
    probabilities: Float[torch.Tensor, "C S S"],
) -> Float[np.ndarray, "V 3"]:
    """A face's vertices (model frame, mm) with the lips moved up and down to the inner mouth in the photo.

    Args:
        model: The head model.
        vertices: The fitted face.
        crop_from_model: The model's frame to the head crop's camera.
        focal: Of that camera, pixels.
        probabilities: Of the classes, in the head crop.
    """
    rotation, translation = (
        part.double().numpy() for part in (crop_from_model.rotation, crop_from_model.translation)
    )
    placed = vertices @ rotation.T + translation
    scale = placed[:, 2:] / focal
    pixels = placed[:, :2] / scale + probabilities.shape[-1] / 2
    lips = lips_of(model)
    mouth = pixels[np.concatenate([lip.vertices[lip.share == 1] for lip in lips])]
    opening = photographed_opening(probabilities[ParsingClass.INNER_MOUTH].double().numpy(), mouth)
    way = lip_ways(lips, pixels, opening, 1 / float(np.median(scale)))
    placed[:, 1] += way * scale[:, 0]
    return (placed - translation) @ rotation


def photographed_opening(probability: Float[np.ndarray, "S S"], mouth: Float[np.ndarray, "N 2"]) -> Opening:
    """The opening between lips that are seen near some pixels (x, y), by columns of the head crop."""
    left, top = np.clip(mouth.min(axis=0).astype(int) - AROUND, 0, len(probability) - 1)
    right, bottom = np.clip(mouth.max(axis=0).astype(int) + AROUND, 1, len(probability))
    part = probability[top:bottom, left:right]
    x = np.arange(left, right) + 0.5
    # Sums of probabilities instead of counts of pixels: an opening thinner than a pixel has a height, too.
    height = part.sum(axis=0)
    rows = np.arange(top, bottom) + 0.5
    middle = (part * rows[:, None]).sum(axis=0) / np.maximum(height, 1e-9)
    return Opening(x, height * (height.sum() >= FEWEST), middle)


def lip_ways(
    lips: tuple[Lip, Lip], places: Float[np.ndarray, "V 2"], opening: Opening, millimetre: float
) -> Float[np.ndarray, " V"]:
    """How far down the model's vertices go for its lips to leave that opening, in the unit of `places`."""
    edges = [lip.edge(places) for lip in lips]
    ways = np.zeros(len(places))
    for lip, own, other in zip(lips, edges, edges[::-1], strict=True):
        # The photo says how far the mouth is open, and where it is; where it is hardly open its middle tells
        # nothing and that between the fitted edges stays.
        x, edge = own.T
        height = np.interp(x, opening.x, opening.height, 0.0, 0.0)
        sure = np.clip(height / (NARROW * millimetre), 0, 1)
        between = (edge + np.interp(x, *other.T)) / 2
        middle = between + (np.interp(x, opening.x, opening.middle) - between) * sure
        way = middle - lip.down * (height / 2 - OVERLAP * millimetre * (1 - sure)) - edge
        # Where lips touch, those that overlap already stay.
        way = np.where((sure == 0) & (way * lip.down < 0), 0.0, way)
        way = np.clip(way, -FARTHEST * millimetre, FARTHEST * millimetre)
        ways[lip.vertices] += lip.follow(way)
    return ways
