"""Products of many vectors at once, coordinate by coordinate.

The same numbers as `sum` and `np.linalg.norm` along the last axis, which is too short for numpy's loops:
those take three to seven times as long.
"""

import numpy as np
from jaxtyping import Float


def dot(a: Float[np.ndarray, "*N 3"], b: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N"]:
    """Scalar products."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def length(vectors: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N"]:
    """Euclidean lengths."""
    return np.sqrt(dot(vectors, vectors))
