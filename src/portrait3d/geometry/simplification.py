"""Fewer triangles over a subset of a mesh's vertices: whatever belongs to the vertices stays exact."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from portrait3d.compilation import compiled
from portrait3d.geometry.mesh import coinciding

SEAM_WEIGHT = 10.0
"""How much a border or a seam of the texture counts against a triangle as long and wide."""
LEAST_COSINE = 0.3
"""Between a triangle's normals before and after a vertex has moved: it must not turn further."""
SHARE = 0.25
"""Of the edges whose removal costs least, the share that may go before costs are taken anew."""


def simplified_faces(
    poses: Float[np.ndarray, "K V 3"],
    faces: Int64[np.ndarray, "F 3"],
    goal: int,
    weight: Float[np.ndarray, " V"],
) -> Int64[np.ndarray, "N 3"]:
    """Triangles over some of the vertices, about `goal` of them, nearest to the mesh in all its poses.

    Vertices are moved onto neighbours one after the other, those first whose loss changes the surface least:
    the sum of squared distances to the planes around (Garland and Heckbert, Surface simplification using
    quadric error metrics, SIGGRAPH 1997), times the vertices' weight. Surfaces keep their topology, borders
    move along themselves alone and so do the texture's seams, on both sides at once.

    Args:
        poses: The vertices in each pose; the first one's tell which coincide at a seam.
        faces: Triangles.
        goal: How many are wanted. More stay where the mesh can't do with fewer.
        weight: How much it matters that the surface stays where a vertex is.
    """
    # Vertices on a seam of the texture are several at one place. Topology and costs are those of places,
    # while triangles keep their own vertices.
    same = coinciding(poses[0])
    quadrics = _quadrics(poses, faces, same, weight)
    places = poses[0].astype(np.float64)
    # Passes over independent edges instead of a heap with one edge at a time: costs and neighbours are taken
    # anew for a whole pass at once.
    while len(faces) > goal:
        welded = same[faces]
        pairs = _neighbours(welded, len(same))
        cost = _costs(quadrics, poses, pairs)
        order = np.argsort(cost, kind="stable")[: max(1, int(SHARE * len(pairs)))]
        starts, around = _triangles_around(welded, len(same))
        target = np.arange(len(same))
        # An edge inside the mesh takes two triangles with it.
        needed = (len(faces) - goal + 1) // 2
        gone = np.full((needed, 2), -1)
        _collapse(pairs[order], faces, welded, starts, around, places, target, gone)
        gone = gone[gone[:, 0] >= 0]
        if not len(gone):
            break
        quadrics[:, gone[:, 1]] += quadrics[:, gone[:, 0]]  # no place takes in two others at a time
        # Triangles that lost an edge have two corners at one place.
        faces = target[faces]
        a, b, c = same[faces].T
        faces = faces[(a != b) & (b != c) & (c != a)]
    return faces


def _neighbours(welded: Int64[np.ndarray, "F 3"], count: int) -> Int64[np.ndarray, "E 2"]:
    """Places that an edge joins, each pair in both orders."""
    one, other = welded.ravel(), np.roll(welded, -1, axis=1).ravel()
    codes = np.unique(np.concatenate([one * count + other, other * count + one]))
    return np.stack([codes // count, codes % count], axis=1)


def _quadrics(
    poses: Float[np.ndarray, "K V 3"],
    faces: Int64[np.ndarray, "F 3"],
    same: Int64[np.ndarray, " V"],
    weight: Float[np.ndarray, " V"],
) -> Float[np.ndarray, "K V 4 4"]:
    """For each pose and place the matrix Q with which a point p has the error (p, 1) Q (p, 1)."""
    welded = same[faces]
    # float64: squared distances are small differences of squared coordinates.
    quadrics = np.zeros((*poses.shape[:2], 4, 4))
    edges = np.stack([welded, np.roll(welded, -1, axis=1)], axis=-1).reshape(-1, 2)
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    loose = _loose(ends)
    for pose, own in zip(poses, quadrics, strict=True):
        a, b, c = (pose[faces[:, k]].astype(np.float64) for k in range(3))
        normal = np.cross(b - a, c - a)
        double_area = np.linalg.norm(normal, axis=1, keepdims=True)
        normal /= np.maximum(double_area, 1e-12)
        share = weight[faces].mean(axis=1) * double_area[:, 0]
        planes = _planes(normal, a) * share[:, None, None]
        for k in range(3):
            np.add.at(own, welded[:, k], planes)
        # Borders and seams: planes through the edge, perpendicular to the triangle, hold them in place
        # (section 6 of the paper).
        start, along = pose[edges[loose, 0]], pose[edges[loose, 1]] - pose[edges[loose, 0]]
        across = np.cross(along, np.repeat(normal, 3, axis=0)[loose])
        length = np.linalg.norm(across, axis=1, keepdims=True)
        share = SEAM_WEIGHT * weight[edges[loose]].mean(axis=1) * length[:, 0] ** 2
        planes = _planes(across / np.maximum(length, 1e-12), start) * share[:, None, None]
        for k in range(2):
            np.add.at(own, edges[loose, k], planes)
    return quadrics


def _planes(normal: Float[np.ndarray, "N 3"], point: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 4 4"]:
    """The quadrics of planes through points."""
    plane = np.concatenate([normal, -(normal * point).sum(axis=1, keepdims=True)], axis=1)
    return plane[:, :, None] * plane[:, None, :]


def _loose(ends: Int64[np.ndarray, "E 2"]) -> Bool[np.ndarray, " E"]:
    """Which of the triangles' edges have no other triangle at the same two vertices: borders and seams."""
    size = ends.max(initial=0) + 1
    return ~np.isin(ends[:, 0] * size + ends[:, 1], ends[:, 1] * size + ends[:, 0])


def _costs(
    quadrics: Float[np.ndarray, "K V 4 4"],
    poses: Float[np.ndarray, "K V 3"],
    pairs: Int64[np.ndarray, "E 2"],
) -> Float[np.ndarray, " E"]:
    """What it costs to move the first place of each pair onto the second."""
    total = np.zeros(len(pairs))
    for own, pose in zip(quadrics, poses, strict=True):
        point = np.concatenate([pose[pairs[:, 1]], np.ones((len(pairs), 1))], axis=1)
        both = own[pairs[:, 0]] + own[pairs[:, 1]]
        total += np.einsum("ei,eij,ej->e", point, both, point)
    return total


def _triangles_around(
    welded: Int64[np.ndarray, "F 3"], count: int
) -> tuple[Int64[np.ndarray, " W"], Int64[np.ndarray, " C"]]:
    """For each place where its triangles begin in the second array, which lists them."""
    flat = welded.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=count))])
    return starts, order // 3


