"""Coarse turns on disk, some with the pictures that they should become: refinement's training data."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.whole_files import whole_file
from portrait3d.geometry.pictures import as_bytes
from portrait3d.preprocessing.alignment import HEAD_SIZE
from portrait3d.reposing import CoarseTurn

TURNS, FRAMES, EXACT = "turns", "frames", "exact"
"""Folders of prepared turns: photos at random poses, frames of clips turned into others, drawn people."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredTurn:
    """A coarse turn in the head crop (256 px or more), in bytes: 255 stands for 1."""

    image: UInt8[np.ndarray, "S S 3"]
    holes: UInt8[np.ndarray, "S S 1"]
    guide: UInt8[np.ndarray, "S S 9"]
    """`reposing.guide.CHANNELS`."""
    photo: UInt8[np.ndarray, "S S 3"]
    """The photo before the turn."""
    original: UInt8[np.ndarray, "S S 3"] | None = None
    """The picture after the turn, where it is known."""
    inside: UInt8[np.ndarray, "S S 1"] | None = None
    """Where it is known, 255 or 0."""

    @classmethod
    def of(
        cls,
        turn: CoarseTurn,
        photo: Float[Tensor, "3 S S"],
        original: Float[Tensor, "3 S S"] | None = None,
        inside: Float[Tensor, "1 S S"] | None = None,
    ) -> "StoredTurn":
        """A guided turn of a photo; `inside` comes with `original`."""
        if turn.guide is None:
            raise ValueError("A turn is stored with its guide.")
        return cls(
            as_bytes(turn.image),
            as_bytes(turn.holes),
            as_bytes(turn.guide),
            as_bytes(photo),
            None if original is None else as_bytes(original),
            None if inside is None else as_bytes(inside),
        )

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        present = {name: value for name, value in arrays.items() if value is not None}
        with whole_file(path) as file:
            np.savez_compressed(file, **_shifted(present, -present["image"]))

    @classmethod
    def load(cls, path: Path) -> "StoredTurn":
        """Read what `save` wrote; `ValueError` names a file that holds something else."""
        try:
            with np.load(path, allow_pickle=False) as table:
                arrays = {name: table[name] for name in table.files}
            return cls(**_shifted(arrays, arrays["image"]))
        except (TypeError, ValueError, KeyError, OSError) as error:
            raise ValueError(f"{path} holds no coarse turn: {error}") from error

    def maps(self) -> dict[str, Float[Tensor, "_ S S"]]:
        """What the network takes, `original` black where it isn't known."""
        found = {
            field.name: torch.from_numpy(value).permute(2, 0, 1).float() / 255
            for field in fields(self)
            if field.name != "photo" and (value := getattr(self, field.name)) is not None
        }
        if "original" in found:
            found["original"] = found["original"] * found["inside"]
        return found


def _shifted(arrays: dict[str, Any], by: UInt8[np.ndarray, "S S 3"]) -> dict[str, Any]:
    """The same with another picture added, modulo 256, to all pictures but the coarse one.

    They differ from that one in few places: files get smaller by two fifths.
    """
    shifted = {name: arrays[name] + by for name in ("photo", "original") if name in arrays}
    guide = arrays["guide"].copy()
    guide[..., -3:] += by
    return {**arrays, **shifted, "guide": guide}


class StoredTurns(Dataset):
    """An endless list of stored turns, each a function of its number.

    A sample is a dictionary of maps [C, size, size]: `image`, `holes` and `guide`, and where the files have
    them `original` and `inside`, 1 where it is known.

    Args:
        directory: Files as `StoredTurn.save` writes them.
        size: Side of the samples: windows of the head crop around holes, or all of it.
        seed: Another seed gives other samples.
    """

    def __init__(self, directory: Path, *, size: int = HEAD_SIZE, seed: int = 0) -> None:
        self.paths = sorted(directory.glob("*.npz"))
        if not self.paths:
            raise FileNotFoundError(
                f"{directory} holds no turns (*.npz); run `portrait3d prepare turns` first."
            )
        self.size, self.seed = size, seed

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self.seed, number, 1))
        sample = StoredTurn.load(self.paths[int(random.integers(len(self.paths)))]).maps()
        if random.random() < 0.5:
            sample = {name: value.flip(-1) for name, value in sample.items()}
        return window_at_hole(sample, self.size, random)


def window_at_hole(
    sample: dict[str, Float[Tensor, "_ S S"]], size: int, random: np.random.Generator
) -> dict[str, Float[Tensor, "_ size size"]]:
    """A square window of the maps around a random pixel of a hole (around the middle if there is none)."""
    side = sample["holes"].shape[-1]
    if side == size:
        return sample
    places = torch.nonzero(sample["holes"][0])
    middle = places[int(random.integers(len(places)))].numpy() if len(places) else np.full(2, side / 2)
    corner = middle - size / 2 + random.uniform(-0.25, 0.25, 2) * size
    top, left = np.clip(corner, 0, side - size).astype(int).tolist()
    return {name: value[:, top : top + size, left : left + size] for name, value in sample.items()}
