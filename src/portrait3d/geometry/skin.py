"""The head model's skin as a surface: its openings, the sheets that close them, and its ears."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int64, Shaped
from scipy.sparse.linalg import splu

from portrait3d.geometry.layout import HeadLayout
from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.sheet import pixel_under

HEAD_CENTRE = np.array([0.0, -8.0, 40.0])
"""The middle of the skull in the model's frame, mm: depths are predicted relative to its."""
HEAD_PIVOT = np.array([0.0, 50.0, 46.0])
"""The point of the model's frame (mm) that moves least when people turn their heads, measured on clips."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """The head model fitted to a photo, in the frame of the head crop's camera."""

    vertices: Float[np.ndarray, "V 3"]
    """All vertices of the head model, crop camera, mm."""
    faces: Int64[np.ndarray, "F 3"]
    """Triangles of the model's skin, outward; eyes and mouth are openings in it."""
    layout: HeadLayout
    """All triangles, and their places in the texture."""
    camera_from_model: Pose
    """Unbatched; the model's frame to the crop's camera."""
    face_mask: Float[np.ndarray, " V"]
    """1 on the face, 0 off it."""
    ears_mask: Float[np.ndarray, " V"]
    """1 on the ears, 0 off them."""
    irradiance: Float[np.ndarray, " V"]
    """Brightness of the fitted light on the skin; 1 shows the skin's own colour."""
    face_index: Int64[np.ndarray, "H W"]
    """Triangle of `layout` seen in every pixel of the head crop, -1 where none is; the first are `faces`."""
    depth: Float[np.ndarray, "H W"]
    """Depth of what is seen there, mm; infinite where nothing is."""
    focal: float
    """Focal length of the crop's camera, pixels; its principal point is the crop's centre."""

    @property
    def model_vertices(self) -> Float[np.ndarray, "V 3"]:
        """The vertices in the model's frame, mm."""
        return self.to_model(self.vertices)

    def to_model(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Points of the crop's camera in the model's frame, mm."""
        rotation, translation = self.camera_from_model.rotation, self.camera_from_model.translation
        return (points - translation.double().numpy()) @ rotation.double().numpy()

    def pixels(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Pixels of the head crop at which points of its camera's frame are seen."""
        size = np.array(self.depth.shape[::-1])
        return self.focal * points[:, :2] / points[:, 2:] + size / 2

    def read(self, values: Shaped[np.ndarray, "H W"], points: Float[np.ndarray, "N 3"]) -> np.ndarray:
        """The values of the head crop's pixels at which points are seen; those of its border beyond it."""
        return values[pixel_under(self.pixels(points), values.shape)]

    def in_crop(self, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        """Which points are seen in the head crop."""
        pixels = self.pixels(points)
        return np.all((pixels >= 0) & (pixels < self.depth.shape[::-1]), axis=1)

    def to_camera(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Points of the model's frame in the crop's camera, mm."""
        rotation, translation = self.camera_from_model.rotation, self.camera_from_model.translation
        return points @ rotation.double().numpy().T + translation.double().numpy()


def normals(vertices: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Unit normals at the vertices, outward for the winding of `Mesh`; zero at vertices of no triangle."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(cross[:, k], 3), len(vertices)) for k in range(3)], axis=1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def view_cosine(
    vertices: Float[np.ndarray, "V 3"], normal: Float[np.ndarray, "V 3"]
) -> Float[np.ndarray, " V"]:
    """Cosine between the normal and the direction to the camera at the origin; > 0 faces the camera."""
    return -(vertices * normal).sum(axis=1) / np.linalg.norm(vertices, axis=1)


def openings(
    faces: Int64[np.ndarray, "F 3"], model_vertices: Float[np.ndarray, "V 3"]
) -> dict[HeadPiece, Int64[np.ndarray, " N"]]:
    """The skin's margins around eyes, mouth and the cut neck: vertices in order, by what lies behind."""
    loops = boundary_loops(faces.tobytes(), len(faces))
    at = [model_vertices[loop].mean(axis=0) for loop in loops]
    down = sorted(range(len(loops)), key=lambda k: float(at[k][1]))
    left, right = sorted(down[:2], key=lambda k: float(at[k][0]))
    return {
        HeadPiece.LEFT_EYE: loops[left],
        HeadPiece.RIGHT_EYE: loops[right],
        HeadPiece.MOUTH_CAVITY: loops[down[2]],
        HeadPiece.SURFACE: loops[down[3]],
    }


def closing_sheets(
    faces: Int64[np.ndarray, "F 3"], model_vertices: Float[np.ndarray, "V 3"]
) -> dict[HeadPiece, Int64[np.ndarray, "N 3"]]:
    """Triangles that close the skin's openings at eyes and mouth (not the neck), outward.

    Each opening is spanned between its upper and its lower lip, from corner to corner.
    """
    margins = openings(faces, model_vertices)
    return {
        piece: _span(model_vertices, loop) for piece, loop in margins.items() if piece != HeadPiece.SURFACE
    }


@lru_cache(maxsize=4)
def boundary_loops(faces: bytes, count: int) -> tuple[np.ndarray, ...]:
    """Vertices around each hole of a triangle mesh (int64 bytes), in order."""
    triangles = np.frombuffer(faces, np.int64).reshape(count, 3)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    size = int(triangles.max()) + 1
    forward = set((edges[:, 0] * size + edges[:, 1]).tolist())
    open_edges = [(a, b) for a, b in edges.tolist() if b * size + a not in forward]
    following, loops = dict(open_edges), []
    while following:
        start = min(following)
        loop, here = [start], following.pop(start)
        while here != start and here in following:
            loop.append(here)
            here = following.pop(here)
        loops.append(np.array(loop))
    return tuple(loops)


def _span(vertices: np.ndarray, loop: np.ndarray) -> Int64[np.ndarray, "N 3"]:
    """Zip the two sides of an opening together, walking from its leftmost to its rightmost vertex."""
    x = vertices[loop, 0]
    loop = np.roll(loop, -int(np.argmin(x)))
    turn = int(np.argmax(vertices[loop, 0]))
    one, other = loop[: turn + 1], np.concatenate([loop[:1], loop[:turn:-1], loop[turn : turn + 1]])
    triangles, i, j = [], 0, 0
    while i < len(one) - 1 or j < len(other) - 1:
        ahead = (i + 1) / (len(one) - 1) <= (j + 1) / (len(other) - 1) if i < len(one) - 1 else False
        if ahead or j == len(other) - 1:
            triangles.append((one[i], one[i + 1], other[j]))
            i += 1
        else:
            triangles.append((one[i], other[j + 1], other[j]))
            j += 1
    found = np.array([t for t in triangles if len(set(t)) == 3])
    a, b, c = (vertices[found[:, k]] for k in range(3))
    return found if np.cross(b - a, c - a).sum(axis=0)[2] < 0 else found[:, ::-1].copy()


def flatten_ears(
    vertices: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"], ears: Bool[np.ndarray, " V"]
) -> Float[np.ndarray, "V 3"]:
    """Replace the ears by a smooth patch over the hole that they leave (harmonic in the mesh's graph)."""
    if not ears.any():
        return vertices
    index, weights = _harmonic(faces.tobytes(), len(faces), np.packbits(ears).tobytes(), len(ears))
    flat = vertices.copy()
    flat[ears] = weights @ vertices[index]
    return flat


@lru_cache(maxsize=8)
def _harmonic(
    faces: bytes, count: int, unknown: bytes, size: int
) -> tuple[Int64[np.ndarray, " K"], Float[np.ndarray, "U K"]]:
    """Known vertices next to unknown ones, and their weights in each unknown vertex."""
    triangles = np.frombuffer(faces, np.int64).reshape(count, 3)
    free = np.unpackbits(np.frombuffer(unknown, np.uint8), count=size).astype(bool)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ones = np.ones(len(edges))
    graph = sp.coo_matrix((ones, (edges[:, 0], edges[:, 1])), (size, size)).tocsr()
    graph = ((graph + graph.T) > 0).astype(float)
    laplacian = (sp.diags(np.asarray(graph.sum(axis=1)).ravel() + 1e-9) - graph).tocsr()
    known = np.flatnonzero(~free & (np.asarray(graph[:, free].sum(axis=1)).ravel() > 0))
    weights = splu(laplacian[free][:, free].tocsc()).solve(-laplacian[free][:, known].toarray())
    return known, weights
