"""Colours without their brightness: what light and shadow leave as it is."""

import numpy as np
from jaxtyping import Float, UInt8

DARKEST = 8
"""Darker channels (of 255) count as this: below there is noise, whose logarithm is large."""


def tint_distance(
    colours: UInt8[np.ndarray, "*grid 3"], reference: UInt8[np.ndarray, "N 3"]
) -> Float[np.ndarray, "*grid"]:
    """How far colours are from the median one of a reference, however bright (logarithms of the channels).

    A light's strength multiplies all channels by one factor, which the mean of the logarithms takes along.
    """
    away = _log(colours) - np.median(_log(reference), axis=0)
    return np.linalg.norm(away - away.mean(axis=-1, keepdims=True), axis=-1)


def _log(colours: UInt8[np.ndarray, "*grid 3"]) -> Float[np.ndarray, "*grid 3"]:
    return np.log(np.maximum(colours.astype(np.float64), DARKEST))
