"""What the commands print: progress and tables for people, JSON for programs, one line for a failure."""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from portrait3d.errors import InvalidImageError, NoFaceError, PortraitWarning

FAILURE = 1
"""Exit code of a command that could not do what was asked; usage errors exit with 2."""

EXPECTED = (InvalidImageError, NoFaceError, OSError, ValueError, FloatingPointError)
"""Errors that a user can cause and whose message says enough; all others are bugs."""

TRACEBACK = "PORTRAIT3D_TRACEBACK"
"""Environment variable that makes a failure show its traceback."""

# BadParameter's base is the class of all usage errors, whichever package typer takes it from.
NOT_FAILURES: tuple[type[Exception], ...] = (typer.Exit, typer.Abort, typer.BadParameter.__mro__[1])  # pyright: ignore[reportAssignmentType]
"""What typer itself deals with; usage errors exit with 2."""

Json = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
"""The option that every command has."""

Models = Annotated[
    Path | None,
    typer.Option("--models", help="Directory with weights of your own; default: the bundled ones."),
]
"""The option of the commands that load networks."""

FILE_WIDTH = 240
"""Columns that a table may take in a file or a pipe; the environment's COLUMNS counts more."""

output = Console()
if not output.is_terminal and "COLUMNS" not in os.environ:
    output.width = FILE_WIDTH
messages = Console(stderr=True)


class ReportingGroup(TyperGroup):
    """A group of commands that turns expected errors into one clear line and a non-zero exit code."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run the chosen command."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", PortraitWarning)
                warnings.showwarning = show_warning
                return super().invoke(ctx)
        except NOT_FAILURES:
            raise
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            report_failure(error)
            raise typer.Exit(FAILURE) from None


def describe(error: Exception) -> str:
    """One line that says what went wrong, without the name of a Python class."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, EXPECTED):
        return text
    return f"this is a bug, {type(error).__name__}: {text} ({TRACEBACK}=1 shows where)"


def report_failure(error: Exception) -> None:
    """Print one line about an expected error to stderr."""
    messages.print(f"[red]error:[/] {escape(describe(error))}", soft_wrap=True, highlight=False)


def show_warning(message: Warning | str, category: type[Warning], *place: Any) -> None:
    """Print one line about a doubtful result to stderr, other warnings as Python does; in the place of
    `warnings.showwarning`."""
    if issubclass(category, PortraitWarning):
        messages.print(f"[yellow]warning:[/] {escape(str(message))}", soft_wrap=True, highlight=False)
    else:
        filename, line = place[:2]
        sys.stderr.write(warnings.formatwarning(message, category, filename, line))


def escape(text: str) -> str:
    """Keep Rich from reading square brackets in a file name as markup."""
    return text.replace("[", r"\[")


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=as_json) + "\n")


def as_json(value: Any) -> Any:
    """Return paths, numpy scalars and arrays as JSON knows them."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(title: str, columns: list[str], rows: list[list[str]], note: str = "") -> None:
    """Print a table to stdout: the first column to the left, numbers to the right."""
    table = Table(title=title, caption=note or None, title_justify="left", caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    output.print(table)


@contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show a spinner while something short is going on."""
    if quiet or not messages.is_terminal:
        yield
    else:
        with messages.status(what):
            yield
