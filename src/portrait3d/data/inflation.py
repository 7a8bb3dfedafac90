"""Pseudo-depth of hair and ears in real portraits, without a network.

Hair inside the skull's outline is inflated between the face and the silhouette; beyond that outline it hangs
in a flatter, deeper sheet. One sparse least-squares problem per photo joins these with the fitted face, the
skull under the hair, the model's ears and second-order smoothness.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from scipy.sparse.linalg import splu

from portrait3d.data.model_views import (
    HeadInCrop,
    ModelViews,
    SkinModel,
    nearest_value,
    render_model_views,
)
from portrait3d.parsing_classes import EARS, FACE, ParsingClass

BARE_HEAD = (*FACE, ParsingClass.HAIR, *EARS)
BEHIND_HEAD = (ParsingClass.BACKGROUND, ParsingClass.BODY, ParsingClass.HEADWEAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class InflationConfig:
    """How strongly each term pulls; chosen on moved hair in real clips."""

    bulge: float = 2.5
    """Curvature of the inflated surface: 2 makes a half-ellipsoid of a disc, more is rounder."""
    sheet: float = 25.0
    """Depth (mm) beyond which hair outside the skull's outline stops bulging."""
    rim_behind: float = 70.0
    """Depth of the silhouette behind the model's origin, where the model has no outline of its own, mm."""
    slope: float = 0.02
    """Weight of first differences to the inflated base."""
    curvature: float = 1.0
    """Weight of second differences to the inflated base."""
    face: float = 30.0
    skull: float = 0.05
    ear: float = 1.0
    rim: float = 0.5
    seam: float = 0.05
    """Share of smoothness that is kept between hair and the face it covers."""
    min_cosine: float = 0.12
    """The model's face counts where it is seen steeper than this; flatter ones make spikes on far cheeks."""
    hair_gap: float = 3.0
    """Hair lies at least this far (mm) before the skin it covers, Eq. 9."""
    beyond_trust: float = 0.25
    """Trust in hair beyond the skull's outline, against 1 inside it."""


@dataclass(frozen=True, slots=True)
class PseudoDepth:
    """Inflated depth of one head."""

    depth: Float[np.ndarray, "H W"]
    """mm, along the camera's z; inf outside `region`."""
    region: Bool[np.ndarray, "H W"]
    """Face, hair, ears and mouth, as far as the photo reaches."""
    trust: Float[np.ndarray, "H W"]
    """Weight of the pixel in training, 0 outside `region`."""
    views: ModelViews
    thickness: float
    """Hair thickness seen at the outline, mm."""
    violations: float
    """Share of the hair before the face that ended behind it."""


def hair_thickness(labels: UInt8[np.ndarray, "H W"], model: SkinModel, head: HeadInCrop) -> float:
    """Median distance (mm) from the bald head's outline to the hair's over the top half of the head.

    12 where the photo's border cuts the outline everywhere; clamped to 2..45.
    """
    views = render_model_views(model, head, 0.0)
    skull, hair = np.isfinite(views.skin) & ~views.is_neck, np.isin(labels, BARE_HEAD)
    start = head.focal * head.centre[:2] / head.centre[2] + head.size / 2
    up = head.rotation @ np.array([0.0, -1.0, 0.0])
    roll = np.arctan2(up[0], -up[1])
    steps = np.arange(0, head.size, 0.5)
    found = []
    for angle in np.radians(np.arange(-160, -19, 5)) + roll:
        pixels = np.floor(start + steps[:, None] * [np.cos(angle), np.sin(angle)]).astype(int)
        inside = ((pixels >= 0) & (pixels < head.size)).all(axis=1)
        x, y = pixels[inside].T
        on_skull, on_hair = steps[inside][skull[y, x]], steps[inside][hair[y, x]]
        if len(on_skull) and len(on_hair) and on_hair.max() < steps[inside].max() - 1:
            found.append((on_hair.max() - on_skull.max()) * head.scale)
    return float(np.clip(np.median(found) if found else 12.0, 2.0, 45.0))


