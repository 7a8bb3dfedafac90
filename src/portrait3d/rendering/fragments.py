"""What a picture of a mesh knows about every pixel."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Fragments:
    """The surface seen at every pixel centre of a picture of a mesh.

    Where `face_index[b, y, x] = f >= 0`, the point seen at pixel [y, x] is
    `sum(barycentric[b, y, x, k] * vertices[b, faces[f, k]] for k in 0, 1, 2)`, in the camera's space
    (perspective-correct), and lies at `depth[b, y, x]`.
    """

    face_index: Int64[Tensor, "B H W"]
    """Row of `faces`; -1 in the background."""
    barycentric: Float[Tensor, "B H W 3"]
    """Each at least 0, together 1; all 0 in the background. Differentiable in the screen positions."""
    depth: Float[Tensor, "B H W"]
    """In mm, along the optical axis; infinite in the background. Differentiable in the screen positions."""
