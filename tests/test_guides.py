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
