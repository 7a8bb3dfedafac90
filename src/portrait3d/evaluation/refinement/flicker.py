"""Whether turned photos flicker while the head turns slowly, beside views of a head that really turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from portrait3d.data.refinement.turned_frames import carry_crop
from portrait3d.evaluation.refinement.turn_truth import COARSE, FRONTAL, REAL, REFINED, Sitting, turn_as
from portrait3d.geometry.pictures import as_bytes
from portrait3d.parsing_classes import HEAD
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import HEAD_SIZE, crop_from_landmarks

SWEEP = tuple(float(k) for k in range(11, 20))
"""Changes of yaw (degrees), one after the other."""

Sweep = Mapping[str, list[Float[np.ndarray, "3 S S"]]]


@dataclass(frozen=True, slots=True)
class FlickerRow:
    """How unevenly a sweep's pictures change, mean over heads."""

    picture: str
    heads: int
    change: float
    """Mean absolute second difference of registered pictures on the head, of 255."""
    relative: float
    """The same over that of the real views."""


@torch.inference_mode()
def sweep(model: Portrait3D, sitting: Sitting, portrait: Portrait) -> tuple[Sweep, Bool[np.ndarray, "S S"]]:
    """Pictures of a slow turn, laid on the middle one by the true landmarks, and where the head is there."""
    reposer = model.reposer(portrait)
    middle = replace(FRONTAL, yaw=SWEEP[len(SWEEP) // 2])
    at = sitting.landmarks(middle)
    crop = crop_from_landmarks(torch.from_numpy(at)).head_crop().resized(HEAD_SIZE)
    found: dict[str, list[np.ndarray]] = {REFINED: [], COARSE: [], REAL: []}
    for yaw in SWEEP:
        target = replace(FRONTAL, yaw=yaw)
        placed = carry_crop(crop, at, sitting.landmarks(target))
        turn = turn_as(reposer, FRONTAL, target)
        pictures = {
            REFINED: model.finish(reposer, turn),
            COARSE: reposer.composite(turn),
            REAL: as_bytes(sitting.view(target).picture),
        }
        for name, picture in pictures.items():
            found[name].append(placed.extract(picture).numpy())
    return found, np.isin(crop.extract_labels(sitting.view(middle).classes), HEAD)


def score_flicker(sweeps: Sequence[tuple[Sweep, Bool[np.ndarray, "S S"]]]) -> list[FlickerRow]:
    """A row for each kind of picture."""
    changes = {
        name: [second_difference(pictures[name], head) for pictures, head in sweeps]
        for name in (REFINED, COARSE, REAL)
    }
    real = float(np.mean(changes[REAL])) if sweeps else float("nan")
    return [
        FlickerRow(name, len(values), 255 * float(np.mean(values)), float(np.mean(values)) / real)
        for name, values in changes.items()
        if values
    ]


def second_difference(pictures: Sequence[Float[np.ndarray, "3 S S"]], head: Bool[np.ndarray, "S S"]) -> float:
    """Mean absolute second difference of a row of pictures where the head is."""
    row = np.stack(pictures)[..., head]
    return float(np.abs(row[2:] - 2 * row[1:-1] + row[:-2]).mean())
