"""Signed distances to a polygon."""

import numpy as np
from jaxtyping import Float

from portrait3d.compilation import compiled


def inside_by(
    points: Float[np.ndarray, "N 2"], loop: Float[np.ndarray, "M 2"], far: float = 4.0
) -> Float[np.ndarray, " N"]:
    """Signed distance of points to a polygon, > 0 inside, in its unit; clipped to `far` on both sides."""
    result = np.full(len(points), -far)
    near = ((points > loop.min(axis=0) - far) & (points < loop.max(axis=0) + far)).all(axis=1)
    found = np.empty(near.sum())
    _inside_by(points[near].astype(np.float64), loop.astype(np.float64), far, found)
    result[near] = found
    return result


@compiled
def _inside_by(points, loop, far, out):
    for k in range(len(points)):
        x, y = points[k]
        # Distance: the nearest of the segments. Sign: the even-odd rule for a ray toward +x.
        nearest, inside = far * far, False
        ax, ay = loop[len(loop) - 1]
        for m in range(len(loop)):
            bx, by = loop[m]
            dx, dy = bx - ax, by - ay
            # Foot of the perpendicular on the segment; the floor is for repeated points.
            share = ((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-12)
            share = min(max(share, 0.0), 1.0)
            nearest = min(nearest, (x - ax - share * dx) ** 2 + (y - ay - share * dy) ** 2)
            # Half-open in y, so that a ray through a corner counts one of its two segments; level ones never
            # count.
            if (ay > y) != (by > y) and x < ax + (y - ay) * (dx / dy):
                inside = not inside
            ax, ay = bx, by
        out[k] = np.sqrt(nearest) if inside else -np.sqrt(nearest)