def inflate(
    labels: UInt8[np.ndarray, "H W"],
    inside: Bool[np.ndarray, "H W"],
    model: SkinModel,
    head: HeadInCrop,
    config: InflationConfig | None = None,
) -> PseudoDepth:
    """Estimate the depth of everything above the neck.

    Args:
        labels: The nine parsing classes of the head crop.
        inside: Which pixels of the crop the photo covers.
        model: The head model.
        head: The model fitted to this photo, its skull within the parsed head.
        config: Weights of the terms.
    """
    config = config or InflationConfig()
    thickness = hair_thickness(labels, model, head)
    views = render_model_views(model, head, thickness)
    region = np.isin(labels, BARE_HEAD) & inside
    classes = ((ParsingClass.HAIR,), EARS, FACE)
    hair, ear, skin = (np.isin(labels, own) & region for own in classes)
    behind = np.isin(labels, BEHIND_HEAD) & inside
    on_skull = np.isfinite(views.scalp)
    face_visible = np.isfinite(views.face)
    seen = skin & face_visible & (views.face_cosine > config.min_cosine)

    beyond = np.clip(ndimage.distance_transform_edt(~on_skull) * head.scale / 20, 0, 1)
    height = inflated_height((region | (labels == ParsingClass.NECK)) & inside, behind, config.bulge)
    height = height * head.scale
    height = (1 - beyond) * height + beyond * height / np.sqrt(1 + (height / config.sheet) ** 2)
    middle = float((head.rotation @ [0, 0, config.rim_behind] + head.translation)[2])
    base = rim_depth(views.outer, middle, head.scale) - height

    problem = LeastSquares(region)
    expected = np.where(seen, views.face, np.where(on_skull, views.scalp, middle))
    covered = hair & face_visible
    add_smoothness(problem, config, ear, seen, covered, expected)
    target, weight = np.zeros_like(base), np.where(~on_skull, 1e-4, 0.0)

    def pull(where: np.ndarray, to: np.ndarray, strength: np.ndarray | float) -> None:
        total = weight + np.where(where, strength, 0.0)
        offset = np.where(where, np.where(where, to, 0.0) - base, 0.0)
        target[...] = np.where(
            total > 0,
            (weight * target + np.where(where, strength, 0.0) * offset) / np.maximum(total, 1e-12),
            0,
        )
        weight[...] = total

    pull(seen, views.face, config.face)
    pull(hair & on_skull, views.scalp, config.skull * np.clip((views.scalp_cosine - 0.2) / 0.5, 0, 1))
    unseen_skin = skin & ~seen & np.isfinite(views.skin)
    pull(unseen_skin, views.skin, 10 * config.skull * np.clip((views.skin_cosine - 0.1) / 0.4, 0, 1))
    pull(ear, ear_depth(labels, views, region, head), config.ear)
    rim = region & ~ear & ndimage.binary_dilation(behind, np.ones((3, 3)))
    pull(rim, base, config.rim * (1 - 0.98 * beyond))

    limit = np.minimum(views.face, views.skin) - config.hair_gap
    active = np.zeros_like(region)
    for _ in range(3):
        late = np.where(active, 0.3, 0.0)
        offset = problem.solve(weight + late, weight * target + late * np.where(active, limit - base, 0.0))
        depth = np.where(region, base + offset, np.inf)
        behind_skin = hair & np.isfinite(limit) & (depth > limit + 0.5) & ~active
        if not behind_skin.any():
            break
        active |= behind_skin
    wrong = covered & (depth > views.face)
    trust = np.where(region, np.where(on_skull | seen, 1.0, 1 - (1 - config.beyond_trust) * beyond), 0.0)
    return PseudoDepth(
        depth=depth,
        region=region,
        trust=trust,
        views=views,
        thickness=thickness,
        violations=float(wrong.sum() / max(covered.sum(), 1)),
    )


def inflated_height(
    zone: Bool[np.ndarray, "H W"], zero: Bool[np.ndarray, "H W"], bulge: float
) -> Float[np.ndarray, "H W"]:
    """Square root of u with laplace(u) = -bulge in `zone` and u = 0 half a pixel away at `zero`; pixels.

    Borders to anything else let nothing through, so a head cut by the photo's edge stays high there.
    """
    problem = LeastSquares(zone)
    boundary = np.zeros(zone.shape)
    for first, second in neighbours(2):
        both = zone[first] & zone[second]
        problem.add([(first, 1.0), (second, -1.0)], both, np.ones(both.shape))
        boundary[first] += 2 * zero[second]
        boundary[second] += 2 * zero[first]
    solution = problem.solve(np.where(zone, boundary + 1e-6, 0), np.where(zone, bulge, 0.0))
    return np.sqrt(np.clip(solution, 0, None))


def rim_depth(
    outer: Float[np.ndarray, "H W"], middle: float, scale: float, reach: float = 30.0
) -> Float[np.ndarray, "H W"]:
    """Depth of the model's own outline, fading over `reach` mm beyond it to the plane at `middle`."""
    covered = np.isfinite(outer)
    ring = covered & ~ndimage.binary_erosion(covered, np.ones((3, 3)), border_value=1)
    ring[[0, -1]] = ring[:, [0, -1]] = False
    nearest, distance = nearest_value(np.where(covered, outer, 0.0), ring)
    share = np.where(covered, 1.0, np.exp(-((distance * scale / reach) ** 2)))
    return ndimage.gaussian_filter(share * nearest + (1 - share) * middle, 4)


