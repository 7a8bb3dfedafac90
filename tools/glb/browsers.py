"""GLBs in a real browser without a display: in three.js, and in the project's own viewer."""

import contextlib
import shutil
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE = 120_000
"""Milliseconds to wait for a page: machines without a GPU draw slowly."""


def find_browser() -> str | None:
    """The path of an installed Chromium, if there is one."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


@contextlib.contextmanager
def page(width: int, height: int) -> Iterator[tuple[Page, list[str]]]:
    """An empty page of a headless browser, and what it complains about from now on."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=ARGUMENTS, chromium_sandbox=False
        )
        empty = browser.new_page(viewport={"width": width, "height": height})
        empty.set_default_timeout(PATIENCE)
        complaints: list[str] = []
        empty.on("pageerror", lambda error: complaints.append(str(error)))
        empty.on(
            "console",
            lambda line: (
                complaints.append(line.text)
                # Reading pixels back, as a screenshot does, is slow and says so.
                if line.type in ("warning", "error") and "ReadPixels" not in line.text
                else None
            ),
        )
        yield empty, complaints
        browser.close()


@contextlib.contextmanager
def served(folders: Mapping[str, Path]) -> Iterator[str]:
    """Folders by their first part of the path on a server of this machine alone; gives its address."""

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            first, _, rest = path.split("?")[0].lstrip("/").partition("/")
            return str(folders[first] / rest) if first in folders else "/nowhere"

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
