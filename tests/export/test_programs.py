"""Heads in other people's programs, where they are installed."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from portrait3d.geometry.mesh import HeadMesh

CHECK = Path(__file__).resolve().parents[2] / "tools" / "check_glb.py"
PROGRAMS = ["structure", "validator", "blender", "three", "gltf_transform", "assimp", "godot"]


def opens_in(program: str, glb: Path) -> None:
    """Fail if a program finds a fault; skip if it is not there."""
    command = [sys.executable, CHECK, glb, "--only", program, "--out", glb.parent]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode == 2:
        pytest.skip(run.stdout.strip())
    assert (run.returncode, run.stdout) == (0, f"{program}: {glb.name}: ok\n"), run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("program", [*PROGRAMS, "viewer"])
def test_a_rigged_head_opens_in(program: str, model_head: HeadMesh, tmp_path: Path) -> None:
    opens_in(program, model_head.export(tmp_path / "head.glb"))


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_head_with_bones_and_visemes_opens_in(program: str, model_head: HeadMesh, tmp_path: Path) -> None:
    opens_in(program, model_head.export(tmp_path / "head.glb", visemes=True, bones=True))


@pytest.mark.slow
@pytest.mark.parametrize("program", ["structure", "validator", "three", "gltf_transform"])
def test_a_head_with_webp_textures_opens_in(program: str, model_head: HeadMesh, tmp_path: Path) -> None:
    opens_in(program, model_head.export(tmp_path / "head.glb", texture_format="webp"))


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_head_with_dense_targets_opens_in(program: str, model_head: HeadMesh, tmp_path: Path) -> None:
    opens_in(program, model_head.export(tmp_path / "head.glb", dense_targets=True))


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_head_with_a_normal_map_opens_in(program: str, model_head: HeadMesh, tmp_path: Path) -> None:
    fewer = model_head.simplified(2)
    assert fewer.normal_map is not None
    opens_in(program, fewer.export(tmp_path / "head.glb", lit=True, bones=True))


@pytest.mark.slow
@pytest.mark.parametrize("program", ["structure", "validator", "three", "gltf_transform", "vrm"])
def test_a_vrm_opens_in(program: str, model_head: HeadMesh, tmp_path: Path) -> None:
    opens_in(program, model_head.export(tmp_path / "head.vrm"))


@pytest.mark.slow
def test_blender_turns_a_head_into_an_fbx_that_loses_nothing(model_head: HeadMesh, tmp_path: Path) -> None:
    if not shutil.which("blender"):
        pytest.skip("blender is not installed")
    glb, fbx = model_head.export(tmp_path / "head.glb", bones=True, visemes=True), tmp_path / "head.fbx"
    script = ["--background", "--python-exit-code", "1", "--python", CHECK.parent / "glb_to_fbx.py"]
    run = subprocess.run(["blender", *script, "--", glb, fbx], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-500:] + run.stderr
    assert fbx.read_bytes().startswith(b"Kaydara FBX Binary")
    assert '"HeadMesh": 72' in run.stdout


@pytest.mark.slow
def test_a_page_speaks_all_visemes_and_moves_the_head(model_head: HeadMesh, tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    found = importlib.util.spec_from_file_location("browsers", CHECK.parent / "glb" / "browsers.py")
    assert found is not None
    assert found.loader is not None
    browsers = importlib.util.module_from_spec(found)
    found.loader.exec_module(browsers)
    modules = CHECK.parent / "glb" / "node_modules"
    if browsers.find_browser() is None or not (modules / "three").is_dir():
        pytest.skip("no Chromium, or three.js is not installed")
    model_head.export(tmp_path / "head.glb", visemes=True, bones=True)
    folders = {"modules": modules, "page": CHECK.parent / "glb", "glb": tmp_path}
    with browsers.served(folders) as address, browsers.page(300, 300) as (page, complaints):
        page.goto(f"{address}/page/three_page.html")
        page.wait_for_function("() => !!window.play")
        played = page.evaluate("play('/glb/head.glb', 2)")
    assert complaints == []
    assert len(played["visemes"]) == 15
    assert played["frames"] >= 4
    assert np.ptp(np.array(played["places"]), axis=0).max() > 0.02


def test_a_broken_head_is_reported(model_head: HeadMesh, tmp_path: Path) -> None:
    glb = model_head.export(tmp_path / "head.glb")
    glb.write_bytes(glb.read_bytes().replace(b'"jawOpen"', b'"jawOben"', 1))
    command = [sys.executable, CHECK, glb, "--only", "structure", "--out", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert "not ARKit's 52" in run.stdout
