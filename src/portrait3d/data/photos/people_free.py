"""Backgrounds without people, cut from photos whose figure maps say where nobody is."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.synthetic.backgrounds import draw_background

EMPTY = 0.05
"""Probability of a figure below which nobody is there."""
LEAST = 56
"""Pixels along a side of the smallest piece."""
PATTERNS = 0.25
"""Share of backgrounds that are drawn."""


class PeopleFreeBackgrounds:
    """Pieces of photos without people, enlarged, and some patterns.

    Args:
        photos: Photos of one split, so that no wall is seen in training and in validation.
        seed: Decides which piece of each photo is taken.
    """

    def __init__(self, photos: list[LabelledPhoto], seed: int = 0) -> None:
        found = (cut_piece(photo, np.random.default_rng([seed, k])) for k, photo in enumerate(photos))
        self.pieces = [piece for piece in found if piece is not None]

    def draw(self, rng: np.random.Generator, size: int) -> Float[np.ndarray, "3 size size"]:
        """A random background, RGB in [0, 1]."""
        if not self.pieces or rng.random() < PATTERNS:
            return draw_background(rng, size)
        piece = np.rot90(self.pieces[rng.integers(len(self.pieces))], int(rng.choice([0, 0, 0, 1, 2, 3])))
        if rng.random() < 0.5:
            piece = piece[:, ::-1]
        picture = Image.fromarray(np.ascontiguousarray(piece)).resize((size, size), Image.Resampling.BICUBIC)
        bright = rng.uniform(0.7, 1.2)
        return np.clip(np.asarray(picture, np.float32).transpose(2, 0, 1) / 255 * bright, 0, 1)


def cut_piece(photo: LabelledPhoto, rng: np.random.Generator) -> UInt8[np.ndarray, "h h 3"] | None:
    """The largest of some random squares without people; None where there is none."""
    if not photo.map_path("figure").is_file():
        return None
    square = largest_empty_square(photo.probability("figure") < EMPTY, rng)
    if square is None:
        return None
    top, left, side = square
    return photo.pixels()[top : top + side, left : left + side].copy()


def largest_empty_square(
    empty: Bool[np.ndarray, "H W"], rng: np.random.Generator
) -> tuple[int, int, int] | None:
    """Top, left and side of a square that is empty all over, at a random place for the largest side."""
    height, width = empty.shape
    # A summed-area table (Crow, SIGGRAPH 1984): four of its values count the pixels of any square.
    full = np.pad(np.cumsum(np.cumsum(~empty, 0), 1), ((1, 0), (1, 0)))
    for share in (0.8, 0.6, 0.5, 0.4, 0.32, 0.26, 0.2):
        side = int(share * min(height, width))
        if side < LEAST:
            return None
        taken = full[side:, side:] - full[:-side, side:] - full[side:, :-side] + full[:-side, :-side]
        rows, columns = np.nonzero(taken == 0)
        if len(rows):
            k = rng.integers(len(rows))
            return int(rows[k]), int(columns[k]), side
    return None
