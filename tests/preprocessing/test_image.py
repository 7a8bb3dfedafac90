"""Decoding of photos."""

import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from portrait3d.errors import InvalidImageError
from portrait3d.preprocessing.image import decode_photo

ORIENTATION = 0x0112


@pytest.fixture
def pixels(astronaut: np.ndarray) -> np.ndarray:
    """A small picture without symmetry, 40 x 60."""
    return np.array(Image.fromarray(astronaut).resize((60, 40)))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).max())


def png_of_sixteen_bits(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG made by hand, because Pillow doesn't write 16-bit colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


@pytest.mark.parametrize(
    ("suffix", "tolerance"), [(".png", 0), (".bmp", 0), (".tiff", 0), (".webp", 0), (".jpg", 30)]
)
def test_common_formats_give_the_pixels_back(
    tmp_path: Path, pixels: np.ndarray, suffix: str, tolerance: int
) -> None:
    path = tmp_path / f"photo{suffix}"
    settings = {".webp": {"lossless": True}, ".jpg": {"quality": 98, "subsampling": 0}}.get(suffix, {})
    Image.fromarray(pixels).save(path, **settings)
    photo = decode_photo(path)
    assert photo.name == str(path)
    assert photo.pixels.dtype == np.uint8
    assert difference(photo.pixels, pixels) <= tolerance
    assert difference(decode_photo(str(path)).pixels, photo.pixels) == 0


def test_arrays_and_pillow_images_are_taken_as_they_are(pixels: np.ndarray) -> None:
    assert difference(decode_photo(pixels).pixels, pixels) == 0
    assert difference(decode_photo(Image.fromarray(pixels)).pixels, pixels) == 0


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_give_the_same_picture(
    tmp_path: Path, pixels: np.ndarray, orientation: int, suffix: str
) -> None:
    turned = Image.fromarray(pixels)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if orientation in undo:
        turned = turned.transpose(undo[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"photo{suffix}"
    settings = {".webp": {"lossless": True}, ".jpg": {"quality": 98, "subsampling": 0}}.get(suffix, {})
    turned.save(path, exif=exif, **settings)
    photo = decode_photo(path).pixels
    assert photo.shape == pixels.shape
    assert np.abs(photo.astype(float) - pixels).mean() < (2 if suffix == ".jpg" else 1e-9)


def test_an_srgb_profile_changes_nothing(pixels: np.ndarray) -> None:
    stream = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(stream, "PNG", icc_profile=profile)
    assert difference(decode_photo(Image.open(stream)).pixels, pixels) <= 1


def test_colours_of_another_profile_come_back_to_srgb(tmp_path: Path, pixels: np.ndarray) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    Image.fromarray(pixels).save(tmp_path / "swapped.png", icc_profile=swapped)
    assert difference(decode_photo(tmp_path / "swapped.png").pixels, pixels[..., ::-1]) <= 1


def test_grayscale_follows_its_profile(tmp_path: Path, pixels: np.ndarray) -> None:
    gray = np.array(Image.fromarray(pixels).convert("L"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    in_gray = profile[:16] + b"GRAY" + profile[20:].replace(b"rTRC", b"kTRC")
    Image.fromarray(gray).save(tmp_path / "gray.png", icc_profile=in_gray)
    assert difference(decode_photo(tmp_path / "gray.png").pixels, gray[..., None].repeat(3, 2)) <= 1


def test_transparency_survives_a_profile(tmp_path: Path, pixels: np.ndarray) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    cut = Image.fromarray(pixels).convert("RGBA")
    cut.putalpha(0)
    cut.save(tmp_path / "clear.png", icc_profile=profile)
    assert (decode_photo(tmp_path / "clear.png").pixels == 255).all()


def test_a_broken_profile_is_ignored_with_a_warning(
    tmp_path: Path, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "broken.png"
    Image.fromarray(pixels).save(path, icc_profile=b"no profile at all" * 20)
    with caplog.at_level(logging.WARNING):
        assert difference(decode_photo(path).pixels, pixels) == 0
    assert "colour profile" in caplog.text


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_become_eight(tmp_path: Path, colour_type: int, channels: int) -> None:
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30, 1).repeat(channels, axis=2)
    if channels in (2, 4):
        values[..., -1] = 65535
    path = tmp_path / "deep.png"
    path.write_bytes(png_of_sixteen_bits(values, colour_type))
    assert difference(decode_photo(path).pixels, values[..., :1].repeat(3, axis=2) / 257) <= 1


def test_grayscale_arrays_of_sixteen_bits_in_pillow_images_are_scaled() -> None:
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    assert difference(decode_photo(Image.fromarray(values)).pixels[..., 0], values / 257) <= 0.5


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_every_mode_becomes_rgb(pixels: np.ndarray, mode: str) -> None:
    image = Image.fromarray(pixels).convert(mode)
    wanted = np.array(image.convert("RGB"))
    assert difference(decode_photo(image).pixels, wanted) <= 1


@pytest.mark.parametrize("name", ["cmyk.jpg", "cmyk.tiff"])
def test_cmyk_files_keep_their_colours(tmp_path: Path, pixels: np.ndarray, name: str) -> None:
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / name, quality=98)
    assert np.abs(decode_photo(tmp_path / name).pixels.astype(float) - pixels).mean() < 3


def test_transparent_pixels_are_laid_over_white(tmp_path: Path, pixels: np.ndarray) -> None:
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[:10], alpha[10:20] = 0, 128
    Image.fromarray(np.concatenate([pixels, alpha], axis=2)).save(tmp_path / "cut.png")
    decoded = decode_photo(tmp_path / "cut.png").pixels
    assert (decoded[:10] == 255).all()
    assert difference(decoded[10:20], pixels[10:20] * (128 / 255) + 255 * (127 / 255)) <= 1.5
    assert difference(decoded[20:], pixels[20:]) == 0


def test_a_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4))
    image.putpalette([value for index in range(16) for value in (index * 16, 0, 0)])
    image.save(tmp_path / "palette.png", transparency=5)
    decoded = decode_photo(tmp_path / "palette.png").pixels.reshape(16, 3)
    assert decoded[5].tolist() == [255, 255, 255]
    assert decoded[6].tolist() == [96, 0, 0]


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png"])
def test_an_animation_gives_its_first_frame_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("red", "blue")]
    settings: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100, **settings)
    with caplog.at_level(logging.WARNING):
        decoded = decode_photo(tmp_path / name).pixels
    assert decoded[10, 10].tolist() == [255, 0, 0]
    assert name in caplog.text


