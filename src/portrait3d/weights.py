"""Files of weights, read in one place: checked entry by entry, never executed.

Whatever is wrong with a file is a `WeightsError` that names it and the entry: missing, cut short, of another
format, code in a pickle, tensors of another name, shape or kind, values that aren't finite, variances below
0, nothing but zeros. Whether sound numbers are good ones can't be told from them; `models.plausibility` looks
at what networks make of a photo.
"""

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources.abc import Traversable
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from portrait3d.errors import WeightsError

REAL, WHOLE = ("F16", "BF16", "F32", "F64"), ("I64",)
"""How a file may store real numbers and counts."""
KINDS = {
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
}
LARGEST_AXIS, LARGEST_ITEM = 65_536, 256
"""Bounds of arrays: entries along an axis, bytes of one value (names are text of fixed length)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of a file, of which only the header has been read."""

    shape: tuple[int, ...]
    kind: str
    """How it is stored, in safetensors' words."""
    read: Callable[[], Tensor]


def load_state(net: nn.Module, path: Path, *, widen: bool = False, partly: bool = False) -> None:
    """Fill a network from a safetensors file; no tensor is read before all names, kinds and shapes fit.

    One on the device "meta" gets the file's tensors for its own. With `widen`, convolutions of the file may
    have fewer channels than the network's: the further ones come last and at first change nothing, for what
    the file's channels make of them is zero. With `partly`, the file may hold more than the network has, such
    as the classifier of a backbone.
    """
    with _safetensors(path) as entries:
        _fill(net, _of_network(entries, net) if partly else entries, str(path), widen=widen)


def check_state(net: nn.Module, path: Path) -> None:
    """Check all that the header of a safetensors file tells about whether it fits a network."""
    with _safetensors(path) as entries:
        _check_entries(net, entries, str(path))


def load_pickled_state(net: nn.Module, path: Path, names: Mapping[str, str]) -> None:
    """Fill a network from torch's own format, whose code isn't run; `names` tells what the file calls each
    tensor."""
    state = Checkpoint.read(path)
    entries = {ours: state.tensor(theirs) for ours, theirs in names.items()}
    _fill(net, entries, str(path))


def tensor_names(path: Path) -> frozenset[str]:
    """The names in a safetensors file."""
    with _safetensors(path) as entries:
        return frozenset(entries)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file of torch's own format with nested tables, whose code isn't run."""

    path: Path
    entries: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read a file; `WeightsError` for what is none."""
        _check_file(path)
        try:
            _check_growth(path)
            entries = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # unpickling raises whatever a file makes it stumble over
            reason = _first_line(error)
            raise WeightsError(f"{path} is no checkpoint that is safe to read: {reason}") from None
        if not isinstance(entries, Mapping):
            raise WeightsError(f"{path} holds {shortened(entries)}, expected a table.")
        return cls(path, entries)

    def part(self, *names: str) -> Any:
        """An entry of a table within tables."""
        found: Any = self.entries
        for k, name in enumerate(names):
            if not isinstance(found, Mapping) or name not in found:
                raise WeightsError(f"{self.path} lacks {'.'.join(names[: k + 1])}.")
            found = found[name]
        return found

    def tensor(self, *names: str) -> Entry:
        """A tensor of a table within tables."""
        value = self.part(*names)
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise WeightsError(f"{'.'.join(names)} in {self.path} is {shortened(value)}, expected a tensor.")
        return _entry(value)

    def fill(self, net: nn.Module, *names: str) -> None:
        """Fill a network from a table."""
        table = self.part(*names)
        if not isinstance(table, Mapping):
            raise WeightsError(f"{'.'.join(names)} in {self.path} is {shortened(table)}, expected a table.")
        entries = {name: self.tensor(*names, name) for name in table}
        _fill(net, entries, f"{'.'.join(names)} of {self.path}")

    def give(self, taker: Callable[[Any], object], *names: str) -> None:
        """Hand an entry to what takes it over; a `WeightsError` names it if that fails."""
        value = self.part(*names)
        try:
            taker(value)
        except Exception as error:  # whatever a taker makes of a wrong entry
            reason = _first_line(error)
            raise WeightsError(f"{'.'.join(names)} in {self.path} can't be used: {reason}") from None


def read_arrays(source: Path | Traversable, layout: Mapping[str, tuple[str, str]]) -> dict[str, np.ndarray]:
    """Arrays of an npz file, checked by their headers before any is read.

    Args:
        source: The file; entries that `layout` doesn't name are ignored.
        layout: For each array its kinds (numpy's letters, such as "f" or "iu") and its shape: numbers, and
            letters for lengths that are the same wherever they stand.
    """
    lengths: dict[str, int] = {}
    try:
        with source.open("rb") as file, zipfile.ZipFile(file) as archive:
            for name, (kinds, shape) in layout.items():
                _check_header(archive, name, kinds, shape, lengths)
            arrays = {name: _read_array(archive, name) for name in layout}
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from None
    except Exception as error:  # zipfile and numpy raise many kinds
        raise WeightsError(f"{source} is no npz file that can be read: {_first_line(error)}") from None
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightsError(f"{source}: {name} has values that aren't finite.")
    return arrays


