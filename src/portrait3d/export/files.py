"""Writing files so that a failure leaves none of them half-written."""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from portrait3d.names import naming

TEMPORARY = ".portrait3d-"
"""Begins the name of a file that is not complete. Random letters follow: its own may be too long for that."""


def write_together(files: Mapping[Path, bytes]) -> list[Path]:
    """Write several files: all under other names beside their targets first, then renamed in turn.

    Directories are made as needed. When writing fails, nothing is left behind and files of the same names
    stay as they were. Raises `OSError` that names the file, also for a full or read-only disk.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for path, content in files.items():
            with naming(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
                written.append((Path(name), path))
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.chmod(name, 0o666 & ~_umask())
        for temporary, path in written:
            with naming(path):
                temporary.replace(path)
    except BaseException:
        for temporary, _ in written:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        raise
    return list(files)


def _umask() -> int:
    """The permissions that new files don't get; mkstemp gives them to the owner alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
