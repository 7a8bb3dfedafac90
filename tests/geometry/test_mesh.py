"""Meshes and their normals."""

import numpy as np
import torch

from portrait3d.geometry import HeadMesh, vertex_normals

SQUARE = torch.tensor([[0.0, 0.0, 9.0], [1.0, 0.0, 9.0], [1.0, 1.0, 9.0], [0.0, 1.0, 9.0]])
FACES = torch.tensor([[0, 3, 1], [1, 3, 2]])


def test_counter_clockwise_triangles_face_the_camera() -> None:
    assert torch.equal(vertex_normals(SQUARE, FACES), torch.tensor([[0.0, 0.0, -1.0]] * 4))


def test_normals_do_not_depend_on_scale_and_batch() -> None:
    batch = torch.stack([SQUARE, SQUARE * 5])
    assert torch.allclose(vertex_normals(batch, FACES)[1], vertex_normals(SQUARE, FACES))


def test_a_lonely_vertex_has_no_normal() -> None:
    vertices = torch.cat([SQUARE, torch.zeros(1, 3)])
    assert vertex_normals(vertices, FACES)[4].tolist() == [0.0, 0.0, 0.0]


def test_normals_have_exact_gradients() -> None:
    vertices = (SQUARE + 0.1 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))).double()
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, FACES), (vertices.requires_grad_(),))


def head() -> HeadMesh:
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[0, 1] = 255
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return HeadMesh(SQUARE.numpy(), FACES.numpy(), np.zeros(4, np.uint8), uv, texture)


def test_vertex_colours_come_from_the_texture() -> None:
    assert head().colors[:, 0].tolist() == [0, 255, 0, 0]
