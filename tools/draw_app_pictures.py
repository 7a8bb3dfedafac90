"""Draw the page's pictures: the example that is nobody, and the README's screenshot.

pip install -c constraints.txt '.[browser]'
python tools/draw_app_pictures.py             # docs/images/app.jpg, with the system's Chromium
python tools/draw_app_pictures.py --example   # src/portrait3d/app/drawn_head.jpg
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE, EXAMPLE_SEED, EXAMPLE_INDEX, EXAMPLE_SIZE = "src/portrait3d/app/drawn_head.jpg", 1, 7, 768
SCREENSHOT = "docs/images/app.jpg"
WIDTH, HEIGHT = 1280, 920
PATIENCE = 120_000
"""Milliseconds."""
SLIDERS = {"Yaw (degrees)": 24.0, "Open jaw": 0.3}
"""Where the screenshot's sliders stand."""


def draw_example() -> None:
    """A synthetic head with curls."""
    from portrait3d.data.synthetic import SyntheticHeads

    view = SyntheticHeads(seed=EXAMPLE_SEED, size=EXAMPLE_SIZE).pair(EXAMPLE_INDEX).first
    pixels = (view.image.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(ROOT / EXAMPLE, quality=88)


def draw_screenshot() -> None:
    """The page with the astronaut, turned."""
    command = [sys.executable, "-u", "-m", "portrait3d", "app", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        line = server.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise RuntimeError(f"The page did not start: {line}")
        try:
            picture = photograph(found.group())
        finally:
            server.terminate()
    Image.open(io.BytesIO(picture)).convert("RGB").save(ROOT / SCREENSHOT, quality=88)


def photograph(address: str) -> bytes:
    """Visit the page, choose the astronaut, turn the head; the screenshot as PNG."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(PATIENCE)
        page.goto(address, timeout=PATIENCE)
        page.get_by_role("button", name="Astronaut").click()
        page.wait_for_selector("#turned img")
        page.frame_locator("#head iframe").locator("body[data-state=ready]").wait_for()
        for label, value in SLIDERS.items():
            page.get_by_label(f"range slider for {label}").fill(str(value))
        page.wait_for_function("document.querySelector('#turned img').alt.match(/yaw 24.*open jaw 30%/)")
        page.wait_for_timeout(3000)  # the frame draws
        picture = page.screenshot()
        browser.close()
    return picture


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--example", action="store_true", help="draw the example instead of the screenshot")
    if parser.parse_args().example:
        draw_example()
    else:
        draw_screenshot()
