"""Nothing is looked up, no connection is made, and no file appears that was not asked for.

Python's own calls are seen by an audit hook, which refuses and writes down what leaves this computer. Native
code is seen by the kernel: a filter ends any process that connects to an internet address, which looking up a
name needs too. On other systems than Linux on x86-64 and ARM64 only Python's calls are seen.
"""

import os
import platform
import signal
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CONNECT = {("Linux", "x86_64"): (0xC000003E, 42), ("Linux", "aarch64"): (0xC00000B7, 203)}
"""The kernel's numbers of the architecture and of the call `connect`."""
GUARD = """
    import ctypes
    import os
    import struct
    import sys

    LOCAL = ("127.0.0.1", "::1", "localhost", "", None)


    def watch(event, arguments):
        if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            host = arguments[0]
        elif event in ("socket.connect", "socket.sendto"):
            host = arguments[-1][0] if isinstance(arguments[-1], tuple) else ""
        else:
            return
        if host not in LOCAL:
            with open(os.environ["GUARD_RECORD"], "a") as record:
                record.write(f"{event} {host}\\n")
            raise PermissionError(f"{event} {host}")


    sys.addaudithook(watch)

    # A filter for the kernel: instructions (code, jump if true, jump if false, value) on the call's number
    # (offset 0), the architecture (4) and the length of the address (32), which tells the internet's two
    # kinds from sockets that are files.
    if os.environ.get("GUARD_CONNECT"):
        architecture, connect = map(int, os.environ["GUARD_CONNECT"].split())
        KILL, ALLOW = 0x80000000, 0x7FFF0000
        program = b"".join(
            struct.pack("=HBBI", *instruction)
            for instruction in (
                (0x20, 0, 0, 4),
                (0x15, 0, 7, architecture),
                (0x20, 0, 0, 0),
                (0x15, 0, 5, connect),
                (0x20, 0, 0, 32),
                (0x15, 2, 0, 16),
                (0x15, 1, 0, 28),
                (0x15, 0, 1, 128),
                (0x06, 0, 0, KILL),
                (0x06, 0, 0, ALLOW),
            )
        )


        class Filter(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


        prctl = ctypes.CDLL(None, use_errno=True).prctl
        PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
        if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Filter(len(program) // 8, program)), 0, 0
        ):
            raise SystemExit("no filter")
"""


class Guarded:
    """Runs Python programs that may not talk to anybody, with a home of their own."""

    def __init__(self, folder: Path) -> None:
        self.work, self.home, self.temporary = folder / "work", folder / "home", folder / "tmp"
        guard = folder / "guard"
        for path in (self.work, self.home, self.temporary, guard):
            path.mkdir()
        (guard / "sitecustomize.py").write_text(textwrap.dedent(GUARD), encoding="utf-8")
        self.record = folder / "record.txt"
        numbers = CONNECT.get((platform.system(), platform.machine()))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "GRADIO_"))}
        self.environment = kept | {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(guard), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "GUARD_RECORD": str(self.record),
            "GUARD_CONNECT": " ".join(map(str, numbers or ())),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python in the working folder."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.work,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python to its end."""
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=600)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def check(self) -> None:
        """Nobody was asked for anything; home and temporary folder are empty."""
        assert not self.record.exists(), self.record.read_text()
        assert [*self.home.rglob("*"), *self.temporary.rglob("*")] == []


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path)


@pytest.fixture
def photo(guarded: Guarded, astronaut: np.ndarray) -> Path:
    path = guarded.work / "photo.jpg"
    Image.fromarray(astronaut).save(path)
    return path


def test_the_guard_sees_python_look_up_and_connect(guarded: Guarded) -> None:
    guarded.run("-c", "import socket; socket.getaddrinfo('example.org', 80)")
    guarded.run("-c", "import socket; socket.socket().connect(('192.0.2.1', 80))")
    assert guarded.record.read_text() == "socket.getaddrinfo example.org\nsocket.connect 192.0.2.1\n"


@pytest.mark.skipif(
    (platform.system(), platform.machine()) not in CONNECT, reason="no filter for this system"
)
def test_the_guard_sees_native_code_connect(guarded: Guarded) -> None:
    code = "import ctypes; libc = ctypes.CDLL(None); print(libc.connect(libc.socket(2, 1, 0), bytes(16), 16))"
    done = guarded.run("-c", code)
    assert done.returncode == -signal.SIGSYS, done.stderr


def test_reconstruct_and_repose_ask_nobody_and_leave_nothing_behind(guarded: Guarded, photo: Path) -> None:
    for command in (
        ["reconstruct", photo.name, "-o", "head"],
        ["repose", photo.name, "--yaw", "20", "-o", "turned.png"],
    ):
        done = guarded.run("-m", "portrait3d", *command)
        assert done.returncode == 0, done.stderr
    guarded.check()
    assert {path.name for path in guarded.work.iterdir()} == {"photo.jpg", "head", "turned.png"}


@pytest.mark.skipif(os.name != "posix", reason="ends the server by a signal")
def test_the_page_asks_nobody_and_leaves_nothing_behind(guarded: Guarded) -> None:
    pytest.importorskip("gradio", reason="the extra app is not installed")
    with guarded.start("-u", "-m", "portrait3d", "app", "--port", "0") as process:
        assert process.stdout is not None
        try:
            address = next(
                word for line in process.stdout for word in line.split() if word.startswith("http")
            )
            with urllib.request.urlopen(address, timeout=120) as page:
                assert b"gradio" in page.read()
        finally:
            process.terminate()
        process.communicate(timeout=120)
    assert process.returncode != -signal.SIGSYS
    guarded.check()
    assert list(guarded.work.iterdir()) == []
