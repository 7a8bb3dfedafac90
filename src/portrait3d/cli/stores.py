"""Photos in folders, lists and object stores, reconstructed by a cluster into a folder or an object store."""

import functools
import tempfile
from collections.abc import Generator, Iterator, Sequence
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from portrait3d.cli.batch import (
    COLUMNS,
    FAILED,
    LEFT,
    PARQUET,
    RECORD,
    Options,
    Result,
    files_of,
    folders,
    kept,
    reconstruct_one,
    recorded,
)
from portrait3d.cli.cluster import connected, work_on_cluster
from portrait3d.cli.console import describe
from portrait3d.cli.workers import DiedError
from portrait3d.names import in_one_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from portrait3d.pipeline import Portrait3D

NUMBERS = ("quality", "yaw", "pitch", "roll", "seconds")
"""Columns of the summary that hold fractions."""
ROWS = 10_000
"""Rows of the summary that are written together."""

Row = dict[str, Any]
"""What became of a face: a value or None for each of `COLUMNS`."""


def reconstruct_in_stores(
    sources: Sequence[str], out: str, options: Options, address: str
) -> Generator[Row, None, None]:
    """Reconstruct photos on a Ray cluster into directories of their own below `out`; yields a row for each.

    Sources and `out` are paths or URLs that fsspec knows (`s3://`, `gs://`, `file://`). The file that tells
    that a photo is done is written last, so a photo is finished or not begun; a cluster's machines need no
    common file system if both are URLs of object stores. What was finished by an earlier start with the same
    options is kept. `out/summary.parquet` tells about all photos, also after an interruption.
    """
    photos = list(photos_in(sources))
    out = _absolute(out)
    places = [place.as_posix() for _, place in folders([Path(photo) for photo in photos], Path())]
    left = dict(enumerate(zip(photos, places, strict=True)))
    with connected(address):
        summary = ParquetSummary()
        try:
            tasks = zip(photos, repeat(out), places, repeat(options), strict=False)
            for number, rows in work_on_cluster(tasks, reconstruct_from_store):
                photo, place = left.pop(number)
                if isinstance(rows, DiedError):
                    reason = in_one_line(f"{photo}: {rows}")
                    rows = [_row(photo, f"{out}/{place}", FAILED, error=reason)]
                for row in rows:
                    summary.add(row)
                    yield row
        finally:
            for photo, place in left.values():
                summary.add(_row(photo, f"{out}/{place}", LEFT))
            summary.write(out)


def photos_in(sources: Sequence[str]) -> Iterator[str]:
    """URLs of photos: a folder stands for the pictures in it, a .txt file for the photos on its lines.

    Raises `FileNotFoundError` for a folder without pictures, told by the ends of their names.
    """
    from fsspec.core import url_to_fs

    from portrait3d.preprocessing.formats import ENDINGS

    for source in sources:
        store, path = url_to_fs(source)
        if PurePosixPath(path).suffix.lower() == ".txt":
            lines = store.cat_file(path).decode().splitlines()
            yield from (_absolute(line.strip()) for line in lines if line.strip())
        elif store.isdir(path):
            inside = sorted(store.ls(path, detail=False))
            found = [name for name in inside if PurePosixPath(name).suffix.lower() in ENDINGS]
            if not found:
                raise FileNotFoundError(f"{source} holds no picture.")
            yield from map(store.unstrip_protocol, found)
        else:
            yield store.unstrip_protocol(path)


def reconstruct_from_store(photo: str, out: str, place: str, options: Options) -> list[Row]:
    """Reconstruct one photo into `out/place`, or find that this was done; every error becomes a row."""
    from fsspec.core import url_to_fs

    model = pipeline(options.models)
    target = f"{out}/{place}"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            here = _fetched(photo, Path(scratch))
            store, root = url_to_fs(target)
            if _is_local(store):
                directory = Path(root)
                results = kept(here, directory, options)
            else:
                directory = Path(scratch) / "results"
                results = _kept_there(store, root, here, directory, options)
            if not results:
                results = list(reconstruct_one(model, here, directory, options, record=True))
                if not _is_local(store):
                    _put(directory, store, root)
        except Exception as error:  # the libraries of stores raise what they like
            return [_row(photo, target, FAILED, error=f"{photo}: {describe(error)}")]
        return [_as_row(result, photo, here, directory, target) for result in results]


@functools.cache
def pipeline(models: Path | None) -> "Portrait3D":
    """The networks of this process, loaded for its first photo."""
    from portrait3d.pipeline import Portrait3D

    return Portrait3D.from_pretrained(models)


class ParquetSummary:
    """Rows that become one Parquet file; they are held compressed until then."""

    def __init__(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"face": pa.int64()} | dict.fromkeys(NUMBERS, pa.float64())
        self.schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
        self.sink = pa.BufferOutputStream()
        self.writer = pq.ParquetWriter(self.sink, self.schema)
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Add a row to the end."""
        self.rows.append(row)
        if len(self.rows) >= ROWS:
            self._flush()

    def write(self, out: str) -> None:
        """Write `out/summary.parquet`, whole or not at all."""
        from fsspec.core import url_to_fs

        from portrait3d.export.files import write_together

        self._flush()
        self.writer.close()
        content = self.sink.getvalue().to_pybytes()
        store, path = url_to_fs(f"{out}/{PARQUET}")
        if _is_local(store):
            write_together({Path(path): content})
        else:
            store.pipe_file(path, content)

    def _flush(self) -> None:
        import pyarrow as pa

        self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows = []


def _absolute(source: str) -> str:
    """A path or URL as a URL that means the same on every machine of a cluster."""
    from fsspec.core import url_to_fs

    store, path = url_to_fs(source)
    return store.unstrip_protocol(path)


def _is_local(store: "AbstractFileSystem") -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(store, LocalFileSystem)


def _fetched(photo: str, scratch: Path) -> Path:
    """The photo as a file on this machine."""
    from fsspec.core import url_to_fs

    store, path = url_to_fs(photo)
    if _is_local(store):
        return Path(path)
    here = scratch / PurePosixPath(path).name
    store.get_file(path, str(here))
    return here


def _kept_there(
    store: "AbstractFileSystem", root: str, photo: Path, directory: Path, options: Options
) -> list[Result]:
    """`kept` for results in an object store, whose record is copied to `directory`."""
    there = set(store.find(root))
    if f"{root}/{RECORD}" not in there:
        return []
    directory.mkdir()
    store.get_file(f"{root}/{RECORD}", str(directory / RECORD))
    results = recorded(photo, directory, options)
    files = {f"{root}/{file.relative_to(directory).as_posix()}" for file in files_of(results)}
    return results if files <= there else []


def _put(directory: Path, store: "AbstractFileSystem", root: str) -> None:
    """Copy what was made of a photo to a store, the record last: stores put whole files or nothing."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda path: path.name == RECORD):
        store.put_file(str(file), f"{root}/{file.relative_to(directory).as_posix()}")


def _as_row(result: Result, photo: str, here: Path, directory: Path, target: str) -> Row:
    """A result with the names that count outside the machine that made it."""
    inside = result.directory.relative_to(directory).as_posix()
    place = target if inside == "." else f"{target}/{inside}"
    error = None if result.error is None else result.error.replace(str(here), photo)
    known = {name: None if value == "" else value for name, value in result.row.items()}
    return known | {"photo": photo, "directory": place, "error": error}


def _row(photo: str, directory: str, status: str, error: str | None = None) -> Row:
    return dict.fromkeys(COLUMNS) | {
        "photo": photo,
        "status": status,
        "directory": directory,
        "error": error,
    }
