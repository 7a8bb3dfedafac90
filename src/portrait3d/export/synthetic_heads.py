"""Synthetic heads to look at: two views and the first one's depth, one style a row."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from portrait3d.data.synthetic import HairStyle, SyntheticHeads, SyntheticView
from portrait3d.export.overview import colour_depth
from portrait3d.export.sheets import contact_sheet
from portrait3d.geometry.pictures import as_bytes


def synthetic_sheet(
    styles: Mapping[str, HairStyle], seed: int = 0, people: int = 1, columns: int = 2
) -> UInt8[np.ndarray, "H W 3"]:
    """`people` heads of every style, `columns` heads side by side; the same for the same seed."""
    images, labels = [], []
    for name, style in styles.items():
        heads = SyntheticHeads(seed, {name: style})
        for _ in range(people):
            pair = heads.pair(len(images) // 3)
            depth, known = pair.first.depth.numpy(), pair.first.depth.isfinite().numpy()
            images += [photo(pair.first), photo(pair.second), colour_depth(depth, known)]
            labels += [name, "turned", "depth"]
    return contact_sheet(images, 3 * columns, labels)


def photo(view: SyntheticView) -> UInt8[np.ndarray, "H W 3"]:
    """The view's picture."""
    return as_bytes(view.image)
