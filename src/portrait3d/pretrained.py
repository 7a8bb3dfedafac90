"""Networks on disk: `model.safetensors`, `config.json` and a card, checked on loading."""

import inspect
import json
import os
import types
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from portrait3d.errors import WeightsError
from portrait3d.weights import check_state, load_state

LARGEST_CONFIG = 65_536
"""Bytes of a `config.json`; real ones have a few hundred."""
LARGEST_SETTING, LONGEST_SETTING = 4096, 16
"""Bounds of a network's settings, which are factors and counts of channels, and of lists of them."""

Network = TypeVar("Network", bound=nn.Module)


def save_network(net: nn.Module, directory: Path, card: str, *, halved: bool = True, **facts: Any) -> None:
    """Write a network so that `load_network` builds the same one.

    Vectors (biases and statistics of normalisation, whose range can exceed half precision) are stored in
    single precision. An interruption leaves no half-written file.

    Args:
        net: A network with a `settings` dictionary of its constructor's arguments.
        directory: Where the three files go.
        card: The model card, Markdown: data, licence, lineage, command, commit, metrics.
        halved: Whether matrices and kernels are stored in half precision.
        facts: Further entries of `config.json`, such as the commit.
    """
    state = {name: _stored(name, value, halved) for name, value in net.state_dict().items()}
    config = {"network": type(net).__name__, "settings": net.settings, **facts}
    directory.mkdir(parents=True, exist_ok=True)
    part = directory / "model.safetensors.part"
    save_file(state, part)
    part.chmod(0o644)
    os.replace(part, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (directory / "README.md").write_text(card)


@torch.inference_mode(False)  # so that the weights are ordinary tensors, whoever asks for them
def load_network(kind: type[Network], directory: Path | str) -> Network:
    """Build a network from its directory, in evaluation mode and single precision.

    Nothing is allocated before the settings and the shapes of all tensors are known to fit. Raises
    `WeightsError` if anything is missing, left over, of another type or shape, or not finite.
    """
    directory = Path(directory)
    for name in ("config.json", "model.safetensors"):
        if not (directory / name).is_file():
            raise WeightsError(f"{directory / name} is missing.")
    settings = _read_settings(kind, directory / "config.json")
    try:
        with _Undrawn(), torch.device("meta"):  # shapes without memory
            net = kind(**settings)
    except Exception as error:  # whatever a constructor makes of numbers that don't go together
        raise WeightsError(
            f"{directory / 'config.json'}: settings {shortened(settings)} make no {kind.__name__}: {error}"
        ) from None
    check_state(net, directory / "model.safetensors")
    # Buffers that no file holds come from the constructor.
    if dict(net.named_buffers()).keys() - net.state_dict().keys():
        with _Undrawn():
            net = kind(**settings)
    load_state(net, directory / "model.safetensors")
    net.source = str(directory / "model.safetensors")  # pyright: ignore[reportArgumentType] (for messages)
    return net.eval()


class _Undrawn(TorchFunctionMode):
    """Networks are built without the random numbers that training starts from.

    Weights replace them anyway, and on the device "meta" drawing would load torch's compiler, which takes
    seconds and makes a folder among the user's temporary files.
    """

    def __torch_function__(
        self, function: Any, types: Any, arguments: Sequence[Any] = (), options: Any = None
    ) -> Any:
        options = options or {}
        if getattr(function, "__name__", "") in ("normal_", "uniform_", "kaiming_uniform_"):
            return options["tensor"] if "tensor" in options else arguments[0]
        return function(*arguments, **options)


def _read_settings(kind: type[nn.Module], path: Path) -> dict[str, Any]:
    """The arguments of a network's constructor from its `config.json`, each of the right type and bounded."""
    with path.open("rb") as file:
        text = file.read(LARGEST_CONFIG + 1)
    if len(text) > LARGEST_CONFIG:
        raise WeightsError(f"{path} has more than {LARGEST_CONFIG} bytes.")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:  # nested too deeply for the parser
        raise WeightsError(f"{path} is no JSON file: {error}") from None
    if not isinstance(config, dict):
        raise WeightsError(f"{path} holds {shortened(config)}, expected entries such as settings.")
    network, settings = config.get("network"), config.get("settings")
    if network != kind.__name__:
        raise WeightsError(f"{path}: network is {shortened(network)}, expected {kind.__name__}.")
    if not isinstance(settings, dict):
        raise WeightsError(f"{path}: settings is {shortened(settings)}, expected a table.")
    _check_settings(kind, settings, path)
    return settings


def _check_settings(kind: type[nn.Module], settings: Mapping[str, Any], path: Path) -> None:
    hints = get_type_hints(kind.__init__)
    known = inspect.signature(kind).parameters
    for name, value in settings.items():
        place = f"{path}: settings.{shortened(name)[1:-1]}"
        if name not in known:
            raise WeightsError(f"{place} is unknown; a {kind.__name__} has {', '.join(known) or 'none'}.")
        if not _fits(value, hints[name]):
            wanted = inspect.formatannotation(hints[name])
            raise WeightsError(f"{place} is {shortened(value)}, expected {wanted}.")
        entries = value if isinstance(value, list) else [value]
        numbers = [entry for entry in entries if isinstance(entry, int | float)]
        # Not finite is not below the bound either.
        if len(entries) > LONGEST_SETTING or not all(abs(number) <= LARGEST_SETTING for number in numbers):
            raise WeightsError(f"{place} is {shortened(value)}: too large for a {kind.__name__}.")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is what an annotation asks for."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is not None:  # a sequence
        return isinstance(value, list) and all(_fits(entry, arguments[0]) for entry in value)
    return type(value) in ((int, float) if kind is float else (kind,))


def bundled(name: str) -> Path:
    """The directory of weights that come with the package, such as "parsing"."""
    return Path(str(files("portrait3d") / "assets" / name))


def _stored(name: str, value: Tensor, halved: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    stored = value.half() if halved and value.is_floating_point() and value.dim() >= 2 else value
    if not torch.isfinite(stored).all():
        raise WeightsError(
            f"{name} has values that half precision can't hold, up to {value.abs().max():.3g}."
        )
    return stored
