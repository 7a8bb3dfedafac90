"""`prepare parsing`, `prepare labels` and `evaluate parsing` as a user meets them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.cli.parsing import parsing as evaluate_parsing
from portrait3d.cli.prepare import labels as prepare_labels
from portrait3d.cli.prepare import parsing as prepare_parsing
from portrait3d.data.parsing.label_sets import read_sets
from portrait3d.data.photos.labelled import PhotoFolder
from portrait3d.evaluation.parsing import sheets
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.preprocessing.alignment import Crop
from tiny_photos import photo_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures with maps of hair and figure, in `people/`."""
    root = photo_folder(tmp_path_factory.mktemp("photos"), HeadModel.load())
    folder = (root / "portraits").rename(root / "people")
    figure = np.zeros((200, 200), np.uint8)
    figure[:, 80:160] = 255
    for kind in ("hair", "figure"):
        (folder / kind).mkdir()
        for k in range(6):
            Image.fromarray(figure * (kind == "figure")).save(folder / kind / f"p{k}.png")
    return root


def test_drawn_people_are_prepared_and_measured_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn, doubts = tmp_path / "drawn", tmp_path / "doubts.png"
    prepare_parsing(data=photos, out=drawn, synthetic_views=1, json=True)
    assert json.loads(capsys.readouterr().out)["folders"] == [str(drawn / "drawn" / "synthetic")]
    evaluate_parsing(data=photos, drawn=drawn, photos=False, doubts=doubts, limit=2, json=True)
    tables = json.loads(capsys.readouterr().out)
    everything, source, _ = tables["exact"]
    assert (everything["photos of"], source["photos of"]) == ("all", "drawn/synthetic")
    assert 0.5 < everything["face"] <= 1
    assert tables["overlap"] == []
    with Image.open(doubts) as sheet:
        assert sheet.height == 200, "one row of photos"
    shares = [row["contradicts"] for row in tables["doubts"]]
    assert len(shares) == 2
    assert shares == sorted(shares, reverse=True)


def test_doubts_fill_pages_worst_first_and_count_the_head_crop_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = list(PhotoFolder(photos, folders=("people",)))
    experts = ParsingExperts([ParsingNet(0.25, (8,) * 5)])
    nothing_but_body = np.full((people[0].height, people[0].width), 1 << 7, np.uint16)
    wrong = dict(zip((photo.name for photo in people), (0, 9, 3, 5, 0, 0), strict=True))
    photo = iter(people)

    def found(experts: ParsingExperts, pixels: np.ndarray, crop: Crop) -> SimpleNamespace:
        # Body all over the crop but in some columns of its middle.
        labels = crop.restore(torch.full((1, crop.size, crop.size), 7.0), *pixels.shape[:2])[0].numpy()
        column = int(crop.centre[0])
        labels[:, column : column + wrong[next(photo).name]] = 0
        return SimpleNamespace(labels=labels.round().astype(np.uint8))

    monkeypatch.setattr(sheets, "parse_head", found)
    monkeypatch.setattr(sheets, "weak_sets", lambda photo: nothing_but_body)
    monkeypatch.setattr(sheets, "DOUBTS_ROWS", 1)
    monkeypatch.setattr(sheets, "DOUBTS_COLUMNS", 4)
    doubts = sheets.write_doubts(experts, people, tmp_path / "doubts.png")
    assert [wrong[name] for name, _ in doubts] == [9, 5, 3, 0, 0, 0]
    assert doubts[3][1] == 0
    for page in (1, 2):
        with Image.open(tmp_path / f"doubts-{page}.png") as sheet:
            assert sheet.size == (1600, 200), "the last row is filled up"


def test_labels_are_written_for_the_training_photos(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare_labels(data=photos, out=tmp_path, json=True)
    assert json.loads(capsys.readouterr().out)["photos"] == 4
    written = sorted((tmp_path / "people").iterdir())
    assert [path.name for path in written] == ["p0.png", "p1.png", "p2.png", "p3.png"]
    assert read_sets(written[0])[100, 10] == 1, "background"
