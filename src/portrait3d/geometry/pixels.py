"""Looking up and spreading values of a picture's pixels."""

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped
from scipy import ndimage


def nearest(
    known: Bool[np.ndarray, "H W"],
) -> tuple[Float[np.ndarray, "H W"], tuple[Int64[np.ndarray, "H W"], Int64[np.ndarray, "H W"]]]:
    """Distance (pixels) to the nearest known pixel, and its row and column."""
    distance, index = ndimage.distance_transform_edt(~known, return_indices=True)
    return distance, (index[0].astype(np.int64), index[1].astype(np.int64))


Index = tuple[Int64[np.ndarray, "H W"], Int64[np.ndarray, "H W"]]


def about_border(region: Bool[np.ndarray, "H W"]) -> tuple[Float[np.ndarray, "H W"], Index, Index]:
    """Signed distance of every pixel to a region's border (> 0 inside, 0.5 at its outermost pixels), and the
    rows and columns of the nearest pixels inside and outside."""
    (away, inside), (deep, outside) = nearest(region), nearest(~region)
    # Both distances run from centre to centre; the border lies half a pixel nearer.
    return deep - away - np.where(region, 0.5, -0.5), inside, outside


def pixel_under(
    points: Float[np.ndarray, "N 2"], shape: tuple[int, ...]
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """Row and column of the pixel under each point (x, y) of a picture; the border's for points beyond it."""
    height, width = shape
    column, row = np.floor(points).astype(np.int64).clip(0, [width - 1, height - 1]).T
    return row, column


def blurred_inside(
    values: Float[np.ndarray, "*C H W"], inside: Shaped[np.ndarray, "H W"], width: float
) -> Float[np.ndarray, "*C H W"]:
    """Gaussian mean of the values inside a region, a mask or its soft weights; 0 far from it."""
    # Normalised convolution (Knutsson and Westin, CVPR 1993): blur the values and the mask, then divide.
    weight = ndimage.gaussian_filter(inside.astype(values.dtype), width)
    total = ndimage.gaussian_filter(np.where(inside > 0, values * inside, 0), width, axes=(-2, -1))
    return total / np.maximum(weight, 1e-6)


def smoothstep(share: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """0 below 0, 1 above 1, and a cubic without kinks in between."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
