"""Hair as a closed body between what the photo shows and the predicted far surface.

The body is the set of points behind the front surface, before the far one and inside the outline, sampled on
voxels and cut out by marching cubes (Lorensen and Cline, 1987): one smooth surface whatever the hairstyle,
with nothing to sew at boundaries.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import measure

from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.pixels import inner_distance
from portrait3d.geometry.skin import HEAD_CENTRE, normals
from portrait3d.geometry.topology import Topology, renumbered
from portrait3d.geometry.vectors import dot, length
from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_view import HairView
from portrait3d.parsing_classes import ParsingClass
from portrait3d.rendering.rasterizer import rasterize


@dataclass(frozen=True)
class BodyGrid:
    """How the body is sampled and cut out."""

    voxel: float = 3.5
    most_voxels: int = 1_200_000
    """Spacing of the samples, mm; and how many there are at most: large heads of hair get a coarser grid."""
    smooth: float = 0.9
    """Width of the blur over the samples, voxels: it rounds the edge between front, sides and back."""
    margin: int = 4
    """Voxels around the body."""
    smallest: float = 0.04
    """Loose pieces smaller than this share of the largest one are dropped."""


GRID = BodyGrid()


@dataclass(frozen=True)
class BodyLimits:
    """Where hair begins and ends along a ray."""

    under: float = 1.2
    """The body begins this far behind the photographed sheet, mm, which hides it from the front."""
    inset: float = 1.0
    """Pixels by which the body stays inside the outline, where the photo's hair is see-through."""
    buried: float = 14.0
    """Where the photo shows skin, hair behind it may begin this far inside the head, mm."""
    before_ears: float = 18.0
    steep: float = 0.3
    """Depth of the ears in the model's frame, mm: behind skin that the photo shows, hair does not begin
    before them, or it would come out of the cheek's side; and the slope from which a ray has a point in that
    plane."""
    behind_mouth: float = 5.0
    """Hair begins so far behind the mouth, mm."""
    thickness: float = 9.0
    """Hair with skin on its far side is this thick, mm: a lock beside the cheek, a fringe. What hangs behind
    neck and clothes is no thinner."""
    step: int = 5
    """Pixels across in which a lock is as thick as its deepest neighbour."""
    clear: float = 6.0
    """Distances to the body's surface beyond this, mm, do not matter."""
    around_ears: float = 4.0
    """Hair's body keeps this far from bare ears, mm: its triangles would cut through what is so hollow."""
    far_ear: float = 40.0
    """An ear this far (mm) behind the head's middle is not the one that the photo shows."""
    island: float = 400.0
    shallow: float = 4.0
    """What comes out of the skin by itself, no larger (mm²) and no higher (mm) than this, is an error of the
    depth, a dark dot at an ear: hair that lies on the head comes out as a whole."""


LIMITS = BodyLimits()


