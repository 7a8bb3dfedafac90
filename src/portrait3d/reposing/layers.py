"""What of a head is drawn how when it turns: the seen front, the unseen back, and what joins them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry import HeadMesh, HeadPart
from portrait3d.geometry.layout import SIDES
from portrait3d.geometry.mesh import Binding
from portrait3d.geometry.sheet import EARS, HAIR, HEAD, HEADWEAR, nearest
from portrait3d.portrait import Portrait
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.neck import neck_below, on_neck, prolonged
from portrait3d.reposing.surfaces import CropGrid, Surface, signed_area

FRINGE = 4
"""Pixels of the head crop by which the front is continued beyond the outline, for the matte's soft edge."""
OVERLAP = 3
"""Pixels of the head crop by which it runs on under the front, or cracks open between them in a turn."""
STEP = 5.0
"""What smoothing would change by more (mm) is a step between surfaces."""
UNDER_CHIN = 6
"""Rings of triangles by which the neck runs on under the head, which it bends away from."""
SMALLEST_FRONT = 0.02
"""Area (pixels of the head crop) of the smallest triangle that counts as seen in the photo."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadSurfaces:
    """The parts of a head that turns."""

    front: Surface
    """What the photo shows, with a fringe beyond its outline."""
    back: Surface
    """The model's whole surface, with its baked colours, under the front and behind it."""
    throat: Surface
    """The model's neck, for what the photo does not show of it: it bends, and clothes hide it."""
    sides: Surface
    """What leads from the front's outline back: it closes gaps, and is the far side of hanging hair."""
    curtain: Surface | None
    """The side of hair behind the neck that the camera sees between head, neck and the hair beside them."""


def head_surfaces(
    portrait: Portrait,
    at_rest: Turn,
    binding: Binding,
    left_out: Bool[np.ndarray, " F"],
    margin: Int64[np.ndarray, " N"],
) -> HeadSurfaces:
    """Split the stitched head by how its parts are drawn.

    Args:
        portrait: The person.
        at_rest: The photo's own pose.
        binding: Of the head's vertices.
        left_out: Triangles of the head that are drawn otherwise or not at all.
        margin: The head model's vertices around the cut neck, in order.
    """
    head, grid = portrait.head, CropGrid(portrait, portrait.head_parsing.head_labels)
    vertices = head.vertices.astype(np.float64)
    pixels = grid.project(vertices)
    photo_uv = portrait.head_crop.photo_from_crop(torch.from_numpy(pixels)).numpy()
    follow = np.where(head.part == HeadPart.HAIR, at_rest.following(vertices), 1.0)
    unseen = ~head.seen[head.faces].all(axis=1)
    area = signed_area(pixels, head.faces)
    front = ~unseen & (area < -SMALLEST_FRONT)
    index, depth = grid.draw(vertices, head.faces)
    openings = (index >= 0) & left_out[index]
    neck = on_neck(head, at_rest, grid.labels_at(pixels)) & ~left_out
    # It goes on under what is drawn over it, so that nothing shines through between.
    baked = (head.uv[:, 1] < 1 / SIDES)[head.faces].all(axis=1)
    bare = baked & ~left_out & np.isin(head.part, (HeadPart.REST, HeadPart.FACE))[head.faces].all(axis=1)
    corner = binding.index[:, 0][head.faces]  # vertices are double at the seams of the texture
    throat_faces = neck
    for _ in range(UNDER_CHIN):
        throat_faces = throat_faces | bare & np.isin(corner, corner[throat_faces]).any(axis=1)
    left_out = left_out | neck

    faces = head.faces[front & ~left_out]
    shown = np.unique(faces)
    shown_binding = binding.chosen(shown)
    own = openings | (index >= 0) & (front & ~left_out)[index]
    # Where the cheek's edge hides a little of the hair behind it, that hair's colours are not the cheek's.
    skin = (index >= 0) & (baked & (head.part[head.faces] != HeadPart.HAIR).all(axis=1))[index]
    own |= skin & np.isin(grid.labels, (HAIR, HEADWEAR))
    fringe = fringe_surface(grid, own, depth, vertices[shown], shown_binding, at_rest)
    seen = Surface(vertices, follow, faces, photo_uv, np.zeros(len(faces), bool), binding)
    # The model's own surface lies under what the photo shows, for where that fades in a turn.
    behind = ~front & ~left_out
    texture_uv = head.uv.astype(np.float64)

    def with_texture(faces: Int64[np.ndarray, "F 3"], follow: Float[np.ndarray, " V"] = follow) -> Surface:
        return Surface(vertices, follow, faces, texture_uv, np.ones(len(faces), bool), binding)

    model = with_texture(head.faces[(behind & unseen | front & ~left_out) & baked])
    last = model_vertices(binding, margin)
    end = narrower(portrait.face.vertices[torch.from_numpy(margin)].double().numpy(), vertices[last])
    # From both sides: where it bends under the chin, it may turn away.
    inner = head.faces[throat_faces]
    throat = with_texture(np.concatenate([inner, inner[:, ::-1]]), at_rest.following(vertices))
    # The photo's own neck hides the near side of hair that hangs behind it: that lies below the neck's layer.
    towards = unseen & ~baked & hangs_free(head)[head.faces].all(axis=1) & (area < 0)
    faces = head.faces[behind & ~unseen]
    away = Surface(vertices, follow, faces, photo_uv, np.zeros(len(faces), bool), binding)
    return HeadSurfaces(
        front=seen.beside(fringe).trimmed(),
        back=model.beside(away).trimmed(),
        throat=prolonged(throat, last, end, neck_below(grid, end), at_rest).trimmed(),
        sides=with_texture(head.faces[behind & unseen & ~baked & ~towards]).trimmed(),
        curtain=with_texture(head.faces[curtain]).trimmed() if (curtain := behind & towards).any() else None,
    )


