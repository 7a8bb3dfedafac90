"""What a picture costs to decode, told by its header: pictures that cost too much are refused before."""

import math
import os
import re
from typing import Protocol, runtime_checkable

from PIL import Image

from portrait3d.errors import InvalidImageError

MAX_PIXELS = 89_000_000
"""Larger pictures are refused. Just below the number at which Pillow itself warns."""
MAX_BYTES = 1_100_000_000
"""Memory that decoding may take at its peak, and how large a file may be."""
BYTES_PER_PIXEL = {"WEBP": 16, "AVIF": 20, "HEIF": 20}
"""Peak of the decoders that hold copies of their own and the whole file (`tools/measure_decoding.py`)."""
MAX_SCANS = 100
"""Scans of a JPEG; progressive ones have about ten. Every scan may pass over all pixels, so that a small file
can take as long as many large ones."""
MAX_SCANNED = 20 * MAX_PIXELS
"""Pixels that a JPEG may pass over in all of its scans."""
MAX_RUN_LENGTH_PIXELS = 16_000_000
"""Pixels of a run-length encoded BMP, which Pillow decodes in Python."""

MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
"""A marker in a JPEG, but none of those that its coded data is full of: stuffing, restarts and fill bytes."""
START_OF_SCAN, END_OF_IMAGE = b"\xda", b"\xd9"
TILE_WIDTH, TILE_LENGTH, ROWS_PER_STRIP, SAMPLES, BITS = 322, 323, 278, 277, 258
"""Tags of TIFF."""


@runtime_checkable
class BinaryFile(Protocol):
    """What is asked of a file that is open for reading in binary mode."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, all of them by default."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a position and return it."""
        ...


def check_size(width: int, height: int, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `InvalidImageError` for a picture without pixels or with too many."""
    if width < 1 or height < 1:
        raise InvalidImageError(f"{name} has no pixels: {width} x {height}.")
    if width * height > max_pixels:
        raise InvalidImageError(
            f"{name} has {width} x {height} = {width * height / 1e6:.0f} million pixels, "
            f"more than {max_pixels / 1e6:.0f} million."
        )


def check_file_size(size: int, name: str) -> None:
    """Raise `InvalidImageError` for a file (bytes) that is empty or too large to be read."""
    if size == 0:
        raise InvalidImageError(f"{name} can't be read: it is empty.")
    if size > MAX_BYTES:
        raise InvalidImageError(
            f"{name} can't be read: it has {size / 1e9:.1f} GB, more than {MAX_BYTES / 1e9:.1f} GB."
        )


def check_cost(image: Image.Image, file: BinaryFile, name: str) -> None:
    """Raise `InvalidImageError` for an opened picture whose decoding would take too much memory or time."""
    megapixels = image.width * image.height / 1e6
    needed = bytes_needed(image, file_size(file))
    if needed > MAX_BYTES:
        raise InvalidImageError(
            f"{name} can't be read: a {image.format} of its kind with {megapixels:.0f} million pixels "
            f"takes {needed / 1e9:.1f} GB to decode, more than {MAX_BYTES / 1e9:.1f} GB."
        )
    # Many scans and long runs are cheap to store and take long to decode.
    if image.format in ("JPEG", "MPO"):
        scans = jpeg_scans(file)
        if scans > MAX_SCANS or scans * image.width * image.height > MAX_SCANNED:
            raise InvalidImageError(
                f"{name} can't be read: a JPEG of {megapixels:.0f} million pixels in {scans} scans "
                "takes too long to decode."
            )
    if _codec(image) == "bmp_rle" and image.width * image.height > MAX_RUN_LENGTH_PIXELS:
        raise InvalidImageError(
            f"{name} can't be read: a run-length encoded BMP of {megapixels:.0f} million pixels "
            "takes too long to decode."
        )


def bytes_needed(image: Image.Image, file_bytes: int) -> int:
    """Memory that a decoder takes beyond Pillow's usual four bytes a pixel, with those, at its peak."""
    pixels = image.width * image.height
    if image.format in BYTES_PER_PIXEL:
        return pixels * BYTES_PER_PIXEL[image.format] + file_bytes
    if _codec(image) == "libtiff":
        return pixels * 4 + _tiff_chunk_bytes(image)
    return pixels * 4


def jpeg_scans(file: BinaryFile) -> int:
    """How many scans the first picture in a JPEG file has."""
    file.seek(0)
    content = file.read()
    file.seek(0)
    # Segments are skipped by their lengths, so that a thumbnail inside one isn't counted; a scan's own data
    # is searched for the next marker. Lengths below 2 are broken, and must not stop the search where it is.
    scans, at = 0, 2
    while (marker := MARKER.search(content, at)) and marker[1] != END_OF_IMAGE:
        scans += marker[1] == START_OF_SCAN
        end = marker.end()
        at = end + max(2, int.from_bytes(content[end : end + 2], "big"))
    return scans


def file_size(file: BinaryFile) -> int:
    """Bytes of a file that can be sought; it is left at its beginning."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _tiff_chunk_bytes(image: Image.Image) -> int:
    """Size of a TIFF's strips or tiles, which libtiff unpacks as a whole; a tile may exceed the picture."""
    tags = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
    width = tags.get(TILE_WIDTH, image.width)
    rows = tags.get(TILE_LENGTH, min(image.height, tags.get(ROWS_PER_STRIP, image.height)))
    bits = tags.get(BITS, (1,))
    return math.ceil(width * rows * tags.get(SAMPLES, 1) * max(bits) / 8)


def _codec(image: Image.Image) -> str | None:
    """Pillow's decoder for an opened picture."""
    tiles = getattr(image, "tile", None)
    return tiles[0].codec_name if tiles else None
