"""Labelled folders packed into a few tar files, so that a large data set is no million small ones.

A place for shards, a folder or a URL that fsspec knows, holds `shards.npz` and the tar files that it lists:
the name of every packed file below the data's root, the tar that it is in, where it begins there and how long
it is. Every file can be read by itself, so nothing changes for whoever draws samples. In the tars files of
one photo stand together, named as WebDataset groups them: `portraits/ID.images.jpg`, `ID.parsing.png`.
"""

import csv
import functools
import io
import os
import tarfile
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from portrait3d.names import url_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

INDEX = "shards.npz"
TABLES = ("index.csv", "landmarks.npz", "pairs.csv")
"""Of a labelled folder; the last one is of clips alone."""
LABELS = ("images/{}.jpg", "parsing/{}.png", "hair/{}.png", "figure/{}.png")
"""Of a photo; all but the first may be missing."""
BLOCK = 512
"""Files in a tar are filled up to whole blocks of so many bytes."""


@dataclass(frozen=True, eq=False)
class Shards:
    """A place for shards, with its index."""

    place: str
    tars: tuple[str, ...]
    names: np.ndarray = field(repr=False)
    """Names in UTF-8, sorted."""
    tar: np.ndarray = field(repr=False)
    """Of each file the number of its tar; likewise its first byte there and how many it has."""
    start: np.ndarray = field(repr=False)
    size: np.ndarray = field(repr=False)

    def find(self, name: str) -> int | None:
        """The number of a file, if there is one of this name."""
        wanted = np.bytes_(name.encode())
        number = int(np.searchsorted(self.names, wanted))
        return number if number < len(self.names) and self.names[number] == wanted else None

    def read(self, name: str) -> bytes:
        """The bytes of a file; `FileNotFoundError` if there is none of this name."""
        number = self.find(name)
        if number is None:
            raise FileNotFoundError(f"{self.place} holds no {name}.")
        store, root = _store(self.place, os.getpid())
        start, size = int(self.start[number]), int(self.size[number])
        found = store.cat_file(f"{root}/{self.tars[self.tar[number]]}", start=start, end=start + size)
        if len(found) != size:
            raise OSError(f"{self.place}/{self.tars[self.tar[number]]} ends within {name}.")
        return found


@dataclass(frozen=True, slots=True)
class Packed:
    """A file or folder inside shards, with what readers of labelled folders ask of a `Path`."""

    shards: Shards
    inside: str = ""
    """Its name below the data's root."""

    def __truediv__(self, name: str) -> "Packed":
        return Packed(self.shards, f"{self.inside}/{name}" if self.inside else name)

    def __str__(self) -> str:
        return f"{self.shards.place}/{self.inside}"

    @property
    def parent(self) -> "Packed":
        """The folder that it is in."""
        return Packed(self.shards, self.inside.rpartition("/")[0])

    @property
    def name(self) -> str:
        """Its own name, without the folder's."""
        return self.inside.rpartition("/")[2]

    def is_file(self) -> bool:
        """Whether there is a file of this name."""
        return self.shards.find(self.inside) is not None

    def open(self, mode: str = "r", *, newline: str | None = None) -> Any:
        """The file, as text (UTF-8) or, in mode "rb", as bytes; `FileNotFoundError` if there is none."""
        content = io.BytesIO(self.shards.read(self.inside))
        return content if mode == "rb" else io.TextIOWrapper(content, encoding="utf-8", newline=newline)


Place = Path | Packed


def data_root(root: Path | str) -> Place:
    """The root of labelled folders: a directory, or what is packed in the shards that it or a URL holds."""
    url = url_of(root)
    if url or (Path(root) / INDEX).is_file():
        return Packed(_opened(url or str(root)))
    return Path(root)


def pack(root: Path, out: str, folders: Sequence[str], shard_bytes: int) -> Generator[str, None, None]:
    """Pack labelled folders into tars of about `shard_bytes` in a folder or store; yields the tars' names.

    The index is written last, so that an interrupted start leaves no shards that can be read. Raises
    `FileExistsError` if there are shards already, `FileNotFoundError` for a folder without index.
    """
    store, place = _store(out, os.getpid())
    if store.exists(f"{place}/{INDEX}"):
        raise FileExistsError(f"{out} holds shards already.")
    store.makedirs(place, exist_ok=True)
    rows: list[tuple[bytes, int, int, int]] = []
    tars: list[str] = []
    files = packed_files(root, folders)
    pending = next(files, None)
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch) / "shard"
        while pending is not None:
            with tarfile.open(here, "w") as tar:
                while pending is not None and tar.offset < shard_bytes:
                    name, member = pending
                    rows.append((name.encode(), len(tars), *_added(tar, root / name, member)))
                    pending = next(files, None)
            tars.append(f"shard-{len(tars):05}.tar")
            store.put_file(str(here), f"{place}/{tars[-1]}")
            yield tars[-1]
        rows.sort()
        names, numbers, starts, sizes = (np.array(column) for column in zip(*rows, strict=True))
        np.savez(here, tars=np.array(tars), names=names, tar=numbers, start=starts, size=sizes)
        store.put_file(f"{here}.npz", f"{place}/{INDEX}")


def packed_files(root: Path, folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Files of labelled folders below their root, those of one photo together, and their names in tars."""
    for folder in folders:
        index = root / folder / TABLES[0]
        if not index.is_file():
            raise FileNotFoundError(f"{index} is missing.")
        for name in TABLES:
            if (root / folder / name).is_file():
                yield f"{folder}/{name}", f"{folder}/{name}"
        with index.open(newline="") as file:
            identities = [row["id"] for row in csv.DictReader(file)]
        for identity in identities:
            for label in LABELS:
                name = f"{folder}/{label.format(identity)}"
                if (root / name).is_file():
                    kind, ending = label.split("/{}")
                    yield name, f"{folder}/{identity}.{kind}{ending}"


def _added(tar: tarfile.TarFile, path: Path, member: str) -> tuple[int, int]:
    """Append a file under a name to a tar; where it begins and how long it is."""
    # Names and contents alone decide what a tar holds, not who packed it and when.
    entry = tarfile.TarInfo(member)
    entry.size = path.stat().st_size
    with path.open("rb") as file:
        tar.addfile(entry, file)
    return tar.offset - -(-entry.size // BLOCK) * BLOCK, entry.size


@functools.lru_cache
def _opened(place: str) -> Shards:
    store, root = _store(place, os.getpid())
    if not store.exists(f"{root}/{INDEX}"):
        raise FileNotFoundError(f"{place} holds no {INDEX}.")
    with np.load(io.BytesIO(store.cat_file(f"{root}/{INDEX}")), allow_pickle=False) as table:
        tars = tuple(map(str, table["tars"]))
        return Shards(place, tars, *(table[name] for name in ("names", "tar", "start", "size")))


@functools.lru_cache
def _store(place: str, process: int) -> "tuple[AbstractFileSystem, str]":
    """The file system of a place and its root there; connections are of one process, not of its forks."""
    from fsspec.core import url_to_fs

    return url_to_fs(place, skip_instance_cache=True)
