"""Points of the mean skin: the nearest ones, placed symmetrically."""

import numpy as np
from scipy.spatial import cKDTree


class Surface:
    """The mean head's skin as triangles.

    Args:
        mean: Vertices [V, 3], mm.
        faces: The skin's triangles [F, 3], outward, closed under `mirror` off the symmetry plane.
        mirror: The vertex on the other side [V].
    """

    def __init__(self, mean: np.ndarray, faces: np.ndarray, mirror: np.ndarray) -> None:
        self.mean, self.faces, self.mirror = mean.astype(np.float64), faces, mirror
        a, b, c = (self.mean[faces[:, k]] for k in range(3))
        normals = np.zeros_like(self.mean)
        for k in range(3):
            np.add.at(normals, faces[:, k], np.cross(b - a, c - a))
        self.normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)

    def symmetric_points(self, points: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Corners and weights [N, 3] of the nearest points of the skin, mirrored from x > 0 to x < 0."""
        own = pairs == np.arange(len(pairs))
        points = np.where(own[:, None], points * [0, 1, 1], (points + points[pairs] * [-1, 1, 1]) / 2)
        corners, weights = self.nearest(points)
        corners[own], weights[own] = self.nearest_on_midline(points[own])
        left = (points[:, 0] < 0) & ~own
        corners[left], weights[left] = self.mirror[corners[pairs[left]]], weights[pairs[left]]
        return corners, weights.astype(np.float32)

    def nearest(self, points: np.ndarray, candidates: int = 24) -> tuple[np.ndarray, np.ndarray]:
        """Corners and weights of the nearest points of the triangles around each point."""
        _, near = cKDTree(self.mean[self.faces].mean(1)).query(points, k=candidates)
        corners = self.faces[near]
        weights = nearest_weights(points[:, None], self.mean[corners])
        found = (self.mean[corners] * weights[..., None]).sum(-2)
        best = np.linalg.norm(found - points[:, None], axis=-1).argmin(1)
        rows = np.arange(len(points))
        return corners[rows, best], weights[rows, best]

    def nearest_on_midline(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same along the edges that lie in the symmetry plane; the third weight is 0."""
        edges = np.unique(np.sort(np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]]]), 1), axis=0)
        edges = edges[(self.mirror[edges] == edges).all(1)]
        start, along = self.mean[edges[:, 0]], self.mean[edges[:, 1]] - self.mean[edges[:, 0]]
        share = ((points[:, None] - start) * along).sum(-1) / (along**2).sum(-1)
        share = np.clip(share, 0, 1)
        gap = np.linalg.norm(start + share[..., None] * along - points[:, None], axis=-1)
        best = gap.argmin(1)
        share = share[np.arange(len(points)), best]
        corners = np.concatenate([edges[best], edges[best][:, :1]], axis=1)
        return corners, np.stack([1 - share, share, np.zeros_like(share)], axis=1)


def nearest_weights(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Barycentric weights [..., 3] of the points of triangles [..., 3, 3] nearest to `points` [..., 3]."""
    options = []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, along = triangles[..., i, :], triangles[..., j, :] - triangles[..., i, :]
        share = ((points - start) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)
        share = np.clip(share, 0, 1)
        weights = np.zeros(triangles.shape[:-1])
        weights[..., i], weights[..., j] = 1 - share, share
        options.append(weights)
    a, u, v = triangles[..., 0, :], *(triangles[..., k, :] - triangles[..., 0, :] for k in (1, 2))
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    pu, pv = ((points - a) * u).sum(-1), ((points - a) * v).sum(-1)
    determinant = np.maximum(uu * vv - uv**2, 1e-12)
    second, third = (vv * pu - uv * pv) / determinant, (uu * pv - uv * pu) / determinant
    inside = np.stack([1 - second - third, second, third], axis=-1)
    options.append(np.where((inside >= 0).all(-1, keepdims=True), inside, options[0]))
    stacked = np.stack(options)
    found = (stacked[..., None] * triangles).sum(-2)
    best = np.linalg.norm(found - points, axis=-1).argmin(0)
    return np.take_along_axis(stacked, best[None, ..., None], axis=0)[0]
