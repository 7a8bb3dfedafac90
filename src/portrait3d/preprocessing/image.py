"""Decoding of photos: any common file, Pillow image or array becomes upright 8-bit sRGB pixels."""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageCms

from portrait3d.errors import InvalidImageError
from portrait3d.preprocessing.decoding_cost import (
    MAX_BYTES,
    MAX_PIXELS,
    BinaryFile,
    check_cost,
    check_file_size,
    check_size,
    file_size,
)
from portrait3d.preprocessing.formats import open_image, quieten_pillow

logger = logging.getLogger(__name__)

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Modes of 16-bit grayscale; Pillow's own conversion to 8 bit clips them. Older ones give `I` for PNG."""
STRIP_PIXELS = 2**22
"""So many pixels are converted at once: what that takes beside picture and result stays small."""

PhotoSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image | np.ndarray
)
"""A file's path or content, a file opened in binary mode, a Pillow image, or a uint8 RGB array [H, W, 3]."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo."""

    pixels: UInt8[np.ndarray, "H W 3"]
    """Upright sRGB."""
    name: str
    """What messages call it: the path that was given, or a few words."""


def decode_photo(photo: PhotoSource, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo: JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or, with pillow-heif, HEIC, from a path, bytes or a
    file opened in binary mode; a Pillow image; or a uint8 RGB array [H, W, 3].

    The EXIF orientation is applied, colours are converted from the embedded ICC profile to sRGB, 16-bit
    channels become 8-bit, transparent pixels are laid over white. Of an animation the first frame is taken
    (of a Pillow image the current one) and a warning logged. A file that can be sought is read from its
    beginning and stays open. The pixels are a copy of the photo's own. Anything else, pictures of more than
    `max_pixels` and those that would take more than `MAX_BYTES` to decode raise `InvalidImageError`.
    """
    if isinstance(photo, np.ndarray):
        return Photo(_copied(photo, max_pixels), "the array")
    if isinstance(photo, Image.Image):
        name = str(getattr(photo, "filename", "") or "the Pillow image")
        check_size(*photo.size, name, max_pixels)
        quieten_pillow()
        return Photo(_decode(photo, name), name)
    with _opened(photo) as (file, name):
        try:
            with open_image(file) as image:
                check_size(*image.size, name, max_pixels)
                check_cost(image, file, name)
                return Photo(_decode(image, name), name)
        except InvalidImageError:
            raise
        except Exception as error:  # Pillow's decoders raise whatever they stumble over
            raise InvalidImageError(f"{name} can't be read: {_reason(error)}.") from error


@contextmanager
def _opened(photo: Any) -> Iterator[tuple[BinaryFile, str]]:
    """A photo's file, which can be sought and is at its beginning, and what messages call it."""
    if isinstance(photo, (bytes, bytearray, memoryview)):
        check_file_size(len(photo), "the bytes")
        yield io.BytesIO(photo), "the bytes"
    elif isinstance(photo, (str, os.PathLike)):
        path = Path(photo)
        try:
            _check_file(path)
            file = path.open("rb")
        except (OSError, ValueError) as error:
            if isinstance(error, InvalidImageError):
                raise
            raise InvalidImageError(f"{photo} can't be read: {_reason(error)}.") from error
        with file:
            yield file, str(photo)
    elif hasattr(photo, "read"):
        name = str(getattr(photo, "name", "the open file"))
        file = _seekable(photo, name)
        check_file_size(file_size(file), name)
        yield file, name
    else:
        raise InvalidImageError(
            "photo must be a path, bytes, a file opened in binary mode, a Pillow image or a uint8 RGB array, "
            f"got {type(photo).__name__}."
        )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InvalidImageError(f"{path} can't be read: it is a directory.")
    if not path.exists():
        raise InvalidImageError(f"{path} can't be read: there is no such file.")
    if not path.is_file():
        raise InvalidImageError(f"{path} can't be read: it is no ordinary file.")
    check_file_size(path.stat().st_size, str(path))


def _seekable(file: Any, name: str) -> BinaryFile:
    """A file that can be sought: itself, or what can be read of a pipe or a download."""
    try:
        if file.seekable():
            file.seek(0)
            if isinstance(file.read(0), bytes):
                return file
        else:
            # One byte more than is allowed tells that there are too many, however long the stream.
            content = file.read(MAX_BYTES + 1)
            if isinstance(content, bytes):
                return io.BytesIO(content)
    except Exception as error:  # objects that only look like files raise anything
        raise InvalidImageError(f"{name} can't be read: {_reason(error)}.") from error
    raise InvalidImageError(f"{name} can't be read: it gives text; open it in binary mode.")


def _reason(error: Exception) -> str:
    """Why something failed, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def _copied(array: np.ndarray, max_pixels: int) -> UInt8[np.ndarray, "H W 3"]:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise InvalidImageError(
            f"An array must be uint8 RGB of shape [H, W, 3] with H, W >= 1, "
            f"got {array.dtype} of shape {list(array.shape)}."
        )
    check_size(array.shape[1], array.shape[0], "The array", max_pixels)
    return np.array(array, order="C")


def _decode(image: Image.Image, name: str) -> UInt8[np.ndarray, "H W 3"]:
    """Pixels of an opened image: load, to 8 bit, to sRGB, over white, turn upright."""
    # A phone's MPO holds further views or maps of one photo: that is no animation.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        logger.warning("%s holds several pictures; only one is used.", name)
    try:
        image.load()
        orientation = _orientation(image, name)
        return _turned_upright(_rgb(image, name), orientation)
    except Exception as error:
        raise InvalidImageError(f"{name} can't be decoded: {_reason(error)}.") from error


def _orientation(image: Image.Image, name: str) -> int:
    """EXIF's orientation, 1 to 8; of damaged EXIF data 1."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:  # Pillow's parser raises whatever it stumbles over
        logger.warning("The EXIF data of %s is ignored: %s.", name, _reason(error))
        return 1
    return orientation if orientation in range(1, 9) else 1


def _turned_upright(pixels: UInt8[np.ndarray, "h w 3"], orientation: int) -> UInt8[np.ndarray, "H W 3"]:
    """Undo EXIF's orientation: 5 to 8 are transposed, and each four come with either axis reversed."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _rgb(image: Image.Image, name: str) -> UInt8[np.ndarray, "H W 3"]:
    """A loaded image as 8-bit sRGB over white, converted strip by strip."""
    width, height = image.size
    profile = _Profile.of(image, name)
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = _to_eight_bits(image.crop((0, top, width, min(top + rows, height))))
        pixels[top : top + rows] = np.asarray(_over_white(_to_srgb(strip, profile)))
    return pixels


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """8-bit L, RGB, RGBA or CMYK. 16-bit colour needs no care here: Pillow keeps the high bytes."""
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"grayscale values of {values.min()} to {values.max()} don't fit 16 bits")
        # 65535 / 257 is 255 exactly: white stays white.
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


@dataclass(frozen=True, slots=True)
class _Profile:
    """The way from an embedded ICC profile to sRGB."""

    mode: str
    """Pillow's mode of the colours that the profile describes."""
    to_srgb: ImageCms.ImageCmsTransform

    @classmethod
    def of(cls, image: Image.Image, name: str) -> "_Profile | None":
        """The profile of a loaded image, if it has one that fits."""
        content = image.info.get("icc_profile")
        if not content:
            return None
        mode = _to_eight_bits(image.crop((0, 0, 1, 1))).mode
        # Bytes 16 to 19 of a profile name its colours. A grayscale file may have become RGB through a
        # transparent colour or a palette.
        mode = "L" if content[16:20] == b"GRAY" else mode.removesuffix("A")
        try:
            source = ImageCms.getOpenProfile(io.BytesIO(content))
            target = ImageCms.createProfile("sRGB")
            return cls(mode, ImageCms.buildTransform(source, target, mode, "RGB"))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            logger.warning("The colour profile of %s is ignored: %s.", name, _reason(error))
            return None


def _to_srgb(image: Image.Image, profile: _Profile | None) -> Image.Image:
    """RGB or RGBA in sRGB."""
    if profile is None:
        return image if image.mode == "RGBA" else image.convert("RGB")
    converted = ImageCms.applyTransform(image.convert(profile.mode), profile.to_srgb)
    assert converted is not None
    # Profiles know no transparency.
    if image.mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    return converted


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
