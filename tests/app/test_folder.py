"""The folder of uploads: removed however the server ends, and never another server's."""

import io
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.app.folder import LOCK, PREFIX, _lock, remove_abandoned, upload_folder
from served_page import ServedPage, served_page

LIMIT = 5.0
"""Seconds in which a server must have ended."""


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_the_folder_goes_when_the_server_ends(tmp_path: Path) -> None:
    with upload_folder() as uploads:
        (uploads / "me.jpg").write_bytes(b"me")
        assert uploads.is_relative_to(tmp_path.resolve())
    assert not list(tmp_path.iterdir())


def test_a_start_removes_what_a_killed_server_left_and_nothing_else(tmp_path: Path) -> None:
    for name in (f"{PREFIX}dead", f"{PREFIX}unlocked", "somebody-elses"):
        (tmp_path / name / "uploads").mkdir(parents=True)
        (tmp_path / name / "uploads" / "me.jpg").write_bytes(b"me")
    (tmp_path / f"{PREFIX}dead" / LOCK).touch()
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "somebody-elses")
    with upload_folder() as living:
        (living / "me.jpg").write_bytes(b"me")
        with upload_folder():
            assert (living / "me.jpg").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"somebody-elses", f"{PREFIX}file", f"{PREFIX}link"}
    assert (tmp_path / "somebody-elses" / "uploads" / "me.jpg").exists()


def test_a_folder_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = tempfile.mkdtemp, []

    def raced(prefix: str) -> str:
        made.append(make(prefix=prefix))
        if len(made) == 1:
            remove_abandoned()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", raced)
    with upload_folder() as uploads:
        assert len(made) == 2
        assert uploads.is_dir()


def test_a_locked_folder_is_locked_for_everybody_else(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("a") as one, (tmp_path / LOCK).open("a") as other:
        assert _lock(one)
        assert not _lock(other)


def picture() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def seconds_to_end(page: ServedPage, number: int) -> float:
    started = time.monotonic()
    page.process.send_signal(number)
    page.process.wait(60)
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_at_work_ends_at_once_and_takes_its_uploads_along(tmp_path: Path, number: int) -> None:
    pytest.importorskip("gradio", reason="the extra app is not installed")
    with served_page(tmp_path.resolve()) as page:
        page.open_photo(picture())
        assert seconds_to_end(page, number) < LIMIT
        assert page.process.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"at-work"}


@pytest.mark.slow
def test_what_a_killed_server_leaves_is_removed_by_the_next_start(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the extra app is not installed")
    with served_page(tmp_path.resolve()) as page:
        page.upload(picture())
        left = page.uploads
        remove_abandoned()
        assert list(left.glob("*/me.jpg")), "a living server keeps its uploads"
        page.process.kill()
        page.process.wait(60)
    assert list(left.glob("*/me.jpg"))
    with upload_folder():
        assert not left.exists()
