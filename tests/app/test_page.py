"""What the page answers to a drop, a slider and a choice, without a browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

gradio = pytest.importorskip("gradio", reason="the extra app is not installed")

from portrait3d.app import session as session_module  # noqa: E402
from portrait3d.app.page import ANGLES, Page  # noqa: E402
from portrait3d.app.session import EXPRESSIONS, Sessions  # noqa: E402
from portrait3d.pipeline import Portrait3D  # noqa: E402
from portrait3d.video.reading import inspect_video  # noqa: E402


@pytest.fixture(scope="module")
def page(model: Portrait3D, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(model, Sessions(), [], tmp_path_factory.mktemp("films"))


def dropped(path: Path, name: str) -> dict[str, Any]:
    """A file as Gradio describes it."""
    return {"path": str(path), "orig_name": name}


def alert(page: Page, answer: dict[Any, Any]) -> str:
    assert "alert" in answer[page.message]
    return answer[page.message]


def test_a_dropped_photo_shows_everything_in_the_photos_pose(page: Page, photo_file: Path) -> None:
    answer = page.open(dropped(photo_file, "me.jpg"), "")
    key = answer[page.key]
    pose = page.sessions.get(key).portrait.pose
    assert [answer[slider] for slider in page.angles] == pytest.approx(
        [pose.yaw, pose.pitch, pose.roll], abs=0.25
    )
    assert answer[page.turned].count("<img") == 1
    assert answer[page.findings].count("<img") == 3
    assert key in answer[page.head]
    assert answer[page.message] == ""


def test_another_photo_closes_the_one_before(page: Page, photo_file: Path) -> None:
    first = page.open(dropped(photo_file, "a.jpg"), "")[page.key]
    second = page.open(dropped(photo_file, "b.jpg"), first)[page.key]
    assert "no longer open" in alert(page, page.draw(first, *[0.0] * (len(ANGLES) + len(EXPRESSIONS))))
    assert page.sessions.get(second)


def test_a_slider_changes_the_picture_and_the_reset_brings_it_back(page: Page, photo_file: Path) -> None:
    opened = page.open(dropped(photo_file, "a.jpg"), "")
    key, values = opened[page.key], [opened[slider] for slider in (*page.angles, *page.strengths)]
    turned = page.draw(key, 25.0, *values[1:])
    assert turned[page.turned] != opened[page.turned]
    assert "yaw 25" in turned[page.turned]
    assert "yaw=25.0" in turned[page.downloads]
    rested = page.rest(key)
    assert rested[page.turned] == opened[page.turned]
    assert [rested[slider] for slider in page.angles] == values[:3]


def test_failures_are_messages_with_the_files_own_name(page: Page, tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    Image.new("RGB", (300, 200), (90, 120, 160)).save(tmp_path / "s.png")
    broken = page.open(dropped(tmp_path / "b.jpg", "broken.jpg"), "")
    assert "broken.jpg can&#x27;t be read" in alert(page, broken)
    assert broken[page.photo] is None
    sky = page.open(dropped(tmp_path / "s.png", "sky.png"), "")
    assert "No face found in sky.png" in alert(page, sky)
    assert sky[page.key] == ""


def test_a_cleared_photo_empties_the_page(page: Page, photo_file: Path) -> None:
    key = page.open(dropped(photo_file, "a.jpg"), "")[page.key]
    answer = page.open(None, key)
    assert answer[page.key] == answer[page.message] == ""
    assert len(page.sessions) == 0 or key not in answer[page.head]


def test_of_several_people_one_can_be_chosen(page: Page, astronaut: np.ndarray, tmp_path: Path) -> None:
    small = np.asarray(Image.fromarray(astronaut).resize((400, 400)))
    pair = np.full((512, 912, 3), 240, np.uint8)
    pair[:, :512], pair[112:, 512:] = astronaut, small
    Image.fromarray(pair).save(tmp_path / "pair.png")
    first = page.open(dropped(tmp_path / "pair.png", "pair.png"), "")
    assert first[page.several].visible
    assert [label for label, _ in first[page.face].choices] == ["1, the largest", "2"]
    second = page.choose(1, first[page.key])
    one, other = (page.sessions.get(second[page.key]).boxes[face] for face in (0, 1))
    assert other[0] > one[0] + 300
    assert page.sessions.get(second[page.key]).face == 1


@pytest.mark.slow
def test_a_video_is_made_of_an_open_photo_and_of_no_other(
    page: Page, photo_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "FILM_FRAMES", 3)
    heard = []
    key = page.open(dropped(photo_file, "a.jpg"), "")[page.key]
    film = page.turntable(key, lambda done, unit: heard.append(done))[page.film]
    assert film.visible
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert inspect_video(page.folder / f"{key}.mp4").width == 512
    assert "no longer open" in alert(page, page.turntable("guess"))
