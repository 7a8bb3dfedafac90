"""What the commands print: progress and tables for people, JSON for programs, one line for a failure.

Whatever comes from outside, names above all, is printed as `Text`, which Rich doesn't search for markup.
"""

import gc
import io
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from portrait3d.cli.stopping import Stopped, stopped_by_signals
from portrait3d.errors import InvalidImageError, MissingPackageError, NoFaceError, PortraitWarning
from portrait3d.names import as_text, in_one_line

FAILURE = 1
"""Exit code of a command that could not do what was asked; usage errors exit with 2."""

EXPECTED = (
    InvalidImageError,
    MissingPackageError,
    NoFaceError,
    OSError,
    ValueError,
    FloatingPointError,
    Stopped,
)
"""Errors that a user can cause and whose message says enough; all others are bugs."""

SELDOM = (50_000, 20, 10)
"""How seldom cycles of objects are collected: while torch loads, six collections of everything took half a
second."""

TRACEBACK = "PORTRAIT3D_TRACEBACK"
"""Environment variable that makes a failure show its traceback."""

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # pyright: ignore[reportAssignmentType]
"""The class of all usage errors, whichever package typer takes it from; typer exits with 2."""

JSON_WANTED = "portrait3d.json"
"""Where a run of the program remembers whether --json was given."""

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
    """A group of commands that turns expected errors into one clear line and a non-zero exit code.

    With --json a failure is a JSON document too, `{"error": "..."}`.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the program."""
        gc.set_threshold(*SELDOM)
        if isinstance(sys.stdout, io.TextIOWrapper):  # a name may not fit the terminal's encoding
            sys.stdout.reconfigure(errors="backslashreplace")
        return super().main(*args, **options)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Read the options before the command's name."""
        json = "--json" in args
        ctx.meta[JSON_WANTED] = json
        try:
            return super().parse_args(ctx, args)
        except USAGE_ERROR as error:
            _explain(error, json=json)
            raise

    def invoke(self, ctx: typer.Context) -> Any:
        """Run the chosen command."""
        json = ctx.meta[JSON_WANTED]
        try:
            with warnings.catch_warnings(), stopped_by_signals():
                warnings.simplefilter("always", PortraitWarning)
                warnings.showwarning = show_warning
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except USAGE_ERROR as error:
            _explain(error, json=json)
            raise
        except Stopped as stop:
            report_failure(stop, json=json)
            raise typer.Exit(stop.code) from None
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            report_failure(error, json=json)
            raise typer.Exit(FAILURE) from None


def describe(error: BaseException) -> str:
    """One line that says what went wrong, without the name of a Python class."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
        return in_one_line(f"{name}: {error.strerror}")
    text = in_one_line(str(error).strip()) or type(error).__name__
    if isinstance(error, EXPECTED):
        return text
    return f"this is a bug, {type(error).__name__}: {text} ({TRACEBACK}=1 shows where)"


def report_failure(error: BaseException, *, json: bool = False) -> None:
    """Print one line about an expected error to stderr, with `json` also a document to stdout."""
    complain(describe(error))
    if json:
        print_json({"error": describe(error)})


def _explain(error: Exception, *, json: bool) -> None:
    """Print a usage error as JSON; typer prints it for people."""
    # Without a command or an option, typer's "error" is the help.
    if json and not type(error).__name__.startswith("NoArgs"):
        print_json({"error": in_one_line(error.format_message())})  # pyright: ignore[reportAttributeAccessIssue]


def show_warning(message: Warning | str, category: type[Warning], *place: Any) -> None:
    """Print one line about a doubtful result to stderr, other warnings as Python does; in the place of
    `warnings.showwarning`."""
    if issubclass(category, PortraitWarning):
        complain(str(message), "warning", "yellow")
    else:
        filename, line = place[:2]
        sys.stderr.write(warnings.formatwarning(message, category, filename, line))


def say(line: object) -> None:
    """Print one line to stdout, whatever names it holds."""
    output.print(_text(str(line)), soft_wrap=True)


def complain(line: str, kind: str = "error", colour: str = "red") -> None:
    """Print one line about what is wrong to stderr."""
    messages.print(Text.assemble((f"{kind}:", colour), " ", in_one_line(line)), soft_wrap=True)


def _text(text: str) -> Text:
    """Text for Rich that is shown as it is."""
    return Text(in_one_line(text))


def print_json(value: Any) -> None:
    """Print one JSON document to stdout: the last thing that a command does, so that there is just one."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


def json_text(value: Any, indent: int) -> str:
    """A value as strictly valid JSON: see `as_json`."""
    return json.dumps(as_json(value), indent=indent, allow_nan=False)


def as_json(value: Any) -> Any:
    """A value as JSON can hold it: paths and names as text, arrays as lists, what is no number as null."""
    if isinstance(value, str | Path):
        return as_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        return {as_text(str(name)): as_json(entry) for name, entry in value.items()}
    if isinstance(value, Sequence):
        return [as_json(entry) for entry in value]
    if hasattr(value, "tolist"):
        return as_json(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(title: str, columns: list[str], rows: list[list[str]], note: str = "") -> None:
    """Print a table to stdout: the first column to the left, numbers to the right."""
    table = Table(
        title=_text(title),
        caption=_text(note) if note else None,
        title_justify="left",
        caption_justify="left",
    )
    for number, column in enumerate(columns):
        table.add_column(_text(column), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row))
    output.print(table)


@contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show a spinner while something short is going on."""
    if quiet or not messages.is_terminal:
        yield
    else:
        with messages.status(_text(what)):
            yield
