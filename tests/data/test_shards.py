"""Labelled folders in a few tar files."""

import multiprocessing
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.cli.prepare import shards as shards_command
from portrait3d.data.photos.labelled import LabelledPhoto, PhotoFolder, people_photos, real_photo_folders
from portrait3d.data.photos.shards import INDEX, data_root, pack
from portrait3d.models.head_model import HeadModel
from portrait3d.names import url_of
from tiny_photos import photo_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six photos, three with labels, two with maps."""
    root = photo_folder(tmp_path / "data", HeadModel.load())
    rng = np.random.default_rng(1)
    for kind, count in (("parsing", 3), ("hair", 2), ("figure", 2)):
        (root / "portraits" / kind).mkdir()
        for k in range(count):
            labels = Image.fromarray(rng.integers(0, 19, (200, 200), dtype=np.uint8))
            labels.save(root / "portraits" / kind / f"p{k}.png")
    return root


def packed(data: Path, out: str, size: int = 100_000) -> list[str]:
    return list(pack(data, out, ["portraits"], size))


def assert_alike(found: LabelledPhoto, expected: LabelledPhoto) -> None:
    assert (found.name, found.person, found.split, found.yaw) == (
        expected.name,
        expected.person,
        expected.split,
        expected.yaw,
    )
    np.testing.assert_array_equal(found.points, expected.points)
    np.testing.assert_array_equal(found.pixels(), expected.pixels())
    assert found.has_maps == expected.has_maps
    assert found.parsing_path.is_file() == expected.parsing_path.is_file()
    if expected.has_maps:
        np.testing.assert_array_equal(found.parsing(), expected.parsing())
        np.testing.assert_array_equal(found.probability("hair"), expected.probability("hair"))


def test_shards_hold_the_same_samples_as_the_folder(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    assert len(packed(data, str(out))) > 1
    assert real_photo_folders(out) == ["portraits"]
    for split, parsed in ((None, False), ("val", False), ("train", True)):
        found, expected = (PhotoFolder(root, split=split, parsed=parsed) for root in (out, data))
        assert len(found) == len(expected) > 0
        # In any order, as samplers ask for them.
        for k in reversed(range(len(expected))):
            assert_alike(found[k], expected[k])
    assert len(people_photos(out)) == 6


def test_tars_are_webdatasets_with_the_files_of_a_photo_together(data: Path, tmp_path: Path) -> None:
    packed(data, str(tmp_path / "shards"), 10**9)
    with tarfile.open(tmp_path / "shards" / "shard-00000.tar") as tar:
        names = tar.getnames()
        assert names[:2] == ["portraits/index.csv", "portraits/landmarks.npz"]
        first = [f"portraits/p0.{end}" for end in ("images.jpg", "parsing.png", "hair.png", "figure.png")]
        assert names[2:6] == first
        content = tar.extractfile("portraits/p0.images.jpg")
        assert content is not None
        assert content.read() == (data / "portraits" / "images" / "p0.jpg").read_bytes()


def test_the_same_folder_gives_the_same_tars(data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        packed(data, str(tmp_path / name))
    for tar in (tmp_path / "a").glob("*.tar"):
        assert tar.read_bytes() == (tmp_path / "b" / tar.name).read_bytes()


def test_half_packed_shards_are_none(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    half = pack(data, str(out), ["portraits"], 100_000)
    next(half)
    half.close()
    assert not (out / INDEX).exists()
    packed(data, str(out))
    with pytest.raises(FileExistsError, match="holds shards already"):
        packed(data, str(out))


def test_missing_files_and_cut_tars_are_named(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    *_, last = packed(data, str(out))
    root = data_root(out)
    with pytest.raises(FileNotFoundError, match=r"holds no portraits/images/none\.jpg"):
        (root / "portraits" / "images" / "none.jpg").open("rb")
    (out / last).write_bytes((out / last).read_bytes()[:600])
    with pytest.raises(OSError, match=r"ends within portraits/images/p5\.jpg"):
        PhotoFolder(out)[5].pixels()
    clips = pack(data, str(tmp_path / "other"), ["clips"], 10)
    with pytest.raises(FileNotFoundError, match=r"clips/index\.csv is missing"):
        next(clips)


def test_urls_survive_being_paths() -> None:
    assert url_of(Path("s3://bucket/data")) == url_of("s3://bucket/data") == "s3://bucket/data"
    assert url_of(Path("/data")) is url_of("C:/data") is url_of("data") is None


def test_the_command_packs_what_a_folder_has(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards_command(data=data, out=str(tmp_path / "shards"), folders=None, size=1, json=False)
    assert "1 tar files of portraits" in " ".join(capsys.readouterr().out.split())
    assert len(PhotoFolder(tmp_path / "shards")) == 6


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of an S3 store on this machine."""
    pytest.importorskip("s3fs", reason="needs an object store's client: pip install 'portrait3d[test]'")
    server_module = pytest.importorskip(
        "moto.server", reason="needs an object store: pip install 'portrait3d[test]'"
    )
    from s3fs import S3FileSystem

    server = server_module.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    S3FileSystem(use_listings_cache=False, skip_instance_cache=True).mkdir("data")
    yield "s3://data/shards"
    server.stop()


@pytest.mark.slow
def test_an_object_store_holds_the_same_samples(data: Path, bucket: str) -> None:
    packed(data, bucket)
    found, expected = PhotoFolder(Path(bucket)), PhotoFolder(data)
    for one, other in zip(found, expected, strict=True):
        assert_alike(one, other)
    # A loader's forked process has connections of its own.
    with multiprocessing.get_context("fork").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(found[1].pixels), expected[1].pixels())
