"""A run becomes weights that the pipeline loads."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from portrait3d.models.depth_net import DepthNet
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.pretrained import load_network
from portrait3d.training.release import lineage, notable_settings, origin, release_network
from portrait3d.training.sources import markdown_table, sources

WIDTHS = [8, 8, 8, 8]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of a tiny depth network, with a secret in its paths."""
    run = tmp_path / "run"
    run.mkdir()
    save_file(DepthNet(WIDTHS, 64).state_dict(), run / "best.safetensors")
    settings = {"data": "/secret/photos", "widths": WIDTHS, "size": 64, "avatars": True, "clips": True}
    settings |= {"fitted": True, "parts": True, "outline": True, "hairstyles": "/secret/hair.npz"}
    loop = {"out": "/secret/run", "minutes": 30.0, "steps": None, "seed": 7}
    record = {"settings": settings, "loop": loop, "commit": "0123abc", "command": ["/secret/python"]}
    (run / "config.json").write_text(json.dumps(record))
    entries = [
        {"step": 5, "minutes": 1.0, "losses": {"total": 3.0}},
        {"step": 9, "minutes": 2.0, "evaluation": {"score": -4.5, "portraits_rest_mm": 4.5}},
        {"step": 12, "minutes": 3.0, "evaluation": {"score": -6.5, "portraits_rest_mm": 6.5}},
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return run


def test_released_weights_load_and_give_the_same_depth(run: Path, tmp_path: Path) -> None:
    net = load_network(DepthNet, release_network("depth", run, tmp_path / "depth"))
    original = DepthNet(WIDTHS, 64)
    original.load_state_dict(load_file(run / "best.safetensors"))
    original.eval()
    image, near = torch.rand(1, 3, 64, 64), torch.full((1, 1, 64, 64), 1000.0)
    labels, head = torch.full((1, 1, 64, 64), 2).byte(), torch.ones(1, 1, 64, 64, dtype=torch.bool)
    given = image, labels, near, near + 150, head, torch.tensor([1000.0])
    with torch.no_grad():
        difference = net(*given).front - original(*given).front
    assert difference.abs().max() < 1.0  # mm; stored in half precision


def test_a_refinement_network_of_another_width_is_released(run: Path, tmp_path: Path) -> None:
    channels = [8, 8, 12, 16, 16]
    save_file(RefinementNet("light", channels).state_dict(), run / "best.safetensors")
    record = json.loads((run / "config.json").read_text())
    record["settings"] = {"data": "/secret/photos", "preset": "light", "channels": channels, "blended": True}
    (run / "config.json").write_text(json.dumps(record))
    net = load_network(RefinementNet, release_network("refinement", run, tmp_path / "refinement"))
    assert net.settings == {"preset": "light", "channels": channels, "blended": True}


def test_the_card_says_what_matters_and_keeps_paths_to_itself(run: Path, tmp_path: Path) -> None:
    release_network("depth", run, tmp_path / "depth", notes="Trained once more with care.")
    card = (tmp_path / "depth" / "README.md").read_text()
    for words in ("Apache-2.0 as far as", "0123abc", "--minutes 30", "step 9", "4.5", "with care"):
        assert words in card
    assert "secret" not in card
    assert "secret" not in (tmp_path / "depth" / "config.json").read_text()


def test_a_run_that_learned_from_research_photos_is_not_released(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "config.json").read_text())
    record["settings"]["research"] = True
    (run / "config.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="research-only photos"):
        release_network("depth", run, tmp_path / "depth")
    assert not (tmp_path / "depth").exists()


@pytest.mark.parametrize("avatars", [True, False])
def test_the_avatars_notice_goes_with_weights_that_learned_from_them(
    avatars: bool, run: Path, tmp_path: Path
) -> None:
    record = json.loads((run / "config.json").read_text())
    record["settings"]["avatars"] = avatars
    (run / "config.json").write_text(json.dumps(record))
    card = (release_network("depth", run, tmp_path / "depth") / "README.md").read_text()
    assert ("Copyright (c) 2022 Tiffany Do" in card) == avatars
    assert "MakeHuman" in card
    assert "train depth" in card
    assert "frames of clips" in card
    assert "secret" not in card
    assert "Non-commercial" not in card


@pytest.mark.parametrize(
    ("teacher", "licence"), [(False, "Apache-2.0"), (True, "that of the photos' labels")]
)
def test_a_parsing_networks_card_says_who_taught_it(
    teacher: bool, licence: str, run: Path, tmp_path: Path
) -> None:
    save_file(ParsingNet(0.25).state_dict(), run / "best.safetensors")
    record = json.loads((run / "config.json").read_text())
    record["settings"] = {
        "width": 0.25,
        "data": "/secret/photos",
        "drawn": "/secret/drawn",
        "labels": "/secret/1",
        "teacher": teacher,
    }
    (run / "config.json").write_text(json.dumps(record))
    card = (release_network("parsing", run, tmp_path / "parsing") / "README.md").read_text()
    assert licence in card.splitlines()[2]
    assert ("MediaPipe" in card) != teacher
    assert "Copyright (c) 2022 Tiffany Do" in card
    assert "secret" not in card


def index_of(folder: Path, *rows: str) -> Path:
    folder.mkdir(parents=True)
    path = folder / "index.csv"
    path.write_text("\n".join(["id,source,licence,split", *rows]) + "\n")
    return path


def test_training_pictures_are_counted_by_source_and_licence(tmp_path: Path) -> None:
    index = index_of(
        tmp_path / "portraits",
        "a,jforms/images,cc0,train",
        "b,jforms/images,cc0,train",
        "c,jforms/images,cc0,val",
        "d,/home/me/holiday,unknown,train",
        "op_e,jforms/images,cc0,train",
    )
    drawn = index_of(tmp_path / "synthetic", "f,drawn,own,train")
    photos, own, made = sources([index, drawn])
    assert (photos["source"], photos["pictures"], photos["licence"]) == ("jforms/images", 2, "cc0")
    assert "CC0" in photos["evidence"]
    assert (own["source"], own["pictures"], own["evidence"]) == ("holiday", 1, "-")
    assert made["source"] == "drawn/synthetic"
    assert [row["pictures"] for row in sources([index], only={"a", "d"})] == [1, 1]


def test_a_card_names_the_photos_that_its_stage_reads(run: Path, tmp_path: Path) -> None:
    index_of(tmp_path / "data" / "portraits", "a,jforms/images,cc0,train")
    index_of(tmp_path / "data" / "clips", "b,KwaiVGI/LivePortrait,mit,train")
    record = json.loads((run / "config.json").read_text())
    record["settings"]["data"] = str(tmp_path / "data")
    (run / "config.json").write_text(json.dumps(record))
    card = (release_network("depth", run, tmp_path / "depth") / "README.md").read_text()
    assert "| KwaiVGI/LivePortrait | 1 | mit |" in card
    assert "jforms" not in card  # depth reads clips alone
    assert str(tmp_path) not in card


def test_a_table_shows_counts_figures_and_gaps() -> None:
    table = markdown_table(
        [{"of": "all", "count": 1200, "value": 0.12345}, {"of": "-", "count": 0, "value": float("nan")}]
    )
    assert table.splitlines() == [
        "| of | count | value |",
        "|---|---|---|",
        "| all | 1,200 | 0.123 |",
        "| - | 0 | – |",
    ]


def test_a_refinement_networks_card_says_whose_labels_it_learned_from() -> None:
    old = origin("refinement", {"turns": "/secret/turns"})
    assert "BiSeNetV2" in old.lineage
    new = origin("refinement", {"turns": "/secret/turns", "exact_batch": 2})
    assert "own parsing network" in new.lineage
    assert "BiSeNetV2" not in new.lineage
    assert "drawn people" in new.data
    assert "Copyright (c) 2022 Tiffany Do" in new.notice
    assert origin("refinement", {"turns": None, "exact_batch": 2}).notice == ""


def test_a_run_that_was_never_evaluated_cannot_be_released(run: Path, tmp_path: Path) -> None:
    (run / "best.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"best\.safetensors is missing"):
        release_network("depth", run, tmp_path / "depth")


def test_a_face_networks_card_names_what_it_comes_from_without_places() -> None:
    settings = {
        "start": "/secret/best.safetensors",
        "recognition": "/secret/MobileFaceNet.onnx",
        "synthetic_share": 0.125,
    }
    words = lineage("face", settings)
    assert "earlier weights" in words
    assert "(MobileFaceNet.onnx)" in words
    assert "Synthetic heads" in words
    assert "secret" not in words
    assert notable_settings(settings) == {"start": "best.safetensors", "recognition": "MobileFaceNet.onnx"}
    assert lineage("face", {}) == "The encoder started from ImageNet weights."


def test_the_cards_of_face_weights_name_their_sources() -> None:
    with_avatars = origin("face", {"avatars": True})
    assert "portraits, people, clips" in with_avatars.data
    assert "artist-made heads" in with_avatars.data
    assert "Tiffany Do" in with_avatars.notice
    assert "esearch" not in with_avatars.licence + with_avatars.lineage
    without = origin("face", {"avatars": False})
    assert "artist" not in without.data + without.notice
