"""Earrings, drawn where a picture shows lobes."""

import numpy as np
from jaxtyping import Float, UInt8

from portrait3d.data.synthetic.earrings import Earring, draw_earring
from portrait3d.parsing_classes import EARS, ParsingClass

WHOLE_EAR = 42.0
"""mm of height from which an ear shows its lobe; shorter ones are under hair."""
LOBE = 3.0
"""mm of an ear's lower end that tell where an earring hangs."""


def hang_earrings(
    image: Float[np.ndarray, "3 H W"],
    labels: UInt8[np.ndarray, "H W"],
    millimetre: float,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "3 H W"], UInt8[np.ndarray, "H W"]]:
    """The picture and its labels with a pair of earrings, which count as body.

    `millimetre` is the length of one in pixels. Ears that are hidden in part get none.
    """
    labels = labels.copy()
    earring = Earring.draw(rng)
    for side, ear in zip((-1, 1), EARS, strict=True):
        rows, columns = np.nonzero(labels == ear)
        if not len(rows) or np.ptp(rows) < WHOLE_EAR * millimetre:
            continue
        lowest = rows >= rows.max() - LOBE * millimetre
        lobe = float(columns[lowest].mean()) + 0.5, float(rows[lowest].mean()) + 0.5
        height, width = labels.shape
        drawn = draw_earring(earring, (height, width), lobe, millimetre, rng, side=side)
        image = drawn.over(image)
        labels[drawn.cover > 0.5] = ParsingClass.BODY
    return image.astype(np.float32), labels
