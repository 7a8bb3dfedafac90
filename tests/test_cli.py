"""The command line as a user meets it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def portrait3d(*arguments: object, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "portrait3d", *map(str, arguments)],
        cwd=directory,
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo [1].png"
    Image.fromarray(astronaut).save(path)
    return path


def assert_fails_in_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def test_help_lists_the_commands() -> None:
    done = portrait3d("--help")
    assert done.returncode == 0
    for command in ("demo", "reconstruct", "repose", "train", "evaluate", "benchmark"):
        assert command in done.stdout


def test_the_version_is_printed() -> None:
    import portrait3d as package

    assert portrait3d("--version").stdout.strip() == f"portrait3d {package.__version__}"


def test_every_command_has_help() -> None:
    from typer.main import get_command

    from portrait3d.cli import app

    group = get_command(app)
    for name, command in getattr(group, "commands").items():  # noqa: B009
        assert command.help, name
        for child_name, child in getattr(command, "commands", {}).items():
            assert child.help, f"{name} {child_name}"


def test_usage_errors_exit_with_2(tmp_path: Path, photo: Path) -> None:
    assert portrait3d("reconstruct").returncode == 2
    assert portrait3d("repose", photo, "--yaw", "10", "-o", tmp_path / "out.xyz").returncode == 2
    assert portrait3d("repose", photo, "-o", tmp_path / "out.png").returncode == 2
    for angle in ("nan", "181"):
        done = portrait3d("repose", photo, "--yaw", angle, "-o", tmp_path / "out.png")
        assert (done.returncode, "yaw must be" in done.stderr) == (2, True)
    assert portrait3d("reconstruct", photo, "-o", tmp_path, "--face", "first").returncode == 2
    for wrong in (["--same-person", "--jobs", "2"], ["--same-person", "--face", "1"], ["--unchecked"]):
        done = portrait3d("reconstruct", photo, "-o", tmp_path, *wrong)
        assert (done.returncode, "--same-person" in done.stderr) == (2, True)
    assert not list(tmp_path.iterdir())


def assert_is_a_failure_as_json(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    error = json.loads(done.stdout)["error"]
    assert all(word in error for word in words), error
    assert error in done.stderr


@pytest.mark.slow
def test_json_is_printed_for_every_failure(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    out = ("-o", tmp_path / "out")
    for code, arguments, word in (
        (1, ("reconstruct", tmp_path / "empty", *out), "holds no picture"),
        (1, ("reconstruct", "x.jpg", "-o", tmp_path / "file"), "is a file"),
        (1, ("evaluate", "portraits", "--data", tmp_path / "none", "-o", tmp_path / "x.png"), "no directory"),
        (1, ("train", "face", "--data", tmp_path / "none", "--out", tmp_path / "run"), "no directory"),
        (1, ("animate", "x.jpg", tmp_path / "none.mp4", "-o", tmp_path / "x.mp4"), "does not exist"),
        (2, ("reconstruct", "x.jpg", *out, "--face", "first"), "first"),
        (2, ("reconstruct", "x.jpg", *out, "--jobs", "0"), "--jobs"),
        (2, ("reconstruct",), "Missing"),
        (2, ("reconstruct", "x.jpg", *out, "--frobnicate"), "--frobnicate"),
        (2, ("nonsense",), "nonsense"),
        (2, ("--nonsense",), "--nonsense"),
    ):
        assert_is_a_failure_as_json(portrait3d(*arguments, "--json"), code, word)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can write")
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, photo: Path) -> None:
    done = portrait3d("reconstruct", photo, "-o", "/proc/portrait3d", "--json")
    assert done.returncode == 1
    (entry,) = json.loads(done.stdout)["portraits"]
    assert entry["error"].startswith("/proc/portrait3d")


@pytest.mark.slow
def test_a_missing_photo_is_one_clear_line(tmp_path: Path) -> None:
    done = portrait3d("reconstruct", tmp_path / "nobody.jpg", "-o", tmp_path / "out")
    assert_fails_in_one_line(done, "nobody.jpg")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_photo_without_a_face_is_one_clear_line_and_leaves_no_file(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "white").save(tmp_path / "white.png")
    done = portrait3d("repose", tmp_path / "white.png", "--yaw", "10", "-o", tmp_path / "out.png")
    assert_fails_in_one_line(done, "white.png", "No face")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.slow
def test_reconstruct_goes_on_after_a_bad_photo_and_says_so(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    done = portrait3d("reconstruct", tmp_path / "text.jpg", photo, "-o", tmp_path / "out", "--json")
    assert done.returncode == 1
    bad, good = json.loads(done.stdout)["portraits"]
    assert "text.jpg" in bad["error"]
    folder = Path(good["directory"])
    assert folder.name == photo.stem
    for name in ("head.glb", "head.obj", "head.ply", "overview.png", "viewer.html", "portrait.json"):
        assert (folder / name).stat().st_size > 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {photo.stem, "summary.csv", "summary.json"}


@pytest.mark.slow
def test_repose_writes_a_picture_as_large_as_the_photo(tmp_path: Path, photo: Path) -> None:
    done = portrait3d("repose", photo, "--yaw", "15", "--pitch", "-5", "-o", tmp_path / "out.png", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["target"] == {"yaw": 15.0, "pitch": -5.0, "roll": None, "expression": {}}
    with Image.open(tmp_path / "out.png") as turned, Image.open(photo) as original:
        assert turned.size == original.size
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.slow
def test_a_face_that_is_not_there_is_one_clear_line(tmp_path: Path, photo: Path) -> None:
    done = portrait3d("repose", photo, "--yaw", "15", "--face", "3", "-o", tmp_path / "out.png")
    assert_fails_in_one_line(done, photo.name)


@pytest.mark.parametrize("stage", ["face", "parsing", "glasses", "earrings", "depth", "refinement"])
def test_training_without_data_is_one_clear_line(stage: str, tmp_path: Path) -> None:
    done = portrait3d(
        "train", stage, "--data", tmp_path / "none", "--minutes", "1", "--out", tmp_path / "run"
    )
    assert_fails_in_one_line(done, "none")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "stage", ["face", "parsing", "glasses", "earrings", "depth", "refinement", "portraits"]
)
def test_evaluating_without_data_is_one_clear_line(stage: str, tmp_path: Path) -> None:
    more = ["-o", tmp_path / "sheet.png"] if stage == "portraits" else []
    assert_fails_in_one_line(portrait3d("evaluate", stage, "--data", tmp_path / "none", *more), "none")
