"""The command line: `portrait3d` and `python -m portrait3d`.

Commands import what they need when they run, so that `portrait3d --help` answers at once.
"""

from typing import Annotated

import typer

from portrait3d import __version__
from portrait3d.cli.accessories import earrings, glasses
from portrait3d.cli.app import open_page
from portrait3d.cli.benchmark import benchmark
from portrait3d.cli.bias import bias
from portrait3d.cli.console import ReportingGroup
from portrait3d.cli.depth import depth
from portrait3d.cli.evaluation import evaluate
from portrait3d.cli.heads import heads
from portrait3d.cli.parsing import parsing
from portrait3d.cli.portraits import demo, reconstruct, repose
from portrait3d.cli.prepare import prepare
from portrait3d.cli.refinement import refinement, turns
from portrait3d.cli.synthetic import preview
from portrait3d.cli.training import train
from portrait3d.cli.video import animate, turntable

app = typer.Typer(
    name="portrait3d",
    cls=ReportingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(demo)
app.command()(reconstruct)
app.command()(repose)
app.command()(turntable)
app.command()(animate)
prepare.command()(turns)
prepare.command()(preview)
app.add_typer(prepare, name="prepare")
app.add_typer(train, name="train")
evaluate.command()(depth)
evaluate.command()(heads)
evaluate.command()(refinement)
evaluate.command()(parsing)
evaluate.command()(bias)
evaluate.command()(glasses)
evaluate.command()(earrings)
app.add_typer(evaluate, name="evaluate")
app.command()(benchmark)
app.command("app")(open_page)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"portrait3d {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Reconstruct a 3D head from one photo and turn the head in the photo."""
