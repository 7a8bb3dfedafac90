"""The parsing network."""

from pathlib import Path

import pytest
import torch

from portrait3d.models.parsing_net import ParsingNet
from portrait3d.parsing_classes import MIRRORED_CLASSES, PARSING_CLASSES
from portrait3d.pretrained import load_network, save_network

SWAPPED = list(MIRRORED_CLASSES)


@pytest.fixture(scope="module")
def net() -> ParsingNet:
    torch.manual_seed(0)
    return ParsingNet(width=0.25, channels=(8, 8, 8, 8, 8)).eval()


def test_logits_have_half_the_size_of_the_crop_and_probabilities_the_same(net: ParsingNet) -> None:
    crop = torch.rand(2, 3, 64, 96)
    assert net(crop).shape == (2, len(PARSING_CLASSES), 32, 48)
    assert net.parse(crop).shape == (2, len(PARSING_CLASSES), 64, 96)


def test_probabilities_sum_to_one(net: ParsingNet) -> None:
    total = net.parse(torch.rand(1, 3, 64, 64)).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_a_batch_is_parsed_as_its_crops_are(net: ParsingNet) -> None:
    crops = torch.rand(3, 3, 64, 64)
    alone = torch.cat([net.parse(crop[None]) for crop in crops])
    torch.testing.assert_close(net.parse(crops), alone, atol=1e-5, rtol=1e-4)


def test_a_folded_network_says_the_same_and_is_stored_as_such(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = ParsingNet(width=0.25, channels=(8, 8, 8, 8, 8))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)  # pyright: ignore[reportOptionalMemberAccess]
            module.running_var.uniform_(0.5, 2)  # pyright: ignore[reportOptionalMemberAccess]
            torch.nn.init.uniform_(module.weight, 0.5, 2)
    crop = torch.rand(2, 3, 64, 64)
    expected = net.eval()(crop)
    net.fold()
    torch.testing.assert_close(net(crop), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net.train()(crop), expected, atol=1e-4, rtol=1e-4)
    assert not any("running" in name for name in net.state_dict())
    save_network(net, tmp_path, "card")
    again = load_network(ParsingNet, tmp_path)
    assert again.settings["folded"]
    torch.testing.assert_close(again(crop), expected, atol=0.05, rtol=0.05)


def test_a_network_knows_its_framing(tmp_path: Path) -> None:
    save_network(ParsingNet(0.25, (8,) * 5, framing="tanh"), tmp_path, "card")
    assert load_network(ParsingNet, tmp_path).framing == "tanh"
