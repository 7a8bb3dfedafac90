"""Films that several processes draw."""

import numpy as np
import pytest

from portrait3d import Portrait3D
from portrait3d.cli.film import Film, View, draw
from portrait3d.cli.workers import DiedError, in_turn
from portrait3d.portrait import HeadAngles
from slow_work import count_up, start_nothing
from synthetic_head import synthetic_portrait


@pytest.mark.slow
@pytest.mark.parametrize("view", [View.PHOTO, View.BOTH])
def test_several_processes_draw_the_same_film(model: Portrait3D, view: View) -> None:
    poses = [HeadAngles(yaw, 2.0, 0.0) for yaw in (-20.0, -5.0, 0.0, 8.0, 25.0)]
    expressions = np.random.default_rng(0).uniform(0, 0.4, (5, 64))
    film = Film(poses=poses, expressions=expressions, view=view, size=170)
    portrait = synthetic_portrait()
    alone = list(draw(model, portrait, film, jobs=1, models=None))
    shared = list(draw(model, portrait, film, jobs=2, models=None))
    np.testing.assert_array_equal(shared, alone)
    assert len({frame.tobytes() for frame in alone}) == 5


@pytest.mark.slow
def test_what_processes_make_is_taken_in_turn_and_no_more_of_it_is_made(tmp_path) -> None:
    counted = in_turn([(tmp_path / str(k), k, 5 - k) for k in range(3)], start_nothing, count_up)
    first = [next(counted) for _ in range(4)]
    # The one in the middle waits to be taken: each is a megabyte, more than a pipe holds.
    assert [value[0] for value in first] == [0, 1, 2, 10]
    assert int((tmp_path / "1").read_text()) <= 2
    assert [value[0] for value in counted] == [11, 12, 20, 21, 22, 30, 31, 40]


@pytest.mark.slow
def test_a_process_that_dies_ends_the_film(tmp_path) -> None:
    frames = in_turn([(tmp_path / "0", 0, 3), (tmp_path / "1", -1, 3)], start_nothing, count_up)
    assert next(frames)[0] == 0
    with pytest.raises(DiedError, match="fewer --jobs"):
        list(frames)
