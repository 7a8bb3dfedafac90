"""Scenes with known first and last surfaces, and what the package's networks make of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.data.depth.reading import (
    Readers,
    as_far_as_parsed,
    extract_values,
    fit_frame,
    read_scene,
)
from portrait3d.data.depth.samples import DepthAugmentation, DepthSamples, view_tensors
from portrait3d.data.depth.scenes import SIDE, AvatarScenes, Scene, SyntheticScenes, draw_outfit
from portrait3d.data.depth.views import IS_HAIR, UNKNOWN, DepthView, DepthViews, load_sources
from portrait3d.data.people.avatars import read_avatars
from portrait3d.data.people.outfits import recoloured
from portrait3d.data.synthetic import STYLES_TRAIN
from portrait3d.data.synthetic.drawing import HeadSides
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.face_depth import HeadDepths
from portrait3d.preprocessing.alignment import Crop
from tiny_avatars import write_avatars

FACE, HAIR, HEADWEAR = 1, 2, 8
SIDE_OF_CROP = 128


@pytest.fixture(scope="module")
def long_hair() -> Scene:
    return SyntheticScenes(0, {"long_straight": STYLES_TRAIN["long_straight"]}).scene(4)


@pytest.fixture(scope="module")
def view(long_hair: Scene) -> DepthView:
    view = read_scene(Readers.bundled(), long_hair, SIDE_OF_CROP, parsed=False)
    assert view is not None
    return view


def test_a_scene_depends_on_its_number_alone(long_hair: Scene) -> None:
    scenes = SyntheticScenes(0, {"long_straight": STYLES_TRAIN["long_straight"]})
    scenes.scene(3)
    again = scenes.scene(4)
    np.testing.assert_array_equal(again.picture, long_hair.picture)
    np.testing.assert_array_equal(again.back, long_hair.back)


def test_the_last_surface_lies_behind_the_first(long_hair: Scene) -> None:
    head = np.isfinite(long_hair.front)
    np.testing.assert_array_equal(head, np.isfinite(long_hair.back))
    assert (long_hair.back >= long_hair.front)[head].all()
    assert np.isfinite(long_hair.front[long_hair.labels == HAIR]).mean() > 0.97


def test_behind_the_face_of_long_hair_is_hair_and_behind_a_bald_one_is_none(long_hair: Scene) -> None:
    face = long_hair.labels == FACE
    assert long_hair.back_is_hair[face].mean() > 0.95
    bald = SyntheticScenes(0, {"bald": STYLES_TRAIN["bald"]}).scene(0)
    assert not bald.back_is_hair.any()


def test_hair_that_hangs_behind_the_neck_has_two_sides_there(long_hair: Scene) -> None:
    neck = long_hair.labels == 6
    behind = neck & long_hair.back_is_hair
    assert behind.sum() > 0.3 * neck.sum()
    assert np.isfinite(long_hair.front[behind]).all()
    face = np.median(long_hair.front[long_hair.labels == FACE])
    assert np.median(long_hair.front[behind]) > face + 40, "the neck itself is no part of the head"


@pytest.fixture(scope="module")
def avatars(tmp_path_factory: pytest.TempPathFactory) -> AvatarScenes:
    styles = {"Plain_F_1": "short crop", "Long_F_1": "long straight", "Bald_M_1": "bald"}
    return AvatarScenes(0, read_avatars(write_avatars(tmp_path_factory.mktemp("avatars"), styles)))


def test_every_style_of_avatars_comes_equally_often(avatars: AvatarScenes) -> None:
    assert [avatars.scene(k).style for k in range(4)] == ["bald", "long straight", "short crop", "bald"]


def test_held_out_heads_are_seen_from_known_sides_with_the_hair_that_is_hidden(avatars: AvatarScenes) -> None:
    scenes = avatars.checked()
    assert [scene.name.split()[1] for scene in scenes[:3]] == ["+0", "+25", "-40"]
    for scene in scenes:
        hidden = scene.unseen_hair
        assert hidden is not None
        assert (len(hidden) > 0) == (scene.style != "bald")
        column, row = scene.camera.project(torch.from_numpy(hidden)).floor().long().T.numpy()
        assert (hidden[:, 2] > scene.front[row, column] + 7.9).all()


def test_some_heads_wear_hats_whose_surfaces_are_the_heads(avatars: AvatarScenes) -> None:
    outfits = [draw_outfit(np.random.default_rng(k)) for k in range(400)]
    assert 0.08 < np.mean([outfit.headgear is not None for outfit in outfits]) < 0.17
    wearing = [scene for scene in map(avatars.scene, range(40)) if (scene.labels == HEADWEAR).sum() > 500]
    assert wearing
    for scene in wearing:
        hat = scene.labels == HEADWEAR
        assert np.isfinite(scene.front[hat]).mean() > 0.99
        assert (scene.back[hat] >= scene.front[hat]).mean() > 0.99
        # Behind a hat is the hat, on bald heads as well.
        assert scene.back_is_hair[hat].mean() > 0.8


def test_surfaces_of_two_things_are_the_outermost_of_both() -> None:
    inf = np.inf
    hair = np.array([[True, False, True]])
    first = HeadSides(np.array([[10.0, inf, 10.0]]), np.array([[20.0, inf, 20.0]]), hair)
    both = first.joined(HeadSides(np.array([[5.0, 7.0, inf]]), np.array([[30.0, 9.0, inf]]), ~hair))
    assert both.front.tolist() == [[5, 7, 10]]
    assert both.back.tolist() == [[30, 9, 20]]
    assert both.back_is_hair.tolist() == [[False, True, True]]


def test_recoloured_hair_changes_colour_and_nothing_else() -> None:
    picture = np.random.default_rng(0).uniform(0, 1, (3, 20, 20)).astype(np.float32)
    hair = np.zeros((20, 20), bool)
    hair[5:10] = True
    changed = recoloured(picture, hair, np.random.default_rng(1))
    np.testing.assert_array_equal(changed[:, ~hair], picture[:, ~hair])
    assert np.abs(changed - picture)[:, hair].mean() > 0.05


def test_the_truth_is_told_in_the_fits_own_scale(view: DepthView) -> None:
    face = (view.labels == FACE) & np.isfinite(view.near) & np.isfinite(view.front)
    assert face.sum() > 100
    assert np.median(np.abs(view.near - view.front)[face]) < 6
    assert abs(np.median((view.near - view.front)[face])) < 0.5


def relief(side: int, size: float, tilt: float, far: float) -> np.ndarray:
    """Depth of a face-like bump `far` mm away, `size` times as large, tilted by so many mm a pixel down."""
    row, column = np.indices((side, side)) - (side - 1) / 2
    bump = 30 * np.exp(-(row**2 + column**2) / (side / 3) ** 2)
    return far - size * (bump + tilt * row)


def test_the_true_face_is_laid_on_the_fitted_one() -> None:
    crop = Crop((16.0, 16.0), 32.0, 0.0, 32)
    camera = crop.camera()
    fitted = torch.from_numpy(relief(32, 1.0, 0.0, 900.0)).float()[None]
    head = HeadDepths(fitted, fitted + 150, torch.tensor([950.0]))
    face = np.ones((32, 32), bool)
    true = relief(32, 1.1, 0.5, 990.0)
    frame = fit_frame(head, true, face, crop, camera)
    assert frame is not None
    np.testing.assert_allclose(frame(true), fitted[0].numpy(), atol=1.5)
    behind = frame(true + 110) - fitted[0].numpy()
    np.testing.assert_allclose(behind, 100, atol=4)  # a head 1.1 times as large, whose back is 110 mm away
    assert np.isinf(frame(np.full_like(true, np.inf))).all()
    scrambled = np.random.default_rng(0).permutation(true.ravel()).reshape(true.shape)
    assert fit_frame(head, 990 + 3 * (scrambled - 990), face, crop, camera) is None, "misses the face"
    assert fit_frame(head, true, ~face, crop, camera) is None


@pytest.mark.parametrize(("farther", "off"), [(1.0, 0.2), (1.4, 0.8)])
def test_a_head_keeps_its_proportions_whoever_photographs_it(
    farther: float, off: float, long_hair: Scene, view: DepthView
) -> None:
    # Twice as large a head twice as far away gives the same picture, and so, but for perspective, does a
    # longer lens from farther away.
    size = 1.3
    camera = replace(long_hair.camera, focal=long_hair.camera.focal * farther)
    middle = float(np.median(long_hair.front[long_hair.labels == FACE]))

    def moved(depth: np.ndarray) -> np.ndarray:
        return size * (depth - middle + farther * middle)

    scene = replace(long_hair, camera=camera, front=moved(long_hair.front), back=moved(long_hair.back))
    again = read_scene(Readers.bundled(), scene, SIDE_OF_CROP, parsed=False)
    assert again is not None
    known = np.isfinite(view.back)
    np.testing.assert_allclose(again.back[known], view.back[known], atol=off)


def test_values_are_read_at_the_crops_centres() -> None:
    values = np.arange(64.0).reshape(8, 8)
    crop = Crop((4.0, 4.0), 16.0, 0.0, 8)
    read = extract_values(crop, values, -1.0)
    assert read[0, 0] == -1
    assert read[4, 4] == values[5, 5]


def test_labels_beyond_the_head_crop_are_known_where_hair_leaves_it() -> None:
    labels = np.full((128, 128), 7, np.uint8)
    head = np.full((256, 256), 7, np.uint8)
    assert (as_far_as_parsed(labels, head) == 7).sum() == 80**2
    head[-1, 100:140] = HAIR
    assert (as_far_as_parsed(labels, head) == 7).all()


def test_views_survive_the_disk(view: DepthView, tmp_path: Path) -> None:
    DepthViews.collect([view]).save(tmp_path / "synthetic-0.npz")
    DepthViews.collect([view, view]).save(tmp_path / "synthetic-1.npz")
    loaded = load_sources(tmp_path)["synthetic"]
    assert len(loaded) == 3
    np.testing.assert_array_equal(loaded.labels[2], view.labels)
    np.testing.assert_allclose(loaded.back[2], view.back, atol=0.2)


def test_what_the_photo_does_not_reach_is_not_known(view: DepthView) -> None:
    cut = replace(view, back_hair=np.where(np.arange(128) < 64, view.back_hair, UNKNOWN).astype(np.uint8))
    sample = view_tensors(DepthViews.collect([cut]), [0])
    for name in ("front_known", "back_known", "hair_known"):
        assert not sample[name][..., 64:].any()
        assert sample[name][..., :64].any()
    assert (sample["back_hair"][0, 0].numpy() == (cut.back_hair == IS_HAIR)).all()


STILL = DepthAugmentation(
    window=(SIDE_OF_CROP, SIDE_OF_CROP),
    mirror=0,
    colourless=0,
    gain=0,
    gamma=0,
    noise=0,
    depth_noise=0,
    shift=0,
)


def test_a_mirrored_sample_is_mirrored_in_everything(view: DepthView) -> None:
    views = DepthViews.collect([view])
    plain, mirrored = (
        DepthSamples({"a": views}, {"a": 1.0}, replace(STILL, mirror=share))[0] for share in (0, 1)
    )
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    plain["rotation"] = flip @ plain["rotation"] @ flip
    plain["translation"] = plain["translation"] @ flip
    for name, value in plain.items():
        torch.testing.assert_close(mirrored[name], value.flip(-1) if value.ndim == 4 else value)


def test_samples_depend_on_their_number_alone(view: DepthView) -> None:
    views, window = DepthViews.collect([view]), DepthAugmentation(window=(112, 96), shift=8)
    first, second = (DepthSamples({"a": views}, {"a": 1.0}, window) for _ in range(2))
    first[0]
    for name, value in first[7].items():
        assert torch.equal(value, second[7][name])
    assert first[7]["image"].shape == (2, 3, 112, 96)


def test_views_of_a_pair_are_drawn_together_and_keep_their_fits(view: DepthView) -> None:
    moved = replace(STILL, depth_noise=2.0)
    pair = DepthViews.collect([view, view, replace(view, center=view.center + 5)], [(0, 2)])
    sample = DepthSamples({"clips": pair}, {"clips": 1.0}, moved)[0]
    assert sample["paired"]
    assert sorted(sample["center"].tolist()) == pytest.approx([view.center, view.center + 5])
    fitted = view_tensors(pair, [0])["near"][0] - view.center
    for k in range(2):
        torch.testing.assert_close(sample["near"][k] - sample["center"][k], fitted)
    alone = DepthSamples({"a": DepthViews.collect([view])}, {"a": 1.0}, moved)[0]
    assert not alone["paired"]
    shift = alone["near"] - alone["center"][0] - fitted
    assert shift.flatten(1).std(dim=1).max() < 1e-3
    assert shift.flatten(1).mean(dim=1).abs().min() > 1e-2


def test_points_of_the_fitted_head_stay_at_their_pixels_through_augmentation(view: DepthView) -> None:
    # What the pose says and what the pictures show belong together, however a pair is cut and mirrored.
    views = DepthViews.collect([view, view], [(0, 1)])
    for mirror in (0.0, 1.0):
        sample = DepthSamples(
            {"clips": views}, {"clips": 1.0}, DepthAugmentation(window=(112, 96), shift=8, mirror=mirror)
        )[3]
        at = sample["rotation"][0] @ torch.tensor(HEAD_CENTRE).float() + sample["translation"][0]
        assert float(at[2]) == pytest.approx(view.center, abs=0.5)
        pixel = sample["focal"][0] * at[:2] / at[2] + sample["principal"][0]
        column, row = pixel.long().tolist()
        assert sample["head"][0, 0, row, column]


def test_sources_that_are_missing_are_left_out(view: DepthView) -> None:
    views = DepthViews.collect([view])
    assert DepthSamples({"heads": views}, {"heads": 0.2, "clips": 0.8}).names == ["heads"]
    with pytest.raises(ValueError, match="No source has views"):
        DepthSamples({"heads": views}, {"clips": 1.0})


def test_pictures_are_as_large_as_they_say(long_hair: Scene) -> None:
    assert long_hair.picture.shape == (SIDE, SIDE, 3)