def narrower(neck: Float[np.ndarray, "N 3"], drawn: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """The neck's end where it lies further in than what is drawn there, which hair may thicken."""
    middle = neck.mean(axis=0)
    nearer = np.linalg.norm(drawn - middle, axis=1) < np.linalg.norm(neck - middle, axis=1)
    return np.where(nearer[:, None], drawn, neck)


def model_vertices(binding: Binding, wanted: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """The vertices that move with nothing but one vertex of the head model each, the nearest to doing so."""
    first = np.where(binding.index == wanted[:, None, None], binding.weight, 0.0).max(axis=2)
    return first.argmax(axis=1)


def hangs_free(head: HeadMesh) -> Bool[np.ndarray, " V"]:
    """Vertices of hair that no expression moves."""
    still = np.zeros(len(head.vertices), bool) if head.binding is None else ~head.binding.weight.any(axis=1)
    return still & (head.part == HeadPart.HAIR)


def fringe_surface(
    grid: CropGrid,
    own: Bool[np.ndarray, "S S"],
    depth: Float[np.ndarray, "S S"],
    shown: Float[np.ndarray, "N 3"],
    binding: Binding,
    at_rest: Turn,
) -> Surface:
    """What else the photo shows of the head: the outline, where it sees the surface edge-on, and a narrow
    belt beyond.

    It lies on the head's surface, the belt as deep as the nearest part of the head. `own` are the pixels that
    need none of it, `depth` is that of the head (mm, infinite beside it); `shown` are vertices that the photo
    shows, `binding` is theirs: the fringe follows the nearest. Empty where the photo shows nothing.
    """
    labels = grid.labels
    head = np.isin(labels, HEAD)
    known = np.isfinite(depth) & head
    if not known.any() or not len(shown):
        return Surface.empty()
    _, source = nearest(known)
    belt = ndimage.binary_dilation(head, iterations=FRINGE)
    belt &= ~ndimage.binary_erosion(own, iterations=OVERLAP, border_value=1)
    known = depth[source]
    smooth = ndimage.gaussian_filter(known, 0.7)
    filled = np.where(np.abs(smooth - known) < STEP, smooth, known) + 0.5
    points, photo, faces, used = grid.lift(belt, filled)
    hairy = np.isin(labels, (HAIR, HEADWEAR)) | np.isin(labels, EARS)
    _, to_head = nearest(head)
    hanging = hairy[to_head].ravel()[used]
    follow = np.where(hanging, at_rest.following(points), 1.0)
    _, next_to = cKDTree(shown).query(points)
    follows = binding.chosen(next_to)
    return Surface(points, follow, faces, photo, np.zeros(len(faces), bool), follows)
