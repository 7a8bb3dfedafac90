"""Many photos: results are kept, failures named, and an interruption loses nothing."""

import csv
import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from portrait3d import NoFaceError
from portrait3d.cli import batch
from portrait3d.cli.batch import Options, Result, folders, photos_among, reconstruct_photos
from portrait3d.cli.portraits import no_pictures, report
from portrait3d.export.glb_check import Glb
from portrait3d.export.rig import eye_distance
from portrait3d.geometry import HeadMesh
from portrait3d.names import as_text
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.image import Photo
from synthetic_head import synthetic_portrait


class Recorder:
    """Stands in for the reconstruction of one photo: writes one file, fails where the name says so."""

    def __init__(self) -> None:
        self.photos: list[str] = []

    def __call__(
        self, model: object, photo: Path, directory: Path, options: Options, *, record: bool
    ) -> Iterator[Result]:
        self.photos.append(photo.name)
        if photo.stem.startswith("bad"):
            yield Result(photo, directory, "failed", error=f"{photo} shows nobody.")
            return
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "head.glb").write_bytes(b"head")
        known = {"pose": {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}, "files": [directory / "head.glb"]}
        result = Result(photo, directory, "done", 0, 1, known, 0.5)
        batch._write_record(photo, directory, options, [result])
        yield result


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
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
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
    results = list(reconstruct_photos(photos, tmp_path / "out", Options()))
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
    next(work)
    work.close()
    table = rows(tmp_path / "out")
    assert [row["photo"] for row in table] == [str(photo) for photo in photos]
    assert [row["status"] for row in table] == ["done", "left", "left"]
    worker.photos.clear()
    list(reconstruct_photos(photos, tmp_path / "out", Options()))
    assert worker.photos == ["b.png", "bad.png"]


class Crowd:
    """A pipeline that finds four people, of whom one has no head."""

    def find_faces(self, photo: Path) -> tuple[Photo, list[int]]:
        if photo.stem == "wall":
            raise NoFaceError(f"{photo} shows no face.")
        return Photo(np.zeros((4, 4, 3), np.uint8), str(photo)), [0, 1, 2, 3]

    def reconstruct_face(self, photo: Photo, detection: int) -> int:
        if detection == 2:
            raise FloatingPointError("There is no head.")
        return detection

    def reconstruct_person(self, photos: list[Path], *, check: bool) -> Any:
        """The portrait in whose frame the head stands is that of the last photo."""
        if check:
            raise ValueError("Two people.")
        return SimpleNamespace(photo=SimpleNamespace(name=str(photos[-1])))


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Any:
    def save(model: Crowd, portrait: int, place: Path, options: Options) -> dict[str, Any]:
        place.mkdir(parents=True)
        (place / "head.glb").write_bytes(b"head")
        return {"pose": {}, "files": [place / "head.glb"]}

    monkeypatch.setattr(batch, "_save", save)
    return Crowd()


def test_photos_of_one_person_make_one_head_in_the_directory_itself(crowd: Any, tmp_path: Path) -> None:
    photos = [Path("front.jpg"), Path("left.jpg")]
    (failed,) = batch.reconstruct_together(crowd, photos, tmp_path / "a", Options(), check=True)
    assert (failed.status, failed.photo, failed.error) == ("failed", photos[0], "Two people.")
    (result,) = batch.reconstruct_together(crowd, photos, tmp_path / "b", Options(), check=False)
    assert (result.status, result.photo, result.directory) == ("done", photos[1], tmp_path / "b")
    assert (tmp_path / "b" / "head.glb").is_file()


def test_every_error_becomes_a_result(crowd: Any, tmp_path: Path) -> None:
    (result,) = batch.reconstruct_one(crowd, Path("wall.jpg"), tmp_path / "wall", Options())
    assert (result.status, result.error) == ("failed", "wall.jpg shows no face.")
    assert not (tmp_path / "wall").exists()


