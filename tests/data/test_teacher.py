"""Teachers of one's own: Python files, and what they may answer."""

from pathlib import Path

import numpy as np
import pytest

from portrait3d.data.photos.labelling import PhotoLabels
from portrait3d.data.photos.teacher import load_teacher, with_answer
from portrait3d.parsing_classes import ParsingClass


def labels() -> PhotoLabels:
    parsing = np.full((4, 6), ParsingClass.HAIR, np.uint8)
    return PhotoLabels(
        parsing, np.full((4, 6), 9, np.uint8), np.full((4, 6), 8, np.uint8), np.zeros((468, 3))
    )


def test_what_a_teacher_does_not_know_stays() -> None:
    own = labels()
    points = np.ones((468, 3))
    taught = with_answer(own, {"points": points})
    assert taught.points is points
    assert taught.parsing is own.parsing
    assert taught.hair is own.hair
    assert taught.figure is own.figure


def test_maps_follow_a_parsing_and_are_replaced_by_maps() -> None:
    parsing = np.zeros((4, 6), np.int64)
    parsing[1], parsing[2] = ParsingClass.HAIR, ParsingClass.NECK
    taught = with_answer(labels(), {"parsing": parsing, "figure": np.full((4, 6), 0.5, np.float32)})
    np.testing.assert_array_equal(taught.parsing, parsing)
    assert taught.parsing.dtype == np.uint8
    np.testing.assert_array_equal(taught.hair, 255 * (parsing == ParsingClass.HAIR))
    assert (taught.figure == 128).all()
    bare = with_answer(labels(), {"parsing": parsing})
    np.testing.assert_array_equal(bare.figure, 255 * (parsing > 0))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "return a dict, got NoneType"),
        ({"depth": np.zeros((4, 6))}, "got depth"),
        ({"parsing": np.zeros((6, 4))}, r"\[4, 6\], got \[6, 4\]"),
        ({"parsing": np.full((4, 6), 9)}, "classes 0 to 8"),
        ({"parsing": np.full((4, 6), 1.5)}, "classes 0 to 8"),
        ({"hair": np.full((4, 6), 255)}, "within 0 and 1"),
        ({"figure": np.full((4, 6), np.nan)}, "finite"),
        ({"points": np.zeros((68, 3))}, r"\[468, 3\]"),
        ({"points": [[0, 0, 0]]}, "array of numbers"),
    ],
)
def test_answers_that_can_be_no_labels_are_refused(answer: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        with_answer(labels(), answer)


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("missing.py", None, "is missing"),
        ("teacher.onnx", "", "no Python file"),
        ("teacher.py", "import no_such_module", "can't be run: ModuleNotFoundError"),
        ("teacher.py", "teach = 3", "no function teach"),
    ],
)
def test_files_that_hold_no_teacher_are_named(
    tmp_path: Path, name: str, code: str | None, message: str
) -> None:
    if code is not None:
        (tmp_path / name).write_text(code)
    with pytest.raises((FileNotFoundError, ValueError), match=f"{name}.*{message}"):
        load_teacher(tmp_path / name)
