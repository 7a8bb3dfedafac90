"""Training the parsing network."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from portrait3d.data.parsing.preparation import prepare_parsing
from portrait3d.data.parsing.samples import Augmentation
from portrait3d.data.photos.labelled import MAPS
from portrait3d.models.head_model import HeadModel
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.training.loop import LoopConfig, TrainingLoop
from portrait3d.training.parsing import (
    ParsingTraining,
    parsing_losses,
    parsing_optimizer,
    read_pictures,
    starting_net,
    train_parsing,
)
from tiny_photos import photo_folder


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Layers this small only lose by being split."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_one_thread")
def test_one_batch_is_learned_in_a_few_dozen_steps() -> None:
    config = ParsingTraining(data=Path(), loop=LoopConfig(out=Path(), steps=1), width=0.25)
    net = ParsingNet(0.25, (16, 16, 16, 16, 16))
    images, labels = torch.rand(2, 3, 64, 64), torch.zeros(2, 32, 32, dtype=torch.int64)
    for i in range(2):
        top, left = 4 + 3 * i, 16 - 3 * i
        labels[i, top : top + 12, left : left + 10] = 1
        labels[i, top - 4 : top, left : left + 10] = 2
        images[i] = images[i] * 0.2 + labels[i].repeat_interleave(2, 0).repeat_interleave(2, 1) * 0.4
    optimizer = parsing_optimizer(net, config)
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    weights = torch.tensor(config.class_weights)
    sets = (1 << labels)[:, None].expand(2, 4, 32, 32)
    totals = []
    for _ in range(30):
        losses = parsing_losses(net(images), sets, weights, config.dice_weight)
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
        totals.append(losses["total"].item())
    assert min(totals) < totals[0] / 10


def test_every_parameter_is_optimised_once_and_the_encoder_more_slowly() -> None:
    net = ParsingNet(0.25, (8, 8, 8, 8, 8))
    config = ParsingTraining(data=Path(), loop=LoopConfig(out=Path(), steps=1))
    encoder, decoder = parsing_optimizer(net, config).param_groups
    known = [id(p) for group in (encoder, decoder) for p in group["params"]]
    assert sorted(known) == sorted(id(p) for p in net.parameters())
    assert encoder["lr"] < decoder["lr"]


def test_training_goes_on_from_weights_with_and_without_normalisation(tmp_path: Path) -> None:
    net, crop = ParsingNet(0.25).eval(), torch.rand(1, 3, 64, 64)
    expected = net(crop)
    config = ParsingTraining(
        data=Path(), loop=LoopConfig(out=Path(), steps=1), width=0.25, start=tmp_path / "net.safetensors"
    )
    for folded in (False, True, True):
        save_file(net.state_dict(), tmp_path / "net.safetensors")
        net = starting_net(replace(config, folded=folded, framing="tanh")).eval()
        assert (net.settings["folded"], net.framing) == (folded, "tanh")
        torch.testing.assert_close(net(crop), expected, atol=1e-4, rtol=1e-4)


def test_folding_needs_weights_to_fold() -> None:
    config = ParsingTraining(data=Path(), loop=LoopConfig(out=Path(), steps=1), folded=True)
    with pytest.raises(ValueError, match="folded needs start"):
        starting_net(config)


def test_the_total_is_cross_entropy_and_weighted_dice() -> None:
    logits, sets = torch.randn(2, 9, 4, 4), torch.randint(0, 512, (2, 4, 4, 4))
    losses = parsing_losses(logits, sets, torch.ones(9), 0.5)
    torch.testing.assert_close(losses["total"], losses["cross_entropy"] + 0.5 * losses["dice"])


def test_the_configuration_holds_no_objects_that_json_lacks(tmp_path: Path) -> None:
    config = ParsingTraining(
        data=Path("photos"), loop=LoopConfig(out=tmp_path, steps=1), augmentation=Augmentation()
    )
    net = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    TrainingLoop(config.loop, {"net": net}, {"net": optimizer}, averaged="net", settings=config)
    assert '"data": "photos"' in (tmp_path / "config.json").read_text()


def test_training_learns_from_drawn_people_and_photos_together(tmp_path: Path) -> None:
    photos = photo_folder(tmp_path / "photos", HeadModel.load())
    for kind in MAPS:
        (photos / "portraits" / kind).mkdir()
        for k in range(6):
            Image.new("L", (200, 200), 255).save(photos / "portraits" / kind / f"p{k}.png")
    drawn = tmp_path / "drawn"
    list(prepare_parsing(photos, drawn, avatars=None, hairstyles=None, synthetic_views=2))
    config = ParsingTraining(
        data=photos, drawn=drawn, loop=LoopConfig(out=tmp_path / "run", steps=2), size=64, batch=2, width=0.25
    )
    learned, checked = read_pictures(config, 80)
    assert sorted(photo.folder for photo in learned) == ["drawn/synthetic"] * 2 + ["portraits"] * 4
    assert [(photo.folder, photo.split) for photo in checked] == [("drawn/synthetic", "val")]
    train_parsing(config)
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_without_exact_labels_there_is_nothing_to_evaluate_on(tmp_path: Path) -> None:
    photos = photo_folder(tmp_path, HeadModel.load())
    config = ParsingTraining(data=photos, loop=LoopConfig(out=tmp_path / "run", steps=1))
    with pytest.raises(FileNotFoundError, match="--set drawn=DIR"):
        read_pictures(config, 80)
