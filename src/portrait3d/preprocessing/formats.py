"""Kinds of picture files: which are read, and how the others are refused by name."""

import ctypes
import logging
import warnings
from pathlib import Path
from typing import IO, cast

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from portrait3d.preprocessing.decoding_cost import BinaryFile

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""Pillow's decoders that are used; the others are rare in photos, and some start outside programs."""
READ = "JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF"
"""The same for people."""
_NAMES = """
    jpg jpeg jpe jfif png apng webp avif avifs gif bmp dib tif tiff mpo heic heif hif
    dng cr2 cr3 crw nef nrw arw sr2 raf orf rw2 pef srw x3f 3fr iiq mrw raw
    jp2 j2k jxl psd ico tga ppm pgm pnm exr hdr svg eps
"""
ENDINGS = frozenset(f".{name}" for name in _NAMES.split())
"""Endings of files that people call pictures, whether they can be read or not."""

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
HEIC_MISSING = "it is HEIC, which is read where pillow-heif is installed: pip install 'portrait3d[heic]'"
RAW_REFUSED = "it is a raw photo ({}), which has to be developed first: give a JPEG, PNG or 16-bit TIFF of it"

RAW_SIGNATURES = (
    (0, b"FUJIFILMCCD-RAW", "Fujifilm RAF"),
    (0, b"IIRO", "Olympus ORF"),
    (0, b"IIRS", "Olympus ORF"),
    (0, b"MMOR", "Olympus ORF"),
    (0, b"IIU\0", "Panasonic RW2"),
    (0, b"FOVb", "Sigma X3F"),
    (0, b"\0MRM", "Minolta MRW"),
    (4, b"ftypcrx ", "Canon CR3"),
    (6, b"HEAPCCDR", "Canon CRW"),
    (8, b"CR\2", "Canon CR2"),
    (8, b"IIII", "Phase One IIQ"),
)
"""Offset, bytes and name of cameras' own formats. Others look like TIFF, see `_tiff_refusal`."""
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", *TIFF_STARTS)

# Tags of TIFF and values of them, by the names of its specification.
SUBFILE_TYPE, BITS, PHOTOMETRIC, SAMPLES = 254, 258, 262, 277
SUB_IFDS, SAMPLE_FORMAT, DNG_VERSION = 330, 339, 50706
REDUCED, SENSOR, FLOATING = 1, (32803, 34892), 3

# Pillow logs an error before it raises it, which Python prints where no logging is set up.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def open_image(file: BinaryFile) -> Image.Image:
    """Open a picture file, without decoding its pixels.

    Raises `ValueError` with the reason for a kind of picture that is not read, and whatever Pillow stumbles
    over for a damaged one.
    """
    quieten_pillow()
    head = file.read(64)
    file.seek(0)
    if reason := _refusal(head) or _tiff_refusal(file, head):
        raise ValueError(reason)
    if _is_heif(head):
        return _open_heif(file)
    try:
        return Image.open(cast(IO[bytes], file), formats=FORMATS)
    except UnidentifiedImageError:
        if head.startswith(TIFF_STARTS):
            raise ValueError(f"it is damaged, or {_tiff_kind(_tiff_tags(file, head))}") from None
        raise ValueError(f"it is no {READ} picture") from None


def looks_like_picture(path: Path) -> bool:
    """Whether a file's name or its first bytes say that it is a picture, readable or not."""
    if path.suffix.lower() in ENDINGS:
        return True
    if not path.is_file():  # opening a pipe would wait for somebody to write
        return False
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return False
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_container = bool(_brands(head) & (AVIF_BRANDS | HEIF_BRANDS))
    return is_webp or is_container or head.startswith(SIGNATURES) or _refusal(head) is not None


def quieten_pillow() -> None:
    """Keep Pillow and libtiff from printing what they think of damaged files.

    The filter stays: `warnings.catch_warnings` swaps the filters of all threads, and threads that leave it in
    another order than they entered would put the wrong ones back.
    """
    for category in (UserWarning, Image.DecompressionBombWarning):
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")
    _silence_libtiff()


def _silence_libtiff() -> None:
    """Take away libtiff's handlers, which write to the process's stderr whatever Python does.

    Pillow has no setting for it, but its extension module has libtiff among its libraries. Where libtiff is
    built into Pillow (Windows), its functions can't be reached and it goes on.
    """
    try:
        libtiff = ctypes.CDLL(Image.core.__file__)
        libtiff.TIFFSetErrorHandler(None)
        libtiff.TIFFSetWarningHandler(None)
    except (AttributeError, OSError, TypeError):
        pass


def _refusal(head: bytes) -> str | None:
    """Why a file that begins like this is not read, if its first bytes tell."""
    for offset, signature, kind in RAW_SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return RAW_REFUSED.format(kind)
    return None


def _brands(head: bytes) -> set[bytes]:
    """What a file in the ISO container (AVIF, HEIC) says it is compatible with."""
    if head[4:8] != b"ftyp":
        return set()
    # A box of type ftyp: its size, the type, a major brand, a version and the compatible brands.
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _is_heif(head: bytes) -> bool:
    # AVIF files name HEIF brands too, as both are images in the same container.
    brands = _brands(head)
    return bool(brands & HEIF_BRANDS) and not brands & AVIF_BRANDS


def _open_heif(file: BinaryFile) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ValueError(HEIC_MISSING) from None
    return HeifImageFile(file)


def _tiff_tags(file: BinaryFile, head: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags of a TIFF's first picture; of a damaged file, those that can be read."""
    # BigTIFF (version 43) has 64-bit offsets and a longer header.
    header = head[: 16 if head[2] == 43 or head[3] == 43 else 8]
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(tags.next)
        tags.load(cast(IO[bytes], file))
    except Exception:  # damaged; Pillow's parser raises whatever it stumbles over
        pass
    finally:
        file.seek(0)
    return tags


def _tiff_refusal(file: BinaryFile, head: bytes) -> str | None:
    """Why a TIFF is not read: raw photos carry the format's name, and floating-point pixels have no range."""
    if not head.startswith(TIFF_STARTS):
        return None
    tags = _tiff_tags(file, head)
    if DNG_VERSION in tags:
        return RAW_REFUSED.format("DNG")
    # A camera's raw file begins with a thumbnail, and leads on to the sensor's values.
    is_thumbnail = tags.get(SUBFILE_TYPE) == REDUCED and SUB_IFDS in tags
    if is_thumbnail or tags.get(PHOTOMETRIC) in SENSOR:
        return RAW_REFUSED.format("a camera's TIFF")
    if FLOATING in _values(tags, SAMPLE_FORMAT):
        return f"{_tiff_kind(tags)}, which have no known range: save it with 8 or 16 bits"
    return None


def _tiff_kind(tags: TiffImagePlugin.ImageFileDirectory_v2) -> str:
    """What a TIFF's pixels are, in words."""
    bits = max(_values(tags, BITS), default=1)
    numbers = "floating-point numbers" if FLOATING in _values(tags, SAMPLE_FORMAT) else "integers"
    return f"a TIFF of {max(_values(tags, SAMPLES), default=1)} x {bits}-bit {numbers}"


def _values(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int) -> list[int]:
    """A tag's whole numbers, however many there are."""
    value = tags.get(tag, ())
    return [number for number in (value if isinstance(value, tuple) else (value,)) if isinstance(number, int)]
