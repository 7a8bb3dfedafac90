"""What moves when the head turns, as textured surfaces: the seen front, the unseen back, and the neck."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry import HeadMesh, HeadPart
from portrait3d.geometry.layout import SIDES
from portrait3d.geometry.mesh import Binding
from portrait3d.geometry.sheet import EARS, HAIR, HEAD, HEADWEAR, NECK, nearest, triangulate
from portrait3d.portrait import Portrait
from portrait3d.reposing.expression import bind, joined
from portrait3d.reposing.motion import Turn

FRINGE = 4
"""Pixels of the head crop by which the front is continued beyond the outline, for the matte's soft edge."""
UNDER_CHIN = 14
"""Pixels of the head crop by which the neck goes on behind the head."""
NECK_FROM, BEHIND_JAW = 28.0, 15.0
"""The model's neck begins this far below and behind its origin, mm."""
SMALLEST_FRONT = 0.02
"""Area (pixels of the head crop) of the smallest triangle that counts as seen in the photo."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Triangles that take their colours from the photo or from the head's texture."""

    vertices: Float[np.ndarray, "N 3"]
    """Photo camera, mm, in the photo's pose."""
    follow: Float[np.ndarray, " N"]
    """Share of the head's turn that each vertex takes part in."""
    faces: Int64[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "N 2"]
    """Where the colours come from: pixels of the photo, or texture coordinates where `hidden`."""
    hidden: Bool[np.ndarray, " F"]
    """Triangles that the photo does not show."""
    binding: Binding
    """How the vertices follow the head model's expressions."""

    def moved(self, turn: Turn, displacement: Float[np.ndarray, "M 3"] | None) -> Float[np.ndarray, "N 3"]:
        """The vertices after an expression, which displaces the head model's vertices (mm), and a turn."""
        if displacement is None:
            return turn.apply(self.vertices, self.follow)
        return turn.apply(self.vertices + self.binding.apply(displacement), self.follow)

    def beside(self, other: "Surface") -> "Surface":
        """This surface and another one as one."""
        return Surface(
            vertices=np.concatenate([self.vertices, other.vertices]),
            follow=np.concatenate([self.follow, other.follow]),
            faces=np.concatenate([self.faces, other.faces + len(self.vertices)]),
            uv=np.concatenate([self.uv, other.uv]),
            hidden=np.concatenate([self.hidden, other.hidden]),
            binding=joined(self.binding, other.binding),
        )


@dataclass(frozen=True, slots=True, eq=False)
class HeadSurfaces:
    """The parts of a head that turns."""

    front: Surface
    """What the photo shows, with a fringe beyond its outline."""
    back: Surface
    """The model's whole surface, with its baked colours, under the front and behind it."""
    sides: Surface
    """What leads from the front's outline back: it closes gaps, and is the far side of hanging hair."""


