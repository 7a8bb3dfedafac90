"""Everything that is said about depth on synthetic heads: one table for each question."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from portrait3d.data.people.model_views import HeadView, SkinModel, render_model_views
from portrait3d.evaluation.depth.errors import HeadErrors, HeadTruth, head_errors
from portrait3d.evaluation.depth.heads import KnownHead, load_or_draw
from portrait3d.evaluation.depth.methods import Method, depth_methods, rest_of_head
from portrait3d.evaluation.depth.photos import points_of, portrait_methods, reconstruct, seen_in, truth_in
from portrait3d.pipeline import Portrait3D

TRUE_FACE, PHOTO = "true face", "photo"
MEASURES = ("face_table1", "rest_table1", "face", "rest", "rest_pixel", "coverage")
LEAST_PIXELS = 50
"""A region of a head counts if it has this many pixels."""


@dataclass(frozen=True, slots=True)
class DepthScores:
    """Means over heads of the errors of one method, mm, as `HeadErrors` defines them."""

    given: str
    """What the method knows: "true face" (and parsing), or the "photo" alone."""
    method: str
    heads: int
    """Heads that were measured: without a face found there is nothing to measure."""
    face_table1: float
    rest_table1: float
    face: float
    rest: float
    rest_pixel: float
    coverage: float


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One method on one head."""

    index: int
    style: str
    given: str
    method: str
    errors: HeadErrors
    regions: dict[str, float]
    """Mean error of depth in each region of the head that is large enough, mm; with the true face alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """A head as methods see it, with the truth at the same pixels."""

    given: str
    view: HeadView
    truth: HeadTruth
    methods: dict[str, Method]


def situations(
    known: KnownHead, model: Portrait3D, skin: SkinModel, methods: dict[str, Method]
) -> Iterator[Situation]:
    """A head with its true face given, then as a photo, if a face is found in it."""
    truth = known.truth(skin)
    yield Situation(TRUE_FACE, known.given(skin), truth, methods)
    portrait = reconstruct(model, known.picture)
    if portrait is None:
        return
    crop = portrait.head_crop
    bare, rest = (crop.extract_labels(mask.astype(np.uint8)) > 0 for mask in (truth.face, truth.rest))
    depth = np.where(known.region, known.depth, np.inf)
    in_crop = truth_in(crop, depth, known.camera, bare, rest, truth.surface)
    own = portrait_methods(portrait)
    yield Situation(PHOTO, seen_in(portrait, model.head_model), in_crop, {**methods, **own})


def compare(situation: Situation, method: Method) -> tuple[Float[np.ndarray, "S S"], HeadErrors]:
    """The depth that a method gives, and its errors."""
    view = situation.view
    depth = method(view)
    known = view.region & np.isfinite(depth)
    return depth, head_errors(points_of(depth, known, view.head.focal), known, situation.truth)


def measure_heads(
    model: Portrait3D,
    limit: int,
    cache: Path | None = None,
) -> Iterator[Measured]:
    """Every method on the first `limit` synthetic heads."""
    skin = SkinModel.from_head_model(model.head_model)
    methods = depth_methods(model.depth_net, model.head_model)
    for index in range(limit):
        known = load_or_draw(index, cache)
        parts = head_regions(known.given(skin), skin)
        for situation in situations(known, model, skin, methods):
            for name, method in situation.methods.items():
                errors = compare(situation, method)[1]
                gap = np.abs(errors.gap)
                regions = {
                    part: float(np.nanmean(gap[mask]))
                    for part, mask in parts.items()
                    if situation.given == TRUE_FACE and mask.sum() >= LEAST_PIXELS
                }
                yield Measured(index, known.style, situation.given, name, errors, regions)


def head_regions(view: HeadView, skin: SkinModel) -> dict[str, Bool[np.ndarray, "S S"]]:
    """Parts of the head without its bare face."""
    views = render_model_views(skin, view.head)
    skull = np.isfinite(views.skin) & ~views.is_neck
    rest = rest_of_head(view)
    ears, hair = np.isin(view.labels, (3, 4)) & rest, np.isin(view.labels, (2, 8)) & rest
    fringe = hair & np.isfinite(view.face_depth)
    return {
        "ears": ears,
        "hair before the face": fringe,
        "hair on the skull": hair & ~fringe & skull,
        "hair beside the skull": hair & ~fringe & ~skull,
        "skin beside the face": rest & ~ears & ~hair,
    }


def score_heads(measured: Sequence[Measured]) -> list[DepthScores]:
    """One row for everything that was known and every method."""
    groups: dict[tuple[str, str], list[HeadErrors]] = {}
    for one in measured:
        groups.setdefault((one.given, one.method), []).append(one.errors)
    return [
        DepthScores(
            given=given,
            method=method,
            heads=len(group),
            **{name: _mean([getattr(errors, name) for errors in group]) for name in MEASURES},
        )
        for (given, method), group in sorted(groups.items(), key=lambda entry: entry[0][0] != TRUE_FACE)
    ]


def score_styles(measured: Sequence[Measured]) -> list[dict[str, str | int | float]]:
    """Per hair style, with the true face given: the mean error of depth of every method, mm."""
    given = [one for one in measured if one.given == TRUE_FACE]
    rows: list[dict[str, str | int | float]] = []
    for style in sorted({one.style for one in given}):
        of_style = [one for one in given if one.style == style]
        row: dict[str, str | int | float] = {
            "style": style,
            "heads": len({one.index for one in of_style}),
        }
        for method in dict.fromkeys(one.method for one in of_style):
            row[method] = _mean([one.errors.rest_pixel for one in of_style if one.method == method])
        rows.append(row)
    return rows


def score_regions(measured: Sequence[Measured]) -> list[dict[str, str | int | float]]:
    """Per part of the head, with the true face given: the mean error of depth of every method, mm."""
    rows: list[dict[str, str | int | float]] = []
    for region in dict.fromkeys(name for one in measured for name in one.regions):
        having = [one for one in measured if region in one.regions]
        row: dict[str, str | int | float] = {
            "region": region,
            "heads": len({one.index for one in having}),
        }
        for method in dict.fromkeys(one.method for one in having):
            row[method] = _mean([one.regions[region] for one in having if one.method == method])
        rows.append(row)
    return rows


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
