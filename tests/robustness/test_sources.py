"""What a photo may be given as, and the kinds of files that are read or refused by name."""

import io
import logging
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.errors import InvalidImageError
from portrait3d.preprocessing.formats import looks_like_picture
from portrait3d.preprocessing.image import PhotoSource, decode_photo


@pytest.fixture
def pixels(astronaut: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(astronaut).resize((60, 40)))


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(stream, kind, **settings)  # pyright: ignore[reportArgumentType]
    return stream.getvalue()


def refusal(photo: PhotoSource) -> str:
    with pytest.raises(InvalidImageError) as caught:
        decode_photo(photo)
    return str(caught.value)


def test_bytes_and_open_files_are_read_like_paths(tmp_path: Path, pixels: np.ndarray) -> None:
    content = encoded(pixels)
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    written = io.BytesIO()
    written.write(content)  # it stands at its end, as after a download
    with path.open("rb") as opened, tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(content)
        for source in (path, str(path), content, bytearray(content), written, opened, spooled):
            assert np.array_equal(decode_photo(source).pixels, pixels), source  # pyright: ignore[reportArgumentType]
        assert not opened.closed
        assert decode_photo(opened).name == str(path)
    assert decode_photo(content).name == "the bytes"
    assert np.array_equal(
        decode_photo(io.BytesIO(encoded(pixels, "TIFF", compression="tiff_lzw"))).pixels, pixels
    )


def test_what_can_only_be_read_once_is_read_once(pixels: np.ndarray) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(encoded(pixels))
    with os.fdopen(reader, "rb") as file:
        assert np.array_equal(decode_photo(file).pixels, pixels)


def test_files_that_give_no_bytes_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("text")
    with (tmp_path / "notes.jpg").open() as file:
        assert "notes.jpg can't be read: it gives text; open it in binary mode" in refusal(file)  # pyright: ignore[reportArgumentType]
    closed = io.BytesIO(b"x")
    closed.close()
    assert "the open file can't be read" in refusal(closed)
    assert refusal(b"") == "the bytes can't be read: it is empty."
    assert refusal(io.BytesIO()) == "the open file can't be read: it is empty."


def test_a_photo_shares_no_memory_with_the_array_it_came_from(pixels: np.ndarray) -> None:
    photo = decode_photo(pixels)
    assert not np.shares_memory(photo.pixels, pixels)
    pixels[:] = 0
    assert photo.pixels.any()
    assert decode_photo(pixels[:, ::2]).pixels.flags.c_contiguous


def test_avif_is_read(pixels: np.ndarray) -> None:
    decoded = decode_photo(encoded(pixels, "AVIF", quality=95, subsampling="4:4:4")).pixels
    assert np.abs(decoded.astype(float) - pixels).mean() < 3


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_heic_is_named_with_how_to_read_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    text = refusal(tmp_path / "IMG_1.HEIC")
    assert "IMG_1.HEIC" in text
    assert "pip install 'portrait3d[heic]'" in text


def test_heic_is_read_where_its_extra_is_installed(pixels: np.ndarray) -> None:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    heif.from_pillow(Image.fromarray(pixels)).save(stream, quality=95)
    decoded = decode_photo(stream.getvalue()).pixels
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(float) - pixels).mean() < 8
    assert "Image" not in Image.registered_extensions().get(".heic", "")  # Pillow itself is left alone
    assert "can't be read" in refusal(HEIC)


def tiff(bits: int, *, samples: int = 1, form: int = 1, tags: dict[int, int] | None = None) -> bytes:
    """An uncompressed black TIFF of 8 x 8 pixels, made by hand; `form` is 1 for integers, 3 for floats."""
    size = 64 * samples * bits // 8
    known = {256: 8, 257: 8, 258: bits, 259: 1, 262: 1 if samples == 1 else 2, 273: 512, 277: samples}
    known |= {278: 8, 279: size, 339: form} | (tags or {})
    entries = b""
    for tag, value in sorted(known.items()):
        if tag in (258, 339) and samples > 1:
            entries += struct.pack("<HHII", tag, 3, samples, 400 if tag == 258 else 440)
        else:
            entries += struct.pack("<HHII", tag, 4, 1, value)
    content = struct.pack("<2sHIH", b"II", 42, 8, len(known)) + entries + bytes(4)
    lists = struct.pack("<4H", *[bits] * 4).ljust(40, b"\0") + struct.pack("<4H", *[form] * 4)
    return (content.ljust(400, b"\0") + lists).ljust(512, b"\0") + bytes(size)


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_tiffs_of_sixteen_bits_are_read(samples: int) -> None:
    assert decode_photo(tiff(16, samples=samples)).pixels.shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(32, form=3), "TIFF of 1 x 32-bit floating-point numbers, which have no known range"),
        (tiff(16, samples=3, form=3), "TIFF of 3 x 16-bit floating-point numbers"),
        (tiff(32, samples=3), "TIFF of 3 x 32-bit integers"),
        (tiff(8, tags={50706: 0x104}), "raw photo (DNG)"),
        (tiff(8, tags={254: 1, 330: 8}), "raw photo (a camera's TIFF)"),
        (tiff(16, tags={262: 32803}), "raw photo (a camera's TIFF)"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(99), "raw photo (Fujifilm RAF)"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99), "raw photo (Canon CR3)"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "raw photo (Canon CR2)"),
        (b"%PDF-1.7" + bytes(99), "it is no JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF picture"),
    ],
)
def test_other_kinds_are_refused_by_name(content: bytes, words: str) -> None:
    assert words in refusal(content)


def test_damaged_exif_costs_nothing_but_itself(pixels: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0" + b"\x12\x01\x03\0\xff\xff\xff\x7f" * 3
    with caplog.at_level(logging.WARNING):
        decoded = decode_photo(encoded(pixels, "JPEG", quality=95, exif=exif)).pixels
    assert decoded.shape == pixels.shape
    assert len(caplog.records) <= 1


def test_libtiff_and_pillow_print_nothing(tmp_path: Path, pixels: np.ndarray) -> None:
    content = bytearray(encoded(pixels, "TIFF", compression="tiff_lzw"))
    content[60:90] = b"\xff" * 30
    (tmp_path / "torn.tiff").write_bytes(content)
    (tmp_path / "samples.tiff").write_bytes(tiff(8, samples=1, tags={277: 30_000}))
    code = """
import sys
from PIL import Image
from portrait3d.preprocessing.image import decode_photo
for name in sys.argv[1:]:
    try: decode_photo(name)
    except ValueError as error: print("refused")
"""
    command = [sys.executable, "-c", code, tmp_path / "torn.tiff", tmp_path / "samples.tiff"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("refused\nrefused\n", "")


def test_what_looks_like_a_picture_counts_as_one(tmp_path: Path, pixels: np.ndarray) -> None:
    contents = {
        "a.jpg": b"",
        "b.HEIC": HEIC,
        "c.dng": b"?",
        "d": encoded(pixels),
        "e.dat": encoded(pixels, "WEBP"),
        "f.txt": b"no picture",
        "g": b"",
        "h.bin": HEIC,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    found = {path.name for path in tmp_path.iterdir() if looks_like_picture(path)}
    assert found == {"a.jpg", "b.HEIC", "c.dng", "d", "e.dat", "h.bin"}
