"""One person's hair as numbers, drawn from a style."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from portrait3d.data.synthetic.scalp import COLUMNS, ROWS, WIDEST, ScalpMap
from portrait3d.data.synthetic.styles import HairStyle, Range


@dataclass(frozen=True, slots=True)
class Hair:
    """One person's draw from a style."""

    style: HairStyle
    values: dict[str, float]
    """A number from each range that the style gives."""
    seed: int

    @classmethod
    def draw(cls, style: HairStyle, rng: np.random.Generator) -> "Hair":
        """Choose within the style's ranges."""
        values = {}
        for name in HairStyle.__slots__:
            given: Range | bool | None = getattr(style, name)
            if isinstance(given, tuple):
                values[name] = float(rng.uniform(*given))
        if "part" in values and rng.random() < 0.5:
            values["part"] *= -1
        return cls(style, values, int(rng.integers(1 << 31)))

    def get(self, name: str, default: float = 0.0) -> float:
        """A number of the draw, or `default` where the style gives none."""
        return self.values.get(name, default)

    def inside(self, scalp: ScalpMap) -> Float[np.ndarray, "COLUMNS ROWS"]:
        """Millimetres from the edge of this hair, > 0 where it grows."""
        polar = np.linspace(0, WIDEST, ROWS)
        azimuth = np.arange(COLUMNS) / COLUMNS * 2 * np.pi
        front = np.clip(np.cos(azimuth), 0, 1)[:, None] ** 0.7
        inside = scalp.inside - self.get("recede") * front
        if self.get("crown"):
            inside = np.minimum(inside, (polar - np.radians(self.get("crown"))) * 90)
        return np.full_like(inside, -50.0) if self.style.bald else inside
