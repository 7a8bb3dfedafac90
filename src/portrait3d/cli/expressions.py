"""The options for expressions."""

from enum import StrEnum
from typing import Annotated

import typer


class Rest(StrEnum):
    """The expression that a head rests in."""

    PHOTO = "photo"
    NEUTRAL = "neutral"


Expressions = Annotated[
    list[str] | None,
    typer.Option(
        "--expression",
        metavar="NAME=WEIGHT|neutral",
        help="Add an ARKit expression to the photo's own, as jawOpen=0.3, or take that one out: neutral. "
        "May be repeated.",
    ),
]
"""The option, as a list of what was typed."""


def expression_weights(typed: list[str] | None) -> dict[str, float]:
    """Weights by ARKit's names and of `neutral`, whose weight may be left out; a usage error says what is
    wrong with `typed`."""
    from portrait3d.models.expressions import NEUTRAL, arkit_basis, check_expressions

    weights: dict[str, float] = {}
    for text in typed or []:
        name, _, value = (f"{NEUTRAL}=1" if text == NEUTRAL else text).partition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not NAME=WEIGHT.", param_hint="--expression") from None
    try:
        check_expressions(weights, (*arkit_basis()[0], NEUTRAL))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expression") from None
    return weights
