"""Heads in other people's programs, where they are installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from portrait3d.geometry.mesh import HeadMesh

CHECK = Path(__file__).resolve().parents[2] / "tools" / "check_glb.py"


@pytest.mark.slow
@pytest.mark.parametrize("program", ["structure", "validator", "blender", "three", "viewer"])
def test_a_rigged_head_opens_in(program: str, model_head: HeadMesh, tmp_path: Path) -> None:
    glb = model_head.export(tmp_path / "head.glb")
    command = [sys.executable, CHECK, glb, "--only", program, "--out", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode == 2:
        pytest.skip(run.stdout.strip())
    assert (run.returncode, run.stdout) == (0, f"{program}: head.glb: ok\n"), run.stderr


def test_a_broken_head_is_reported(model_head: HeadMesh, tmp_path: Path) -> None:
    glb = model_head.export(tmp_path / "head.glb")
    glb.write_bytes(glb.read_bytes().replace(b'"jawOpen"', b'"jawOben"', 1))
    command = [sys.executable, CHECK, glb, "--only", "structure", "--out", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert "not ARKit's 52" in run.stdout
