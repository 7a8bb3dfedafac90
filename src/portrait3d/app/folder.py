"""The folder of a server's uploads, which goes when the server does, or when the next one starts."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PREFIX = "portrait3d-app-"
"""How folders of this program's servers begin, in the system's directory for temporary files."""
LOCK = "lock"
"""File in such a folder that its server holds locked; the system unlocks it however the server ends."""
UPLOADS = "uploads"
"""Directory beside it for everything that belongs to photos."""


@contextmanager
def upload_folder() -> Iterator[Path]:
    """An empty folder of this server's own that is removed in the end; its path holds no symlinks.

    First those of servers that were killed are removed.
    """
    remove_abandoned()
    home, lock = _locked_folder()
    try:
        uploads = home / UPLOADS
        uploads.mkdir()
        yield uploads
    finally:
        lock.close()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def ended_by_signals(uploads: Path) -> Iterator[None]:
    """In the block SIGINT and SIGTERM remove the folder and end the process at once, with exit code 0.

    Threads can't be stopped in the middle of a reconstruction or a video, and nobody waits for it any more.
    """

    def end(*_: Any) -> None:
        shutil.rmtree(uploads.parent, ignore_errors=True)
        sys.stdout.flush()
        os._exit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def remove_abandoned() -> None:
    """Remove the folders that servers of this user left behind: those that nobody holds locked."""
    for home in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if not _is_own(home):
            continue
        try:
            lock = (home / LOCK).open("a")
        except OSError:
            continue
        with lock:
            if _lock(lock):
                shutil.rmtree(home, ignore_errors=True)


def _locked_folder() -> tuple[Path, IO[str]]:
    """A new folder and its locked file. A server that starts meanwhile may take it for an abandoned one and
    remove it before it is locked; then another one is made."""
    while True:
        home = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        try:
            lock = (home / LOCK).open("a")
        except FileNotFoundError:
            continue
        if _lock(lock) and (home / LOCK).exists():
            return home, lock
        lock.close()


def _is_own(home: Path) -> bool:
    """Whether this is a directory of this user: everybody may write where temporary files lie."""
    try:
        found = home.lstat()
    except OSError:
        return False
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return own and home.is_dir() and not home.is_symlink()


def _lock(file: IO[str]) -> bool:
    """Lock a file for this process, unless another one has it; closing it unlocks it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
