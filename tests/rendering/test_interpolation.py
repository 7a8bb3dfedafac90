"""Interpolation against an analytic plane, finite differences and its own torch version."""

from collections.abc import Callable

import torch

from portrait3d.rendering.fragments import Fragments
from portrait3d.rendering.interpolation import interpolate, interpolate_compiled, interpolate_torch
from portrait3d.rendering.rasterizer import Backend, rasterize


def _patch(seed: int = 0, n: int = 6, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """A wavy sheet over the middle of the picture, float64."""
    generator = torch.Generator().manual_seed(seed)
    v, u = torch.meshgrid(
        torch.linspace(1.3, size - 1.7, n), torch.linspace(1.1, size - 2.3, n), indexing="ij"
    )
    xy = torch.stack([u, v], -1) + torch.rand(n, n, 2, generator=generator)
    screen = torch.cat([xy, 5 + 3 * torch.rand(n, n, 1, generator=generator)], -1).reshape(1, -1, 3).double()
    k = torch.arange(n * n).reshape(n, n)
    a, b, c, d = k[:-1, :-1], k[:-1, 1:], k[1:, :-1], k[1:, 1:]
    return screen, torch.cat([torch.stack([a, c, b], -1), torch.stack([b, c, d], -1)]).reshape(-1, 3)


def test_a_tilted_plane_is_interpolated_perspective_correctly() -> None:
    # Points of a plane in camera space: with themselves as attributes, every pixel shows its point of it.
    focal, size = 40.0, 32
    points = torch.tensor([[-9.0, -8, 12], [11, -9, 40], [-10, 9, 30], [10, 10, 58]])
    normal = torch.linalg.cross(points[1] - points[0], points[2] - points[0])
    points[3, 2] = (normal @ points[0] - normal[:2] @ points[3, :2]) / normal[2]
    screen = torch.cat([points[:, :2] / points[:, 2:] * focal + size / 2, points[:, 2:]], -1)[None]
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    fragments = rasterize(screen, faces, size, size)
    seen = fragments.face_index[0] >= 0
    found = interpolate(points[None], faces, fragments)[0]
    centre = (torch.arange(size) + 0.5 - size / 2) / focal
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    ray = torch.stack([x, y, torch.ones_like(x)])
    depth = (normal @ points[0]) / (normal[:, None, None] * ray).sum(0)
    assert int(seen.sum()) > 200
    torch.testing.assert_close(found[:, seen], (ray * depth)[:, seen], rtol=2e-3, atol=2e-2)


def test_attributes_that_are_equal_stay_equal() -> None:
    screen, faces = _patch()
    fragments = rasterize(screen, faces, 16, 16)
    ones = interpolate(torch.ones(1, screen.shape[1], 2, dtype=torch.float64), faces, fragments)
    torch.testing.assert_close(ones, (fragments.face_index >= 0)[:, None].double().expand(-1, 2, -1, -1))


def test_gradients_reach_attributes_and_screen_positions() -> None:
    screen, faces = _patch(n=4, size=9)
    attributes = torch.rand(1, screen.shape[1], 3, dtype=torch.float64)

    def draw(attributes: torch.Tensor, screen: torch.Tensor, backend) -> tuple[torch.Tensor, torch.Tensor]:
        fragments = rasterize(screen, faces, 9, 9, backend=backend)
        chosen = interpolate_compiled if backend == "compiled" else interpolate_torch
        values = chosen(attributes, faces, fragments.face_index, fragments.barycentric)
        return values, fragments.depth.where(fragments.face_index >= 0, torch.zeros(()).double())

    for backend in ("compiled", "torch"):
        assert torch.autograd.gradcheck(
            lambda a, s, backend=backend: draw(a, s, backend),
            (attributes.clone().requires_grad_(), screen.clone().requires_grad_()),
            eps=1e-7,
            atol=1e-5,
            rtol=1e-4,
        )


def test_compiled_and_torch_versions_agree_with_their_gradients() -> None:
    screen, faces = _patch(1)
    attributes = torch.rand(1, screen.shape[1], 5, dtype=torch.float64)
    weight = torch.rand(1, 5, 16, 16, dtype=torch.float64)
    found = []
    cases: list[tuple[Backend, Callable[..., torch.Tensor]]] = [
        ("compiled", interpolate_compiled),
        ("torch", interpolate_torch),
    ]
    for backend, chosen in cases:
        s, a = screen.clone().requires_grad_(), attributes.clone().requires_grad_()
        fragments = rasterize(s, faces, 16, 16, backend=backend)
        picture = chosen(a, faces, fragments.face_index, fragments.barycentric)
        (picture * weight).sum().backward()
        found.append((picture.detach(), s.grad, a.grad))
    for left, right in zip(*found, strict=True):
        torch.testing.assert_close(left, right)


def test_moving_a_sheet_right_moves_its_picture_right() -> None:
    screen, faces = _patch(2)
    attributes = screen[..., :1].detach()  # a ramp that grows to the right
    screen = screen.requires_grad_()
    fragments = rasterize(screen, faces, 16, 16)
    interpolate(attributes, faces, fragments).sum().backward()
    assert screen.grad is not None
    # Shifted right, every inner pixel sees a smaller value of the ramp.
    assert float(screen.grad[..., 0].sum()) < 0


def test_a_background_has_no_value_and_no_gradient() -> None:
    faces = torch.tensor([[0, 1, 2]])
    fragments = Fragments(
        torch.full((1, 4, 4), -1), torch.zeros(1, 4, 4, 3), torch.full((1, 4, 4), torch.inf)
    )
    attributes = torch.rand(1, 3, 2, requires_grad=True)
    picture = interpolate(attributes, faces, fragments)
    picture.sum().backward()
    assert bool((picture == 0).all())
    assert attributes.grad is not None
    assert bool((attributes.grad == 0).all())
