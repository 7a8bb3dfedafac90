"""`prepare parsing`, `prepare labels` and `evaluate parsing` as a user meets them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.cli.parsing import parsing as evaluate_parsing
from portrait3d.cli.prepare import labels as prepare_labels
from portrait3d.cli.prepare import parsing as prepare_parsing
from portrait3d.data.parsing.label_sets import read_sets
from portrait3d.models.head_model import HeadModel
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


def test_labels_are_written_for_the_training_photos(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare_labels(data=photos, out=tmp_path, json=True)
    assert json.loads(capsys.readouterr().out)["photos"] == 4
    written = sorted((tmp_path / "people").iterdir())
    assert [path.name for path in written] == ["p0.png", "p1.png", "p2.png", "p3.png"]
    assert read_sets(written[0])[100, 10] == 1, "background"
