"""What the photo and the networks say of hair: its front, its back and where it is, in one camera."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from scipy import ndimage

from portrait3d.geometry.blurring import gaussian
from portrait3d.geometry.pixels import blurred_inside, box_about, inner_distance, nearest, smoothstep
from portrait3d.geometry.vectors import dot, length
from portrait3d.parsing_classes import HAIRY, HEAD, ParsingClass

FEWEST = 40
"""Pixels below which what is parsed as hair is none."""
THIN = 2
"""Hair that is nowhere wider than twice this, pixels, is the blurred outline of a bald head."""


@dataclass(frozen=True)
class HairDepth:
    """How the networks' depths become hair's front and back."""

    mixed: int = 2
    """Over so many pixels along hair's border the network's coarser pixels mix its depth with that beside
    it."""
    spike: float = 6.0
    """A pixel this far (mm) from the median of its neighbourhood is a spike of the depth network."""
    even: float = 1.2
    """Width of the blur (pixels) that takes the network's ripples out of hair's depth."""
    lift: float = 0.6
    """Hair on skin lies this far before it, mm: enough for one z-buffer to tell them apart."""
    hairline: float = 7.0
    settles: float = 6.0
    """Over so many pixels next to bare skin hair comes down to it, by so many mm at most: a fringe hovers
    on."""
    close: float = 5.0
    """Hair this near to the skin behind it lies on it, mm."""
    boundary: float = 3.0
    back_blur: float = 3.0
    """Pixels from the outline within which the far surface counts less, and width of the blur over it."""
    round: float = 12.0
    """Over so many mm from the outline front and back come together: less than a pixel of the network
    tells."""


DEPTH = HairDepth()


@dataclass(frozen=True, slots=True, eq=False)
class HairView:
    """Hair and headwear as the wide crop's camera sees them; depths in mm, square maps of S pixels a side."""

    focal: float
    """Focal length, pixels; the principal point is the middle."""
    labels: UInt8[np.ndarray, "S S"]
    """`ParsingClass` of every pixel."""
    hair: Bool[np.ndarray, "S S"]
    """Where the photo shows hair or headwear."""
    inside: Bool[np.ndarray, "S S"]
    """Where head, neck or hair are, whether or not clothes cover it."""
    front: Float[np.ndarray, "S S"]
    """Depth of what is shown of it, continued beyond it; finite everywhere."""
    hidden: Float[np.ndarray, "S S"]
    """Depth at which hair begins that hangs behind neck and clothes; finite everywhere."""
    back: Float[np.ndarray, "S S"]
    """Depth of the farthest surface of head and hair along each ray; finite everywhere."""
    back_is_hair: Float[np.ndarray, "S S"]
    """Probability that the farthest surface is hair."""
    skin: Float[np.ndarray, "S S"]
    """Depth of the fitted head's skin, infinite where it is not."""

    @property
    def size(self) -> int:
        """Pixels of a side."""
        return len(self.labels)

    @property
    def millimetres(self) -> float:
        """What a pixel measures at the head's depth."""
        return float(np.median(self.front)) / self.focal

    @property
    def lying(self) -> Bool[np.ndarray, "S S"]:
        """Pixels whose hair lies on the skin behind it, and does not hover or hang before it."""
        return self.hair & (np.where(np.isfinite(self.skin), self.skin, np.inf) - self.front < DEPTH.close)

    def rays(self, rows: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, "*shape 3"]:
        """Directions through pixel positions (centres at +0.5), scaled to depth 1."""
        x, y = (columns - self.size / 2) / self.focal, (rows - self.size / 2) / self.focal
        return np.stack([x, y, np.ones_like(x)], axis=-1)

    def pixels(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Where points of the crop's camera frame are seen."""
        x, y, depth = points.T
        return np.stack([self.focal * x / depth, self.focal * y / depth], axis=1) + self.size / 2

    def read(
        self, values: Shaped[np.ndarray, "S S"], points: Float[np.ndarray, "N 3"], beyond: float | None = None
    ) -> Float[np.ndarray, " N"]:
        """Values between the pixels at which points of the crop's camera frame are seen; past the border
        `beyond`, or without it the border's."""
        at = self.pixels(points).T[::-1] - 0.5
        mode, outside = ("nearest", 0.0) if beyond is None else ("constant", beyond)
        return ndimage.map_coordinates(values.astype(np.float64), at, order=1, mode=mode, cval=outside)

    def facing(self) -> Float[np.ndarray, "S S"]:
        """Cosine between the front surface's normal and the view; 0 is edge-on."""
        rows, columns = np.indices(self.labels.shape) + 0.5
        x, y = ((k - self.size / 2) / self.focal * self.front for k in (columns, rows))
        # Each coordinate a block of its own: numpy is slow along axes of three.
        points = np.moveaxis(np.stack([x, y, self.front]), 0, -1)
        # Normals of the depth map by differences between pixels; which way they point depends on the order of
        # the axes, hence the absolute value.
        across, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
        normal = np.cross(across, down)
        return np.abs(dot(normal, points) / length(normal) / length(points))


def shown_hair(labels: UInt8[np.ndarray, "S S"]) -> Bool[np.ndarray, "S S"]:
    """Pixels of hair and headwear, without the outline of bald heads that parsing calls hair."""
    hair = np.isin(labels, HAIRY)
    # Opening by reconstruction: a piece that an erosion empties is a thin rim, any other is kept whole.
    core = ndimage.binary_erosion(hair, iterations=THIN)
    thick = ndimage.binary_propagation(core, np.ones((3, 3)), mask=hair)
    return thick if core.sum() >= FEWEST else np.zeros_like(hair)


def settled_front(
    depth: Float[np.ndarray, "S S"],
    hair: Bool[np.ndarray, "S S"],
    skin: Float[np.ndarray, "S S"],
) -> Float[np.ndarray, "S S"]:
    """Hair's predicted depth without spikes and ripples, laid on the skin at the hairline, continued beyond.

    Args:
        depth: As predicted, mm.
        hair: Where the photo shows hair.
        skin: Depth of the fitted skin, infinite where it is not, mm.
    """
    if not hair.any():
        return np.where(np.isfinite(skin), skin, np.median(depth))
    core = ndimage.binary_erosion(hair, iterations=DEPTH.mixed)
    # Along the border take the depth of the nearest hair further inside; only locks too thin to have an
    # inside, and far from any, keep their own.
    away, source = nearest(core) if core.any() else nearest(hair)
    filled = np.where(hair & (away > 2 * DEPTH.mixed), depth, depth[source])
    # Spikes, then ripples: a blur alone would spread spikes, a median alone would leave ripples.
    part = box_about(hair, 2)
    median = ndimage.median_filter(filled[part], 5)
    filled[part] = np.where(np.abs(filled[part] - median) > DEPTH.spike, median, filled[part])
    filled = np.where(hair, blurred_inside(filled, hair, DEPTH.even), filled)
    # The hairline: toward bare skin, hair comes down onto the skin below it.
    beside_skin, _ = nearest(np.isfinite(skin) & ~hair)
    share = 1 - smoothstep(beside_skin / DEPTH.hairline)
    down = np.where(np.isfinite(skin), np.clip(skin - DEPTH.lift - filled, 0, DEPTH.settles), 0)
    filled = np.where(hair, filled + share * down, filled)
    return filled[nearest(hair)[1]]


def settled_back(
    back: Float[np.ndarray, "S S"], expected_error: Float[np.ndarray, "S S"], inside: Bool[np.ndarray, "S S"]
) -> Float[np.ndarray, "S S"]:
    """The far surface, smoothed where the network is unsure of it: by what it is sure of, and from inside the
    outline, along which the surface is seen edge-on. `expected_error` is in mm."""
    # Inverse-variance weights, from the errors that the network expects.
    weight = (
        np.minimum(inner_distance(inside) / DEPTH.boundary, 1.0) ** 2 / np.maximum(expected_error, 1) ** 2
    )
    total = gaussian(weight, DEPTH.back_blur)
    smooth = gaussian(back * weight, DEPTH.back_blur) / np.maximum(total, 1e-12)
    sure = total > 1e-6 * total.max()
    return smooth[nearest(sure)[1]] if sure.any() else back


def rounded(
    front: Float[np.ndarray, "S S"],
    back: Float[np.ndarray, "S S"],
    inside: Bool[np.ndarray, "S S"],
    millimetres: float,
) -> tuple[Float[np.ndarray, "S S"], Float[np.ndarray, "S S"]]:
    """Front and back that meet along the outline as they do on anything round: near it, thickness grows with
    the square root of the distance from it. Beyond it they go on as one. A pixel measures `millimetres`."""
    distance = inner_distance(inside) * millimetres
    core = inside & (distance >= min(DEPTH.round, float(distance.max())))
    if not core.any():
        return front, back
    half, middle = np.maximum(back - front, 0) / 2, (front + back) / 2
    # No thicker than something round would be there; what is predicted thinner stays thin.
    most = half[nearest(core)[1]] * np.sqrt((distance / DEPTH.round).clip(0, 1))
    half = np.minimum(half, most)
    edge = nearest(inside)[1]
    return (middle - half)[edge], (middle + half)[edge]


def hair_outline(
    labels: UInt8[np.ndarray, "S S"],
    hair: Bool[np.ndarray, "S S"],
    is_hair: Float[np.ndarray, "S S"],
) -> Bool[np.ndarray, "S S"]:
    """Pixels before which or behind which hair can be: head, neck, and clothes behind which it hangs.

    It falls as one: clothes cover none, and where it falls past the chin the neck hides none, below all that
    the photo shows. `is_hair` is the probability that the last surface is hair.
    """
    end, chin = (
        np.flatnonzero(part.any(axis=1)).max(initial=-1) + 1 for part in (hair, labels == ParsingClass.FACE)
    )
    covered = (labels == ParsingClass.BODY) & (is_hair > 0.5)
    covered[end:] = False
    outline = head_outline(labels) | covered
    if end > chin:
        outline[end:] = False
    return outline


def head_outline(labels: UInt8[np.ndarray, "S S"]) -> Bool[np.ndarray, "S S"]:
    """Pixels before which or behind which hair can be: head and neck."""
    return np.isin(labels, (*HEAD, ParsingClass.NECK))
