"""A saved portrait: it comes back as it was, and a file that is none is refused by name."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.errors import PortraitFileError
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import Portrait
from synthetic_head import synthetic_portrait

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    plain = synthetic_portrait()
    expression = torch.rand(64, generator=torch.Generator().manual_seed(0)) * 0.2
    return replace(
        plain,
        coefficients=replace(plain.coefficients, expression=expression),
        quality=0.75,
        head_crop=plain.head_crop,
    )


@pytest.fixture(scope="module")
def file(portrait: Portrait, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return portrait.save(tmp_path_factory.mktemp("saved") / "portrait.npz")


def changed(file: Path, place: Path, change: Callable[[Arrays], None]) -> Path:
    """A copy of a saved portrait with other arrays."""
    with np.load(file) as found:
        arrays = dict(found)
    change(arrays)
    np.savez(place / "changed.npz", **arrays)
    return place / "changed.npz"


def told(arrays: Arrays, **news: object) -> None:
    """Change what a file tells in JSON."""
    about = json.loads(arrays["about"].tobytes()) | news
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)


def test_a_portrait_comes_back_as_it_was(portrait: Portrait, file: Path) -> None:
    again = Portrait.load(file)
    assert again.photo.name == portrait.photo.name
    assert np.array_equal(again.photo.pixels, portrait.photo.pixels)
    assert again.head_crop == portrait.head_crop
    assert again.quality == portrait.quality
    assert again.pose == portrait.pose
    assert torch.equal(again.coefficients.to_vector(), portrait.coefficients.to_vector())
    assert np.array_equal(again.parsing, portrait.parsing)
    assert torch.equal(again.depth.front[again.depth.valid], portrait.depth.front[portrait.depth.valid])
    assert torch.equal(again.camera.focal, portrait.camera.focal)
    assert (again.camera.height, again.camera.width) == portrait.parsing.shape


def test_its_head_is_made_again_bit_for_bit(portrait: Portrait, file: Path) -> None:
    one, other = portrait.head, Portrait.load(file).head
    assert np.array_equal(one.vertices, other.vertices)
    assert np.array_equal(one.texture, other.texture)
    assert one.expression is not None
    assert other.expression is not None
    assert np.array_equal(one.expression, other.expression)


def test_glasses_are_kept(portrait: Portrait, tmp_path: Path) -> None:
    assert portrait.glasses is None
    assert Portrait.load(portrait.save(tmp_path / "bare.npz")).glasses is None
    cover = np.zeros(portrait.parsing.shape, np.float32)
    cover[60:80, 50:150] = 0.75
    wearer = replace(portrait, glasses=cover)
    again = Portrait.load(wearer.save(tmp_path / "wearer.npz"))
    assert again.glasses is not None
    assert np.array_equal(again.glasses, cover)
    assert np.array_equal(again.bare_pixels, wearer.bare_pixels)


def test_a_file_holds_numbers_and_json_alone(file: Path) -> None:
    with np.load(file, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fub" for name in arrays.files)
        about = json.loads(arrays["about"].tobytes())
    assert (about["format"], about["version"]) == ("portrait3d portrait", 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: told(a, version=2), "version 2 of the format"),
        (lambda a: told(a, format="else"), "is no portrait"),
        (lambda a: told(a, head_model="0"), "another head model"),
        (lambda a: told(a, side="wide"), "side must be of kind float"),
        (lambda a: told(a, side=-1.0), "A crop needs"),
        (lambda a: told(a, size=100), "its crop 100"),
        (lambda a: told(a, quality=float("nan")), "quality must be a finite number"),
        (lambda a: told(a, zoom=0.0), "zoom must be above 0"),
        (lambda a: told(a, centre=[1.0]), "can't be used"),
        (lambda a: a.pop("matte"), "matte is missing"),
        (lambda a: a.update(matte=a["matte"][:-1]), "matte has the shape"),
        (lambda a: a.update(rotation=a["rotation"] * np.nan), "rotation has values that aren't finite"),
        (lambda a: a.update(rotation=a["rotation"] * 2), "rotation is none"),
        (lambda a: a.update(pixels=a["pixels"].astype(np.uint16)), "pixels is stored as uint16"),
        (lambda a: a.update(labels=a["labels"] + np.uint8(9)), "classes that don't exist"),
        (lambda a: a.update(about=np.frombuffer(b"{", np.uint8)), "about is no JSON"),
        (lambda a: a.update(box=np.array([{}] * 4)), "box is stored as object"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    file: Path, tmp_path: Path, change: Callable[[Arrays], None], message: str
) -> None:
    wrong = changed(file, tmp_path, change)
    with pytest.raises(PortraitFileError, match=message) as error:
        Portrait.load(wrong)
    assert str(wrong) in str(error.value)


def test_a_damaged_or_missing_file_is_named(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.npz"
    cut.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(PortraitFileError, match=r"cut\.npz"):
        Portrait.load(cut)
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        Portrait.load(tmp_path / "none.npz")


def test_a_file_that_unpacks_to_too_much_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(file) as archive:
        total = sum(part.file_size for part in archive.infolist())
    monkeypatch.setattr("portrait3d.export.portrait_file.LARGEST", total - 1)
    with pytest.raises(PortraitFileError, match="more than any portrait"):
        Portrait.load(file)


def test_a_portrait_is_saved_as_npz_and_in_its_own_camera(portrait: Portrait, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.npz"):
        portrait.save(tmp_path / "portrait.json")
    other = replace(portrait, depth=replace(portrait.depth, camera=portrait.head_crop.camera()))
    with pytest.raises(ValueError, match="camera of its wide crop"):
        other.save(tmp_path / "portrait.npz")
    assert list(tmp_path.iterdir()) == []


def test_another_head_model_may_be_given(portrait: Portrait, file: Path) -> None:
    assert Portrait.load(file, portrait.head_model).head_model is portrait.head_model
    other = HeadModel.load()
    other.mean += 1
    with pytest.raises(PortraitFileError, match="another head model"):
        Portrait.load(file, other)
