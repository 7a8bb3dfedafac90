"""What commands print: warnings, and tables in files."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from portrait3d.cli.console import describe, json_text, print_table, say, show_warning
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


NAME = "[b]\\[/x] :smile:\nno\udce9"
SHOWN = r"[b]\[/x] :smile:\nno\udce9"


def test_names_are_printed_as_they_are_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(Path(NAME))
    assert capsys.readouterr().out == f"{SHOWN}\n"


def test_names_in_tables_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(NAME, [NAME], [[NAME]])
    assert capsys.readouterr().out.count("[b]") == 3


def test_errors_are_one_line_and_the_disks_name_the_file() -> None:
    assert describe(ValueError(f"{NAME} can't be read.\n")) == f"{SHOWN} can't be read."
    assert describe(OSError(30, "Read-only file system", NAME)) == f"{SHOWN}: Read-only file system"


def test_json_is_valid_whatever_is_in_it() -> None:
    value = {"name": Path(NAME), NAME: [np.float32("nan"), np.arange(2), float("inf"), True, None], "n": (1,)}
    text = json_text(value, indent=1)
    text.encode()
    name = NAME.replace("\udce9", "\\udce9")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    known = json.loads(text, parse_constant=refuse)
    assert known == {"name": name, name: [None, [0, 1], None, True, None], "n": [1]}
    json.dumps(known, ensure_ascii=False).encode()


def test_the_program_collects_cycles_seldom() -> None:
    code = (
        "import gc\n"
        "from portrait3d.cli import app\n"
        "app(['--version'], standalone_mode=False)\n"
        "print(gc.get_threshold()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) >= 10_000
