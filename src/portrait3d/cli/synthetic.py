"""`prepare preview`: a look at the synthetic heads that the depth network learns from."""

from pathlib import Path
from typing import Annotated

import typer

from portrait3d.cli.console import say, working


def preview(
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write.")],
    styles: Annotated[
        list[str] | None, typer.Option("--style", help="A hair style; may be repeated. By default all.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    people: Annotated[int, typer.Option(min=1, help="Heads of every style.")] = 1,
) -> None:
    """Draw synthetic heads: two views and depth, by hair style."""
    from portrait3d.data.synthetic import STYLES_TRAIN, STYLES_VALIDATION
    from portrait3d.export.images import save_image
    from portrait3d.export.synthetic_heads import synthetic_sheet

    known = {**STYLES_TRAIN, **STYLES_VALIDATION}
    if missing := [name for name in styles or [] if name not in known]:
        raise ValueError(f"There is no hair style {missing[0]}; there are {', '.join(known)}.")
    with working("Drawing heads"):
        sheet = synthetic_sheet({name: known[name] for name in styles or known}, seed, people)
    save_image(sheet, out)
    say(out)