@compiled
def _collapse(pairs, faces, welded, starts, around, places, target, gone):
    """Move places onto others in the order of `pairs` while it leaves the surface sound.

    A place whose surroundings have changed waits for the next call. Writes where vertices go into `target`,
    and into `gone` which place went where, until that is full.
    """
    # Arrays are stamped with the pair's number rather than cleared for each pair.
    locked = np.zeros(len(target), np.bool_)
    stamp, near = np.zeros(len(target), np.int64), np.zeros(len(target), np.int64)
    onto = np.full(len(target), -1, np.int64)
    count = 0
    for number in range(len(pairs)):
        p, q = pairs[number]
        if locked[p] or locked[q]:
            continue
        now = number + 1
        # The places around q.
        for k in range(starts[q], starts[q + 1]):
            for corner in range(3):
                near[welded[around[k], corner]] = now
        # `onto`: to which vertex of q each vertex of p moves. On a seam p has several vertices, each with its
        # own texture coordinates, and each must find its partner along the edge.
        sound, shared, common, open_edges = True, 0, 0, 0
        for k in range(starts[p], starts[p + 1]):
            for corner in range(3):
                onto[faces[around[k], corner]] = -1
        for k in range(starts[p], starts[p + 1]):
            triangle = around[k]
            mine = theirs = -1
            for corner in range(3):
                place = welded[triangle, corner]
                if place == p:
                    mine = faces[triangle, corner]
                elif place == q:
                    theirs = faces[triangle, corner]
                if place != p and stamp[place] != now:
                    stamp[place] = now
                    open_edges += 1
                    if near[place] == now and place != q:
                        common += 1
            if theirs >= 0:
                shared += 1
                if onto[mine] >= 0 and onto[mine] != theirs:
                    sound = False
                onto[mine] = theirs
        on_border = open_edges != starts[p + 1] - starts[p]
        # The link condition (Dey et al., 1999), without which the surface would pinch: an edge inside has two
        # triangles and two common neighbours, one on a border has one of each.
        if not sound or common != shared or shared != (1 if on_border else 2):
            continue
        if starts[p + 1] - starts[p] == 3 and starts[q + 1] - starts[q] == 3 and not on_border:
            continue  # a tetrahedron would fold flat
        for k in range(starts[p], starts[p + 1]):
            triangle = around[k]
            a, b, c = welded[triangle]
            if a == q or b == q or c == q:
                continue
            corner = 0 if a == p else (1 if b == p else 2)
            if onto[faces[triangle, corner]] < 0:
                sound = False  # a seam would tear
                break
            first, second = welded[triangle, (corner + 1) % 3], welded[triangle, (corner + 2) % 3]
            # Triangles that stay must not flip over.
            before = np.cross(places[first] - places[p], places[second] - places[p])
            after = np.cross(places[first] - places[q], places[second] - places[q])
            lengths = np.sqrt((before * before).sum() * (after * after).sum())
            if (before * after).sum() <= LEAST_COSINE * lengths:
                sound = False
                break
        if not sound:
            continue
        for k in range(starts[p], starts[p + 1]):
            triangle = around[k]
            for corner in range(3):
                # What has been checked holds for unchanged surroundings only.
                locked[welded[triangle, corner]] = True
                vertex = faces[triangle, corner]
                if welded[triangle, corner] == p:
                    target[vertex] = onto[vertex]
        gone[count] = p, q
        count += 1
        if count == len(gone):
            break