def ear_depth(
    labels: UInt8[np.ndarray, "H W"], views: ModelViews, region: Bool[np.ndarray, "H W"], head: HeadInCrop
) -> Float[np.ndarray, "H W"]:
    """The model's ears shifted onto the parsed ones; parsed pixels beyond them take the nearest value."""
    result = np.zeros(labels.shape)
    rows, columns = np.mgrid[: head.size, : head.size] + 0.5
    for label in EARS:
        ear = (labels == label) & region
        if not ear.any():
            continue
        centre = np.argwhere(ear).mean(axis=0)[::-1] + 0.5
        model = views.ear_centres[np.linalg.norm(views.ear_centres[:, :2] - centre, axis=1).argmin()]
        near = np.hypot(columns - model[0], rows - model[1]) < 40 / head.scale
        shown = views.is_ear & near
        if shown.sum() < 15:
            result[ear] = model[2]
            continue
        shift = np.round(centre - (np.argwhere(shown).mean(axis=0)[::-1] + 0.5)).astype(int)
        shift = np.clip(shift, -12, 12)[::-1]
        moved = np.roll(np.where(shown, views.skin, 0.0), shift, (0, 1))
        filled, _ = nearest_value(moved, np.roll(shown, shift, (0, 1)))
        result[ear] = ndimage.gaussian_filter(filled, 1)[ear]
    return result


def neighbours(count: int) -> list[tuple[tuple[slice, slice], ...]]:
    """Slices that pair up `count` pixels in a row, along x and along y."""
    runs = []
    for axis in (1, 0):
        parts = []
        for k in range(count):
            cut = slice(k, k - count + 1 or None)
            parts.append((cut, slice(None)) if axis == 0 else (slice(None), cut))
        runs.append(tuple(parts))
    return runs


class LeastSquares:
    """A sum of weighted squares over the pixels of a region; borders of the region are free."""

    def __init__(self, region: Bool[np.ndarray, "H W"]) -> None:
        self.region = region
        self.count = int(region.sum())
        self.index = np.full(region.shape, -1, np.int64)
        self.index[region] = np.arange(self.count)
        self.matrix = sp.csr_matrix((self.count, self.count))

    def add(
        self, terms: list[tuple[tuple[slice, slice], float]], where: np.ndarray, weight: np.ndarray
    ) -> None:
        """Add weight * (sum of factor * pixel)^2 for every place in `where`."""
        rows = np.tile(np.arange(where.sum()), len(terms))
        columns = np.concatenate([self.index[place][where] for place, _ in terms])
        factors = np.repeat([factor for _, factor in terms], where.sum())
        jacobian = sp.csr_matrix((factors, (rows, columns)), (int(where.sum()), self.count))
        self.matrix = self.matrix + jacobian.T @ sp.diags(weight[where]) @ jacobian

    def solve(
        self, diagonal: Float[np.ndarray, "H W"], right_side: Float[np.ndarray, "H W"]
    ) -> Float[np.ndarray, "H W"]:
        """Minimise the sum plus diagonal * x^2 - 2 right_side * x; zeros outside the region."""
        matrix = (self.matrix + sp.diags(diagonal[self.region] + 1e-8)).tocsc()
        # Symmetric and positive definite: no pivoting, and an ordering that keeps the factors thin.
        factors = splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        result = np.zeros(self.region.shape)
        result[self.region] = factors.solve(right_side[self.region])
        return result


def add_smoothness(
    problem: LeastSquares,
    config: InflationConfig,
    ear: Bool[np.ndarray, "H W"],
    seen: Bool[np.ndarray, "H W"],
    covered: Bool[np.ndarray, "H W"],
    expected: Float[np.ndarray, "H W"],
) -> None:
    """First and second differences over the region, cut at ears, depth jumps and the fringe's border."""
    region = problem.region
    for pair, triple in zip(neighbours(2), neighbours(3), strict=True):
        first, second = pair
        weight: np.ndarray = np.ones(expected[first].shape)
        fringe = (covered[first] & seen[second]) | (covered[second] & seen[first])
        weight[fringe] = config.seam
        weight[np.abs(expected[first] - expected[second]) > 25] = 0.01
        weight[ear[first] != ear[second]] = 0.003
        both = region[first] & region[second]
        problem.add([(first, 1.0), (second, -1.0)], both, config.slope * weight)

        left, middle, right = triple
        along = 1 if weight.shape[1] < region.shape[1] else 0
        pieces = np.take(weight, range(weight.shape[along] - 1), along)
        next_pieces = np.take(weight, range(1, weight.shape[along]), along)
        together = region[left] & region[middle] & region[right] & ~(seen[left] & seen[middle] & seen[right])
        problem.add(
            [(left, 1.0), (middle, -2.0), (right, 1.0)],
            together,
            config.curvature * np.minimum(pieces, next_pieces),
        )
