"""Spreading values at the vertices of a mesh over the pixels that see it, with gradients."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from portrait3d.compilation import compiled
from portrait3d.rendering.fragments import Fragments


def interpolate(
    attributes: Float[Tensor, "B V C"], faces: Int64[Tensor, "F 3"], fragments: Fragments
) -> Float[Tensor, "B C H W"]:
    """Values at the vertices, interpolated perspective-correctly over the picture; 0 in the background.

    Differentiable in the attributes and, through `fragments.barycentric`, in the screen positions.
    """
    chosen = interpolate_compiled if attributes.device.type == "cpu" else interpolate_torch
    return chosen(attributes, faces, fragments.face_index, fragments.barycentric.to(attributes.dtype))


def interpolate_seen(
    attributes: Float[Tensor, "V C"], faces: Int64[Tensor, "F 3"], fragments: Fragments
) -> tuple[Int64[Tensor, " K"], Float[Tensor, "C K"]]:
    """Of a single picture on the CPU the flat indices of the pixels that see something, and the values there
    alone."""
    index = fragments.face_index.flatten()
    # numpy and index_select, which take a third of the time of torch's `nonzero` and brackets.
    place = torch.from_numpy(np.flatnonzero(index.numpy() >= 0))
    weights = fragments.barycentric.flatten(0, 2).index_select(0, place)
    # The pixels that see something as a picture of one row.
    row = (index.index_select(0, place)[None, None], weights[None, None])
    return place, interpolate_compiled(attributes[None], faces, *row)[0, :, 0].contiguous()


def interpolate_compiled(
    attributes: Float[Tensor, "B V C"],
    faces: Int64[Tensor, "F 3"],
    face_index: Int64[Tensor, "B H W"],
    barycentric: Float[Tensor, "B H W 3"],
) -> Float[Tensor, "B C H W"]:
    """The same for given parts of the fragments; a compiled loop for the CPU."""
    return _Interpolation.apply(attributes, faces, face_index, barycentric)  # pyright: ignore[reportReturnType]


def interpolate_torch(
    attributes: Float[Tensor, "B V C"],
    faces: Int64[Tensor, "F 3"],
    face_index: Int64[Tensor, "B H W"],
    barycentric: Float[Tensor, "B H W 3"],
) -> Float[Tensor, "B C H W"]:
    """The same for given parts of the fragments; torch operations, for any device."""
    batch, row, column = (face_index >= 0).nonzero(as_tuple=True)
    corner = attributes[batch[:, None], faces[face_index[batch, row, column]]]
    value = (barycentric[batch, row, column, :, None] * corner).sum(1)
    out = attributes.new_zeros((*face_index.shape, attributes.shape[-1]))
    return out.index_put((batch, row, column), value).permute(0, 3, 1, 2)


class _Interpolation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, attributes, faces, face_index, barycentric):  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(attributes, faces, face_index, barycentric)
        values = attributes.detach().contiguous().numpy()
        # Channels last in memory: the inner loop then writes one run of numbers a pixel.
        out = np.zeros((*face_index.shape, values.shape[-1]), dtype=values.dtype)
        _forward(
            values,
            faces.contiguous().numpy(),
            face_index.contiguous().numpy(),
            barycentric.detach().contiguous().numpy(),
            out,
        )
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        attributes, faces, face_index, barycentric = ctx.saved_tensors
        values = attributes.detach().contiguous().numpy()
        weights = barycentric.detach().contiguous().numpy()
        to_attributes, to_barycentric = np.zeros_like(values), np.zeros_like(weights)
        _backward(
            values,
            faces.contiguous().numpy(),
            face_index.contiguous().numpy(),
            weights,
            gradient.permute(0, 2, 3, 1).contiguous().numpy(),
            to_attributes,
            to_barycentric,
        )
        return torch.from_numpy(to_attributes), None, None, torch.from_numpy(to_barycentric)


@compiled
def _forward(values, faces, face_index, weights, out):
    for n in range(face_index.shape[0]):
        for row in range(face_index.shape[1]):
            for column in range(face_index.shape[2]):
                t = face_index[n, row, column]
                if t < 0:
                    continue
                a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
                wa, wb, wc = (
                    weights[n, row, column, 0],
                    weights[n, row, column, 1],
                    weights[n, row, column, 2],
                )
                for k in range(values.shape[2]):
                    out[n, row, column, k] = (
                        wa * values[n, a, k] + wb * values[n, b, k] + wc * values[n, c, k]
                    )


@compiled
def _backward(values, faces, face_index, weights, gradient, to_values, to_weights):
    for n in range(face_index.shape[0]):
        for row in range(face_index.shape[1]):
            for column in range(face_index.shape[2]):
                t = face_index[n, row, column]
                if t < 0:
                    continue
                a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
                wa, wb, wc = (
                    weights[n, row, column, 0],
                    weights[n, row, column, 1],
                    weights[n, row, column, 2],
                )
                ga, gb, gc = wa * 0, wb * 0, wc * 0
                for k in range(values.shape[2]):
                    g = gradient[n, row, column, k]
                    ga += g * values[n, a, k]
                    gb += g * values[n, b, k]
                    gc += g * values[n, c, k]
                    to_values[n, a, k] += wa * g
                    to_values[n, b, k] += wb * g
                    to_values[n, c, k] += wc * g
                to_weights[n, row, column, 0] = ga
                to_weights[n, row, column, 1] = gb
                to_weights[n, row, column, 2] = gc
