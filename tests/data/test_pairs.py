"""Which portraits become pairs, and synthetic heads in the form that training reads."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from portrait3d.data.depth_views import load_sources
from portrait3d.data.fits import FaceFits
from portrait3d.data.model_views import HeadInCrop, SkinModel
from portrait3d.data.pairs import cut_photo, head_crop_of, portrait_pair, share_cut
from portrait3d.data.photos import LabelledPhoto
from portrait3d.data.synthetic import SyntheticHeads
from portrait3d.data.synthetic_views import head_view, prepare_synthetic
from portrait3d.data.turning import HeadView
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.pretrained import bundled

SIDE = 256


def photo_of(view: HeadView, root: Path) -> LabelledPhoto:
    """The view as a photo with labels of 19 classes, twice as large."""
    folder = root / "portraits"
    for name in ("images", "parsing"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    nineteen = np.array([0, 1, 17, 7, 8, 11, 14, 16, 18], np.uint8)[view.labels]
    Image.fromarray(view.image).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(folder / "images/a.jpg")
    Image.fromarray(nineteen).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(folder / "parsing/a.png")
    return LabelledPhoto(
        name="a",
        folder="portraits",
        root=root,
        person="p",
        split="train",
        licence="cc0",
        width=SIDE,
        height=SIDE,
        yaw=0.0,
        pitch=0.0,
        roll=0.0,
        points=np.zeros((468, 3), np.float32),
        box=np.zeros(4, np.float32),
    )


def fits_of(head: HeadInCrop, residual: float = 0.003) -> FaceFits:
    """A perfect fit of the mean head in the middle of the photo."""
    return FaceFits(
        names=np.array(["a"]),
        folders=np.array(["portraits"]),
        validation=np.array([False]),
        centre=np.full((1, 2), SIDE / 2, np.float32),
        side=np.array([SIDE / 2], np.float32),
        angle=np.zeros(1, np.float32),
        box=np.zeros((1, 4), np.float32),
        points=np.zeros((1, 468, 2), np.float32),
        shape=np.zeros((1, 144), np.float32),
        rotation=head.rotation[None].astype(np.float32),
        translation=head.translation[None].astype(np.float32),
        residual=np.array([residual], np.float32),
        slide=np.zeros((7, 468, 2), np.float32),
        key="",
    )


def test_a_portrait_becomes_a_pair(
    frontal: HeadView, skin: SkinModel, mean_head: HeadInCrop, tmp_path: Path
) -> None:
    photo = photo_of(frontal, tmp_path)
    found = portrait_pair(photo, fits_of(mean_head), 0, skin, np.random.default_rng(0))
    assert not isinstance(found, str), found
    first, second = found
    step = torch.from_numpy(second.head.rotation @ first.head.rotation.T)
    angle = torch.rad2deg(torch.arccos((step.trace() - 1) / 2))
    assert 4.9 < float(angle) < 16
    bare = (first.labels == 1) & np.isfinite(first.face_depth)
    assert np.abs(first.depth[bare] - first.face_depth[bare]).mean() < 1.0
    assert second.region.sum() > 0.8 * first.region.sum()


def test_a_poor_fit_is_left_out(
    frontal: HeadView, skin: SkinModel, mean_head: HeadInCrop, tmp_path: Path
) -> None:
    photo = photo_of(frontal, tmp_path)
    found = portrait_pair(photo, fits_of(mean_head, residual=0.04), 0, skin, np.random.default_rng(0))
    assert found == "fit 0.040"


def test_labels_and_picture_are_cut_alike(frontal: HeadView, mean_head: HeadInCrop, tmp_path: Path) -> None:
    photo = photo_of(frontal, tmp_path)
    image, labels, inside = cut_photo(photo, head_crop_of(fits_of(mean_head), 0))
    assert image.shape == (256, 256, 3)
    assert inside.all()
    assert (labels == np.asarray(photo.parsing())).mean() > 0.999


def test_only_the_top_and_the_sides_cut_a_head() -> None:
    inside = np.zeros((40, 40), bool)
    inside[10:30, 10:30] = True
    region = np.zeros_like(inside)
    region[12:28, 14:26] = True
    assert share_cut(region, inside) < 0.3
    region[:] = False
    region[20:30, 18:22] = True
    assert share_cut(region, inside) == 0, "hair may run out of the picture below"
    region[10:20, 12:28] = True
    assert share_cut(region, inside) > 0.2


def test_a_synthetic_view_keeps_its_truth() -> None:
    view = SyntheticHeads(seed=3, size=64).pair(1).first
    found = head_view(view)
    assert found.region.any()
    assert np.isfinite(found.depth[found.region]).all()
    assert np.isinf(found.depth[~found.region]).all()
    assert abs(found.head.centre[2] - view.center_depth) < 1e-3


def test_synthetic_files_are_made_once(tmp_path: Path) -> None:
    first = list(prepare_synthetic(tmp_path, "val", 1))
    changed = first[0].stat().st_mtime_ns
    assert list(prepare_synthetic(tmp_path, "val", 1)) == first
    assert first[0].stat().st_mtime_ns == changed
    assert len(load_sources(tmp_path)["synthetic"]) == 2


def test_every_second_synthetic_pair_is_labelled_by_networks(tmp_path: Path) -> None:
    exact, parsed = tmp_path / "exact", tmp_path / "parsed"
    experts = ParsingExperts.load(bundled("parsing"))
    list(prepare_synthetic(exact, "train", 2))
    list(prepare_synthetic(parsed, "train", 2, experts))
    truth, found = load_sources(exact)["synthetic"], load_sources(parsed)["synthetic"]
    assert np.array_equal(truth.labels[:2], found.labels[:2])
    assert np.array_equal(truth.depth, found.depth, equal_nan=True)
    for k in (2, 3):
        assert not np.array_equal(truth.labels[k], found.labels[k])
        assert (truth.region[k] & found.region[k]).sum() > 0.8 * (truth.region[k] | found.region[k]).sum()
