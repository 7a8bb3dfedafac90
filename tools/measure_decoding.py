"""How much memory and time it takes to decode pictures at the limit of pixels, one process for each.

    python tools/measure_decoding.py
    python tools/measure_decoding.py --only png16 --only tiff16_alpha
    SIDE=8200 python tools/measure_decoding.py --only webp_alpha     # smaller pictures

Files of every kind are made in a temporary folder, each as costly as its format allows at 88.9 million
pixels. A row gives what came out, the process's peak of resident memory (MB) and the processor seconds that
it took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile

SIDE = int(os.environ.get("SIDE", "9428"))
"""Pixels of the pictures' sides; without the environment variable 88.9 million pixels."""

ImageFile.MAXBLOCK = 2**28  # progressive JPEGs are written in one piece

DECODE = """
import json, sys, time
from portrait3d.errors import InvalidImageError
from portrait3d.memory import peak_memory
from portrait3d.preprocessing.image import decode_photo
started = time.process_time()
try:
    outcome = "x".join(map(str, decode_photo(sys.argv[1]).pixels.shape))
except InvalidImageError as error:
    outcome = "refused: " + str(error).replace(sys.argv[1], "it")
seconds = time.process_time() - started
peak = round((peak_memory() or 0) / 2**20)
print(json.dumps({"outcome": outcome, "peak_mb": peak, "seconds": round(seconds, 1)}))
"""


def grain(channels: int, kind: type[np.unsignedinteger] = np.uint8) -> np.ndarray:
    """A noisy picture [SIDE, SIDE, channels]: one small tile, repeated."""
    tile = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (164, 164, channels), kind)
    times = -(-SIDE // len(tile))
    return np.ascontiguousarray(np.tile(tile, (times, times, 1))[:SIDE, :SIDE].squeeze())


def profile() -> bytes:
    """An sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(channels: int, mode: str | None = None, **settings: object) -> Callable[[Path], None]:
    """A maker of files with so many channels, converted to a mode, in the format of the file's ending."""

    def make(path: Path) -> None:
        image = Image.fromarray(grain(channels))
        (image.convert(mode) if mode else image).save(path, **settings)  # pyright: ignore[reportArgumentType]

    return make


def deep_grey(path: Path) -> None:
    """16-bit grayscale."""
    Image.fromarray(grain(1, np.uint16)).save(path, compress_level=1)


def raw_tiff(channels: int, bits: int) -> Callable[[Path], None]:
    """A maker of TIFFs of 8 or 16 bits in a single strip, compressed by PackBits or not at all."""

    def make(path: Path) -> None:
        import struct

        kind = np.uint8 if bits == 8 else np.uint16
        pixels = grain(channels, kind)
        photometric = 2 if channels >= 3 else 1
        tags = [
            (256, 4, 1, SIDE),
            (257, 4, 1, SIDE),
            (258, 3, 1, bits) if channels == 1 else (258, 3, channels, 8),
            (259, 3, 1, 1),
            (262, 3, 1, photometric),
            (273, 4, 1, 1024),
            (277, 3, 1, channels),
            (278, 4, 1, SIDE),
            (279, 4, 1, pixels.nbytes),
        ]
        if channels == 4:
            tags.append((338, 3, 1, 2))
        header = struct.pack("<2sHI", b"II", 42, 16) + struct.pack(f"<{4}H", *[bits] * 4)
        directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        with path.open("wb") as file:
            file.write((header + directory + bytes(4)).ljust(1024, b"\0"))
            file.write(pixels.tobytes())

    return make


MAKERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "png": (".png", saved(3, compress_level=1)),
    "png16": (".png", deep_grey),
    "png_rgba_icc": (".png", saved(4, compress_level=1, icc_profile=profile())),
    "png_palette": (".png", saved(3, "P", compress_level=1)),
    "jpeg": (".jpg", saved(3, quality=90, subsampling=0)),
    "jpeg_icc": (".jpg", saved(3, quality=90, subsampling=0, icc_profile=profile())),
    "jpeg_turned": (
        ".jpg",
        saved(3, quality=90, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
    ),
    "jpeg_progressive": (".jpg", saved(3, quality=20, subsampling=0, progressive=True)),
    "jpeg_cmyk_progressive": (".jpg", saved(3, "CMYK", quality=20, progressive=True)),
    "webp": (".webp", saved(3, quality=50, method=0)),
    "webp_alpha": (".webp", saved(4, quality=50, method=0)),
    "webp_lossless": (".webp", saved(4, lossless=True, method=0, quality=0)),
    "avif": (".avif", saved(3, quality=50, speed=10)),
    "avif_444_alpha": (".avif", saved(4, quality=50, speed=10, subsampling="4:4:4")),
    "tiff": (".tif", raw_tiff(3, 8)),
    "tiff16": (".tif", raw_tiff(3, 16)),
    "tiff16_alpha": (".tif", raw_tiff(4, 16)),
    "tiff_lzw": (".tif", saved(3, compression="tiff_lzw")),
    "tiff_lzw_turned": (".tif", saved(3, compression="tiff_lzw", tiffinfo={274: 6})),
    "tiff_cmyk_jpeg": (".tif", saved(3, "CMYK", compression="jpeg")),
    "gif": (".gif", saved(3, "P")),
    "bmp": (".bmp", saved(3)),
}
"""Ending and maker of every kind of file."""


def make_file(name: str, path: Path) -> None:
    """Make a file of a kind."""
    MAKERS[name][1](path)


def main() -> None:
    """Print one row for each kind of file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", action="append", choices=MAKERS, help="kinds to measure; default: all")
    parser.add_argument("--keep", type=Path, help="folder that keeps the files for the next time")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in chosen.only or MAKERS:
            path = folder / f"{name}{MAKERS[name][0]}"
            if not path.exists():
                maker = get_context("spawn").Process(target=make_file, args=(name, path))
                maker.start()
                maker.join()
            done = subprocess.run(
                [sys.executable, "-c", DECODE, str(path)], capture_output=True, text=True, check=True
            )
            row = json.loads(done.stdout)
            print(f"{name:24s} {row['peak_mb']:6d} MB {row['seconds']:6.1f} s  {row['outcome']}", flush=True)


if __name__ == "__main__":
    main()
