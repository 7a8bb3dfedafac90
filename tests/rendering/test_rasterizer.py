"""The rasteriser against a naive loop, an analytic sphere and its own torch version."""

import gc
import os

import numpy as np
import pytest
import torch

from portrait3d.rendering.interpolation import interpolate, interpolate_seen
from portrait3d.rendering.rasterizer import rasterize


def _soup(seed: int, count: int = 60, size: float = 24.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random triangles that share vertices, some of them outside the picture or behind the camera."""
    generator = torch.Generator().manual_seed(seed)
    xy = torch.rand(2, count, 2, generator=generator) * size * 1.6 - size * 0.3
    depth = torch.rand(2, count, 1, generator=generator) * 500 + 600
    depth[:, ::17] = -5.0
    faces = torch.randint(0, count, (2 * count, 3), generator=generator)
    return torch.cat([xy, depth], -1), faces


def _naive(
    screen: np.ndarray, faces: np.ndarray, height: int, width: int, farthest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel against every triangle, in float64, without rules for edges."""
    index = np.full((height, width), -1)
    shown = np.full((height, width), -np.inf if farthest else np.inf)
    for f, corners in enumerate(screen[faces]):
        if (corners[:, 2] <= 0).any():
            continue
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        for row in range(height):
            for column in range(width):
                x, y = column + 0.5, row + 0.5
                wa = ((bx - x) * (cy - y) - (cx - x) * (by - y)) / area
                wb = ((cx - x) * (ay - y) - (ax - x) * (cy - y)) / area
                wc = 1 - wa - wb
                if min(wa, wb, wc) >= 0:
                    depth = 1 / (wa / az + wb / bz + wc / cz)
                    if depth > shown[row, column] if farthest else depth < shown[row, column]:
                        shown[row, column], index[row, column] = depth, f
    return index, shown


def _sphere(rings: int, segments: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A unit sphere whose triangles, seen from outside with y down and z forward, face outward."""
    theta = torch.linspace(0, torch.pi, rings)
    phi = torch.arange(segments) * (2 * torch.pi / segments)
    theta, phi = torch.meshgrid(theta, phi, indexing="ij")
    points = torch.stack([theta.sin() * phi.cos(), theta.cos(), theta.sin() * phi.sin()], -1).reshape(-1, 3)
    i, j = torch.meshgrid(torch.arange(rings - 1), torch.arange(segments), indexing="ij")
    a, b = i * segments + j, i * segments + (j + 1) % segments
    c, d = a + segments, b + segments
    faces = torch.cat([torch.stack([a, b, c], -1), torch.stack([b, d, c], -1)]).reshape(-1, 3)
    return points, faces


@pytest.mark.parametrize("farthest", [False, True])
def test_a_naive_loop_over_pixels_sees_the_same_faces(farthest: bool) -> None:
    screen, faces = _soup(3, count=30)
    fragments = rasterize(screen, faces, 20, 24, farthest=farthest)
    for b in range(2):
        index, depth = _naive(screen[b].double().numpy(), faces.numpy(), 20, 24, farthest)
        seen = fragments.face_index[b].numpy()
        # Snapping to 1/256 pixel may hand a pixel right at an edge to the neighbour.
        assert (seen == index).mean() > 0.985
        same = (seen == index) & (seen >= 0)
        np.testing.assert_allclose(fragments.depth[b].numpy()[same], depth[same], rtol=2e-4)


@pytest.mark.parametrize("farthest", [False, True])
@pytest.mark.parametrize("cull_backfaces", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_compiled_and_torch_versions_see_identical_faces(
    seed: int, cull_backfaces: bool, farthest: bool
) -> None:
    screen, faces = _soup(seed, count=[4, 30, 60, 200, 500, 60][seed])
    screen[..., :2] = screen[..., :2].round() if seed == 5 else screen[..., :2]  # corners on exact positions
    a, b = (
        rasterize(screen, faces, 24, 31, cull_backfaces=cull_backfaces, farthest=farthest, backend=backend)
        for backend in ("compiled", "torch")
    )
    assert torch.equal(a.face_index, b.face_index)
    torch.testing.assert_close(a.barycentric, b.barycentric, rtol=1e-4, atol=2e-4)
    torch.testing.assert_close(a.depth, b.depth, rtol=1e-4, atol=1e-2)


def test_triangles_that_share_edges_leave_no_gap_and_cover_no_pixel_twice() -> None:
    generator = torch.Generator().manual_seed(1)
    n = 9
    v, u = torch.meshgrid(torch.linspace(2, 38, n), torch.linspace(2, 38, n), indexing="ij")
    jitter = torch.rand(n, n, 2, generator=generator) * 3 - 1.5
    jitter[[0, -1]] = 0
    jitter[:, [0, -1]] = 0
    xy = (torch.stack([u, v], -1) + jitter).reshape(-1, 2)
    screen = torch.cat([xy, torch.full((n * n, 1), 500.0)], -1)[None]
    k = torch.arange(n * n).reshape(n, n)
    a, b, c, d = k[:-1, :-1], k[:-1, 1:], k[1:, :-1], k[1:, 1:]
    faces = torch.cat([torch.stack([a, b, c], -1), torch.stack([b, d, c], -1)]).reshape(-1, 3)
    together = rasterize(screen, faces, 40, 40).face_index[0] >= 0
    assert together[2:38, 2:38].all()
    assert int(together.sum()) == 36 * 36
    covered = torch.zeros(40, 40, dtype=torch.int64)
    for face in faces:
        covered += rasterize(screen, face[None], 40, 40).face_index[0] >= 0
    assert int(covered.max()) == 1


def test_pixels_on_an_edge_belong_to_the_triangle_below_or_right_of_it() -> None:
    square = torch.tensor([[[1.5, 1.5, 9], [4.5, 1.5, 9], [1.5, 4.5, 9], [4.5, 4.5, 9]]])
    seen = rasterize(square, torch.tensor([[0, 1, 2], [1, 3, 2]]), 6, 6).face_index[0] >= 0
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[1:4, 1:4] = True
    assert torch.equal(seen, expected)


def test_a_sphere_has_its_analytic_depth() -> None:
    points, faces = _sphere(120, 240)
    focal, size, radius, distance = 580.0, 96, 60.0, 1000.0
    world = points * radius + torch.tensor([0.0, 0.0, distance])
    screen = torch.cat([world[:, :2] / world[:, 2:] * focal + size / 2, world[:, 2:]], -1)[None]
    fragments = rasterize(screen, faces, size, size)
    centre = (torch.arange(size) + 0.5 - size / 2) / focal
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    a, c = 1 + x.square() + y.square(), distance**2 - radius**2
    discriminant = distance**2 - a * c
    inside = discriminant > 400  # away from the limb, where a polygon cuts the sphere
    expected = (distance - discriminant.clamp_min(0).sqrt()) / a
    assert torch.isfinite(fragments.depth[0][inside]).all()
    assert float((fragments.depth[0] - expected)[inside].abs().max()) < 0.1


def test_culling_backfaces_keeps_the_near_side_of_a_closed_surface() -> None:
    points, faces = _sphere(20, 40)
    world = points * 60 + torch.tensor([0.0, 0.0, 1000.0])
    screen = torch.cat([world[:, :2] / world[:, 2:] * 580 + 48, world[:, 2:]], -1)[None]
    both, culled = (rasterize(screen, faces, 96, 96, cull_backfaces=cull) for cull in (False, True))
    torch.testing.assert_close(both.depth, culled.depth)
    inside_out = rasterize(screen, faces.flip(1), 96, 96, cull_backfaces=True)
    assert float(inside_out.depth[0, 48, 48]) > 1000


def test_depth_and_barycentrics_describe_one_point() -> None:
    screen, faces = _soup(2)
    fragments = rasterize(screen, faces, 24, 24)
    seen = fragments.face_index >= 0
    assert bool((fragments.barycentric >= 0).all())
    torch.testing.assert_close(fragments.barycentric.sum(-1), seen.float())
    batch = torch.arange(2)[:, None, None].expand_as(seen)
    corner_depth = screen[batch[..., None], faces[fragments.face_index.clamp_min(0)], 2]
    depth = (fragments.barycentric * corner_depth).sum(-1)
    torch.testing.assert_close(depth[seen], fragments.depth[seen])
    assert bool(torch.isinf(fragments.depth[~seen]).all())


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_empty_meshes_and_unusable_triangles_draw_nothing(backend) -> None:
    for screen, faces in (
        (torch.zeros(1, 0, 3), torch.zeros(0, 3, dtype=torch.int64)),
        (torch.rand(2, 3, 3), torch.zeros(0, 3, dtype=torch.int64)),
        (torch.tensor([[[1.0, 1, 5], [7, 1, 5], [4, 1, 5]]]), torch.tensor([[0, 1, 2]])),  # no area
        (torch.tensor([[[0.0, 0, 5], [8, 0, 5], [0, 8, -5]]]), torch.tensor([[0, 1, 2]])),  # behind
        (torch.tensor([[[0.0, 0, 5], [8, 0, 5], [0, torch.nan, 5]]]), torch.tensor([[0, 1, 2]])),
        (torch.tensor([[[0.0, 0, 5], [8, 0, 5], [0, 8, torch.inf]]]), torch.tensor([[0, 1, 2]])),
        (torch.tensor([[[90.0, 0, 5], [98, 0, 5], [90, 8, 5]]]), torch.tensor([[0, 1, 2]])),  # outside
    ):
        fragments = rasterize(screen, faces, 8, 8, backend=backend)
        assert fragments.face_index.shape == (len(screen), 8, 8)
        assert bool((fragments.face_index == -1).all())
        assert bool((fragments.barycentric == 0).all())


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_a_triangle_much_larger_than_the_picture_covers_it(backend) -> None:
    screen = torch.tensor([[[-9000.0, -9000, 5], [30000, -9000, 5], [-9000, 30000, 5]]])
    fragments = rasterize(screen, torch.tensor([[0, 1, 2]]), 16, 16, backend=backend)
    assert bool((fragments.face_index == 0).all())
    torch.testing.assert_close(fragments.depth, torch.full((1, 16, 16), 5.0))


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_slivers_have_barycentrics_inside_the_triangle(backend) -> None:
    # Snapping moves its upper edge onto a row of pixel centres that the exact triangle just misses.
    screen = torch.tensor([[[0.0, 2.5005, 5], [9, 2.5005, 7], [4, 2.503, 6]]], requires_grad=True)
    fragments = rasterize(screen, torch.tensor([[0, 1, 2]]), 5, 9, backend=backend)
    seen = fragments.face_index >= 0
    assert bool(seen.any())
    assert bool((fragments.barycentric >= 0).all())
    torch.testing.assert_close(fragments.barycentric.sum(-1), seen.float())
    fragments.depth[seen].sum().backward()
    assert screen.grad is not None
    assert bool(screen.grad.isfinite().all())


def test_pictures_need_a_size() -> None:
    with pytest.raises(ValueError, match="height=0"):
        rasterize(torch.zeros(1, 3, 3), torch.zeros(1, 3, dtype=torch.int64), 0, 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_worker_draws_the_same_picture() -> None:
    screen, faces = _soup(4)
    expected = rasterize(screen, faces, 24, 24).face_index
    child = os.fork()
    if child == 0:  # the worker; leaves without pytest's clean-up
        status = 1
        try:
            status = 0 if torch.equal(rasterize(screen, faces, 24, 24).face_index, expected) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_loops_compile_where_no_cache_folder_is_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    from portrait3d.compilation import compiled

    njit = numba.njit

    def refuse(*arguments, cache: bool, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*arguments, cache=cache, **options)

    monkeypatch.setattr("portrait3d.compilation.numba.njit", refuse)

    def fill(values):
        for i in range(values.shape[0]):
            values[i] = i

    values = np.zeros(3)
    compiled(fill)(values)
    np.testing.assert_array_equal(values, [0, 1, 2])


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops are compiled anew: what comes from the cache has no source to look at."""
    import numba

    njit = numba.njit
    monkeypatch.setattr(
        "portrait3d.compilation.numba.njit", lambda *loop, cache=False, **options: njit(*loop, **options)
    )


@pytest.mark.usefixtures("uncached")
def test_loops_may_rely_on_arrays_that_share_no_memory() -> None:
    from portrait3d.compilation import compiled

    def gather(values, places, found):
        for i in range(len(found)):
            found[i] = values[places[i]]

    loop = compiled(gather)
    loop(np.arange(5.0), np.array([4, 0]), found := np.empty(2))
    np.testing.assert_array_equal(found, [4, 0])
    (code,) = loop.inspect_llvm().values()  # pyright: ignore[reportFunctionMemberAccess]
    head = next(line for line in code.splitlines() if line.startswith("define") and "gather" in line)
    # Of each of the arrays three pointers, beside numba's own for what is returned and raised.
    assert head.count("noalias") >= 2 + 3 * 3
    assert "@cfunc." not in code


@pytest.mark.usefixtures("uncached")
def test_cycles_are_not_collected_while_a_loop_is_compiled() -> None:
    from portrait3d.compilation import compiled

    def double(values):
        for i in range(len(values)):
            values[i] *= 2

    begun: list[str] = []

    def note(phase: str, _: dict) -> None:
        begun.append(phase)

    loop = compiled(double)
    loop.compile("(float64[::1],)")  # what numba itself does once  # pyright: ignore
    gc.callbacks.append(note)
    try:
        loop.compile("(float32[::1],)")  # pyright: ignore
    finally:
        gc.callbacks.remove(note)
    # Else seven collections begin and end.
    assert len(begun) <= 6
    assert gc.isenabled()


def test_values_of_seen_pixels_alone_are_those_of_the_picture() -> None:
    screen = torch.tensor([[[2.0, 2.0, 900.0], [14.0, 3.0, 950.0], [6.0, 13.0, 1000.0]]])
    faces, attributes = torch.tensor([[0, 1, 2]]), torch.rand(3, 4)
    fragments = rasterize(screen, faces, 16, 16)
    place, values = interpolate_seen(attributes, faces, fragments)
    picture = interpolate(attributes[None], faces, fragments)[0].flatten(1)
    assert torch.equal(place, (fragments.face_index >= 0).flatten().nonzero()[:, 0])
    assert torch.equal(values, picture[:, place])
