"""Many photos: results are kept, failures named, and an interruption loses nothing."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d import NoFaceError
from portrait3d.cli import batch
from portrait3d.cli.batch import Options, Result, folders, photos_among, reconstruct_photos
from portrait3d.cli.portraits import no_pictures


class Recorder:
    """Stands in for the reconstruction of one photo: writes one file, fails where the name says so."""

    def __init__(self) -> None:
        self.photos: list[str] = []

    def __call__(
        self, model: object, photo: Path, directory: Path, options: Options, *, record: bool
    ) -> list[Result]:
        self.photos.append(photo.name)
        if photo.stem.startswith("bad"):
            return [Result(photo, directory, "failed", error=f"{photo} shows nobody.")]
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "head.glb").write_bytes(b"head")
        known = {"pose": {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}, "files": [directory / "head.glb"]}
        results = [Result(photo, directory, "done", 0, known, 0.5)]
        batch._write_record(photo, directory, options, results)
        return results


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(batch, "_start", lambda options, threads: None)
    monkeypatch.setattr(batch, "_model", object())
    monkeypatch.setattr(batch, "reconstruct_one", recorder)
    return recorder


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    directory = tmp_path / "photos"
    directory.mkdir()
    for number, name in enumerate(("a.png", "b.png", "bad.png")):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(directory / name)
    (directory / "notes.txt").write_text("no photo")
    return photos_among([directory])[0]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_directory_stands_for_its_pictures(photos: list[Path], tmp_path: Path) -> None:
    assert [photo.name for photo in photos] == ["a.png", "b.png", "bad.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        photos_among([tmp_path / "empty"])


def test_a_directory_counts_what_cant_be_read_and_names_what_it_leaves_out(
    tmp_path: Path, worker: Recorder
) -> None:
    directory = tmp_path / "photos"
    (directory / "older").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(directory / "a.png")
    for name in ("bad.heic", "bad.dng", "bad.jpg", "notes.txt"):
        (directory / name).write_bytes(b"something")
    Image.new("RGB", (4, 4)).save(directory / "without-ending", "JPEG")
    found, left_out = photos_among([directory])
    assert [path.name for path in found] == ["a.png", "bad.dng", "bad.heic", "bad.jpg", "without-ending"]
    assert [path.name for path in left_out] == ["notes.txt", "older"]
    list(reconstruct_photos(found, tmp_path / "out", Options(), left_out=left_out))
    counted = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (counted["done"], counted["failed"]) == (2, 3)
    assert counted["left_out"] == [str(path) for path in left_out]
    assert no_pictures(left_out) == ", 2 left out as no pictures (notes.txt, older)"
    assert no_pictures([]) == ""


def test_photos_of_one_name_get_directories_of_their_own() -> None:
    pairs = folders([Path("x/me.jpg"), Path("y/me.jpg"), Path("y/you.jpg")], Path("out"))
    assert [directory for _, directory in pairs] == [Path("out/me"), Path("out/me-2"), Path("out/you")]


def test_the_summary_tells_about_every_photo(photos: list[Path], tmp_path: Path, worker: Recorder) -> None:
    list(reconstruct_photos(photos, tmp_path / "out", Options()))
    table = rows(tmp_path / "out")
    assert [row["status"] for row in table] == ["done", "done", "failed"]
    assert "bad.png shows nobody" in table[2]["error"]
    assert float(table[0]["yaw"]) == 1.0
    counted = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (counted["done"], counted["kept"], counted["failed"]) == (2, 0, 1)


def test_a_second_start_keeps_what_is_done_and_tries_failures_again(
    photos: list[Path], tmp_path: Path, worker: Recorder
) -> None:
    list(reconstruct_photos(photos, tmp_path / "out", Options()))
    worker.photos.clear()
    results = [result for done in reconstruct_photos(photos, tmp_path / "out", Options()) for result in done]
    assert worker.photos == ["bad.png"]
    assert sorted(result.status for result in results) == ["failed", "kept", "kept"]
    kept = next(result for result in results if result.status == "kept")
    assert kept.portrait is not None
    assert kept.portrait["files"] == [tmp_path / "out" / "a" / "head.glb"]


@pytest.mark.parametrize("change", ["photo", "options", "file"])
def test_what_would_come_out_differently_is_made_anew(
    change: str, photos: list[Path], tmp_path: Path, worker: Recorder
) -> None:
    out, options = tmp_path / "out", Options()
    list(reconstruct_photos(photos[:2], out, options))
    worker.photos.clear()
    if change == "photo":
        Image.fromarray(np.full((4, 4, 3), 99, np.uint8)).save(photos[0])
    elif change == "options":
        options = Options(face=None)
    else:
        (out / "a" / "head.glb").unlink()
    list(reconstruct_photos(photos[:2], out, options))
    assert worker.photos == (["a.png", "b.png"] if change == "options" else ["a.png"])


def test_stopping_in_the_middle_keeps_what_was_done(
    photos: list[Path], tmp_path: Path, worker: Recorder
) -> None:
    work = reconstruct_photos(photos, tmp_path / "out", Options())
    assert isinstance(work, Iterator)
    next(work)
    work.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert [row["photo"] for row in rows(tmp_path / "out")] == [str(photos[0])]
    worker.photos.clear()
    list(reconstruct_photos(photos, tmp_path / "out", Options()))
    assert worker.photos == ["b.png", "bad.png"]


def test_every_error_becomes_a_result(tmp_path: Path) -> None:
    class Blind:
        def reconstruct(self, photo: Path, face: int) -> None:
            raise NoFaceError(f"{photo} shows no face.")

    (result,) = batch.reconstruct_one(Blind(), Path("wall.jpg"), tmp_path / "wall", Options())  # pyright: ignore[reportArgumentType]
    assert (result.status, result.error) == ("failed", "wall.jpg shows no face.")
    assert not (tmp_path / "wall").exists()