@dataclass(frozen=True, slots=True, eq=False)
class HairBody:
    """A closed triangle mesh around all hair."""

    vertices: Float[np.ndarray, "N 3"]
    """Model frame, mm."""
    faces: Int64[np.ndarray, "F 3"]
    """Outward."""
    normals: Float[np.ndarray, "N 3"]
    origin: Float[np.ndarray, "3"]
    voxel: float
    field: Float[np.ndarray, "X Y Z"]
    """Rough signed distance to the surface, mm, > 0 inside; sample (i, j, k) at origin + voxel (i, j, k)."""

    def inside(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
        """How deep points of the model frame lie in the body, mm; at least `-LIMITS.clear` outside."""
        at = (points - self.origin).T / self.voxel
        return ndimage.map_coordinates(self.field, at, order=1, mode="constant", cval=-LIMITS.clear)


def grow_body(view: HairView, model: FittedHead) -> HairBody | None:
    """The body of all hair; None if there is hardly any, or if the photo shows none of it.

    `model` places the wide crop's camera in the head model's frame.
    """
    # The depth network expects some hair behind bald heads as well (docs/models/depth.md): the photo decides.
    if not view.hair.any():
        return None
    limits = body_limits(view, model)
    cloud = hair_points(view, limits)
    if len(cloud) < 50:
        return None
    cloud = model.to_model(cloud)
    # A grid in the model's frame, upright with the head, around all points at which rays enter or leave hair.
    low, high = cloud.min(axis=0), cloud.max(axis=0)
    volume = float(np.prod(high - low + 2 * GRID.margin * GRID.voxel))
    voxel = max(GRID.voxel, (volume / GRID.most_voxels) ** (1 / 3))
    origin = low - GRID.margin * voxel
    shape = np.ceil((high - low) / voxel).astype(int) + 2 * GRID.margin + 1
    field = body_field(view, limits, samples(model, origin, voxel, shape)).reshape(shape)
    carve(field, origin, voxel, model.model_vertices[bare_ears(model, view)])
    # Clipped distances on both sides of the surface are alike, so that the blur rounds edges and moves no
    # plane.
    field = ndimage.gaussian_filter(field, GRID.smooth, mode="nearest")
    if (field > 0).sum() < 8:
        return None
    vertices, faces, _, _ = measure.marching_cubes(field, 0.0)
    vertices, faces = largest_pieces(vertices.astype(np.float64), faces.astype(np.int64))
    vertices = sunk(origin + voxel * vertices, faces, model)
    return HairBody(vertices, faces, normals(vertices, faces), origin, voxel, field)


def samples(
    model: FittedHead, origin: Float[np.ndarray, "3"], voxel: float, shape: Int64[np.ndarray, "3"]
) -> Float[np.ndarray, "N 3"]:
    """The voxels' middles in the crop camera's frame, mm, the last axis of the model's frame fastest.

    Sums of steps along the three axes: half a million points are too many for a product of matrices.
    """
    start, *ends = model.to_camera(np.concatenate([origin[None], origin + voxel * np.eye(3)]))
    steps = [np.arange(n)[:, None] * (end - start) for n, end in zip(shape, ends, strict=True)]
    across = start + steps[0][:, None] + steps[1][None]
    # Coordinate by coordinate, each a block of its own: numpy is slow along axes of three.
    return np.stack([across[..., k, None] + steps[2][:, k] for k in range(3)]).reshape(3, -1).T


def body_limits(view: HairView, model: FittedHead) -> Float[np.ndarray, "3 S S"]:
    """Where hair begins and ends along every pixel's ray, mm, and how far inside the outline that is, mm."""
    # Where hair begins: behind its photographed front, or, where skin, neck or clothes are seen instead,
    # behind those.
    skin = np.where(np.isfinite(view.skin), view.skin + LIMITS.buried, 0.0)
    covered = np.isin(view.labels, (ParsingClass.NECK, ParsingClass.BODY))
    hidden = np.where(covered, np.minimum(view.hidden, view.back - LIMITS.thickness), 0.0)
    behind = np.maximum.reduce([skin, hidden, ear_plane(view, model), mouth_wall(view, model)])
    begin = np.where(view.hair, view.front + LIMITS.under, behind)
    # Soft about one half: a hard threshold would leave the far side jagged.
    certain = np.clip((view.back_is_hair - 0.35) / 0.3, 0, 1)
    # Without hair on its far side there is a lock's thickness behind the front, and nothing behind skin.
    # Where the front falls off steeply, the lock reaches back to its neighbours, or it would be thinner than
    # a voxel.
    deepest = ndimage.grey_dilation(np.where(view.hair, begin, -np.inf), (LIMITS.step, LIMITS.step))
    alone = np.where(view.hair, deepest + LIMITS.thickness, begin - 2 * LIMITS.clear)
    end = alone + certain * (np.maximum(view.back, alone) - alone)
    # Signed distance to the outline.
    inward = inner_distance(view.inside) - inner_distance(~view.inside)
    return np.stack([begin, end, (inward - LIMITS.inset) * view.millimetres]).astype(np.float32)


def ear_plane(view: HairView, model: FittedHead) -> Float[np.ndarray, "S S"]:
    """Depth (mm) at which each pixel's ray reaches the plane through the ears; 0 where it runs along it."""
    rows, columns = np.indices(view.labels.shape) + 0.5
    # The plane n x = n p with n the model's z axis; a ray of depth 1 reaches it at n p / n r.
    axis = model.camera_from_model.rotation.double().numpy()[:, 2]
    through = model.to_camera(np.array([[0.0, 0.0, LIMITS.before_ears]]))[0] @ axis
    along = view.rays(rows, columns) @ axis
    return np.where(along > LIMITS.steep, through / np.maximum(along, LIMITS.steep), 0.0)


def mouth_wall(view: HairView, model: FittedHead) -> Float[np.ndarray, "S S"]:
    """Depth (mm) of the mouth cavity's far wall along each pixel's ray, 0 beside it: what begins before it
    would be seen between open lips."""
    cavity = model.layout.faces[model.layout.piece == HeadPiece.MOUTH_CAVITY]
    screen = np.concatenate([view.pixels(model.vertices), model.vertices[:, 2:]], axis=1)
    seen = rasterize(
        torch.from_numpy(screen).float()[None], torch.from_numpy(cavity), view.size, view.size, farthest=True
    )
    wall = seen.depth[0].double().numpy()
    wall = np.where(np.isfinite(wall), wall + LIMITS.behind_mouth, 0.0)
    # Around it as well: the body's edges are rounded, and heads are seen from aside.
    return ndimage.grey_dilation(wall, (2 * LIMITS.step + 1, 2 * LIMITS.step + 1))


def hair_points(view: HairView, limits: Float[np.ndarray, "3 S S"]) -> Float[np.ndarray, "N 3"]:
    """Points of the crop's camera frame at which rays enter and leave hair."""
    begin, end, inside = limits
    rows, columns = np.nonzero((inside > 0) & (end > begin))
    rays = view.rays(rows + 0.5, columns + 0.5)
    # Where skin is seen, limits begin deep in the head; only the far lock's thickness is hair there.
    at = np.where(view.hair, begin, np.maximum(begin, end - LIMITS.thickness))[rows, columns]
    return np.concatenate([rays * at[:, None], rays * end[rows, columns][:, None]])


def body_field(
    view: HairView, limits: Float[np.ndarray, "3 S S"], points: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, " N"]:
    """How deep points of the crop's camera frame lie in hair, mm: the least distance to any of its limits."""
    places = torch.from_numpy((view.pixels(points) / view.size * 2 - 1).astype(np.float32))
    at = F.grid_sample(
        torch.from_numpy(limits)[None], places[None, None], padding_mode="border", align_corners=False
    )[0, :, 0].numpy()
    depth = points[:, 2].astype(np.float32)
    x, y = places.abs().unbind(1)
    off = ((x > 1) | (y > 1)).numpy()
    # The intersection of three half spaces: behind the front, before the back, inside the outline.
    field = np.minimum(np.minimum(depth - at[0], at[1] - depth), at[2])
    return np.clip(np.where(off, -LIMITS.clear, field), -LIMITS.clear, LIMITS.clear)


def bare_ears(model: FittedHead, view: HairView) -> Bool[np.ndarray, " V"]:
    """The outer sides of ears over which the photo shows no hair, as vertices of the model."""
    covered = view.read(view.hair, model.vertices, beyond=0.0) > 0.5
    # Seen from the side, one ear lies behind the other: of that one the photo says nothing.
    near = model.vertices[:, 2] < model.to_camera(HEAD_CENTRE[None])[0, 2] + LIMITS.far_ear
    aside = model.model_normals[:, 0] * np.sign(model.model_vertices[:, 0]) > 0
    return near & aside & ~covered & (model.ears_mask > 0.5)


def carve(
    field: Float[np.ndarray, "X Y Z"],
    origin: Float[np.ndarray, "3"],
    voxel: float,
    points: Float[np.ndarray, "N 3"],
) -> None:
    """Take what is within `LIMITS.around_ears` of some points (model frame, mm) out of a body's samples."""
    reach = LIMITS.around_ears + LIMITS.clear
    for side in (points[points[:, 0] < 0], points[points[:, 0] >= 0]):
        if len(side):
            low = np.floor((side.min(axis=0) - reach - origin) / voxel).astype(int).clip(0)
            high = np.ceil((side.max(axis=0) + reach - origin) / voxel).astype(int).clip(0) + 1
            box = tuple(map(slice, low, high))
            part = field[box]
            at = origin + voxel * (low + np.moveaxis(np.indices(part.shape), 0, -1))
            away = cKDTree(side).query(at.reshape(-1, 3))[0].reshape(part.shape)
            part[...] = np.minimum(part, away - LIMITS.around_ears)


def largest_pieces(
    vertices: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"]
) -> tuple[Float[np.ndarray, "N 3"], Int64[np.ndarray, "M 3"]]:
    """A mesh without its small loose pieces, wound outward."""
    piece = Topology(faces, len(vertices)).pieces
    count = np.bincount(piece[faces[:, 0]])
    kept = faces[count[piece[faces[:, 0]]] >= GRID.smallest * count.max()]
    used, faces = renumbered(kept, len(vertices))
    vertices = vertices[used]
    a, b, c = vertices.take(faces.T, axis=0)
    # Six times the signed volume (divergence theorem): negative if triangles are wound inward.
    volume = (a * np.cross(b, c)).sum()
    return vertices, faces if volume > 0 else np.ascontiguousarray(faces[:, ::-1])


def sunk(
    vertices: Float[np.ndarray, "N 3"], faces: Int64[np.ndarray, "M 3"], model: FittedHead
) -> Float[np.ndarray, "N 3"]:
    """The body's vertices (model frame, mm) without small islands above the skin: those go below it."""
    skin, used = model.model_vertices, model.topology.used
    nearest = used[cKDTree(skin[used]).query(vertices)[1]]
    outward = model.model_normals[nearest]
    height = dot(vertices - skin[nearest], outward)
    # Triangles sag between the skin's vertices, in an ear above all: what is just below those may come out.
    islands = small_islands(vertices, faces, height) | small_islands(vertices, faces, height + LIMITS.under)
    return vertices - outward * (islands * (height + 2 * LIMITS.under))[:, None]


def small_islands(
    vertices: Float[np.ndarray, "N 3"], faces: Int64[np.ndarray, "M 3"], height: Float[np.ndarray, " N"]
) -> Bool[np.ndarray, " N"]:
    """Vertices of pieces of a surface above height 0 that are small and low by `LIMITS`."""
    above = faces[(height > 0)[faces].any(axis=1)]
    if not len(above):
        return np.zeros(len(vertices), bool)
    piece = Topology(above, len(vertices)).pieces
    a, b, c = vertices.take(above.T, axis=0)
    twice = length(np.cross(b - a, c - a))
    area = np.bincount(piece[above[:, 0]], twice / 2, piece.max() + 1)
    highest = np.full(len(area), -np.inf)
    np.maximum.at(highest, piece, height)
    return ((area < LIMITS.island) & (highest < LIMITS.shallow))[piece] & (height > 0)


def shown_vertices(view: HairView, model: FittedHead, body: HairBody) -> Bool[np.ndarray, " N"]:
    """Vertices of the body that lie just behind the photographed hair and face the camera."""
    points = model.to_camera(body.vertices)
    front = view.read(view.front, points)
    hair = view.read(view.hair, points, beyond=0.0) > 0.5
    facing = dot(body.normals, body.vertices - model.to_model(np.zeros((1, 3)))) < 0
    return hair & facing & (np.abs(points[:, 2] - front) < 2 * body.voxel)
