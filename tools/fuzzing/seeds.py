"""Small sound pictures of every kind, to be damaged."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

SIDE = 40
"""Pixels of the pictures' longer side."""
ORIENTATION = 0x0112


def seeds() -> dict[str, bytes]:
    """Files by name: formats that are read, those that are refused, and what each of them may hold."""
    return dict([*_jpegs(), *_pngs(), *_webps_and_avifs(), *_tiffs(), *_others()])


def encoded(image: Image.Image, kind: str, **settings: object) -> bytes:
    """A picture as the content of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its check sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_by_hand(values: np.ndarray, colour_type: int, *, interlaced: bool = False) -> bytes:
    """A PNG of 8 or 16 bits [H, W, C]; Pillow writes neither 16-bit colour nor interlaced ones."""
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8 * values.itemsize, colour_type, 0, 0, int(interlaced))
    # The seven passes of Adam7: first row and column, and their steps.
    adam7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = adam7 if interlaced else ((0, 0, 1, 1),)
    rows = [
        b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes()
        for top, left, down, right in passes
        for row in values[top::down, left::right]
        if row.size
    ]
    content = png_chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + content + png_chunk(b"IEND", b"")


def _picture(mode: str = "RGB") -> Image.Image:
    """Soft colours with grain, without symmetry."""
    y, x = np.mgrid[: SIDE * 3 // 4, :SIDE]
    grain = np.random.default_rng(0).integers(0, 40, (*x.shape, 3))
    soft = np.stack([5 * x, 6 * y, 3 * (x + y)], axis=-1)
    return Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).convert(mode)


def _see_through() -> Image.Image:
    image = _picture("RGBA")
    image.putalpha(_picture("L"))
    return image


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "a maker of cameras"
    return exif.tobytes()


def _jpegs() -> Iterator[tuple[str, bytes]]:
    yield "jpeg", encoded(_picture(), "JPEG")
    yield "jpeg-progressive", encoded(_picture(), "JPEG", progressive=True)
    yield "jpeg-grey", encoded(_picture("L"), "JPEG")
    yield "jpeg-cmyk", encoded(_picture("CMYK"), "JPEG")
    yield "jpeg-cmyk-progressive", encoded(_picture("CMYK"), "JPEG", progressive=True)
    yield "jpeg-restarts", encoded(_picture(), "JPEG", restart_marker_rows=1)
    yield "jpeg-profile", encoded(_picture(), "JPEG", icc_profile=_profile())
    for orientation in range(1, 10):
        yield f"jpeg-orientation-{orientation}", encoded(_picture(), "JPEG", exif=_exif(orientation))
    yield "mpo", encoded(_picture(), "MPO", save_all=True, append_images=[_picture("L").convert("RGB")])


def _pngs() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = _picture("L").convert("I").convert("I;16") if mode == "I;16" else _picture(mode)
        yield f"png-{mode}", encoded(image, "PNG")
    yield "png-palette-transparent", encoded(_picture("P"), "PNG", transparency=bytes(range(0, 250, 5)))
    yield "png-colour-transparent", encoded(_picture(), "PNG", transparency=(10, 20, 30))
    yield "png-grey-transparent", encoded(_picture("L"), "PNG", transparency=7)
    yield "png-profile", encoded(_see_through(), "PNG", icc_profile=_profile())
    yield "png-exif", encoded(_picture(), "PNG", exif=_exif(6))
    yield "apng", encoded(_picture(), "PNG", save_all=True, append_images=[_picture().rotate(90)])
    for colour_type, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        values = np.random.default_rng(0).integers(0, 65536, (30, SIDE, channels), np.uint16)
        yield f"png-16-bit-{channels}", png_by_hand(values, colour_type)
        yield (
            f"png-interlaced-{channels}",
            png_by_hand((values >> 8).astype(np.uint8), colour_type, interlaced=True),
        )
        yield f"png-16-bit-interlaced-{channels}", png_by_hand(values, colour_type, interlaced=True)


def _webps_and_avifs() -> Iterator[tuple[str, bytes]]:
    yield "webp", encoded(_picture(), "WEBP")
    yield "webp-lossless", encoded(_see_through(), "WEBP", lossless=True)
    yield "webp-alpha", encoded(_see_through(), "WEBP", exif=_exif(3), icc_profile=_profile())
    yield "webp-moving", encoded(_picture(), "WEBP", save_all=True, append_images=[_picture().rotate(9)])
    yield "avif", encoded(_picture(), "AVIF", speed=10)
    yield "avif-alpha", encoded(_see_through(), "AVIF", speed=10, exif=_exif(8), icc_profile=_profile())
    yield "avif-grey", encoded(_picture("L"), "AVIF", speed=10, subsampling="4:0:0")
    yield "avif-moving", encoded(_picture(), "AVIF", speed=10, save_all=True, append_images=[_see_through()])


def _tiffs() -> Iterator[tuple[str, bytes]]:
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"):
        yield f"tiff-{compression}", encoded(_picture(), "TIFF", compression=compression)
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"):
        image = _picture("L").convert("I").convert("I;16") if mode == "I;16" else None
        if mode == "LAB":
            image = Image.merge("LAB", _picture().split())
        yield f"tiff-{mode}", encoded(image or _picture(mode), "TIFF")
    yield "tiff-fax", encoded(_picture("1"), "TIFF", compression="group4")
    yield "tiff-turned", encoded(_picture(), "TIFF", tiffinfo={ORIENTATION: 6}, compression="tiff_lzw")
    yield "tiff-big", encoded(_picture(), "TIFF", big_tiff=True)
    yield "tiff-pages", encoded(_picture(), "TIFF", save_all=True, append_images=[_picture("L")])


def _others() -> Iterator[tuple[str, bytes]]:
    for mode in ("L", "P", "RGB"):
        yield f"gif-{mode}", encoded(_picture(mode), "GIF")
    yield "gif-moving", encoded(_picture("P"), "GIF", save_all=True, append_images=[_picture("P").rotate(9)])
    yield "gif-transparent", encoded(_picture("P"), "GIF", transparency=3)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"bmp-{mode}", encoded(_picture(mode), "BMP")
    runs = bytes([SIDE, 7, 0, 0]) * 30 + bytes([0, 1])
    palette_bmp = bytearray(encoded(_picture("P"), "BMP"))
    start = int.from_bytes(palette_bmp[10:14], "little")
    palette_bmp[30:34] = struct.pack("<I", 1)  # run-length encoded
    yield "bmp-runs", bytes(palette_bmp[:start]) + runs
    # Refused, whatever is in them.
    for kind in ("ICO", "PPM", "TGA", "JPEG2000", "PCX", "DDS", "EPS", "PDF", "SGI", "IM"):
        yield kind.lower(), encoded(_picture(), kind)
    yield "heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(range(256))
    yield "text", b"This is no picture. " * 20
    yield "one-byte", b"\xff"
