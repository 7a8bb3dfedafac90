"""Drawn glasses, and what the glasses network learns from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_glasses import BLUE
from portrait3d.data.accessories.faces import BareFace
from portrait3d.data.accessories.glasses import GlassesSamples
from portrait3d.data.synthetic.glasses import DISTANCE, Glasses, WornGlasses, wear
from portrait3d.geometry.pose import Pose
from portrait3d.models.glasses import SIZE
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import FACE_SIZE, Crop, crop_camera


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


def front(head: HeadModel, glasses: Glasses, depth: float = np.inf) -> WornGlasses:
    """Glasses on the mean head, from the front, before everything that is `depth` away."""
    camera, pose = crop_camera(200, 1.0), Pose(torch.eye(3), torch.tensor([0.0, 0.0, 1050.0]))

    def screen(points: np.ndarray) -> np.ndarray:
        return camera.screen(pose.apply(torch.from_numpy(points).float())).double().numpy()

    marks = head.landmarks(head.mean[None])[0].double().numpy()
    return wear(glasses, marks, screen, np.full((200, 200), depth), np.random.default_rng(0))


def test_frame_has_its_colour_and_clear_lenses_cover_nothing(head: HeadModel) -> None:
    worn = front(head, BLUE)
    frame = worn.cover > 0.99
    assert 0.005 < frame.mean() < 0.1
    assert np.abs(worn.colour[:, frame] - BLUE.frame[:, None]).max() < 0.01
    grey = np.full((3, 200, 200), 0.5, np.float32)
    changed = np.abs(worn.over(grey) - grey).max(axis=0) > 0.02
    assert np.array_equal(changed, worn.alpha > 0.05)
    dark = front(head, replace(BLUE, lens=np.zeros(3), opacity=0.9))
    assert (dark.cover > 0.99).mean() > 3 * frame.mean()
    # Nothing is left between frame and lens.
    assert (dark.cover[frame] > 0.99).all()


def test_glasses_are_alike_on_both_sides(head: HeadModel) -> None:
    cover = front(head, BLUE).cover > 0.5
    assert (cover & cover[:, ::-1]).sum() > 0.85 * (cover | cover[:, ::-1]).sum()


def test_what_lies_before_glasses_hides_them(head: HeadModel) -> None:
    assert front(head, BLUE, depth=900.0).cover.max() == 0
    worn = front(head, BLUE)
    half = np.repeat(np.linspace(0, 1, 200)[None], 200, 0)
    assert np.allclose(worn.behind(half).cover, worn.cover * (1 - half))
    assert np.allclose(worn.behind(half).alpha, worn.alpha * (1 - half))


def test_rims_that_are_left_out_cover_less(head: HeadModel) -> None:
    whole, upper, none = (
        front(head, replace(BLUE, rimmed=rims)).cover
        for rims in ((True, True), (True, False), (False, False))
    )
    assert none.sum() < upper.sum() < whole.sum()
    assert np.array_equal(upper[:75], whole[:75])


def test_front_bends_and_leans(head: HeadModel) -> None:
    marks = head.landmarks(head.mean[None])[0].double().numpy()
    flat = replace(BLUE, bend=1e9).lenses(marks)
    assert np.allclose(flat[..., 2], marks[36:48, 2].mean() - DISTANCE)
    bent = replace(BLUE, bend=200.0).lenses(marks)
    outer, inner = bent[0, :, 0].argmin(), bent[0, :, 0].argmax()
    assert bent[0, outer, 2] - bent[0, inner, 2] > 5
    leant = replace(BLUE, bend=1e9, tilt=0.2).lenses(marks)
    low, high = leant[0, :, 1].argmax(), leant[0, :, 1].argmin()
    assert leant[0, low, 2] - leant[0, high, 2] == pytest.approx(np.tan(0.2) * 2 * BLUE.height)


def test_highlights_spots_reflections_and_shadows_are_seen(head: HeadModel) -> None:
    plain = front(head, BLUE)
    white = np.ones((3, 200, 200), np.float32)
    for change in (
        {"gloss": 0.8},
        {"second": np.array([1.0, 0.0, 0.0]), "spots": 3.0},
        {"reflection": 0.8, "lens": np.zeros(3), "opacity": 0.4},
        {"shadow": 0.5},
    ):
        worn = front(head, replace(BLUE, **change))
        assert np.abs(worn.over(white) - plain.over(white)).max() > 0.2
        if "lens" not in change:
            assert np.allclose(worn.cover, plain.cover, atol=0.02)


@pytest.fixture
def face() -> BareFace:
    """A grey face whose left half is hair."""
    hair = np.zeros((300, 300), np.uint8)
    hair[:, :150] = 255
    return BareFace(
        np.full((300, 300, 3), 128, np.uint8),
        hair,
        Crop((150.0, 150.0), 240.0, 0.0, FACE_SIZE),
        torch.zeros(144),
        Pose(torch.eye(3), torch.tensor([0.0, 0.0, 1050.0])),
    )


def test_samples_depend_on_their_number_alone(face: BareFace, head: HeadModel) -> None:
    samples, again = (GlassesSamples([face], head, seed=3) for _ in range(2))
    for number in (0, 7):
        picture, cover = samples[number]
        assert picture.shape == (3, SIZE // 2, SIZE)
        assert cover.shape == (1, SIZE // 2, SIZE)
        assert all(
            torch.equal(one, other) for one, other in zip((picture, cover), again[number], strict=True)
        )
    assert not torch.equal(samples[0][0], samples[7][0])


def test_most_samples_wear_glasses_and_hair_lies_before_some(face: BareFace, head: HeadModel) -> None:
    samples = GlassesSamples([face], head, seed=0, still=True)
    covers = [samples[number][1] for number in range(30)]
    worn = [cover for cover in covers if cover.any()]
    assert 12 < len(worn) < 28
    halves = [sorted(float(part.sum()) for part in cover.chunk(2, dim=2)) for cover in worn]
    assert sum(low < 0.2 * high for low, high in halves) > len(worn) / 2


def test_covered_pixels_are_those_that_changed(face: BareFace, head: HeadModel) -> None:
    samples = GlassesSamples([face], head, seed=0, still=True)
    for number in range(10):
        picture, cover = samples[number]
        assert (
            (picture - 128 / 255).abs().amax(0)[cover[0] > 0.99] > 0.005
        ).float().mean() > 0.8 or not cover.any()


def test_photos_are_cut_to_what_the_samples_see(tmp_path: Path, head: HeadModel) -> None:
    from portrait3d.data.face.fits import fit_photos
    from portrait3d.data.photos.labelled import PhotoFolder
    from portrait3d.models.mesh_points import MeshPoints
    from tiny_photos import photo_folder

    root = photo_folder(tmp_path, head)
    hair = root / "portraits" / "hair"
    hair.mkdir()
    for k in range(6):
        Image.fromarray(np.full((200, 200), 40 * k, np.uint8)).save(hair / f"p{k}.png")
    photos = PhotoFolder(root)
    fits = fit_photos(photos.photos, MeshPoints.from_head_model(head))
    face = BareFace.read(photos[2], fits, 2)
    assert face.hair.max() == 80
    assert face.pixels.shape[:2] == face.hair.shape
    # The landmarks of the fit lie where the photo's own do, moved by what was cut off.
    marks = head.landmarks(head.vertices(face_coefficients(face)))[0]
    seen = face.crop.photo_from_crop(face.crop.camera().project(face.pose.apply(marks)))
    corner = np.array(face.crop.centre) - fits.centre[2]
    assert np.abs(seen.numpy() - corner - photos[2].landmarks).mean() < 3


def face_coefficients(face: BareFace):
    from portrait3d.models.coefficients import FaceCoefficients

    vector = FaceCoefficients.neutral().to_vector()
    vector[0, :144] = face.coefficients
    return FaceCoefficients.from_vector(vector)
