"""Names of files in messages and in files: not everything that may be a name is text, or one line."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that break a line, move the cursor, turn the direction of writing, or
stand for bytes that are no UTF-8."""


def as_text(name: str | PurePath) -> str:
    r"""A name as text that every encoding of Unicode can write.

    Python keeps the bytes of a name that are no UTF-8 as lone surrogates, which no file may hold; here they
    stand as `\udcff`, as Python's own messages show them.
    """
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def in_one_line(text: str | PurePath) -> str:
    r"""Text as a terminal may show it: line breaks and whatever else could steer it stand as `\n`, `\x1b`."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in UNSEEN
        else character
        for character in str(text)
    )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the disk in the block name the file that is being made.

    Writing to an open file names none (a full disk), and the names of temporary files tell nobody anything.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error


def url_of(place: object) -> str | None:
    """The URL of an object store that a path was made from or a text is; None for places on this machine."""
    # `Path` takes two slashes for one; a drive of Windows has a single letter.
    found = re.fullmatch(r"([a-z][a-z0-9+]+):/+(.+)", str(place))
    return f"{found[1]}://{found[2]}" if found else None
