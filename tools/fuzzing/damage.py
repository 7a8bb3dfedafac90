"""Ways to damage a file so that much of it still looks right."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

HEADER = 400
"""So many first bytes are damaged more often than the rest: sizes, tags and tables are there."""
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
"""Values at which programs go wrong."""


def damaged(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """A file after one to four kinds of damage; `others` are files to take pieces from."""
    for _ in range(rng.integers(1, 5)):
        if len(data) < 2:
            break
        way = WAYS[rng.integers(len(WAYS))]
        data = bytes(way(bytearray(data), others, rng))
    # Without right check sums, no reader of PNG looks at what is inside.
    return with_check_sums(data) if data.startswith(b"\x89PNG") and rng.random() < 0.8 else data


def with_check_sums(png: bytes) -> bytes:
    """A PNG with the check sum of every chunk set right."""
    fixed, at = bytearray(png), 8
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4], "big")
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = struct.pack(">I", zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    reach = min(HEADER, len(data)) if rng.random() < 0.6 else len(data)
    return int(rng.integers(reach))


def _cut(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(1, len(data))]


def _flip_bits(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    for _ in range(rng.integers(1, 9)):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def _set_bytes(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    for _ in range(rng.integers(1, 9)):
        data[_place(data, rng)] = int(rng.integers(256))
    return data


def _set_number(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    """A number of 2 or 4 bytes in either order, on an even place as in most headers."""
    at, size = _place(data, rng) & ~1, int(rng.choice([2, 4]))
    value = NUMBERS[rng.integers(len(NUMBERS))] if rng.random() < 0.5 else int(rng.integers(20_000))
    order = "big" if rng.random() < 0.5 else "little"
    data[at : at + size] = (value % 256**size).to_bytes(size, order)
    return data


def _remove(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    at = _place(data, rng)
    del data[at : at + int(rng.integers(1, 40))]
    return data


def _repeat(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    at = _place(data, rng)
    piece = data[at : at + int(rng.integers(1, 200))]
    return data[:at] + piece * int(rng.integers(2, 20)) + data[at:]


def _blank(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    at, size = _place(data, rng), int(rng.integers(1, 60))
    data[at : at + size] = bytes([int(rng.choice([0, 255]))]) * len(data[at : at + size])
    return data


def _splice(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> bytearray:
    other = others[int(rng.integers(len(others)))]
    return data[: _place(data, rng)] + other[int(rng.integers(len(other))) :]


WAYS = (_cut, _flip_bits, _flip_bits, _set_bytes, _set_number, _set_number, _remove, _repeat, _blank, _splice)
