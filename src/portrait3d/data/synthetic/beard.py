"""Beards: shells over the lower face."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float

from portrait3d.data.synthetic.drawn_hair import Hair
from portrait3d.data.synthetic.hair_mesh import HairMesh
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.models.head_model import HeadModel


def grow_beard(head: HeadModel, vertices: Float[np.ndarray, "V 3"], hair: Hair) -> HairMesh | None:
    """The beard as a shell over the lower face; None for the shaven."""
    if hair.style.beard is None:
        return None
    amount = beard_mask(head)
    faces = head.skin_faces.numpy()
    faces = faces[(amount[faces] > 0.02).all(axis=1)]
    used, faces = np.unique(faces, return_inverse=True)
    normals = vertex_normals(torch.from_numpy(vertices)[None], head.skin_faces)[0].numpy()
    rng = np.random.default_rng(hair.seed + 1)
    bumps = np.sin(vertices @ rng.normal(0, 0.15, (3, 6)) + rng.uniform(0, 6, 6)).mean(axis=1)
    thickness = hair.get("beard") * amount * (1 + 0.4 * bumps)
    points = vertices + normals * thickness[:, None] + np.array([0, 0.4, 0]) * thickness[:, None]
    strand = np.column_stack([vertices[:, 0], vertices[:, 1]])[used]
    return HairMesh(points[used], faces.reshape(-1, 3), strand, 12 * amount[used], np.full(len(used), 0.1))


@lru_cache(maxsize=2)
def beard_mask(head: HeadModel) -> Float[np.ndarray, " V"]:
    """Where a beard grows, 0 to 1: cheeks below the ears, chin, upper lip."""
    x, y, z = np.abs(head.mean[:, 0].numpy()), head.mean[:, 1].numpy(), head.mean[:, 2].numpy()
    upper = np.interp(x, [0, 12, 26, 40, 55, 70], [31, 30, 42, 38, 22, 5])
    amount = np.clip((y - upper) / 8, 0, 1) * np.clip((98 - y) / 14, 0, 1) * np.clip((38 - z) / 12, 0, 1)
    amount = amount * (1 - head.lips_mask.numpy()) * (head.ears_mask.numpy() < 0.2)
    return amount * (head.part_of_vertex.numpy() == 0)
