"""What of the closing surface would stick out of the hair, laid under it."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from portrait3d.geometry.atlas import Atlas
from portrait3d.geometry.concealing import hiding_depth, in_the_way, push_behind
from portrait3d.geometry.mesh import Binding, HeadPart
from portrait3d.geometry.patches import Patch
from portrait3d.geometry.skin import FittedHead


def buried_patch(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    kept: Bool[np.ndarray, " F"],
    hairy: Float[np.ndarray, " V"],
    hair_depth: Float[np.ndarray, "H W"],
    atlas: Atlas,
) -> Patch | None:
    """The triangles that are not `kept`, behind the hair, with walls up to those that are; None for none.

    Between the face's edge and hair in front of it the closing surface would cut through the hair. Copies of
    its triangles lie behind it instead, moved along their rays: the photo's view shows nothing of that, and
    from the side no hole opens where the hair ends. What sticks out all the same is left out.

    Args:
        model: The fitted head model.
        vertices: The closing surface, crop camera, mm.
        kept: Triangles of the model's layout that stay where they are.
        hairy: 1 where hair covers the skin.
        hair_depth: Depth of the hair that hides them in the head crop, mm; infinite elsewhere.
        atlas: Where the model's layout lies in the texture.
    """
    layout, hiding = model.layout, hiding_depth(hair_depth)
    sunk = layout.faces[~kept]
    low = push_behind(vertices, sunk, np.ones(len(vertices), bool), hiding, model.focal)
    sunk = np.flatnonzero(~kept)[~in_the_way(low, sunk, hiding, model.focal)]
    if not len(sunk):
        return None
    points = layout.point_faces[sunk]
    used, corners = np.unique(points, return_inverse=True)
    at = layout.point_vertex[used]
    corners = corners.reshape(-1, 3)
    a, b = joined_edges(at[corners], layout.faces[kept], len(vertices), corners)
    count = len(used)
    walls = np.concatenate([np.stack([a, b, b + count], axis=1), np.stack([a, b + count, a + count], axis=1)])
    both = np.tile(at, 2)
    part = np.where(hairy[both] > 0.5, HeadPart.HAIR, HeadPart.REST).astype(np.uint8)
    return Patch(
        vertices=np.concatenate([vertices[at], low[at]]),
        faces=np.concatenate([walls, corners + count]),
        part=part,
        uv=np.tile(atlas.of_model(layout.points[used]), (2, 1)),
        binding=Binding.to_vertices(both),
        piece=np.zeros(2 * count, np.uint8),
        seen=np.zeros(2 * count, bool),
    )


def joined_edges(
    faces: Int64[np.ndarray, "F 3"],
    others: Int64[np.ndarray, "K 3"],
    size: int,
    corners: Int64[np.ndarray, "F 3"],
) -> tuple[Int64[np.ndarray, " E"], Int64[np.ndarray, " E"]]:
    """Both ends, as `corners`, of the edges that triangles share with others; `size`: number of vertices."""

    def directed(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return triangles.ravel(), triangles[:, [1, 2, 0]].ravel()

    start, end = directed(faces)
    start_of_others, end_of_others = directed(others)
    shared = np.isin(start * size + end, end_of_others * size + start_of_others)
    a, b = directed(corners)
    return a[shared], b[shared]
