"""What reaches the page: its own requests, in bounds, and files that were uploaded to this server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portrait3d.app.guard import MAX_DEPTH, MAX_DOCUMENT_BYTES, RefusedError, read_json, uploaded_file
from portrait3d.app.session import MAX_FILE_BYTES
from served_page import ServedPage, dropped, served_page

ENDPOINTS = ("/gradio_api/queue/join", "/gradio_api/run/open", "/gradio_api/run/draw", "/gradio_api/cancel")
"""Where the page sends documents."""
UNUSED = (
    *("/gradio_api/call/open", "/gradio_api/call/v2/open", "/gradio_api/api/open"),
    *("/gradio_api/component_server", "/gradio_api/stream/x", "/gradio_api/process_recording"),
    *("/gradio_api/vibe-code", "/gradio_api/vibe-edit", "/login"),
)
"""Gradio's other routes that take something."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPage]:
    pytest.importorskip("gradio", reason="the extra app is not installed")
    with served_page(tmp_path_factory.mktemp("served").resolve()) as page:
        yield page


@pytest.fixture(scope="module")
def traps(page: ServedPage) -> dict[str, str]:
    """Paths that are no uploads, by what they are."""
    secret = page.temporary / "secret.jpg"
    secret.write_bytes(b"secret")
    pipe = page.uploads / "pipe"
    os.mkfifo(pipe)
    link = page.uploads / "link.jpg"
    link.symlink_to(secret)
    other = page.temporary / "portrait3d-app" / "uploads" / "theirs.jpg"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"secret")
    return {
        "a file of the computer": "/etc/passwd",
        "a file beside the folder": str(secret),
        "a file that isn't there": str(secret.with_name("none.jpg")),
        "an upload that isn't there": str(page.uploads / "none.jpg"),
        "an endless device": "/dev/zero",
        "a pipe": str(pipe),
        "a directory": str(page.uploads),
        "a link out of the folder": str(link),
        "a way out of the folder": f"{page.uploads}/../../secret.jpg",
        "another server's upload": str(other),
        "an address": "http://127.0.0.1:9/secret.jpg",
        "a file address": f"file://{secret}",
        "a relative path": "secret.jpg",
        "nothing": "",
        "a path with a zero byte": f"{secret}\0.jpg",
    }


