"""The Biwi Kinect layout, read back from files that a synthetic head was written to."""

from pathlib import Path

import numpy as np
import pytest

from biwi_layout import LEFT, PHOTO_FROM_DEPTH, SHIFT, TOP, encoded, write_recording
from portrait3d.data.photos.biwi import BiwiRecording, read_biwi, read_calibration, read_depth
from portrait3d.evaluation.depth.heads import KnownHead, draw_head


@pytest.fixture(scope="module")
def head() -> KnownHead:
    return draw_head(0)


@pytest.fixture(scope="module")
def recording(head: KnownHead, tmp_path_factory: pytest.TempPathFactory) -> BiwiRecording:
    root = tmp_path_factory.mktemp("hpdb")
    write_recording(root / "07", [head])
    (found,) = read_biwi(root)
    return found


def test_runs_are_decoded(tmp_path: Path) -> None:
    depth = np.zeros((3, 4), np.int16)
    depth[0, 2:], depth[2, 0] = (900, 901), 1200
    data = [4, 3, 2, 2, 4, 1, 3, 0]
    runs = [data[:2], data[2:4], [900, 901], data[4:6], [1200], data[6:]]
    kinds = ["<i4", "<i4", "<i2", "<i4", "<i2", "<i4"]
    raw = b"".join(np.array(run, kind).tobytes() for run, kind in zip(runs, kinds, strict=True))
    (tmp_path / "depth.bin").write_bytes(raw)
    np.testing.assert_array_equal(read_depth(tmp_path / "depth.bin"), depth)


@pytest.mark.parametrize("first", [0, 1])
def test_any_image_survives_coding(first: int, tmp_path: Path) -> None:
    depth = np.random.default_rng(first).integers(0, 3, (20, 30)).astype(np.int16)
    depth[0, 0], depth[-1, -1] = first, 1 - first
    (tmp_path / "depth.bin").write_bytes(encoded(depth))
    np.testing.assert_array_equal(read_depth(tmp_path / "depth.bin"), depth)


def test_damaged_depth_is_named(tmp_path: Path) -> None:
    path = tmp_path / "depth.bin"
    whole = encoded(np.full((4, 5), 900, np.int16))
    for data, words in (
        (whole[:-3], "damaged"),
        (whole[:8], "breaks off"),
        (b"\x01", "too short"),
        (b"\xff" * 40, "no depth image"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=words):
            read_depth(path)


def test_calibrations_are_read(recording: BiwiRecording, head: KnownHead) -> None:
    camera = recording.photo_camera
    assert (camera.width, camera.height) == (320, 288)
    assert float(camera.focal) == pytest.approx(float(head.camera.focal), rel=1e-5)
    assert camera.principal.tolist() == pytest.approx([LEFT + 128, TOP + 128])
    np.testing.assert_allclose(recording.photo_from_depth.rotation, PHOTO_FROM_DEPTH, atol=1e-5)
    np.testing.assert_allclose(recording.photo_from_depth.translation, SHIFT, rtol=1e-5)


def test_a_wrong_calibration_is_named(recording: BiwiRecording, tmp_path: Path) -> None:
    path = tmp_path / "rgb.cal"
    path.write_text((recording.frames[0].folder / "rgb.cal").read_text().replace("320 288", ""))
    with pytest.raises(ValueError, match=r"rgb\.cal should have lines"):
        read_calibration(path)


def test_depth_lies_where_the_photo_shows_it(recording: BiwiRecording, head: KnownHead) -> None:
    (frame,) = recording.frames
    found = recording.depth_in_photo(frame)[TOP : TOP + 256, LEFT : LEFT + 256]
    both = np.isfinite(found) & head.region
    assert both.sum() > 0.85 * head.region.sum(), "a little of it is hidden from the other camera"
    gap = np.abs(found[both] - head.depth[both])
    assert np.median(gap) < 0.6, "the files hold whole millimetres"
    assert gap.mean() < 1.5


def test_poses_are_in_the_depth_cameras_frame(recording: BiwiRecording, head: KnownHead) -> None:
    rotation, centre = recording.frames[0].head()
    np.testing.assert_allclose(PHOTO_FROM_DEPTH @ rotation, head.rotation, atol=1e-4)
    seen = PHOTO_FROM_DEPTH @ centre + SHIFT
    np.testing.assert_allclose(seen, head.rotation @ [0, -8, 40] + head.translation, atol=1e-2)


def test_an_empty_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no recordings"):
        read_biwi(tmp_path)
