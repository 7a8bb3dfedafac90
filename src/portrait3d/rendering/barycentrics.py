"""Perspective-correct barycentric coordinates of the surface in every pixel, with gradients to the
vertices."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from portrait3d.compilation import compiled


def barycentrics_compiled(
    screen: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], face_index: Int64[Tensor, "B H W"]
) -> Float[Tensor, "B H W 3"]:
    """Barycentric coordinates at the pixel centres, 0 where no face is seen; a compiled loop for the CPU."""
    return _Barycentrics.apply(screen, faces, face_index)  # pyright: ignore[reportReturnType]


def barycentrics_torch(
    screen: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], face_index: Int64[Tensor, "B H W"]
) -> Float[Tensor, "B H W 3"]:
    """Barycentric coordinates at the pixel centres, 0 where no face is; torch operations, for any device."""
    batch, row, column = (face_index >= 0).nonzero(as_tuple=True)
    corner = screen[batch[:, None], faces[face_index[batch, row, column]]]
    centre = torch.stack([column, row], dim=-1).to(screen.dtype) + 0.5
    x, y = (corner[..., :2] - centre[:, None]).unbind(-1)
    # Twice the areas of the triangles between the pixel's centre and each edge: barycentrics on the screen.
    # Divided by the depth of the corner and normalised, they are those on the surface (perspective
    # correction).
    cross = x.roll(-1, 1) * y.roll(-2, 1) - x.roll(-2, 1) * y.roll(-1, 1)
    weight = cross / corner[..., 2]
    exact = weight / weight.sum(1, keepdim=True)
    # Vertices were snapped when coverage was decided, so a centre may lie a trifle outside; in a sliver, far
    # outside.
    within = exact.detach().clamp(0, 1).nan_to_num(1.0)
    within = within / within.sum(1, keepdim=True)
    outside = ((exact < 0) | ~exact.isfinite()).any(1, keepdim=True)
    # The inner `where` keeps the gradient of clamped pixels from being NaN: they have none.
    found = torch.where(outside, within, torch.where(outside, 0, exact))
    out = screen.new_zeros((*face_index.shape, 3))
    return out.index_put((batch, row, column), found)


class _Barycentrics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, screen, faces, face_index):  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(screen, faces, face_index)
        positions = screen.detach().contiguous().numpy()
        out = np.zeros((*face_index.shape, 3), dtype=positions.dtype)
        _forward(positions, faces.contiguous().numpy(), face_index.contiguous().numpy(), out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        screen, faces, face_index = ctx.saved_tensors
        positions = screen.detach().contiguous().numpy()
        to_screen = np.zeros_like(positions)
        _backward(
            positions,
            faces.contiguous().numpy(),
            face_index.contiguous().numpy(),
            gradient.contiguous().numpy(),
            to_screen,
        )
        return torch.from_numpy(to_screen), None, None


@compiled
def _forward(positions, faces, face_index, out):
    half = positions.dtype.type(0.5)
    zero, one = positions.dtype.type(0), positions.dtype.type(1)
    for n in range(face_index.shape[0]):
        for row in range(face_index.shape[1]):
            for column in range(face_index.shape[2]):
                t = face_index[n, row, column]
                if t < 0:
                    continue
                a, b, c = positions[n, faces[t, 0]], positions[n, faces[t, 1]], positions[n, faces[t, 2]]
                px, py = column + half, row + half
                xa, ya, xb, yb, xc, yc = a[0] - px, a[1] - py, b[0] - px, b[1] - py, c[0] - px, c[1] - py
                # Cross products over depth, as in `barycentrics_torch`, in the same order: both round alike.
                wa = (xb * yc - xc * yb) / a[2]
                wb = (xc * ya - xa * yc) / b[2]
                wc = (xa * yb - xb * ya) / c[2]
                scale = one / (wa + wb + wc)
                wa, wb, wc = wa * scale, wb * scale, wc * scale
                if not (wa >= zero and wb >= zero and wc >= zero):
                    # Snapping put the centre outside; NaN (no area) is no equal of itself.
                    wa = min(max(wa, zero), one) if wa == wa else one
                    wb = min(max(wb, zero), one) if wb == wb else one
                    wc = min(max(wc, zero), one) if wc == wc else one
                    scale = one / (wa + wb + wc)
                    wa, wb, wc = wa * scale, wb * scale, wc * scale
                out[n, row, column, 0] = wa
                out[n, row, column, 1] = wb
                out[n, row, column, 2] = wc


@compiled
def _backward(positions, faces, face_index, gradient, to_screen):
    half = positions.dtype.type(0.5)
    zero, one = positions.dtype.type(0), positions.dtype.type(1)
    for n in range(face_index.shape[0]):
        for row in range(face_index.shape[1]):
            for column in range(face_index.shape[2]):
                t = face_index[n, row, column]
                if t < 0:
                    continue
                ia, ib, ic = faces[t, 0], faces[t, 1], faces[t, 2]
                a, b, c = positions[n, ia], positions[n, ib], positions[n, ic]
                px, py = column + half, row + half
                xa, ya, xb, yb, xc, yc = a[0] - px, a[1] - py, b[0] - px, b[1] - py, c[0] - px, c[1] - py
                ra, rb, rc = one / a[2], one / b[2], one / c[2]
                wa = (xb * yc - xc * yb) * ra
                wb = (xc * ya - xa * yc) * rb
                wc = (xa * yb - xb * ya) * rc
                scale = one / (wa + wb + wc)
                la, lb, lc = wa * scale, wb * scale, wc * scale
                # Clamped pixels have no gradient.
                if not (la >= zero and lb >= zero and lc >= zero):
                    continue
                ga, gb, gc = (
                    gradient[n, row, column, 0],
                    gradient[n, row, column, 1],
                    gradient[n, row, column, 2],
                )
                mean = la * ga + lb * gb + lc * gc
                # Back through the normalisation (each gradient less their mean) to the three cross products,
                # which are bilinear in the corners.
                da, db, dc = (ga - mean) * scale * ra, (gb - mean) * scale * rb, (gc - mean) * scale * rc
                to_screen[n, ia, 0] += dc * yb - db * yc
                to_screen[n, ia, 1] += db * xc - dc * xb
                to_screen[n, ia, 2] -= da * wa
                to_screen[n, ib, 0] += da * yc - dc * ya
                to_screen[n, ib, 1] += dc * xa - da * xc
                to_screen[n, ib, 2] -= db * wb
                to_screen[n, ic, 0] += db * ya - da * yb
                to_screen[n, ic, 1] += da * xb - db * xa
                to_screen[n, ic, 2] -= dc * wc