def places(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same file in every place of a document."""
    file, bare = document["data"][0], {"path": document["data"][0]["path"]}
    yield document
    yield document | {"data": [None, file]}
    yield document | {"data": [{"value": [file]}]}
    yield document | {"data": [bare]}
    yield document | {"data": [], "event_data": file}
    yield document | {"data": [file | {"path": "", "file": file}]}


@pytest.mark.slow
class TestServer:
    """A real server, asked over its socket."""

    @pytest.mark.parametrize("endpoint", ENDPOINTS)
    def test_only_uploads_are_opened(self, page: ServedPage, traps: dict[str, str], endpoint: str) -> None:
        before = sorted(page.uploads.rglob("*"))
        for what, path in traps.items():
            for document in places(dropped(path)):
                status, content = page.send(endpoint, document)
                assert (status, content) == (403, b"This is no file that was uploaded here."), what
        assert sorted(page.uploads.rglob("*")) == before

    def test_only_uploads_can_be_fetched(self, page: ServedPage, traps: dict[str, str]) -> None:
        for what, path in traps.items():
            status, content = page.ask("GET", f"/gradio_api/file={path}".replace("\0", "%00"))
            assert (status, content) == (403, b"This is no file that was uploaded here."), what
        for address in ("/gradio_api/proxy=http://127.0.0.1:9/", "/gradio_api/file//etc/passwd"):
            assert page.ask("GET", address)[0] == 404

    def test_an_upload_can_be_fetched_and_used(self, page: ServedPage) -> None:
        status, content = page.upload(b"a picture")
        assert status == 200
        (path,) = json.loads(content)
        assert Path(path).is_relative_to(page.uploads)
        assert page.ask("GET", f"/gradio_api/file={path}") == (200, b"a picture")
        file = {"path": path, "url": "http://127.0.0.1:9/", "meta": {"_type": "gradio.FileData"}}
        own = {"Origin": f"http://127.0.0.1:{page.port}"}
        status, content = page.send("/gradio_api/run/rest", {"data": [file], "fn_index": 9}, own)
        assert (status, b"no longer open" in content) == (200, True)

    @pytest.mark.parametrize("address", UNUSED)
    def test_what_the_page_does_not_use_is_not_there(self, page: ServedPage, address: str) -> None:
        assert page.send(address, dropped("/etc/passwd"))[0] == 404
        assert page.ask("DELETE", address)[0] == 404

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://elsewhere.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": "http://localhost:{port}"},
            {"Origin": "http://elsewhere.example", "Host": "elsewhere.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
            {"Host": "elsewhere.example:{port}"},
        ],
        ids=lambda headers: " ".join(headers.values()),
    )
    def test_other_pages_are_refused(self, page: ServedPage, headers: dict[str, str]) -> None:
        headers = {name: value.format(port=page.port) for name, value in headers.items()}
        before = sorted(page.uploads.rglob("*"))
        answers = [page.upload(b"planted", headers), page.ask("GET", "/config", None, headers)]
        answers += [page.send(endpoint, {"data": [], "fn_index": 9}, headers) for endpoint in ENDPOINTS]
        assert {status for status, _ in answers} <= {400, 403}
        assert sorted(page.uploads.rglob("*")) == before

    def test_a_link_from_elsewhere_may_be_followed(self, page: ServedPage) -> None:
        assert (
            page.ask("GET", "/", None, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0]
            == 200
        )

    @pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
    def test_deep_documents_are_refused(self, page: ServedPage, depth: int) -> None:
        deep = b'{"data": ' + b"[" * depth + b"]" * depth + b', "fn_index": 9}'
        assert page.send("/gradio_api/run/rest", deep)[0] == 400
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        assert page.send("/gradio_api/queue/join", deep[:MAX_DOCUMENT_BYTES])[0] == 400

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"nonsense"])
    def test_what_is_no_json_is_refused(self, page: ServedPage, body: bytes) -> None:
        assert page.send("/gradio_api/queue/join", body)[0] == 400

    def test_documents_that_forms_of_other_pages_could_send_are_refused(self, page: ServedPage) -> None:
        body = json.dumps(dropped("/etc/passwd")).encode()
        assert page.ask("POST", "/gradio_api/queue/join", body, {"Content-Type": "text/plain"})[0] == 415

    def test_long_bodies_are_refused(self, page: ServedPage) -> None:
        for headers, length in (({"Content-Type": "application/json"}, MAX_DOCUMENT_BYTES + 1), ({}, 10**11)):
            path = "/gradio_api/queue/join" if headers else "/gradio_api/upload"
            status, _ = page.ask("POST", path, b"", headers | {"Content-Length": str(length)})
            assert status == 413

    def test_long_bodies_of_unknown_length_are_refused(self, page: ServedPage) -> None:
        chunks = [b"x" * 2**16] * (MAX_DOCUMENT_BYTES // 2**16) + [b"x"]
        headers = {"Content-Type": "application/json"}
        assert page.ask("POST", "/gradio_api/queue/join", iter(chunks), headers)[0] == 413  # pyright: ignore[reportArgumentType]

    def test_a_large_file_is_refused_and_not_kept(self, page: ServedPage) -> None:
        before = sorted(page.uploads.rglob("*"))
        assert page.upload(bytes(MAX_FILE_BYTES + 1))[0] == 413
        assert sorted(page.uploads.rglob("*")) == before


def test_a_circle_of_links_is_no_upload(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(RefusedError):
        uploaded_file(str(tmp_path / "a"), tmp_path.resolve())


def test_a_link_to_another_upload_is_that_upload(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    folder = tmp_path.resolve()
    assert uploaded_file(str(folder / "link.jpg"), folder) == str(folder / "a.jpg")


def test_a_document_may_be_nested_so_deep_and_no_deeper() -> None:
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(RefusedError, match="nested"):
        read_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
