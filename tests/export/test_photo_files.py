"""Depth, cut-out and camera of a portrait for other programs."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.errors import MissingPackageError
from portrait3d.export.overview import depth_of_photo
from portrait3d.export.rig import place
from portrait3d.parsing_classes import HEAD
from portrait3d.portrait import Portrait
from synthetic_head import synthetic_portrait


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return synthetic_portrait()


def test_depth_is_written_in_steps_or_exactly(portrait: Portrait, tmp_path: Path) -> None:
    depth, valid = depth_of_photo(portrait)
    with Image.open(portrait.export_depth(tmp_path / "depth.png")) as picture:
        steps = np.array(picture)
    with Image.open(portrait.export_depth(tmp_path / "depth.tiff")) as picture:
        assert picture.mode == "F"
        exact = np.array(picture)
    assert ((steps > 0) == valid).all()
    head = np.isin(portrait.parsing, HEAD)
    assert (valid != head).sum() < 0.002 * head.sum(), "as fine an outline as the parsing's"
    assert np.abs(steps[valid] * 0.1 - depth[valid]).max() < 0.051
    assert np.array_equal(exact[valid], depth[valid])
    assert np.isnan(exact[~valid]).all()
    with pytest.raises(ValueError, match=r"\.png, \.tif, \.tiff or \.exr"):
        portrait.export_depth(tmp_path / "depth.pfm")


def test_depth_comes_back_from_an_exr_bit_for_bit(portrait: Portrait, tmp_path: Path) -> None:
    import OpenEXR

    depth, valid = depth_of_photo(portrait)
    with OpenEXR.File(str(portrait.export_depth(tmp_path / "depth.exr"))) as file:
        (name, channel), *others = file.channels().items()
        found = np.array(channel.pixels)
    assert name == "Z"
    assert not others
    assert found.dtype == np.float32
    assert np.array_equal(found[valid], depth[valid])
    assert np.isposinf(found[~valid]).all()


def test_without_openexr_the_error_says_what_to_install(
    portrait: Portrait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'portrait3d\[exr\]'"):
        portrait.export_depth(tmp_path / "depth.exr")
    assert not [*tmp_path.iterdir()]


def test_a_cutout_is_the_photo_with_the_matte(portrait: Portrait, tmp_path: Path) -> None:
    with Image.open(portrait.export_cutout(tmp_path / "cut.png")) as picture:
        pixels = np.array(picture)
    assert np.array_equal(pixels[..., :3], portrait.photo.pixels)
    assert np.abs(pixels[..., 3] / 255 - portrait.matte).max() < 0.003
    with pytest.raises(ValueError, match="needs alpha"):
        portrait.export_cutout(tmp_path / "cut.jpg")


def test_both_cameras_see_the_head_where_the_photo_does(portrait: Portrait, tmp_path: Path) -> None:
    known = json.loads(portrait.export_camera(tmp_path / "camera.json").read_text())
    head, count = portrait.head, 500
    wanted = portrait.camera.project(torch.from_numpy(head.vertices[:count])).numpy()

    opencv = {name: np.array(value) for name, value in known["opencv"].items()}
    rotation, translation = (
        part.double().numpy() for part in (head.camera_from_head.rotation, head.camera_from_head.translation)
    )
    in_model = (head.vertices[:count] - translation) @ rotation
    seen = (in_model @ opencv["rotation"].T + opencv["translation_mm"]) @ opencv["camera_matrix"].T
    # Their pixels' centres are whole numbers, ours lie half a pixel further.
    np.testing.assert_allclose(seen[:, :2] / seen[:, 2:] + 0.5, wanted, atol=1e-2)

    gltf = known["gltf"]
    matrix = np.array(gltf["node_matrix"]).reshape(4, 4).T
    points = np.c_[place(head).vertices[:count], np.ones(count)] @ np.linalg.inv(matrix).T
    lens = gltf["camera"]["perspective"]
    up = points[:, 1] / -points[:, 2] / np.tan(lens["yfov"] / 2)
    right = points[:, 0] / -points[:, 2] / np.tan(lens["yfov"] / 2) / lens["aspectRatio"]
    x = (right + 1) / 2 * known["width"] + gltf["principal_offset_px"][0]
    y = (1 - up) / 2 * known["height"] + gltf["principal_offset_px"][1]
    np.testing.assert_allclose(np.c_[x, y], wanted, atol=1e-2)
    with pytest.raises(ValueError, match=r"\.json"):
        portrait.export_camera(tmp_path / "camera.txt")


def test_landmarks_are_found_by_numbers_of_vertices(portrait: Portrait) -> None:
    chosen = np.array([3, 1000, 4705])
    wanted = portrait.camera.project(portrait.face.vertices[chosen]).numpy()
    assert np.array_equal(portrait.vertex_landmarks(chosen), wanted)
    assert portrait.vertex_landmarks(chosen[:0]).shape == (0, 2)
    for wrong, error in ((np.array([4706]), ValueError), (np.array([-1]), ValueError), ([1], TypeError)):
        with pytest.raises(error, match="vertices"):
            portrait.vertex_landmarks(wrong)  # pyright: ignore[reportArgumentType]


def test_dense_landmarks_lie_on_the_face(portrait: Portrait) -> None:
    dense = portrait.dense_landmarks
    assert dense.shape == (468, 2)
    ours = portrait.head_model.landmarks(portrait.face.vertices[None])[0]
    ours = portrait.camera.project(ours).numpy()
    for point, landmark in ((1, 30), (61, 48), (291, 54), (33, 36), (263, 45)):
        assert np.linalg.norm(dense[point] - ours[landmark]) < 0.06 * np.ptp(dense[:, 1])
