"""Videos as cameras, phones and editors write them: uneven, turned, fast, large, without pictures."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from films import film, make, seconds_of_sound, tone, uneven
from portrait3d.errors import InvalidVideoError
from portrait3d.video.reading import inspect_video, open_video
from portrait3d.video.writing import write_video


def test_frames_that_come_unevenly_are_sampled_by_their_time(tmp_path: Path) -> None:
    info, frames = open_video(uneven(tmp_path / "phone.mp4"))
    levels = np.array([frame.mean() for frame in frames])
    assert len(levels) / info.rate == pytest.approx(2.0, abs=0.1)
    # White begins after one second, however the frames before and after it lie.
    assert int(np.argmax(levels > 128)) / info.rate == pytest.approx(1.0, abs=float(1 / info.rate))
    assert len(levels) == pytest.approx(info.expected_frames, abs=2)


def test_picture_and_sound_of_an_uneven_video_stay_together(tmp_path: Path) -> None:
    info, frames = open_video(uneven(tmp_path / "phone.mp4"))
    with write_video(tmp_path / "out.mp4", info.rate, info) as video:
        for frame in frames:
            video.add(frame)
    written, again = open_video(tmp_path / "out.mp4")
    levels = np.array([frame.mean() for frame in again])
    assert len(levels) / written.rate == pytest.approx(2.0, abs=0.1)
    assert int(np.argmax(levels > 128)) / written.rate == pytest.approx(1.0, abs=0.05)
    assert seconds_of_sound(tmp_path / "out.mp4") == pytest.approx(2.0, abs=0.1)


def test_a_picture_that_begins_after_the_sound_waits(tmp_path: Path) -> None:
    late = ("-itsoffset", "0.5", "-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=1")
    info, frames = open_video(make(tmp_path / "late.mp4", *late, *tone(2), "-c:v", "libx264", "-c:a", "aac"))
    assert len(list(frames)) / info.rate == pytest.approx(1.5)


@pytest.mark.parametrize("exact", ["30000/1001", "24000/1001", "25/2", "240"])
def test_rates_are_exact_in_what_is_read_and_written(tmp_path: Path, exact: str) -> None:
    rate = Fraction(exact)
    frames = [np.full((32, 48, 3), 8 * k, np.uint8) for k in range(30)]
    info, read = open_video(film(tmp_path / "film.mp4", frames, rate))
    assert info.rate == rate
    np.testing.assert_allclose([frame.mean() for frame in read], [8 * k for k in range(30)], atol=3)


def test_a_video_held_upright_is_read_upright(tmp_path: Path) -> None:
    lying = np.zeros((32, 64, 3), np.uint8)
    lying[:, 32:] = 255
    path = film(tmp_path / "lying.mp4", [lying] * 2)
    turned = make(tmp_path / "turned.mp4", "-display_rotation", "90", "-i", path, "-c", "copy")
    info, frames = open_video(turned)
    assert (info.width, info.height) == (32, 64)
    first = next(iter(frames))
    assert first.shape == (64, 32, 3)
    # Turned counter-clockwise, what was on the right is at the top.
    assert first[:24].mean() > 250
    assert first[40:].mean() < 5


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    info, frames = open_video(film(tmp_path / "one.mp4", [np.full((32, 48, 3), 90, np.uint8)]))
    assert info.expected_frames == 1
    (frame,) = frames
    assert frame.mean() == pytest.approx(90, abs=3)


def test_large_frames_are_read_whole(tmp_path: Path) -> None:
    frame = np.zeros((2160, 3840, 3), np.uint8)
    frame[1080:, 1920:] = 200
    _, frames = open_video(film(tmp_path / "uhd.mp4", [frame, frame]))
    for read in frames:
        assert read.shape == frame.shape
        assert np.abs(read[::16, ::16].astype(int) - frame[::16, ::16]).mean() < 2


def test_sound_alone_is_no_video_even_with_a_cover(tmp_path: Path) -> None:
    cover = ("-f", "lavfi", "-i", "color=red:size=64x48:rate=1:duration=1", "-frames:v", "1")
    covered = ("-map", "0:a", "-map", "1:v", "-c:v", "mjpeg", "-disposition:v:0", "attached_pic")
    make(tmp_path / "sound.m4a", *tone(1))
    make(tmp_path / "cover.mp3", *tone(1), *cover, *covered)
    for name in ("sound.m4a", "cover.mp3"):
        with pytest.raises(InvalidVideoError, match=rf"{name} can't be read as a video: it has sound"):
            inspect_video(tmp_path / name)


def test_a_video_can_be_left_early_and_read_again(tmp_path: Path) -> None:
    frames = [np.full((240, 320, 3), k, np.uint8) for k in range(60)]
    _, read = open_video(film(tmp_path / "film.mp4", frames))
    for frame in read:
        assert frame.mean() < 3
        break
    assert sum(1 for _ in read) == 60


LARGE_PARENT = """
import subprocess, sys
held = bytearray(b"x") * 400_000_000
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
"""
"""A program whose own memory must not hide what the program that it starts takes."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory other programs took")
@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "long_films.py"
    command = [sys.executable, "-c", LARGE_PARENT, script, tmp_path, "100", "3000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peaks = {what: list(map(float, rest)) for what, *rest in map(str.split, done.stdout.splitlines())}
    growth = {what: long - short for what, (short, long) in peaks.items()}
    hoarding = {what: growth.pop(what) for what in ("hoard", "keep")}
    assert growth.keys() == {"mp4", "gif", "track"}
    assert max(growth.values()) < 30, f"MiB: {growth}"
    # 3,000 frames are 53 MiB: the measure would have seen them.
    assert min(hoarding.values()) > 40, f"MiB: {hoarding}"
