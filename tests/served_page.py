"""The page's server in a process of its own, with a detector that never ends in the place of the networks."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = """
from pathlib import Path
from portrait3d import Portrait3D
from portrait3d.app.server import serve

class Endless(Portrait3D):
    detector = property(lambda self: self)

    def __init__(self):
        pass

    def detect(self, pixels, name):
        Path("at-work").touch()
        while True:
            sum(range(1_000_000))

serve(Endless(), 0, print)
"""
PATIENCE = 120
"""Seconds in which a server must be there; busy machines are slow."""


@dataclass(frozen=True)
class ServedPage:
    """A running server."""

    process: subprocess.Popen[str]
    port: int
    temporary: Path
    """Its directory for temporary files, and its working directory."""

    @property
    def uploads(self) -> Path:
        """Its upload folder."""
        (folder,) = self.temporary.glob("portrait3d-app-*/uploads")
        return folder

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request; returns the answer's status and content.

        A server that refuses a request without reading its body may close the connection before the answer is
        read: then it is asked once more.
        """
        try:
            return self._ask(method, path, body, headers)
        except ConnectionResetError:
            return self._ask(method, path, body, headers)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def send(self, path: str, document: Any, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Send JSON."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def upload(self, content: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Upload a file as a browser does."""
        head = b'--cut\r\nContent-Disposition: form-data; name="files"; filename="me.jpg"\r\n\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=cut", **(headers or {})}
        return self.ask("POST", "/gradio_api/upload", head + content + b"\r\n--cut--\r\n", kind)

    def open_photo(self, content: bytes) -> None:
        """Upload a picture and drop it on the page; returns when its faces are looked for."""
        (path,) = json.loads(self.upload(content)[1])
        assert self.send("/gradio_api/queue/join", dropped(path))[0] == 200
        deadline = time.monotonic() + PATIENCE
        while not (self.temporary / "at-work").exists():
            assert time.monotonic() < deadline, "the photo was not opened"
            time.sleep(0.05)


def dropped(path: object) -> dict[str, Any]:
    """What the page sends when a file is dropped."""
    file = {"path": path, "orig_name": "me.jpg", "meta": {"_type": "gradio.FileData"}}
    return {"data": [file, None], "fn_index": 0, "session_hash": "visit", "event_data": None}


@contextmanager
def served_page(temporary: Path) -> Iterator[ServedPage]:
    """Start a server whose temporary files lie in a directory, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM],
        stdout=subprocess.PIPE,
        text=True,
        cwd=temporary,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    assert process.stdout
    with process, process.stdout:
        try:
            line = process.stdout.readline()
            found = re.search(r":(\d+)/", line)
            assert found, line
            yield ServedPage(process, int(found[1]), temporary)
        finally:
            process.kill()
