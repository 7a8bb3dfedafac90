"""Frames of clips in their crops."""

from pathlib import Path

import numpy as np
from PIL import Image

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.photos.pairs import cut_photo
from portrait3d.preprocessing.alignment import Crop


def test_labels_and_picture_are_cut_alike(tmp_path: Path) -> None:
    labels = np.zeros((80, 100), np.uint8)
    labels[20:50, 30:70] = 2
    (tmp_path / "clips/images").mkdir(parents=True)
    picture = np.where(labels[..., None] == 2, 220, 30).astype(np.uint8).repeat(3, axis=2)
    Image.fromarray(picture).save(tmp_path / "clips/images/a_00000.jpg", quality=98)
    photo = LabelledPhoto(
        name="a_00000",
        folder="clips",
        root=tmp_path,
        person="p",
        split="train",
        licence="cc0",
        width=100,
        height=80,
        yaw=0.0,
        pitch=0.0,
        roll=0.0,
        points=np.zeros((468, 3), np.float32),
        box=np.zeros(4, np.float32),
    )
    image, cut, inside = cut_photo(photo, labels, Crop((50.0, 30.0), 100.0, 0.2, 64, 2.0))
    assert image.shape == (64, 64, 3)
    assert 0.6 < inside.mean() < 0.95
    assert not cut[~inside].any()
    assert ((image[..., 0] > 120) == (cut == 2))[inside].mean() > 0.98
