"""What commands print: warnings, and tables in files."""

import os
import subprocess
import sys
import warnings

import pytest

from portrait3d.cli.console import show_warning
from portrait3d.errors import PoorFitWarning


def shown(category: type[Warning], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show_warning
        warnings.warn("the face in [a] is covered", category, stacklevel=1)
    return capsys.readouterr().err.strip().splitlines()


def test_a_poor_fit_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(PoorFitWarning, capsys) == ["warning: the face in [a] is covered"]


def test_other_warnings_look_as_python_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = shown(UserWarning, capsys)
    assert first.endswith("UserWarning: the face in [a] is covered")
    assert "test_console.py" in first


def test_tables_in_a_pipe_keep_all_their_numbers() -> None:
    code = (
        "from portrait3d.cli.console import print_table\n"
        "print_table('wide', [f'column {k}' for k in range(16)], [[f'{k}.{k:03}' for k in range(16)]])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert all(f"{k}.{k:03}" in done.stdout for k in range(16)), done.stderr
