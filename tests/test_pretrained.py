"""Weights on disk."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from portrait3d.pretrained import WeightsError, load_network, load_state, save_network


class Small(nn.Module):
    """A convolution and a normalisation."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.settings = {"channels": channels}
        self.conv = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_network(Small(6), tmp_path / "small", "# Small\n", commit="abc")
    return tmp_path / "small"


def change(directory: Path, **tensors: torch.Tensor | None) -> None:
    state = load_file(directory / "model.safetensors") | tensors
    save_file({k: v for k, v in state.items() if v is not None}, directory / "model.safetensors")


def test_a_network_comes_back_as_it_was_up_to_half_precision(tmp_path: Path) -> None:
    net = Small(5)
    assert net.norm.running_var is not None
    net.norm.running_var.fill_(1e-9)  # which half precision can't hold
    save_network(net, tmp_path, "# Card\n")
    again = load_network(Small, tmp_path)
    assert not again.training
    for name, value in net.state_dict().items():
        loaded = again.state_dict()[name]
        assert loaded.dtype == value.dtype
        torch.testing.assert_close(loaded, value, rtol=1e-3, atol=1e-7 if name == "conv.weight" else 0)


def test_the_card_and_the_facts_lie_beside_the_weights(saved: Path) -> None:
    assert (saved / "README.md").read_text() == "# Small\n"
    config = json.loads((saved / "config.json").read_text())
    assert config == {"network": "Small", "settings": {"channels": 6}, "commit": "abc"}
    assert not list(saved.glob("*.part"))


def test_weights_of_a_narrower_network_start_a_wider_one_with_the_same_output(saved: Path) -> None:
    def chain(channels: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, 2, 1))

    narrow, wide = chain(4), chain(7)
    save_file(narrow.state_dict(), saved / "narrow.safetensors")
    load_state(wide, saved / "narrow.safetensors", widen=True)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(wide(x), narrow(x))
    wide(x).square().sum().backward()
    grown = wide.get_parameter("2.weight").grad
    assert grown is not None
    assert grown[:, 4:].abs().min() > 0  # what the new channels say can be learned
    with pytest.raises(WeightsError, match="shape"):
        load_state(chain(3), saved / "narrow.safetensors", widen=True)


def test_a_missing_tensor_is_named(saved: Path) -> None:
    change(saved, **{"norm.bias": None})
    with pytest.raises(WeightsError, match=r"lacks norm\.bias"):
        load_network(Small, saved)


def test_a_tensor_too_many_is_named(saved: Path) -> None:
    change(saved, extra=torch.zeros(1))
    with pytest.raises(WeightsError, match="extra"):
        load_network(Small, saved)


def test_a_wrong_shape_is_named_with_both_shapes(saved: Path) -> None:
    change(saved, **{"conv.bias": torch.zeros(7)})
    with pytest.raises(WeightsError, match=r"conv\.bias.*\(7,\), expected \(6,\)"):
        load_network(Small, saved)


def test_values_that_are_not_finite_are_refused(saved: Path) -> None:
    change(saved, **{"conv.bias": torch.full((6,), float("nan"))})
    with pytest.raises(WeightsError, match=r"conv\.bias.*finite"):
        load_network(Small, saved)


def test_values_beyond_half_precision_are_not_saved(tmp_path: Path) -> None:
    net = Small()
    nn.init.constant_(net.conv.weight, 1e6)
    with pytest.raises(WeightsError, match=r"conv\.weight"):
        save_network(net, tmp_path, "")


def test_a_broken_file_is_refused(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        load_network(Small, saved)


def test_weights_of_another_network_are_refused(saved: Path) -> None:
    class Other(Small):
        """Not the one that was saved."""

    with pytest.raises(WeightsError, match=r"config\.json: network is 'Small', expected Other"):
        load_network(Other, saved)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json is missing"):
        load_network(Small, tmp_path)