def test_too_many_pixels_are_refused_before_decoding(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(pixels).save(path)
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("was decoded"))
    with pytest.raises(InvalidImageError, match=r"large\.png has 60 x 40"):
        decode_photo(path, max_pixels=1000)


def test_a_header_that_promises_a_giant_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    content = png_of_sixteen_bits(np.zeros((1, 1, 1), np.uint16), 0)
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    path.write_bytes(content[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + content[33:])
    with pytest.raises(InvalidImageError, match=r"bomb\.png"):
        decode_photo(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif"])
def test_a_truncated_file_is_refused(tmp_path: Path, pixels: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"half.{suffix}"
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InvalidImageError, match=rf"half\.{suffix}"):
        decode_photo(path)


def test_what_is_no_picture_is_refused_with_its_name_and_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("This is no picture.")
    (tmp_path / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    reasons = {
        "empty.jpg": "it is empty",
        "text.jpg": "it is no JPEG",
        "vector.eps": "it is no JPEG",
        "missing.jpg": "there is no such file",
        "": "it is a directory",
        "x" * 300: "",
    }
    for name, reason in reasons.items():
        with pytest.raises(InvalidImageError) as caught:
            decode_photo(tmp_path / name)
        assert reason in str(caught.value)
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
    ],
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InvalidImageError, match="uint8 RGB"):
        decode_photo(array)


def test_floating_point_pictures_are_refused() -> None:
    with pytest.raises(InvalidImageError, match="floating-point"):
        decode_photo(Image.new("F", (8, 8)))