def _check_header(
    archive: zipfile.ZipFile, name: str, kinds: str, shape: str, lengths: dict[str, int]
) -> None:
    if f"{name}.npy" not in archive.namelist():
        raise WeightsError(f"{name} is missing.")
    with archive.open(f"{name}.npy") as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise WeightsError(f"{name} is no array of numpy's first format.")
        found, _, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype.kind not in kinds or dtype.itemsize > LARGEST_ITEM:
        raise WeightsError(f"{name} is stored as {dtype}, expected one of numpy's kinds {', '.join(kinds)}.")
    wanted = shape.split()
    if len(found) != len(wanted):
        raise WeightsError(f"{name} has the shape {found}, expected [{shape}].")
    for length, axis in zip(found, wanted, strict=True):
        expected = int(axis) if axis.isdigit() else lengths.setdefault(axis, length)
        if length != expected or not 0 < length <= LARGEST_AXIS:
            raise WeightsError(f"{name} has the shape {found}, expected [{shape}] with {axis} = {expected}.")


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


@contextmanager
def _safetensors(path: Path) -> Iterator[dict[str, Entry]]:
    """The entries of a safetensors file while it is open."""
    _check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            entries = {}
            for name in file.keys():  # noqa: SIM118 (it is no dictionary)
                part = file.get_slice(name)
                read = partial(file.get_tensor, name)
                entries[name] = Entry(tuple(part.get_shape()), part.get_dtype(), read)
            yield entries
    except SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file: {error}.") from error


def _fill(net: nn.Module, entries: Mapping[str, Entry], place: str, *, widen: bool = False) -> None:
    """Fill a network from entries that fit it; `place` says in messages where they are from."""
    _check_entries(net, entries, place, widen=widen)
    state = {}
    ranges = {}
    for name, value in net.state_dict().items():
        given = entries[name].read().to(value.dtype)
        state[name] = _widened(given, value) if widen else given
        # One pass over the values: what isn't a number is passed on to both ends of their range.
        low, high = ranges[name] = tuple(map(float, state[name].aminmax()))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise WeightsError(f"{name} in {place} has values that aren't finite.")
        if name.endswith("running_var") and low < 0:
            raise WeightsError(f"{name} in {place} has variances below 0.")
    kernels = [name for name, value in state.items() if value.ndim >= 2]
    if kernels and not any(any(ranges[name]) for name in kernels):
        raise WeightsError(f"{place} is no trained network: {kernels[0]} and all others are zero.")
    # A network that is only an outline has no memory to copy them to.
    outline = any(value.is_meta for value in net.state_dict().values())
    net.load_state_dict(state, assign=outline)


def _check_entries(net: nn.Module, entries: Mapping[str, Entry], place: str, *, widen: bool = False) -> None:
    """Compare names, kinds and shapes with a network's; reads no tensor."""
    wanted = net.state_dict()
    for name in wanted:
        if name not in entries:
            raise WeightsError(f"{place} lacks {name}.")
    for name, entry in entries.items():
        if name not in wanted:
            what = shortened(name)[1:-1]
            raise WeightsError(f"{place} holds {what}, which {type(net).__name__} doesn't have.")
        expected = tuple(wanted[name].shape)
        fits = len(entry.shape) == len(expected) and all(
            have == want or (widen and have < want) for have, want in zip(entry.shape, expected, strict=True)
        )
        if not fits:
            raise WeightsError(f"{name} in {place} has the shape {entry.shape}, expected {expected}.")
        usable = REAL if wanted[name].is_floating_point() else WHOLE
        if entry.kind not in usable:
            kinds = " or ".join(usable)
            raise WeightsError(f"{name} in {place} is stored as {entry.kind}, expected {kinds}.")


def _of_network(entries: Mapping[str, Entry], net: nn.Module) -> dict[str, Entry]:
    """The entries that a network has, and its own counts of batches where a file is too old to have any."""
    counts = {name: value for name, value in net.state_dict().items() if name.endswith("num_batches_tracked")}
    own = {name: _entry(value) for name, value in counts.items()}
    return own | {name: entry for name, entry in entries.items() if name in net.state_dict()}


def _entry(value: Tensor) -> Entry:
    return Entry(tuple(value.shape), KINDS.get(value.dtype, str(value.dtype)), lambda: value)


def _widened(value: Tensor, wanted: Tensor) -> Tensor:
    # A kernel or bias laid into a larger one's first channels; new outputs keep what they were started with.
    if value.ndim == 0:
        return value
    outputs, *others = value.shape
    missing = [size - given for size, given in zip(wanted.shape[1:], others, strict=True)]
    padding = [side for size in reversed(missing) for side in (0, size)]
    return torch.cat([functional.pad(value, padding), wanted[outputs:]])


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise WeightsError(f"{path} is missing.")


def _check_growth(path: Path) -> None:
    """Refuse archives that are larger inside than outside: torch writes none, and they can fill memory."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                raise WeightsError("it is compressed.")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
