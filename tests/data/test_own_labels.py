"""Photos labelled by the package's own parsing network."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from portrait3d.data.photos import own_labels
from portrait3d.data.photos.labelled import PhotoFolder
from portrait3d.data.photos.own_labels import OwnLabels, read_classes
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.preprocessing.alignment import Crop
from tiny_photos import photo_folder


class Experts(ParsingExperts):
    """Networks that are never asked."""

    def __init__(self) -> None:
        pass


def test_photos_are_read_once_where_their_landmarks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = PhotoFolder(photo_folder(tmp_path / "data", HeadModel.load()))
    asked = []

    def parse(experts: object, pixels: np.ndarray, crop: Crop) -> SimpleNamespace:
        asked.append(crop)
        return SimpleNamespace(labels=np.full(pixels.shape[:2], len(asked), np.uint8))

    monkeypatch.setattr(own_labels, "parse_head", parse)
    experts = Experts()
    labels = OwnLabels(tmp_path / "labels", experts)
    found = [labels(photo) for photo in (first, second, first)]
    assert [int(one.max()) for one in found] == [1, 2, 1]
    assert found[0].shape == (first.height, first.width)
    assert (OwnLabels(tmp_path / "labels", experts)(second) == 2).all()
    assert len(asked) == 2
    x, y = asked[0].centre
    low, high = first.landmarks.min(0), first.landmarks.max(0)
    assert low[0] < x < high[0]
    assert low[1] < y < high[1]
    assert (read_classes(experts, first) == 3).all()
