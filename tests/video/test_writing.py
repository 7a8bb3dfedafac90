"""Videos are complete or not there at all, and play everywhere."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from films import film, with_tone
from portrait3d.errors import InvalidVideoError
from portrait3d.video.reading import inspect_video, open_video
from portrait3d.video.writing import write_video


def grey(*levels: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    return [np.full((height, width, 3), level, np.uint8) for level in levels]


def test_frames_come_back_in_order_at_their_rate(tmp_path: Path) -> None:
    info, frames = open_video(film(tmp_path / "film.mp4", grey(20, 120, 220), rate=12.5))
    assert (info.width, info.height, info.rate, info.audio) == (48, 32, 12.5, None)
    assert info.expected_frames == 3
    np.testing.assert_allclose([frame.mean() for frame in frames], [20, 120, 220], atol=3)


def test_odd_sizes_lose_a_row_or_a_column(tmp_path: Path) -> None:
    info = inspect_video(film(tmp_path / "film.mp4", grey(90, 91, height=33, width=51)))
    assert (info.width, info.height) == (50, 32)


def test_mp4_is_h264_that_begins_to_play_before_it_is_loaded(tmp_path: Path) -> None:
    content = film(tmp_path / "film.mp4", grey(1, 2)).read_bytes()
    assert b"avc1" in content
    assert content.index(b"moov") < content.index(b"mdat")


def test_gifs_play_for_ever(tmp_path: Path) -> None:
    with Image.open(film(tmp_path / "film.gif", grey(10, 130, 250))) as gif:
        assert gif.info["loop"] == 0
        assert gif.n_frames == 3  # pyright: ignore[reportAttributeAccessIssue]
        assert gif.info["duration"] == 100


def test_sound_is_kept(tmp_path: Path) -> None:
    driver = with_tone(film(tmp_path / "driver.mp4", grey(*range(0, 100, 10))), tmp_path / "tone.mp4")
    info = inspect_video(driver)
    assert info.audio is not None
    with write_video(tmp_path / "out.mp4", 10, info) as video:
        for frame in grey(*range(0, 200, 20)):
            video.add(frame)
    result = inspect_video(tmp_path / "out.mp4")
    assert result.audio is not None
    assert result.seconds == pytest.approx(1.0, abs=0.15)


def test_an_interruption_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "film.mp4"
    out.write_bytes(b"older")

    def interrupted() -> None:
        with write_video(out, 10) as video:
            video.add(grey(7)[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    assert out.read_bytes() == b"older"


def test_a_film_without_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frame"), write_video(tmp_path / "film.mp4", 10):
        pass
    assert not list(tmp_path.iterdir())


def test_a_film_that_can_not_be_finished_is_an_error_that_names_it(tmp_path: Path) -> None:
    driver = with_tone(film(tmp_path / "driver.mp4", grey(1, 2)), tmp_path / "tone.mp4")
    info = inspect_video(driver)
    driver.unlink()

    def soundless() -> None:
        with write_video(tmp_path / "out.mp4", 10, info) as video:
            for frame in grey(*range(0, 200, 2), height=320, width=480):
                video.add(frame)

    with pytest.raises(OSError, match=r"out\.mp4 can't be written: .*No such file"):
        soundless()
    assert [path.name for path in tmp_path.iterdir()] == ["driver.mp4"]


def test_names_are_no_patterns(tmp_path: Path) -> None:
    for name in ("100%d.gif", "-y.gif", "a:b.mp4"):
        info, frames = open_video(film(tmp_path / "50%02d" / name, grey(10, 130, 250)))
        assert info.width == 48
        assert len(list(frames)) == 3


def test_frames_have_one_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one size"):
        film(tmp_path / "film.mp4", [*grey(7), *grey(7, height=64)])
    assert not list(tmp_path.iterdir())


def test_other_endings_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"film\.avi must end in \.mp4 or \.gif"):
        write_video(tmp_path / "deep" / "film.avi", 10).__enter__()
    assert not list(tmp_path.iterdir())


def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InvalidVideoError, match=r"text\.mp4 can't be read as a video"):
        open_video(tmp_path / "text.mp4")
    with pytest.raises(FileNotFoundError, match=r"none\.mp4"):
        open_video(tmp_path / "none.mp4")
