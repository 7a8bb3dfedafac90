"""What may reach the page: requests of its own, in bounds, and files that were uploaded to this server.

Gradio checks paths when it launches a page itself. Mounted into another application it doesn't: it moves and
opens whatever a request names. Everything is therefore checked before Gradio sees it, and what it sees is
what was checked: the document is written anew, with the resolved paths.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_DOCUMENT_BYTES = 256 * 1024
"""Longest JSON document; a move of a slider takes 1 kB."""
MAX_FORM_BYTES = 64 * 1024
"""What a form may add to the file that it uploads."""
MAX_DEPTH = 32
"""How deep lists and objects of a document may lie inside each other."""

READ = re.compile(
    r"/(config/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(assets|static|svelte)/.*|heads/.*"
    r"|gradio_api/(info/?|app_id/?|startup-events|queue/data|upload_progress|theme\.css|heartbeat/[^/]*))?"
)
"""What the page reads, files aside."""
FILE = "/gradio_api/file="
"""Before the path of an uploaded or made file."""
UPLOAD = "/gradio_api/upload"
DOCUMENTS = re.compile(r"/gradio_api/(queue/join|run/[^/]*|cancel|reset)/?")
"""Where the page sends JSON."""


class RefusedError(ValueError):
    """A request that goes no further.

    Args:
        status: HTTP's number for why.
        reason: The same for people. It tells nothing about the computer: no path is repeated, and what isn't
            there is refused like what may not be read.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Guard:
    """ASGI middleware that lets through what the page needs and nothing else.

    Args:
        app: What is guarded.
        folder: Holds the uploads, symlinks in its own path resolved; no other file is touched.
        max_upload: Bytes of the largest file.
    """

    def __init__(self, app: Any, folder: Path, max_upload: int) -> None:
        self.app, self.folder, self.max_upload = app, folder, max_upload

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Check one request, and answer it if it is refused."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no web sockets
            await send({"type": "websocket.close"})
            return
        try:
            scope, body = await self._checked(scope, receive)
        except RefusedError as refusal:
            await _answer(send, refusal)
            return
        await self.app(scope, receive if body is None else _again(body, receive), send)

    async def _checked(self, scope: Any, receive: Any) -> tuple[Any, bytes | None]:
        """The request as the page may see it, with its whole body if it has one."""
        pairs = reversed(scope["headers"])  # of several values the first counts, as for Gradio
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        check_origin(headers)
        path: str = scope["path"]
        if scope["method"] in ("GET", "HEAD"):
            if path.startswith(FILE):
                path = FILE + uploaded_file(path.removeprefix(FILE), self.folder)
                return scope | {"path": path, "raw_path": os.fsencode(path)}, None
            if READ.fullmatch(path):
                return scope, None
        elif scope["method"] == "POST":
            if path == UPLOAD:
                return scope, await _body(headers, receive, self.max_upload + MAX_FORM_BYTES)
            if DOCUMENTS.fullmatch(path):
                if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                    raise RefusedError(415, "The page sends JSON.")
                document = read_json(await _body(headers, receive, MAX_DOCUMENT_BYTES))
                body = json.dumps(checked_document(document, self.folder)).encode()
                return scope | {"headers": _with_length(scope["headers"], len(body))}, body
        raise RefusedError(404, "There is no such thing here.")


def check_origin(headers: dict[str, str]) -> None:
    """Raise `RefusedError` for requests that another page sends, whatever they ask for.

    Browsers say which page a request comes from: with `Origin` whenever it could change something, with
    `Sec-Fetch-Site` always. Programs say neither. Following a link to the page is allowed. `Host` has been
    checked before, so a foreign name that was pointed at this computer (DNS rebinding) is no way around.
    """
    origin = headers.get("origin")
    if origin is not None:
        foreign = origin != f"http://{headers.get('host')}"
    else:
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        foreign = foreign and headers.get("sec-fetch-mode") != "navigate"
    if foreign:
        raise RefusedError(403, "Other pages may not use this one.")


def read_json(text: bytes | str) -> Any:
    """A JSON document; raises `RefusedError` for anything else and for one that is nested too deep."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "This is no JSON, or nested too deep.") from error
    if any(depth > MAX_DEPTH for depth, _ in _containers(document)):
        raise RefusedError(400, f"JSON may be nested {MAX_DEPTH} deep.")
    return document


def checked_document(document: Any, folder: Path) -> Any:
    """A document in which every path is that of an uploaded file, resolved; changes it in place.

    Gradio takes any object with a path for a file, wherever it stands. Addresses are dropped: files are not
    fetched from anywhere.
    """
    for _, value in _containers(document):
        if isinstance(value, dict) and "path" in value:
            value["path"] = uploaded_file(value["path"], folder)
            value["url"] = None
    return document


def uploaded_file(name: Any, folder: Path) -> str:
    """The resolved path of an ordinary file inside a folder; raises `RefusedError` for everything else.

    What lies outside is refused by its name alone: it is neither opened nor looked for.
    """
    refusal = RefusedError(403, "This is no file that was uploaded here.")
    if not isinstance(name, str) or "\0" in name or not Path(os.path.normpath(name)).is_relative_to(folder):
        raise refusal
    try:
        path = Path(name).resolve(strict=True)
        ordinary = path.is_relative_to(folder) and stat.S_ISREG(path.stat().st_mode)
    except (OSError, RuntimeError, ValueError):  # missing, a circle of links, no name at all
        raise refusal from None
    if not ordinary:
        raise refusal
    return str(path)


def _containers(document: Any) -> Iterator[tuple[int, Any]]:
    """The objects and lists of a document with their depth, the outermost first."""
    waiting = [(1, document)]
    while waiting:
        depth, value = waiting.pop()
        if isinstance(value, dict | list):
            yield depth, value
            inner = value.values() if isinstance(value, dict) else value
            waiting.extend((depth + 1, entry) for entry in inner)


async def _body(headers: dict[str, str], receive: Any, most: int) -> bytes:
    """The whole body of a request; raises `RefusedError` as soon as it is longer than `most` bytes."""
    refusal = RefusedError(413, f"At most {most} bytes are taken.")
    declared = headers.get("content-length", "0")
    if len(declared) > len(str(most)) or int(declared) > most:
        raise refusal
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The request breaks off.")
        body += message.get("body", b"")
        if len(body) > most:
            raise refusal
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Any) -> Any:
    """A `receive` that gives a body which has been read already, then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Any:
        return waiting.pop() if waiting else await receive()

    return give


def _with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    """Headers of a body of known length."""
    others = [entry for entry in headers if entry[0] not in (b"content-length", b"transfer-encoding")]
    return [*others, (b"content-length", str(length).encode())]


async def _answer(send: Any, refusal: RefusedError) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": str(refusal).encode()})
