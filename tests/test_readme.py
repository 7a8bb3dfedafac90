"""The README tells the truth: its blocks run, on the portrait that scikit-image ships."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOT_RUN = "<!-- not run by the tests -->"


class Block(NamedTuple):
    language: str
    code: str
    is_run: bool


def blocks() -> list[Block]:
    pattern = re.compile(rf"({re.escape(NOT_RUN)}\n+)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [Block(language, code, not mark) for mark, language, code in pattern.findall(README)]


def runnable(language: str) -> list[str]:
    return [block.code for block in blocks() if block.language == language and block.is_run]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    """A directory with the photo that the README talks about."""
    directory = tmp_path_factory.mktemp("readme")
    Image.fromarray(astronaut).save(directory / "photo.jpg", quality=95)
    return directory


def run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_something_to_run() -> None:
    assert runnable("python")
    assert runnable("bash")


@pytest.mark.slow
@pytest.mark.parametrize("code", runnable("python"))
def test_a_python_block_runs(code: str, workplace: Path) -> None:
    run([sys.executable, "-W", "error", "-c", code], workplace)


@pytest.mark.slow
@pytest.mark.parametrize("code", runnable("bash"))
def test_a_shell_block_runs(code: str, workplace: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m portrait3d "
    run(["bash", "-euc", re.sub(r"^portrait3d ", command, code, flags=re.MULTILINE)], workplace)


def test_the_two_commands_are_those_that_are_promised() -> None:
    assert "pip install -c constraints.txt . && portrait3d demo" in README
    assert "pip install -c constraints.txt '.[test]' && python -m pytest" in README


def test_every_command_is_in_the_table_and_the_other_way_round() -> None:
    from typer.main import get_command

    from portrait3d.cli import app

    group = get_command(app)
    commands = set(getattr(group, "commands"))  # noqa: B009
    listed = set(re.findall(r"^\| `portrait3d (\w+)", README, re.MULTILINE))
    assert listed == commands


def test_the_readme_names_the_supported_pythons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "3.11" in README
    assert "3.13" in README
