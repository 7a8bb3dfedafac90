"""Networks on disk: `model.safetensors` (half precision), `config.json` and a card, checked on loading."""

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional


class WeightsError(ValueError):
    """Stored weights don't fit their network or can't be read; the message names file and tensor."""


Network = TypeVar("Network", bound=nn.Module)


def save_network(net: nn.Module, directory: Path, card: str, **facts: Any) -> None:
    """Write a network so that `load_network` builds the same one.

    Matrices and kernels are stored in half precision, vectors (biases and statistics of normalisation, whose
    range can exceed it) in single precision. An interruption leaves no half-written file.

    Args:
        net: A network with a `settings` dictionary of its constructor's arguments.
        directory: Where the three files go.
        card: The model card, Markdown: data, licence, lineage, command, commit, metrics.
        facts: Further entries of `config.json`, such as the commit.
    """
    state = {name: _stored(name, value) for name, value in net.state_dict().items()}
    config = {"network": type(net).__name__, "settings": net.settings, **facts}
    directory.mkdir(parents=True, exist_ok=True)
    part = directory / "model.safetensors.part"
    save_file(state, part)
    part.chmod(0o644)
    os.replace(part, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (directory / "README.md").write_text(card)


def load_network(kind: type[Network], directory: Path | str) -> Network:
    """Build a network from its directory, in evaluation mode and single precision.

    Raises `WeightsError` if anything is missing, left over, of another shape or not finite.
    """
    directory = Path(directory)
    for name in ("config.json", "model.safetensors"):
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory / name} is missing.")
    config = json.loads((directory / "config.json").read_text())
    if config.get("network") != kind.__name__:
        raise WeightsError(f"{directory} holds a {config.get('network')}, not a {kind.__name__}.")
    net = kind(**config["settings"])
    load_state(net, directory / "model.safetensors")
    return net.eval()


def load_state(net: nn.Module, path: Path, *, widen: bool = False) -> None:
    """Fill a network from a safetensors file, strictly.

    With `widen`, convolutions of the file may have fewer channels than the network's: the further ones come
    last and at first change nothing, for what the file's channels make of them is zero.
    """
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file: {error}.") from error
    wanted = net.state_dict()
    for name in wanted:
        if name not in state:
            raise WeightsError(f"{path} lacks {name}.")
    for name, value in state.items():
        if name not in wanted:
            raise WeightsError(f"{path} holds {name}, which {type(net).__name__} doesn't have.")
        if widen and value.ndim == wanted[name].ndim > 0:
            state[name] = value = _widened(value, wanted[name])
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)}, expected {tuple(wanted[name].shape)}"
            raise WeightsError(f"{name} in {path} has the shape {shapes}.")
        if not torch.isfinite(value).all():
            raise WeightsError(f"{name} in {path} has values that aren't finite.")
    net.load_state_dict({name: value.to(wanted[name].dtype) for name, value in state.items()})


def _widened(value: Tensor, wanted: Tensor) -> Tensor:
    # A kernel or bias laid into a larger one's first channels; new outputs keep what they were started with.
    outputs, *others = value.shape
    missing = [size - given for size, given in zip(wanted.shape[1:], others, strict=True)]
    if outputs > len(wanted) or any(size < 0 for size in missing):
        return value
    padding = [side for size in reversed(missing) for side in (0, size)]
    return torch.cat([functional.pad(value, padding).to(wanted.dtype), wanted[outputs:]])


def bundled(name: str) -> Path:
    """The directory of weights that come with the package, such as "parsing"."""
    return Path(str(files("portrait3d") / "assets" / name))


def _stored(name: str, value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    stored = value.half() if value.is_floating_point() and value.dim() >= 2 else value
    if not torch.isfinite(stored).all():
        raise WeightsError(
            f"{name} has values that half precision can't hold, up to {value.abs().max():.3g}."
        )
    return stored
