"""Expressions typed on the command line."""

import pytest
import typer

from portrait3d.cli.expressions import expression_weights


def test_names_and_weights_are_taken_apart() -> None:
    assert expression_weights(["jawOpen=0.3", "mouthSmileLeft=-.5"]) == {
        "jawOpen": 0.3,
        "mouthSmileLeft": -0.5,
    }
    assert expression_weights(None) == {}


def test_neutral_needs_no_weight_and_goes_with_others() -> None:
    assert expression_weights(["neutral", "jawOpen=0.3"]) == {"neutral": 1.0, "jawOpen": 0.3}
    assert expression_weights(["neutral=.5"]) == {"neutral": 0.5}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("jawOpen", "'jawOpen' is not NAME=WEIGHT"),
        ("jawOpen=wide", "'jawOpen=wide' is not NAME=WEIGHT"),
        ("neutral=3", "from -1 to 2"),
        ("jawOpn=0.3", "did you mean jawOpen"),
        ("jawOpen=nan", "finite"),
    ],
)
def test_mistakes_are_named(typed: str, message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        expression_weights([typed])
