"""How time grows."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from skimage import data

from portrait3d import Portrait3D
from portrait3d.evaluation.scaling import (
    Growth,
    by_kind,
    drawing,
    exponent,
    group_photo,
    growing_tasks,
    resized,
    seconds_in_processes,
)

PHOTO = data.astronaut()[:256, 80:336]


def test_the_exponent_is_one_where_time_is_proportional() -> None:
    assert exponent([Growth("photos", k, 0.3 * k) for k in (1, 2, 4)]) == pytest.approx(1)
    assert exponent([Growth("photos", k, 0.3 * k * k) for k in (1, 2, 4)]) == pytest.approx(2)
    assert math.isnan(exponent([Growth("photos", 1, 0.3)]))


@pytest.mark.parametrize("count", [1, 4])
def test_group_photos_show_so_many_faces_on_the_same_pixels(model: Portrait3D, count: int) -> None:
    picture = group_photo(PHOTO, count)
    assert picture.shape == (1024, 1024, 3)
    assert len(model.find_faces(picture)[1]) == count


def test_photos_keep_their_proportions() -> None:
    assert resized(np.zeros((40, 20, 3), np.uint8), 100).shape == (100, 50, 3)


def test_everything_that_grows_is_timed(model: Portrait3D) -> None:
    tasks = growing_tasks(model, PHOTO)
    kinds = by_kind([Growth(of, amount, 1.0) for of, amount in tasks])
    assert {kind: len(rows) for kind, rows in kinds.items()} == dict.fromkeys(
        ["faces in a photo", "further poses", "megapixels", "photos"], 3
    )
    assert len(tasks["faces in a photo", 2]()) == 2


@pytest.mark.slow
def test_processes_work_on_photos_of_their_own() -> None:
    assert 0 < seconds_in_processes(PHOTO, None, 2) < 60


def test_the_drawing_is_svg_with_a_panel_for_each() -> None:
    rows = [Growth("photos", k, 0.5 * k) for k in (1, 2, 4)] + [Growth("processes", k, 1 / k) for k in (1, 2)]
    root = ElementTree.fromstring(drawing(rows))
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    # Twice as many processes, twice as many photos a second.
    first, second = (tuple(map(float, point.split(","))) for point in lines[1].attrib["points"].split())
    assert 226 - second[1] == pytest.approx(2 * (226 - first[1]))
