"""Names of files as text."""

import errno
from pathlib import Path

import pytest

from portrait3d.names import as_text, in_one_line, naming


@pytest.mark.parametrize("name", ["me.jpg", "ÄÖ 頭　部.jpg", "a\nb", "[x]", ""])
def test_text_is_itself(name: str) -> None:
    assert as_text(Path(name) if name else name) == name


def test_bytes_that_are_no_text_are_written_out() -> None:
    assert as_text(Path("caf\udce9.jpg")) == r"caf\udce9.jpg"
    assert as_text("caf\udce9.jpg").encode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ÄÖ 頭　部 😀.jpg", "ÄÖ 頭　部 😀.jpg"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x9b\x07", r"\x1b[2J\x9b\x07"),
        ("\u202egpj.exe\u2028", r"\u202egpj.exe\u2028"),
        ("caf\udce9", r"caf\udce9"),
        (r"[red]\[x]", r"[red]\[x]"),
    ],
)
def test_one_line_moves_nothing_on_a_terminal(name: str, shown: str) -> None:
    assert in_one_line(name) == shown


def test_errors_of_the_disk_name_the_file() -> None:
    def write() -> None:
        with naming(Path("out/head.glb")):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: 'out/head\.glb'"):
        write()


def test_errors_without_a_number_stay_as_they_are() -> None:
    def write() -> None:
        with naming(Path("out/head.glb")):
            raise OSError("Port 80 can't be used.")

    with pytest.raises(OSError, match=r"^Port 80 can't be used\.$"):
        write()
