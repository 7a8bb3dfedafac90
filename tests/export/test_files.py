"""Writing all files or none."""

import os
from pathlib import Path

import pytest

from portrait3d.export.files import write_together


def test_files_are_written_with_their_directories(tmp_path: Path) -> None:
    files = {tmp_path / "a" / "one": b"1", tmp_path / "two": b"22"}
    assert write_together(files) == list(files)
    assert {path: path.read_bytes() for path in files} == files
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["one", "two"]


def test_files_get_ordinary_permissions(tmp_path: Path) -> None:
    (path,) = write_together({tmp_path / "one": b"1"})
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_while_writing_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_bytes(b"old")
    opened, real = [], os.fdopen

    def full_disk(handle: int, mode: str):
        opened.append(handle)
        if len(opened) == 2:
            os.close(handle)
            raise OSError(28, "No space left on device")
        return real(handle, mode)

    monkeypatch.setattr(os, "fdopen", full_disk)
    with pytest.raises(OSError, match=r"No space left on device: .*two"):
        write_together({tmp_path / "one": b"new", tmp_path / "two": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_bytes() == b"old"


def test_a_target_that_cannot_be_replaced_leaves_no_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    with pytest.raises(OSError, match="two"):
        write_together({tmp_path / "two": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    assert (tmp_path / "two").is_dir()


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".glb")
    assert write_together({path: b"head"}) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_the_full_disk(handle: int, mode: str):
        os.close(handle)
        return open("/dev/full", mode)

    monkeypatch.setattr(os, "fdopen", on_the_full_disk)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_together({tmp_path / "head.glb": b"head"})
    assert caught.value.filename == str(tmp_path / "head.glb")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can write")
def test_a_place_that_takes_no_files_is_named() -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the kind of refusal is the system's)
        write_together({Path("/proc/portrait3d/head.glb"): b"head"})
    assert caught.value.filename == "/proc/portrait3d/head.glb"
