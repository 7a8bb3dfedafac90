"""The guides in docs/ tell the truth: their blocks run, page by page, on scikit-image's portrait."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOT_RUN = "<!-- not run by the tests -->"
GUIDES = [ROOT / "docs" / f"{readers}.md" for readers in ("artists", "developers", "researchers")]


def blocks(guide: Path, language: str) -> list[str]:
    """A page's blocks in one language, without those that are marked."""
    text = guide.read_text(encoding="utf-8")
    pattern = re.compile(rf"({re.escape(NOT_RUN)}\n+)?^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [code for mark, code in pattern.findall(text) if not mark]


def run(command: list[str], directory: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def workplace(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """A directory with the photo that the pages talk about."""
    Image.fromarray(astronaut).save(tmp_path / "photo.jpg", quality=95)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "guide", [guide for guide in GUIDES if blocks(guide, "python")], ids=lambda g: g.stem
)
def test_a_guides_python_runs_as_one_program(guide: Path, workplace: Path) -> None:
    run([sys.executable, "-W", "error", "-c", "\n".join(blocks(guide, "python"))], workplace)


@pytest.mark.slow
@pytest.mark.parametrize("guide", [guide for guide in GUIDES if blocks(guide, "bash")], ids=lambda g: g.stem)
def test_a_guides_commands_run(guide: Path, workplace: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m portrait3d "
    code = "\n".join(blocks(guide, "bash"))
    run(["bash", "-euc", re.sub(r"^portrait3d ", command, code, flags=re.MULTILINE)], workplace)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guides_links_and_pictures_exist(guide: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", guide.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (guide.parent / target).exists(), target


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guide_names_only_commands_that_exist(guide: Path) -> None:
    from typer.main import get_command

    from portrait3d.cli import app

    def names(group: object) -> dict[str, object]:
        return getattr(group, "commands", {})

    commands = names(get_command(app))
    text = guide.read_text(encoding="utf-8")
    command = r"(?:`|^)portrait3d ([a-z]+)(?: ([a-z]+(?:-[a-z]+)*)\b)?"
    for first, second in re.findall(command, text, re.MULTILINE):
        assert first in commands, first
        if second and names(commands[first]):
            assert second in names(commands[first]), f"{first} {second}"


def test_every_test_that_is_promised_exists() -> None:
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).is_file()]
