"""A head with known shape and colours."""

import numpy as np
import pytest
import torch

from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPiece
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.models.head_model import HeadModel


@pytest.fixture
def head() -> HeadMesh:
    """A ball of 80 mm whose nose, a spike of 30 mm, points at a camera 1.2 m away; red left, green right.
    Its middle is the point that heads turn about.

    Left and right are the picture's. The triangles' normals point outward.
    """
    rows, columns = 16, 24
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, columns + 1), indexing="ij"
    )
    out = np.stack(
        [np.sin(polar) * np.sin(around), -np.cos(polar), np.sin(polar) * np.cos(around)], axis=-1
    ).reshape(-1, 3)
    vertices = 80 * out
    vertices[np.argmin(out[:, 2])] *= 110 / 80
    index = np.arange(len(out)).reshape(rows + 1, columns + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    used, faces = np.unique(faces[areas > 1e-6], return_inverse=True)
    vertices, out, faces = vertices[used], out[used], faces.reshape(-1, 3)
    texture = np.zeros((32, 64, 3), np.uint8)
    texture[:, :32], texture[:, 32:] = (200, 30, 40), (20, 180, 60)
    texture[:4, :, 2] = 250
    uv = np.stack([0.5 + 0.49 * out[:, 0], 0.5 + 0.49 * out[:, 1]], axis=-1)
    return HeadMesh(
        (vertices + np.array([10, -20, 1200])).astype(np.float32),
        faces.astype(np.int64),
        (np.arange(len(vertices)) % 4).astype(np.uint8),
        uv.astype(np.float32),
        texture,
        Pose(torch.eye(3), torch.tensor([10.0, -20.0, 1200.0]) - torch.from_numpy(HEAD_PIVOT).float()),
    )


@pytest.fixture(scope="session")
def model_head() -> HeadMesh:
    """The mean head as a mesh of its own, bound to itself vertex by vertex, turned and leaning."""
    model = HeadModel.load()
    pieces = {
        HeadPiece.SURFACE: ("skin", "eye_cavities"),
        HeadPiece.LEFT_EYE: (
            "right_eyeball",
        ),  # the model names the person's sides, the pieces the picture's
        HeadPiece.RIGHT_EYE: ("left_eyeball",),
        HeadPiece.TEETH: ("upper_teeth", "lower_teeth"),
        HeadPiece.TONGUE: ("tongue",),
        HeadPiece.MOUTH_CAVITY: ("mouth_cavity",),
    }
    used, faces, piece, total = [], [], [], 0
    for number, names in pieces.items():
        chosen = np.isin(model.face_part.numpy(), [model.part_names.index(name) for name in names])
        own, corners = np.unique(model.faces.numpy()[chosen], return_inverse=True)
        faces.append(corners.reshape(-1, 3) + total)
        used.append(own)
        piece.append(np.full(len(own), number, np.uint8))
        total += len(own)
    index = np.concatenate(used)
    angles = [torch.tensor(angle) for angle in (0.3, -0.2, 0.1)]
    pose = Pose.from_euler(angles[0], angles[1], angles[2], torch.tensor([30.0, -10.0, 900.0]))
    weight = np.zeros((total, 3), np.float32)
    weight[:, 0] = 1
    return HeadMesh(
        pose.apply(model.mean).numpy()[index],
        np.concatenate(faces).astype(np.int64),
        np.zeros(total, np.uint8),
        np.full((total, 2), 0.5, np.float32),
        np.full((4, 4, 3), 150, np.uint8),
        pose,
        Binding(np.repeat(index[:, None], 3, axis=1), weight),
        np.concatenate(piece),
    )