@dataclass(frozen=True, slots=True, eq=False)
class CropGrid:
    """The head crop's pixels and labels, and the way from there to the photo's camera."""

    portrait: Portrait
    labels: UInt8[np.ndarray, "S S"]

    @property
    def size(self) -> int:
        """Pixels of the crop's side."""
        return len(self.labels)

    @property
    def roll(self) -> Float[np.ndarray, "3 3"]:
        """Rotation from the crop's camera to the photo's."""
        cosine, sine = np.cos(self.portrait.head_crop.angle), np.sin(self.portrait.head_crop.angle)
        return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])

    def project(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Pixels of the crop at which points of the photo's camera frame are seen."""
        upright = points @ self.roll
        focal = float(self.portrait.head_crop.camera().focal)
        return focal * upright[:, :2] / upright[:, 2:] + self.size / 2

    def labels_at(self, pixels: Float[np.ndarray, "N 2"]) -> UInt8[np.ndarray, " N"]:
        """Class of the crop's pixels; those of the border beyond it."""
        column, row = np.floor(pixels).astype(np.int64).clip(0, self.size - 1).T
        return self.labels[row, column]

    def lift(
        self, region: Bool[np.ndarray, "S S"], depth: Float[np.ndarray, "S S"]
    ) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 2"], Int64[np.ndarray, "F 3"], np.ndarray]:
        """Points (photo camera), photo pixels, triangles and flat pixel index of a region of the crop."""
        faces = triangulate(depth, region, self.labels)
        used, faces = np.unique(faces, return_inverse=True)
        row, column = np.divmod(used, self.size)
        pixels = np.stack([column, row], axis=1) + 0.5
        focal = float(self.portrait.head_crop.camera().focal)
        rays = np.concatenate([(pixels - self.size / 2) / focal, np.ones((len(used), 1))], axis=1)
        points = (rays * depth[row, column][:, None]) @ self.roll.T
        photo = self.portrait.head_crop.photo_from_crop(torch.from_numpy(pixels)).numpy()
        return points, photo, faces.reshape(-1, 3), used


def head_surfaces(
    portrait: Portrait, at_rest: Turn, binding: Binding, left_out: Bool[np.ndarray, " F"]
) -> HeadSurfaces:
    """Split the stitched head by how its parts are drawn.

    Args:
        portrait: The person.
        at_rest: The photo's own pose.
        binding: Of the head's vertices.
        left_out: Triangles of the head that are drawn otherwise or not at all.
    """
    head, grid = portrait.head, CropGrid(portrait, portrait.head_parsing.head_labels)
    vertices = head.vertices.astype(np.float64)
    pixels = grid.project(vertices)
    photo_uv = portrait.head_crop.photo_from_crop(torch.from_numpy(pixels)).numpy()
    follow = np.where(head.part == HeadPart.HAIR, at_rest.following(vertices), 1.0)
    unseen = ~head.seen[head.faces].all(axis=1)
    front = ~unseen & (signed_area(pixels, head.faces) < -SMALLEST_FRONT)
    left_out = left_out | on_neck(head, at_rest, grid.labels_at(pixels))

    faces = head.faces[front & ~left_out]
    shown = np.unique(faces)
    shown_binding = Binding(binding.index[shown], binding.weight[shown])
    fringe = fringe_surface(grid, vertices[shown], shown_binding, at_rest)
    seen = Surface(vertices, follow, faces, photo_uv, np.zeros(len(faces), bool), binding)
    # The model's own surface lies under what the photo shows, for where that fades in a turn.
    behind = ~front & ~left_out
    baked = (head.uv[:, 1] < 1 / SIDES)[head.faces].all(axis=1)
    texture_uv = head.uv.astype(np.float64)

    def with_texture(faces: Int64[np.ndarray, "F 3"]) -> Surface:
        return Surface(vertices, follow, faces, texture_uv, np.ones(len(faces), bool), binding)

    model = with_texture(head.faces[(behind & unseen | front & ~left_out) & baked])
    # The photo's own neck hides the near side of hair that hangs behind it; its layer lies below the sides'.
    towards = (
        unseen & ~baked & hangs_free(head)[head.faces].all(axis=1) & (signed_area(pixels, head.faces) < 0)
    )
    faces = head.faces[behind & ~unseen]
    away = Surface(vertices, follow, faces, photo_uv, np.zeros(len(faces), bool), binding)
    return HeadSurfaces(
        front=seen.beside(fringe),
        back=model.beside(away),
        sides=with_texture(head.faces[behind & unseen & ~baked & ~towards]),
    )


def hangs_free(head: HeadMesh) -> Bool[np.ndarray, " V"]:
    """Vertices of hair that no expression moves."""
    still = np.zeros(len(head.vertices), bool) if head.binding is None else ~head.binding.weight.any(axis=1)
    return still & (head.part == HeadPart.HAIR)


def signed_area(pixels: Float[np.ndarray, "N 2"], faces: Int64[np.ndarray, "F 3"]) -> np.ndarray:
    """Area of triangles in the picture; negative for those that face the camera."""
    a, b, c = (pixels[faces[:, k]] for k in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def on_neck(head: HeadMesh, at_rest: Turn, labels: UInt8[np.ndarray, " V"]) -> Bool[np.ndarray, " F"]:
    """Triangles of the model's neck, which the photo's own neck replaces; `labels`: of the vertices."""
    inner = (head.vertices - at_rest.translation) @ at_rest.rotation
    low = (inner[:, 1] > 62) & ~((inner[:, 2] < 5) & (inner[:, 1] < 75))
    bare = np.isin(head.part, (HeadPart.REST, HeadPart.FACE))
    shown = head.seen & (head.part == HeadPart.REST) & (labels == NECK)
    return (low & ~head.seen & bare)[head.faces].any(axis=1) | shown[head.faces].all(axis=1)


def fringe_surface(
    grid: CropGrid, shown: Float[np.ndarray, "N 3"], binding: Binding, at_rest: Turn
) -> Surface:
    """A narrow belt about the head's outline at the depth of the nearest part of the head, which it follows.

    `shown` are the vertices that the photo shows, `binding` is theirs.
    """
    labels, size = grid.labels, grid.size
    head = np.isin(labels, HEAD)
    column, row = np.floor(grid.project(shown)).astype(np.int64).clip(0, size - 1).T
    depth = np.full((size, size), np.inf)
    np.minimum.at(depth, (row, column), shown[:, 2])
    _, source = nearest(np.isfinite(depth) & head)
    belt = ndimage.binary_dilation(head, iterations=FRINGE) & ~ndimage.binary_erosion(head, border_value=1)
    filled = ndimage.gaussian_filter(depth[source], 0.7) + 0.5
    points, photo, faces, used = grid.lift(belt, filled)
    hairy = np.isin(labels, (HAIR, HEADWEAR)) | np.isin(labels, EARS)
    _, to_head = nearest(head)
    hanging = hairy[to_head].ravel()[used]
    follow = np.where(hanging, at_rest.following(points), 1.0)
    _, next_to = cKDTree(shown).query(points)
    follows = Binding(binding.index[next_to], binding.weight[next_to])
    return Surface(points, follow, faces, photo, np.zeros(len(faces), bool), follows)


def neck_surface(
    portrait: Portrait, at_rest: Turn, skin: Int64[np.ndarray, " K"]
) -> tuple[Surface, Bool[np.ndarray, "S S"]] | None:
    """The neck, continued behind the jaw, and where it is; None if the photo shows no neck.

    `skin` are the vertices of the head model's skin.
    """
    labels = portrait.head_parsing.head_labels
    grid = CropGrid(portrait, labels)
    neck = labels == NECK
    if neck.sum() < 50:
        return None
    model = portrait.face.vertices.double().numpy()
    inner = (model - at_rest.translation) @ at_rest.rotation
    behind = (inner[:, 1] > NECK_FROM) & (inner[:, 2] > BEHIND_JAW) & (np.abs(inner[:, 0]) < 60)
    behind |= (inner[:, 1] > 90) & (inner[:, 1] < 130)
    cells = grid.size // 4
    column, row = np.floor(grid.project(model[behind]) / 4).astype(np.int64).clip(0, cells - 1).T
    depth = np.full((cells, cells), np.inf)
    np.minimum.at(depth, (row, column), model[behind, 2])
    filled = np.isfinite(depth)
    _, source = nearest(filled)
    depth = ndimage.gaussian_filter(depth[source], 1.5)
    depth = ndimage.zoom(depth, 4, order=1, mode="nearest", grid_mode=True)
    column_of_neck = ndimage.binary_closing(filled, iterations=3).repeat(4, 0).repeat(4, 1)
    hidden = (ndimage.binary_dilation(neck, iterations=UNDER_CHIN) | column_of_neck) & np.isin(labels, HEAD)
    region = ndimage.binary_dilation(neck | hidden, iterations=2)
    points, photo, faces, _ = grid.lift(region, depth)
    surface = Surface(
        vertices=points,
        follow=at_rest.following(points),
        faces=faces,
        uv=photo,
        hidden=np.zeros(len(faces), bool),
        binding=bind(points, model, skin),
    )
    return surface, hidden
