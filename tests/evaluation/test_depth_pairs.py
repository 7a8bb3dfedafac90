"""Frames moved into each other, on a synthetic head whose motion and depth are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from portrait3d.data.people.model_views import HeadView
from portrait3d.data.synthetic import STYLES_VALIDATION, SyntheticHeads, SyntheticView
from portrait3d.evaluation.depth.methods import constant_depth
from portrait3d.evaluation.depth.pairs import (
    HAIR_AND_EARS,
    PairErrors,
    Row,
    compare_pair,
    covered,
    means,
    summarise,
)
from synthetic_views import head_view


@pytest.fixture(scope="module")
def drawn() -> tuple[SyntheticView, SyntheticView]:
    pair = SyntheticHeads(seed=3, styles=STYLES_VALIDATION).pair(3)
    return pair.first, pair.second


@pytest.fixture(scope="module")
def views(drawn: tuple[SyntheticView, SyntheticView]) -> tuple[HeadView, HeadView]:
    return head_view(drawn[0]), head_view(drawn[1])


@pytest.fixture(scope="module")
def depth(drawn: tuple[SyntheticView, SyntheticView]) -> np.ndarray:
    """Of the first view, mm; inf beside the head."""
    exact = drawn[0].depth.double().numpy()
    return np.where(head_view(drawn[0]).region, exact, np.inf)


def compare(a: HeadView, b: HeadView, depth: np.ndarray) -> PairErrors:
    plane = np.where(a.region, constant_depth(a), np.inf)
    errors = compare_pair("clip", a, b, {"network": depth, "constant": plane})
    assert errors is not None
    return errors


def test_true_depth_explains_hair_better_than_a_plane_and_no_better_than_the_best(
    views: tuple[HeadView, HeadView], depth: np.ndarray
) -> None:
    errors = compare(*views, depth)
    assert errors.methods["network"] < errors.methods["constant"]
    assert errors.methods["network"] < errors.still
    assert errors.floor < errors.methods["network"]
    assert errors.moved > 2


def test_a_head_that_does_not_move_is_explained_by_anything(
    views: tuple[HeadView, HeadView], depth: np.ndarray
) -> None:
    errors = compare(views[0], views[0], depth)
    assert errors.still == 0
    assert max(errors.methods.values()) < 0.1
    assert errors.moved < 0.05


def test_too_few_pixels_say_nothing(views: tuple[HeadView, HeadView], depth: np.ndarray) -> None:
    bald = replace(views[0], labels=np.where(views[0].labels == 2, 1, views[0].labels).astype(np.uint8))
    bald = replace(bald, labels=np.where(np.isin(bald.labels, (3, 4)), 0, bald.labels).astype(np.uint8))
    assert compare_pair("clip", bald, views[1], {"network": depth}) is None


def test_hair_that_is_moved_off_the_hair_is_compared_with_what_is_there(
    views: tuple[HeadView, HeadView], depth: np.ndarray
) -> None:
    a = views[0]
    size = len(a.image)
    hair = np.isin(a.labels, HAIR_AND_EARS)
    image = np.where(hair[..., None], 200, 100).astype(np.uint8).repeat(3, axis=2)
    a = replace(a, image=image)
    turn = Rotation.from_euler("y", 8.0, degrees=True).as_matrix()
    centre = a.head.centre
    turned = replace(
        a.head,
        rotation=turn @ a.head.rotation,
        translation=turn @ (a.head.translation - centre) + centre,
    )
    b = replace(a, image=np.full((size, size, 3), 200, np.uint8), head=turned)
    errors = compare_pair("clip", a, b, {"network": depth})
    assert errors is not None
    assert errors.methods["network"] < 1e-9
    hairless = np.where(hair, 0, b.labels).astype(np.uint8)
    bare = replace(b, image=np.full((size, size, 3), 100, np.uint8), labels=hairless)
    errors = compare_pair("clip", a, bare, {"network": depth})
    assert errors is not None
    assert errors.methods["network"] > 90


def test_black_beyond_the_photo_is_not_covered(views: tuple[HeadView, HeadView]) -> None:
    image = np.maximum(views[0].image, 1)
    image[:, :40] = 0
    inside = covered(replace(views[0], image=image))
    assert not inside[:, :40].any()
    assert inside[10:-10, 50:-10].all()


def test_a_row_is_the_mean_of_its_pairs() -> None:
    one = PairErrors("c", 4.0, {"network": 2.0}, 1.0, 6.0)
    row = summarise("c", [one, replace(one, methods={"network": 4.0})])
    assert (row["directions"], row["network"], row["floor"], row["no motion"]) == (2, 3.0, 1.0, 4.0)


def test_means_count_clips_alike_and_directions_alike() -> None:
    rows: list[Row] = [
        {"clip": "a", "directions": 1, "network": 2.0},
        {"clip": "b", "directions": 3, "network": 6.0},
    ]
    assert means(rows) == [
        {"clip": "mean of the clips", "directions": 4, "network": 4.0},
        {"clip": "mean of the directions", "directions": 4, "network": 5.0},
    ]
