"""Earrings, drawn where a picture shows lobes."""

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from portrait3d.parsing_classes import EARS, ParsingClass

WHOLE_EAR = 42.0
"""mm of height from which an ear shows its lobe; shorter ones are under hair."""


def hang_earrings(
    image: Float[np.ndarray, "3 H W"],
    labels: UInt8[np.ndarray, "H W"],
    millimetre: float,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "3 H W"], UInt8[np.ndarray, "H W"]]:
    """The picture and its labels with a pair of earrings, which count as body.

    `millimetre` is the length of one in pixels. Ears that are hidden in part get none.
    """
    image, labels = image.copy(), labels.copy()
    radius, stretch = rng.uniform(1.5, 9), rng.uniform(1, 3)
    hoop = radius > 5 and rng.random() < 0.6
    colour = np.array(rng.choice([[0.8, 0.65, 0.3], [0.75, 0.75, 0.78], rng.uniform(0, 1, 3).tolist()]))
    for ear in EARS:
        rows, columns = np.nonzero(labels == ear)
        if not len(rows) or np.ptp(rows) < WHOLE_EAR * millimetre:
            continue
        x = columns[rows >= rows.max() - 3 * millimetre].mean()
        y = rows.max() + (radius * stretch - 4) * millimetre
        row, column = np.ogrid[: labels.shape[0], : labels.shape[1]]
        away = np.hypot(column - x, (row - y) / stretch) / millimetre
        shape = away < radius
        if hoop:
            shape &= away > radius - 1.6
        light = np.clip(1.2 - 0.5 * away / radius, 0.4, 1.4)
        soft = ndimage.gaussian_filter(shape.astype(np.float32), 0.6)
        image = image + soft * (np.clip(colour[:, None, None] * light, 0, 1) - image)
        labels[shape] = ParsingClass.BODY
    return image.astype(np.float32), labels
