"""The look of hair: colours, streaks along the strands, shine, frayed ends."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import ndimage

PALETTE = np.array(
    [
        *((0.05, 0.04, 0.04), (0.10, 0.07, 0.06), (0.18, 0.12, 0.09), (0.28, 0.19, 0.13), (0.40, 0.28, 0.19)),
        *((0.55, 0.42, 0.28), (0.72, 0.60, 0.42), (0.84, 0.75, 0.60), (0.45, 0.20, 0.10), (0.55, 0.54, 0.53)),
        *((0.78, 0.77, 0.75), (0.34, 0.32, 0.31)),
    ]
)
"""From black over brown to blond, red, greys and white."""
TILE = 512
"""Side of the repeated square of streaks, in its own cells."""


@dataclass(frozen=True, slots=True)
class HairLook:
    """Colour and texture of one person's hair."""

    color: Float[np.ndarray, "3"]
    contrast: float
    """Relative deviation of brightness between strands."""
    shine: float
    width: float
    """Width of a strand of the texture, mm."""
    fray: float
    """Length over which short strands end, mm; long ones three times that."""
    shift: Float[np.ndarray, "2"]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "HairLook":
        """A random look."""
        first, second = PALETTE[rng.integers(len(PALETTE), size=2)]
        color = first + rng.uniform(0, 0.3) * (second - first) + rng.normal(0, 0.01, 3)
        return cls(
            color=np.clip(color, 0.02, 0.95),
            contrast=rng.uniform(0.1, 0.3),
            shine=rng.uniform(0.0, 0.35),
            width=rng.uniform(0.5, 1.2),
            fray=rng.uniform(2, 9),
            shift=rng.uniform(0, TILE, 2),
        )

    def streaks(self, strand: Float[np.ndarray, "2 N"]) -> tuple[np.ndarray, np.ndarray]:
        """Fine and coarse streaks with unit deviation at positions across and along the strands (mm)."""
        across, along = strand
        bend = 3.0 * np.sin(along / 31 + across / 17) + 1.5 * np.sin(along / 11 - across / 7)
        fine = _look_up(
            streak_tile(), (across + bend) / self.width + self.shift[0], along / 4 + self.shift[1]
        )
        coarse = _look_up(streak_tile(), (across + bend) / (5 * self.width) + self.shift[1], along / 9)
        return fine, coarse

    def kept(self, along: np.ndarray, rest: np.ndarray, fine: np.ndarray) -> np.ndarray:
        """Which points are hair: strands end at different lengths."""
        fray = self.fray * (1 + 2 * np.clip((along + rest - 150) / 100, 0, 1))
        return rest > fray * np.clip(0.4 + 0.5 * fine, 0, 1)


@lru_cache(maxsize=1)
def streak_tile() -> Float[np.ndarray, "TILE TILE"]:
    """Periodic noise, sharp across (rows) and long along (columns), unit deviation."""
    noise = np.random.default_rng(5).standard_normal((TILE, TILE))
    long = ndimage.gaussian_filter(noise, (0.6, 24), mode="wrap")
    short = ndimage.gaussian_filter(noise.T.copy(), (0.8, 6), mode="wrap")
    tile = long / long.std() + 0.5 * short / short.std()
    return (tile / tile.std()).astype(np.float32)


def _look_up(tile: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values of a periodic tile, linear across."""
    low = np.floor(row)
    share, low = row - low, low.astype(np.int64)
    column = np.floor(column).astype(np.int64) % TILE
    return tile[low % TILE, column] * (1 - share) + tile[(low + 1) % TILE, column] * share
