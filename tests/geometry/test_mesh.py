"""Meshes and their normals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from portrait3d.geometry import Binding, HeadMesh, Pose, vertex_normals
from portrait3d.geometry.mesh import SeeThrough

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


def bound_head() -> HeadMesh:
    """The first two corners follow two model vertices, the third both by halves, the fourth none."""
    index = np.array([[0, 1, 1], [1, 0, 0], [0, 1, 0], [2, 2, 2]])
    weight = np.array([[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]], np.float32)
    return replace(head(), binding=Binding(index, weight))


def test_a_bound_head_follows_the_model() -> None:
    displacement = np.array([[1.0, 0, 0], [0, 2.0, 0], [9.0, 9.0, 9.0]])
    moved = bound_head().displaced(displacement).vertices - bound_head().vertices
    assert np.allclose(moved, [[1, 0, 0], [0, 2, 0], [0.5, 1, 0], [0, 0, 0]])


def test_a_displacement_turns_with_the_head_and_keeps_its_length() -> None:
    quarter = Pose(torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), torch.tensor([5.0, 5.0, 900.0]))
    turned = replace(bound_head(), camera_from_head=quarter)
    displacement = np.array([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 0]])
    moved = turned.displaced(displacement).vertices - turned.vertices
    assert np.allclose(moved[:2], [[0, 1, 0], [-2, 0, 0]])


def test_hair_sheet_moves_with_the_whole_head() -> None:
    bound = bound_head()
    assert bound.binding is not None
    fins = SeeThrough(bound.vertices + 1, bound.faces, bound.uv, np.zeros((2, 2, 4), np.uint8), bound.binding)
    hairy = replace(bound, hair_sheet=fins)
    displacement = np.array([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 0]])
    moved = hairy.displaced(displacement)
    assert moved.hair_sheet is not None
    assert np.array_equal(moved.hair_sheet.vertices, moved.vertices + 1)
    assert moved.front_only().hair_sheet is None


def test_a_head_without_binding_has_no_expressions() -> None:
    with pytest.raises(ValueError, match="no binding"):
        head().displaced(np.zeros((3, 3)))


def test_several_displacements_can_be_followed_at_once() -> None:
    binding = bound_head().binding
    assert binding is not None
    values = np.random.default_rng(0).standard_normal((3, 5, 3))
    together = binding.apply(values)
    assert together.shape == (4, 5, 3)
    for number in range(5):
        assert np.allclose(together[:, number], binding.apply(values[:, number]))


def test_without_word_everything_is_seen_surface() -> None:
    assert head().piece.tolist() == [0] * 4
    assert head().seen.tolist() == [True] * 4
    assert head().front_only().faces.tolist() == head().faces.tolist()


def test_the_front_is_what_the_photo_shows() -> None:
    marked = replace(
        bound_head(), seen=np.array([True, True, False, True]), part=np.arange(4, dtype=np.uint8)
    )
    front = marked.front_only()
    assert front.faces.tolist() == [[0, 2, 1]]
    assert front.part.tolist() == [0, 1, 3]
    assert (front.vertices == marked.vertices[[0, 1, 3]]).all()
    assert front.binding is not None
    assert front.binding.index.tolist() == [[0, 1, 1], [1, 0, 0], [2, 2, 2]]
    assert front.seen.all()


def test_the_front_keeps_eyes_and_mouth_whole() -> None:
    teeth = replace(bound_head(), seen=np.array([True, True, False, True]), piece=np.full(4, 3, np.uint8))
    assert teeth.front_only().faces.tolist() == teeth.faces.tolist()


def test_a_mesh_with_a_corner_nowhere_is_refused() -> None:
    nowhere = np.full((4, 3), np.nan, np.float32)
    with pytest.raises(ValueError, match="vertices must be finite"):
        replace(head(), vertices=nowhere)
    binding = Binding.to_vertices(np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="vertices must be finite"):
        SeeThrough(
            vertices=nowhere,
            faces=np.array([[0, 1, 2]]),
            uv=np.zeros((4, 2), np.float32),
            texture=np.zeros((2, 2, 4), np.uint8),
            binding=binding,
        )


def test_a_binding_of_other_length_is_refused() -> None:
    with pytest.raises(ValueError, match="binding has 3 entries for 4 vertices"):
        replace(head(), binding=Binding(np.zeros((3, 3), np.int64), np.zeros((3, 3), np.float32)))
