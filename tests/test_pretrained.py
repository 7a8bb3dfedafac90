"""Weights on disk."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from portrait3d.errors import WeightsError
from portrait3d.models.depth_net import DepthNet
from portrait3d.models.face_net import FaceNet
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.preprocessing.centerface import CenterFace
from portrait3d.pretrained import load_network, save_network
from portrait3d.weights import load_state


class Small(nn.Module):
    """A convolution and a normalisation."""

    def __init__(self, channels: int = 4, factor: float = 1.0, sizes: Sequence[int] = ()) -> None:
        super().__init__()
        self.settings = {"channels": channels}
        self.conv = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels)


class Scaled(Small):
    """The same, with a buffer that is no part of the weights."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__(channels)
        self.register_buffer("scale", torch.tensor(3.0), persistent=False)


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


def write_config(directory: Path, **changes: object) -> None:
    config = json.loads((directory / "config.json").read_text()) | changes
    (directory / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"channels": 10**9}, r"settings\.channels is 1000000000: too large"),
        ({"channels": -(10**9)}, r"settings\.channels is -1000000000: too large"),
        ({"channels": -6}, r"settings \{'channels': -6\} make no Small"),
        ({"channels": 6.5}, r"settings\.channels is 6\.5, expected int"),
        ({"channels": True}, r"settings\.channels is True, expected int"),
        ({"channels": "6"}, r"settings\.channels is '6', expected int"),
        ({"channels": [6]}, r"settings\.channels is \[6\], expected int"),
        ({"channels": {"channels": 6}}, r"settings\.channels is .*, expected int"),
        ({"channels": None}, r"settings\.channels is None, expected int"),
        ({"factor": float("nan")}, r"settings\.factor is nan: too large"),
        ({"factor": float("inf")}, r"settings\.factor is inf: too large"),
        ({"sizes": [1] * 17}, r"settings\.sizes is \[1, 1, .*too large"),
        ({"sizes": [1, 10**9]}, r"settings\.sizes is .*too large"),
        ({"sizes": [[1]]}, r"settings\.sizes is \[\[1\]\], expected"),
        ({"depth": 3}, r"settings\.depth is unknown; a Small has channels, factor, sizes"),
        ([], r"settings is \[\], expected a table"),
        (None, r"settings is None, expected a table"),
    ],
)
def test_settings_that_make_no_network_are_named(saved: Path, settings: object, complaint: str) -> None:
    write_config(saved, settings=settings)
    with pytest.raises(WeightsError, match=r"config\.json: " + complaint):
        load_network(Small, saved)


def test_nothing_is_allocated_for_settings_that_the_weights_do_not_have(saved: Path) -> None:
    made = []

    class Heavy(nn.Module):
        """Says where it was built."""

        def __init__(self, channels: int = 4) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(channels, 4096, 4096))
            made.append(self.weight.device.type)

    write_config(saved, network="Heavy", settings={"channels": 4096})
    with pytest.raises(WeightsError, match="lacks weight"):
        load_network(Heavy, saved)
    assert made == ["meta"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "is no JSON file"),
        (b"{", "is no JSON file"),
        (b"\xff\xfe\x00", "is no JSON file"),
        (b"[" * 60_000, "is no JSON file"),
        (b'{"a": ' * 9_000, "is no JSON file"),
        (b'{"network": ' + b"9" * 5000 + b"}", "is no JSON file"),
        (b" " * 70_000, "has more than 65536 bytes"),
        (b"[]", "holds \\[\\]"),
        (b"{}", "network is None, expected Small"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(saved: Path, text: bytes, complaint: str) -> None:
    (saved / "config.json").write_bytes(text)
    with pytest.raises(WeightsError, match=r"config\.json:? " + complaint):
        load_network(Small, saved)


@pytest.mark.parametrize("kind", [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_tensors_of_a_kind_that_weights_do_not_have_are_named(saved: Path, kind: torch.dtype) -> None:
    change(saved, **{"conv.bias": torch.ones(6).to(kind)})
    with pytest.raises(WeightsError, match=r"conv\.bias in .*safetensors is stored as .*, expected F16"):
        load_network(Small, saved)


def test_counts_that_are_no_integers_are_named(saved: Path) -> None:
    change(saved, **{"norm.num_batches_tracked": torch.tensor(1.0)})
    with pytest.raises(WeightsError, match=r"num_batches_tracked in .* is stored as F32, expected I64"):
        load_network(Small, saved)


def test_numbers_beyond_single_precision_are_refused(saved: Path) -> None:
    change(saved, **{"conv.bias": torch.full((6,), 1e300, dtype=torch.float64)})
    with pytest.raises(WeightsError, match=r"conv\.bias.*finite"):
        load_network(Small, saved)


def test_a_network_of_zeros_is_refused(saved: Path) -> None:
    change(saved, **{"conv.weight": torch.zeros(6, 3, 3, 3)})
    with pytest.raises(WeightsError, match=r"safetensors is no trained network: conv\.weight"):
        load_network(Small, saved)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_file_that_ends_too_early_is_refused(saved: Path, length: int) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"model\.safetensors is no safetensors file"):
        load_network(Small, saved)


@pytest.mark.parametrize(
    ("kind", "settings", "complaint"),
    [
        (FaceNet, {"working_size": 4096}, "working_size"),
        (FaceNet, {"dropout": 2.0}, "dropout"),
        (ParsingNet, {"framing": "round"}, "framing"),
        (ParsingNet, {"channels": [24, 40]}, "make no ParsingNet"),
        (RefinementNet, {"preset": "huge"}, "preset"),
        (DepthNet, {"width": 0.0}, r"settings|shape"),
        (CenterFace, {"width": 1.0}, r"width is unknown; a CenterFace has none"),
    ],
)
def test_the_settings_of_the_bundled_networks_are_checked(
    tmp_path: Path, kind: type[nn.Module], settings: dict[str, object], complaint: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"network": kind.__name__, "settings": settings}))
    save_file({"x": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=complaint):
        load_network(kind, tmp_path)


def test_weights_are_ordinary_tensors_wherever_they_are_loaded(saved: Path) -> None:
    with torch.inference_mode():
        assert not any(value.is_inference() for value in load_network(Small, saved).parameters())


def test_loading_draws_no_random_numbers_and_does_not_load_torchs_compiler(saved: Path) -> None:
    before = torch.get_rng_state()
    load_network(Small, saved)
    assert torch.equal(torch.get_rng_state(), before)
    code = "from portrait3d import Portrait3D; Portrait3D.from_pretrained()"
    code = f"import sys; {code}; print(sorted({{'torch._dynamo', 'sympy'}} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_buffers_that_no_file_holds_come_from_the_constructor(tmp_path: Path) -> None:
    save_network(Scaled(), tmp_path, "")
    scaled = load_network(Scaled, tmp_path)
    assert not any(value.is_meta for value in (*scaled.parameters(), *scaled.buffers()))
    torch.testing.assert_close(scaled.scale, torch.tensor(3.0))