def test_every_face_is_told_when_it_is_written_and_one_that_fails_stops_no_other(
    crowd: Any, tmp_path: Path
) -> None:
    work = batch.reconstruct_one(crowd, Path("party.jpg"), tmp_path, Options(face=None), record=True)
    first = next(work)
    assert (first.status, first.face, first.faces) == ("done", 0, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["face-0"]
    others = list(work)
    assert [(result.face, result.status) for result in others] == [(1, "done"), (2, "failed"), (3, "done")]
    assert not (tmp_path / batch.RECORD).exists()


def test_a_photo_that_was_stopped_between_faces_is_left(tmp_path: Path) -> None:
    pairs = folders([Path("a.jpg"), Path("b.jpg")], tmp_path)
    found = [Result(Path("a.jpg"), tmp_path / "a" / f"face-{face}", "done", face, 3) for face in range(2)]
    known = batch.with_left(pairs, found)
    assert [(result.photo.name, result.face, result.status) for result in known] == [
        ("a.jpg", 0, "done"),
        ("a.jpg", 1, "done"),
        ("a.jpg", 2, "left"),
        ("b.jpg", 0, "left"),
    ]


ODD = (
    *("caf\udce9.png", "two\nlines.png", "[red].png", "[b][].png", "back\\[slash].png", "\x1b[2J.png"),
    *("...png", ":smile:.png", "summary.csv.png", "\u202egnp.png", "{{glb}}.png", "x" * 251 + ".png"),
)
"""Names that Linux takes: no UTF-8, line breaks, markup, commands to the terminal, places elsewhere."""


def test_directories_have_plain_names_inside_the_output() -> None:
    names = [directory for _, directory in folders([Path(name) for name in ODD], Path("out"))]
    assert len(set(names)) == len(ODD)
    for directory in names:
        assert directory.parent == Path("out")
        assert directory.name.isprintable()
        assert "\\" not in directory.name
        assert directory.name not in {".", "..", "summary.csv", "summary.json"}
        assert len(directory.name.encode()) <= 210


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't take all of these names")
def test_odd_names_stop_no_batch_and_are_in_its_summary(
    tmp_path: Path, worker: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    for name in ODD:
        Image.new("RGB", (4, 4)).save(tmp_path / "photos" / name, "PNG")
    found, _ = photos_among([tmp_path / "photos"])
    results = list(reconstruct_photos(found, tmp_path / "out", Options()))
    assert [result.status for result in results] == ["done"] * len(ODD)
    told = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    for table in (rows(tmp_path / "out"), told["portraits"]):
        assert [row["photo"] for row in table] == [as_text(photo) for photo in found]
    for result in results:
        report(replace(result, portrait={**(result.portrait or {}), "vertices": 4}), quiet=False)
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == len(ODD)
    assert "/[red].png: head with 4 vertices" in printed
    assert "/back\\[slash].png: " in printed
    assert "/:smile:.png: " in printed
    assert "/two\\nlines.png: " in printed
    assert "/caf\\udce9.png: " in printed
    assert "\x1b" not in printed


def test_a_record_that_cannot_be_written_is_a_failure_that_names_it(
    crowd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / batch.RECORD))

    monkeypatch.setattr(batch, "_write_record", full)
    monkeypatch.setattr(Crowd, "find_faces", lambda *_: (Photo(np.zeros((4, 4, 3), np.uint8), "me"), [0]))
    work = batch.reconstruct_one(crowd, Path("me.jpg"), tmp_path, Options(face=None), record=True)
    assert next(work).status == "done"
    last = next(work)
    assert (last.status, last.error) == ("failed", f"{tmp_path / batch.RECORD}: No space left on device")


class Calm:
    """Stands in for the pipeline: turning a photo leaves it as it is."""

    def repose(self, portrait: Portrait, yaw: float) -> np.ndarray:
        return portrait.photo.pixels

    def head_without_light(self, portrait: Portrait) -> HeadMesh:
        return portrait.build_head(delight=True)


def test_every_option_changes_the_head_that_is_written(tmp_path: Path) -> None:
    portrait = synthetic_portrait(style="bald")
    whole, front = (
        Options(delight=True, texture=512, lod=2, dense_targets=True, texture_format="webp"),
        Options(
            front_only=True,
            neutral=True,
            visemes=True,
            bones=True,
            eye_distance=58.0,
            formats=("vrm",),
            author="A. B.",
        ),
    )
    known, distances = {}, []
    for name, options in (("plain", Options()), ("whole", whole), ("front", front)):
        known[name] = batch._save(cast(Any, Calm()), portrait, tmp_path / name, options)
        described = json.loads((tmp_path / name / "portrait.json").read_text())
        nodes = Glb.read((tmp_path / name / "head.glb").read_bytes()).document["nodes"]
        eyes = ("LeftEye", "RightEye") if options.bones else ("EyeLeft", "EyeRight")
        left, right = (np.array(node["translation"]) for node in nodes if node["name"] in eyes)
        distances.append(1000 * np.linalg.norm(left - right))
        neutral = ("neutral", 73) if options.neutral else ("photo", 52)
        assert (described["head"]["rests_in"], described["head"]["morph_targets"]) == neutral
        assert described["head"]["vertices"] == known[name]["vertices"]
        assert ("KHR_materials_unlit" in str((tmp_path / name / "head.glb").read_bytes())) != options.delight
    assert [b"LeftEye" in (tmp_path / name / "head.glb").read_bytes() for name in known] == [
        False,
        False,
        True,
    ]
    vrm = Glb.read((tmp_path / "front" / "head.vrm").read_bytes()).document["extensions"]["VRMC_vrm"]
    assert vrm["meta"]["authors"] == ["A. B."]
    assert not (tmp_path / "whole" / "head.vrm").exists()
    whole_glb = Glb.read((tmp_path / "whole" / "head.glb").read_bytes())
    assert whole_glb.document["extensionsRequired"] == ["EXT_texture_webp"]
    assert not any("sparse" in accessor for accessor in whole_glb.document["accessors"])
    assert known["front"]["vertices"] < known["plain"]["vertices"]
    assert known["whole"]["faces"] <= 5000 < known["plain"]["faces"]
    assert not portrait.head.is_neutral
    assert distances == pytest.approx([eye_distance(portrait.head)] * 2 + [58.0], abs=0.01)
