"""Pictures, label maps and depth maps as image files."""

import io
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from portrait3d.errors import MissingPackageError
from portrait3d.export.files import write_together

DEPTH_UNIT = 0.1
"""Millimetres of one step in a depth image; 0 means no depth."""
EXR_MISSING = "EXR files need the library OpenEXR: pip install 'portrait3d[exr]'."
PARSING_COLOURS = (
    (0, 0, 0),
    (234, 181, 142),
    (124, 77, 41),
    (66, 150, 214),
    (228, 92, 84),
    (176, 32, 74),
    (246, 214, 120),
    (92, 168, 92),
    (150, 104, 196),
)
"""RGB of background, face, hair, left ear, right ear, inner mouth, neck, body and headwear."""
SETTINGS = {
    ".png": {"format": "PNG", "compress_level": 4},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95, "method": 4, "exact": True},
}


def save_image(pixels: UInt8[np.ndarray, "H W 3"], path: str | Path) -> Path:
    """Write an RGB picture as .png, .jpg or .webp; `ValueError` for any other ending."""
    path = Path(path)
    write_together({path: encode_image(pixels, path.suffix)})
    return path


def encode_image(pixels: UInt8[np.ndarray, "H W C"], suffix: str = ".png") -> bytes:
    """An RGB picture, or RGB and alpha, as the content of a file with that ending."""
    if suffix.lower() not in SETTINGS:
        raise ValueError(f"A picture's name must end in {', '.join(SETTINGS)}, got {suffix!r}.")
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, **SETTINGS[suffix.lower()])
    return stream.getvalue()


def encode_parsing(labels: UInt8[np.ndarray, "H W"]) -> bytes:
    """Labels 0 to 8 as a palette PNG: the pixels' values are the classes."""
    image = Image.fromarray(labels)
    image.putpalette([channel for colour in PARSING_COLOURS for channel in colour])
    stream = io.BytesIO()
    image.save(stream, format="PNG", bits=8)
    return stream.getvalue()


def encode_depth(depth: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]) -> bytes:
    """Depth (mm) as a 16-bit grayscale PNG in steps of 0.1 mm, up to 6.5 m; 0 where not valid."""
    steps = np.where(valid, np.clip(np.round(depth / DEPTH_UNIT), 1, 65535), 0).astype(np.uint16)
    stream = io.BytesIO()
    Image.fromarray(steps).save(stream, format="PNG")
    return stream.getvalue()


def encode_tiff(values: Float[np.ndarray, "H W"]) -> bytes:
    """Numbers as a TIFF of 32-bit floating point, which keeps NaN and infinity."""
    stream = io.BytesIO()
    Image.fromarray(values.astype(np.float32)).save(stream, format="TIFF", compression="tiff_adobe_deflate")
    return stream.getvalue()


def encode_exr(depth: Float[np.ndarray, "H W"]) -> bytes:
    """Depth as an OpenEXR file's channel Z of 32-bit floating point, losslessly packed.

    Raises `MissingPackageError` where OpenEXR is not installed.
    """
    try:
        import OpenEXR
    except ModuleNotFoundError:
        raise MissingPackageError(EXR_MISSING) from None
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with tempfile.TemporaryDirectory() as name:  # the library writes to files alone
        file = Path(name) / "depth.exr"
        OpenEXR.File(header, {"Z": depth.astype(np.float32)}).write(str(file))
        return file.read_bytes()
