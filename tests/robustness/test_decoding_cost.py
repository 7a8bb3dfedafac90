"""Pictures that would take too much memory or time to decode, and those that come near."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from portrait3d.errors import InvalidImageError
from portrait3d.memory import peak_memory
from portrait3d.preprocessing import decoding_cost
from portrait3d.preprocessing.decoding_cost import MAX_SCANS, jpeg_scans
from portrait3d.preprocessing.image import decode_photo

SIDE = 9428
"""Pixels of the side of a square of 88.9 million."""

PEAK = """
import sys
from portrait3d.memory import peak_memory
from portrait3d.preprocessing.image import decode_photo
assert decode_photo(sys.argv[1]).pixels.shape == (int(sys.argv[2]), int(sys.argv[2]), 3)
print(peak_memory() // 2**20)
"""


def write_png(path: Path, bits: int, colour_type: int, channels: int, profile: bytes | None = None) -> None:
    """A black PNG of 88.9 million pixels, written row by row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(1), bytes(1 + SIDE * channels * bits // 8)
    content = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    header = struct.pack(">IIBBBBB", SIDE, SIDE, bits, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", content), chunk(b"IEND", b"")]
    if profile:
        parts.insert(1, chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(profile)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.slow
@pytest.mark.skipif(peak_memory() is None, reason="the system doesn't tell peaks of memory")
@pytest.mark.parametrize(("bits", "colour_type", "channels"), [(16, 0, 1), (16, 6, 4), (8, 6, 4)])
def test_the_largest_pictures_take_less_than_a_gigabyte(
    tmp_path: Path, bits: int, colour_type: int, channels: int
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() if bits == 8 else None
    write_png(tmp_path / "large.png", bits, colour_type, channels, profile)
    command = [sys.executable, "-c", PEAK, tmp_path / "large.png", str(SIDE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000


def test_a_picture_is_the_same_whatever_strips_it_is_converted_in(
    astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(astronaut).convert("RGBA").resize((61, 47))
    image.putalpha(image.getchannel("R"))
    image.info["icc_profile"] = (
        profile.replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    )
    whole = decode_photo(image).pixels
    monkeypatch.setattr("portrait3d.preprocessing.image.STRIP_PIXELS", 61 * 5)
    assert np.array_equal(decode_photo(image).pixels, whole)


def jpeg(size: tuple[int, int] = (64, 48), **settings: object) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", **settings)  # pyright: ignore[reportArgumentType]
    return stream.getvalue()


def with_more_scans(content: bytes, more: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * more + content[-2:]


def test_scans_are_counted() -> None:
    assert jpeg_scans(io.BytesIO(jpeg())) == 1
    progressive = jpeg(progressive=True)
    assert jpeg_scans(io.BytesIO(progressive)) == 10
    assert jpeg_scans(io.BytesIO(with_more_scans(progressive, 190))) == 200


def test_what_looks_like_a_scan_in_metadata_or_after_the_picture_is_none() -> None:
    exif = b"Exif\0\0" + jpeg()[:200] + b"\xff\xda\0\2" * 300
    content = jpeg(exif=exif, comment=b"\xff\xda" * 500) + jpeg(progressive=True) * 20
    assert jpeg_scans(io.BytesIO(content)) == 1
    assert decode_photo(content).pixels.shape == (48, 64, 3)


def test_a_jpeg_of_two_hundred_scans_is_refused_undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = with_more_scans(jpeg(progressive=True), 190)
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("was decoded"))
    with pytest.raises(InvalidImageError, match="200 scans takes too long"):
        decode_photo(content)


def test_large_jpegs_may_have_fewer_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    content = with_more_scans(jpeg(progressive=True), 10)
    assert decode_photo(content).pixels.shape == (48, 64, 3)
    monkeypatch.setattr(decoding_cost, "MAX_SCANNED", 64 * 48 * 19)
    with pytest.raises(InvalidImageError, match="20 scans"):
        decode_photo(content)
    assert MAX_SCANS < 200


def test_a_small_tiff_with_a_giant_tile_is_refused() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "TIFF", compression="tiff_lzw", tiffinfo={278: 64})
    content = bytearray(stream.getvalue())
    start = int.from_bytes(content[4:8], "little")
    # A strip of so many rows becomes a tile of so many columns and rows.
    entries = [bytearray(content[start + 2 + 12 * k : start + 14 + 12 * k]) for k in range(content[start])]
    tags = {int.from_bytes(entry[:2], "little"): bytes(entry) for entry in entries}
    del tags[278]
    for old, tag, value in ((273, 324, None), (279, 325, None), (0, 322, 30_000), (0, 323, 30_000)):
        entry = tags.pop(old, struct.pack("<HHII", tag, 4, 1, value or 0))
        tags[tag] = struct.pack("<H", tag) + entry[2:]
    directory = struct.pack("<H", len(tags)) + b"".join(tags[tag] for tag in sorted(tags)) + bytes(4)
    content[4:8] = struct.pack("<I", len(content))
    with pytest.raises(InvalidImageError, match=r"TIFF of its kind .* takes 2\.7 GB"):
        decode_photo(bytes(content) + directory)


def test_pictures_whose_decoders_hold_copies_are_refused_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.webp")
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(decoding_cost, "MAX_BYTES", 200_000)
    assert decode_photo(tmp_path / "a.png").pixels.shape == (100, 200, 3)
    with pytest.raises(InvalidImageError, match=r"a\.webp .* WEBP"):
        decode_photo(tmp_path / "a.webp")


def test_a_large_run_length_encoded_bmp_is_refused() -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 256, 0)
    palette = bytes(1024)
    start = 14 + len(header) + len(palette)
    content = struct.pack("<2sIHHI", b"BM", start + 4, 0, 0, start) + header + palette + b"\5\1\0\1"
    with pytest.raises(InvalidImageError, match="run-length encoded BMP of 81 million"):
        decode_photo(content)
