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
    with pytest.raises(OSError, match="No space left"):
        write_together({tmp_path / "one": b"new", tmp_path / "two": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_bytes() == b"old"


def test_a_target_that_cannot_be_replaced_leaves_no_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    with pytest.raises(OSError, match="two"):
        write_together({tmp_path / "two": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    assert (tmp_path / "two").is_dir()
