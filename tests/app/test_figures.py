"""Pictures and links in the page's HTML."""

import base64
import io
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlparse

import numpy as np
from PIL import Image

from portrait3d.app.figures import (
    describe,
    downloads,
    faces_figure,
    findings_figures,
    head_frame,
    message,
    picture,
)
from portrait3d.app.session import Controls, Findings
from portrait3d.portrait import HeadAngles

CONTROLS = Controls(angles=HeadAngles(-20.0, 5.0, 0.0), expression={"Smile": 0.5, "Frown": 0.0})


class Tags(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_picture_carries_its_file_and_a_text() -> None:
    pixels = np.full((30, 50, 3), (200, 40, 90), np.uint8)
    tag, attributes = Tags(picture(pixels, 'a "red" <wall>')).found[1]
    assert tag == "img"
    assert attributes["alt"] == 'a "red" <wall>'
    data = str(attributes["src"]).removeprefix("data:image/jpeg;base64,")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.abs(shown.astype(int) - pixels).max() < 6


def test_every_face_gets_a_frame_and_the_chosen_one_another_colour() -> None:
    pixels = np.zeros((300, 600, 3), np.uint8)
    boxes = np.array([[50, 50, 150, 200], [400, 60, 500, 220]], np.float32)
    first, second = (Tags(faces_figure(pixels, boxes, chosen)).found[1][1] for chosen in (0, 1))
    assert "2 faces" in str(first["alt"])
    assert first["src"] != second["src"]


def test_a_message_can_not_bring_markup_along() -> None:
    assert "<img" not in message("<img src=x onerror=alert(1)>.jpg can't be read")
    assert message("") == ""


def test_the_turned_photos_link_says_how_it_is_turned() -> None:
    links = [
        str(attributes["href"]) for tag, attributes in Tags(downloads("KEY", CONTROLS)).found if tag == "a"
    ]
    assert {urlparse(link).path for link in links} == {
        f"heads/KEY/{file}" for file in ("head.glb", "turned.png", "viewer.html")
    }
    query = parse_qs(urlparse(next(link for link in links if "turned" in link)).query)
    assert query["yaw"] == ["-20.0"]
    assert query["expression"] == ['{"Smile": 0.5}']


def test_the_heads_frame_can_not_reach_the_page() -> None:
    tag, attributes = Tags(head_frame("KEY", CONTROLS.angles)).found[0]
    assert tag == "iframe"
    assert "allow-same-origin" not in str(attributes["sandbox"])
    assert str(attributes["src"]) == "heads/KEY/viewer.html#yaw=-20.0&pitch=5.0&roll=0.0"
    assert attributes["title"]


def test_controls_in_words() -> None:
    assert describe(CONTROLS) == "yaw -20, pitch 5, roll 0 degrees, smile 50%"


def test_a_face_that_is_fitted_badly_is_said_to_be() -> None:
    grey = np.full((8, 8, 3), 128, np.uint8)
    found = Findings(grey, grey, grey)
    assert "quality 0.31" in findings_figures(found, 0.31)
    assert "quality" not in findings_figures(found, 0.9)
