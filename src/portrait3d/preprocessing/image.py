"""Decoding of photos: any common file, Pillow image or array becomes upright 8-bit sRGB pixels."""

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps

from portrait3d.errors import InvalidImageError

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow's decoders that are used; the others are rare in photos, and some start outside programs."""
MAX_PIXELS = 89_000_000
"""Larger pictures are refused before decoding. Just below the number at which Pillow itself warns."""
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Modes of 16-bit grayscale; Pillow's own conversion to 8 bit clips them. Older ones give `I` for PNG."""

PhotoSource: TypeAlias = str | Path | Image.Image | np.ndarray
"""A file, a Pillow image or a uint8 RGB array [H, W, 3]."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo."""

    pixels: UInt8[np.ndarray, "H W 3"]
    """Upright sRGB."""
    name: str
    """What messages call it: the path that was given, or a few words."""


def decode_photo(photo: PhotoSource) -> Photo:
    """Read a photo: JPEG, PNG, WebP, GIF, BMP or TIFF, a Pillow image, or a uint8 RGB array [H, W, 3].

    The EXIF orientation is applied, colours are converted from the embedded ICC profile to sRGB, 16-bit
    channels become 8-bit, transparent pixels are laid over white. Of an animation the first frame is taken
    (of a Pillow image the current one) and a warning logged. Anything else raises InvalidImageError.
    """
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
            raise InvalidImageError(
                f"An array must be uint8 RGB of shape [H, W, 3] with H, W >= 1, "
                f"got {photo.dtype} of shape {list(photo.shape)}."
            )
        _check_size(photo.shape[1], photo.shape[0], "The array")
        return Photo(np.ascontiguousarray(photo), "the array")
    if isinstance(photo, Image.Image):
        name = str(getattr(photo, "filename", "") or "the Pillow image")
        return Photo(_decode(photo, name), name)
    if not isinstance(photo, (str, Path)):
        raise InvalidImageError(
            f"A photo must be a path, a Pillow image or a uint8 RGB array, got {type(photo).__name__}."
        )
    path, name = Path(photo), str(photo)
    try:
        _check_file(path)
        with Image.open(path, formats=FORMATS) as image:
            return Photo(_decode(image, name), name)
    except InvalidImageError:
        raise
    except OSError as error:
        reason = error.strerror or "it is no JPEG, PNG, WebP, GIF, BMP or TIFF picture"
        raise InvalidImageError(f"{name} can't be read: {reason}.") from error
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise InvalidImageError(f"{name} can't be read: {error}.") from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InvalidImageError(f"{path} can't be read: it is a directory.")
    if not path.exists():
        raise InvalidImageError(f"{path} can't be read: there is no such file.")
    if not path.is_file():
        raise InvalidImageError(f"{path} can't be read: it is no ordinary file.")
    if path.stat().st_size == 0:
        raise InvalidImageError(f"{path} can't be read: it is empty.")


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise InvalidImageError(f"{name} has no pixels: {width} x {height}.")
    if width * height > MAX_PIXELS:
        raise InvalidImageError(
            f"{name} has {width} x {height} = {width * height / 1e6:.0f} million pixels, "
            f"more than {MAX_PIXELS / 1e6:.0f} million."
        )


def _decode(image: Image.Image, name: str) -> UInt8[np.ndarray, "H W 3"]:
    """Pixels of an opened image: load, turn upright, to 8 bit, to sRGB, over white."""
    _check_size(*image.size, name)
    if getattr(image, "is_animated", False) and image.format != "MPO":
        logger.warning("%s holds several pictures; only one is used.", name)
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        return np.array(_over_white(_to_srgb(_to_eight_bits(upright), name)))
    except Exception as error:
        raise InvalidImageError(f"{name} can't be decoded: {error}.") from error


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """8-bit L, RGB, RGBA or CMYK. 16-bit colour needs no care here: Pillow keeps the high bytes."""
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"grayscale values of {values.min()} to {values.max()} don't fit 16 bits")
        converted = Image.fromarray(np.round(values / 257).astype(np.uint8))
        converted.info = image.info
        return converted
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    """RGB or RGBA in sRGB, by the embedded ICC profile if there is one that fits."""
    profile = image.info.get("icc_profile")
    if profile:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        try:
            source = ImageCms.getOpenProfile(io.BytesIO(profile))
            # A grayscale file may have become RGB through a transparent colour or a palette.
            if profile[16:20] == b"GRAY":
                image = image.convert("L")
            converted = ImageCms.profileToProfile(
                image.convert("RGB") if alpha and image.mode != "L" else image,
                source,
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            logger.warning("The colour profile of %s is ignored: %s.", name, error)
        else:
            assert converted is not None
            if alpha:
                converted.putalpha(alpha)
            return converted
    return image if image.mode == "RGBA" else image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
