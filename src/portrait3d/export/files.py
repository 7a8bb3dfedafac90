"""Writing files so that a failure leaves none of them half-written."""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_together(files: Mapping[Path, bytes]) -> list[Path]:
    """Write several files: all under other names beside their targets first, then renamed in turn.

    Directories are made as needed. When writing fails, nothing is left behind and files of the same names
    stay as they were.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            written.append((Path(name), path))
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(name, 0o666 & ~_umask())
        for temporary, path in written:
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
