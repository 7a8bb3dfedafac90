"""A real browser at the page: drop, wait, drag, smile, download, and a file that is no picture."""

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

REQUIRED = bool(os.environ.get("PORTRAIT3D_REQUIRE_BROWSER"))
"""Set where the page must be tested: what is missing is then a failure."""
PATIENCE = 120_000
"""Milliseconds to wait for anything; busy machines are slow."""


def missing(what: str) -> None:
    """Skip, or fail where the test is required."""
    if REQUIRED:
        pytest.fail(f"PORTRAIT3D_REQUIRE_BROWSER is set, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app in a process of its own, on a free port."""
    try:
        import gradio  # noqa: F401
        import playwright  # noqa: F401
    except ImportError:
        missing("the extra browser is not installed")
    temporary = tmp_path_factory.mktemp("server")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "portrait3d", "app", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    assert process.stdout
    with process, process.stdout:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        yield found.group()
        process.terminate()


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """The addresses of all that the page asked for."""
    return []


@pytest.fixture(scope="module")
def page(address: str, asked: list[str]) -> Iterator[Any]:
    """The page in headless Chromium."""
    from playwright.sync_api import sync_playwright

    browser_file = (
        shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    )
    if browser_file is None:
        missing("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_file,
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address, timeout=PATIENCE)
        yield page
        browser.close()


def drop(page: Any, photo: Path) -> None:
    page.wait_for_selector("#photo input[type=file]", state="attached")
    page.set_input_files("#photo input[type=file]", photo)


def shown(page: Any) -> dict[str, Any]:
    """Text, file and size of the turned photo."""
    return page.evaluate(
        "(({alt, src, naturalWidth, naturalHeight}) => ({alt, src, size: [naturalWidth, naturalHeight]}))"
        "(document.querySelector('#turned img'))"
    )


def set_slider(page: Any, label: str, value: float) -> None:
    """Drag a slider to a value with the mouse."""
    slider = page.get_by_label(f"range slider for {label}")
    slider.scroll_into_view_if_needed()
    box, low, high = slider.bounding_box(), *(float(slider.get_attribute(end)) for end in ("min", "max"))
    y = box["y"] + box["height"] / 2
    now = float(slider.input_value())
    start, end = (box["x"] + box["width"] * (place - low) / (high - low) for place in (now, value))
    page.mouse.move(start, y)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(start + (end - start) * step / 5, y)
    page.mouse.up()


@pytest.mark.slow
def test_a_visit(page: Any, photo_file: Path, tmp_path: Path) -> None:
    drop(page, photo_file)
    page.wait_for_selector("#turned img")
    page.frame_locator("#head iframe").locator("body[data-state=ready]").wait_for()
    assert page.locator("#findings img").count() == 3
    before = shown(page)
    assert before["size"] == [512, 512]

    set_slider(page, "Yaw (degrees)", 25)
    page.wait_for_function("document.querySelector('#turned img').alt.match(/yaw 2[3-7],/)")
    turned = shown(page)
    assert turned["src"] != before["src"]
    assert turned["size"] == [512, 512]

    set_slider(page, "Open jaw", 0.8)
    page.wait_for_function("document.querySelector('#turned img').alt.includes('open jaw')")
    assert shown(page)["src"] != turned["src"]
    picture = page.screenshot(path=tmp_path / "page.png")
    assert len(picture) > 100_000

    with page.expect_download() as download:
        page.get_by_text("3D head (GLB)").click()
    download.value.save_as(tmp_path / "head.glb")
    content = (tmp_path / "head.glb").read_bytes()
    assert struct.unpack_from("<4sII", content) == (b"glTF", 2, len(content))

    page.get_by_text("Back to the photo").click()
    page.wait_for_function("!document.querySelector('#turned img').alt.includes('open jaw')")
    assert shown(page)["src"] == before["src"]


@pytest.mark.slow
def test_a_file_that_is_no_picture_gets_a_message(page: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff this is no picture")
    page.reload()
    drop(page, tmp_path / "broken.jpg")
    alert = page.get_by_role("alert").filter(has_text="broken.jpg can't be read")
    alert.wait_for()


@pytest.mark.slow
def test_an_example_is_ready_and_a_narrow_window_does_not_scroll_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 420, "height": 900})
    page.reload()
    page.get_by_role("button", name="Nobody (drawn)").click()
    page.wait_for_selector("#turned img")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


@pytest.mark.slow
def test_the_page_asks_nobody_else(page: Any, asked: list[str]) -> None:
    """Runs last: no request of the tests above left this computer."""
    hosts = {urlparse(url).hostname for url in asked if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}
