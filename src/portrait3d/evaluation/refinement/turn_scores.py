"""How like the real view turned photos are: identity, deep features, landmarks, halos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor, nn

from portrait3d.evaluation.refinement.clips import compare_pictures
from portrait3d.evaluation.refinement.turn_truth import (
    COARSE,
    OTHER,
    PREVIOUS,
    REAL,
    REFINED,
    UNTURNED,
    TrueTurn,
)
from portrait3d.models.recognition import RecognitionNet
from portrait3d.parsing_classes import HEAD, ParsingClass

ORDER = (REFINED, PREVIOUS, OTHER, COARSE, UNTURNED, REAL)
"""Of the rows."""
EDGE, HALO = 2.0, 8.0
"""Distances from the head's outline, pixels of the head crop: up to the first, to either side, is the outline
itself; beside the head, from there to the second, lies the band of a halo."""
SMOOTH = 0.7
"""Gaussian (pixels) before gradients are taken, against noise."""
STILL = 1e-6
"""Mean square gradient below which a band is plain."""


@dataclass(frozen=True, slots=True)
class TrueTurnRow:
    """Pictures beside the real view, means over turns by one angle."""

    picture: str
    degrees: float
    turns: int
    identity: float
    """Cosine to the real view of the features of a recognition network; NaN without one."""
    features: float
    """Distance of Eq. 13 between the head crops, those of the faces' landmarks."""
    nme: float
    """Distance of the landmarks found from the true ones after the best shift, scale and roll, in percent of
    face size."""
    halo: float
    """Gradient energy beside the head's outline over that of the real view, geometric mean; above 1 where
    something hangs over into the background; NaN where the outline is not known."""
    outline: float
    """The same on the outline itself; below 1 where it is blurred."""
    detail: float
    """The same inside the real view's head; below 1 where skin and hair are smoother than the real ones.
    Deep features may well prefer that to detail in the wrong place."""
    worn: float
    """Mean absolute difference from the real view (of 255) where either that or the photo shows glasses or
    earrings; NaN where nothing is worn."""


def score_true_turns(
    turns: Sequence[TrueTurn], features: nn.Module, recognition: RecognitionNet | None
) -> list[TrueTurnRow]:
    """A row for each angle and kind of picture; that of the real view says what reading landmarks costs."""
    scores: dict[tuple[float, str], list[tuple[float, ...]]] = {}
    for turn in turns:
        found = score_turn(turn, features, recognition)
        for name in (name for name in ORDER if name in found):
            scores.setdefault((abs(turn.change), name), []).append(found[name])
    rows = []
    for (degrees, name), values in sorted(scores.items(), key=lambda item: item[0][0]):
        identity, distance, nme, *logarithms, worn = np.mean(values, axis=0).tolist()
        halo, outline, detail = np.exp(logarithms).tolist()
        rows.append(
            TrueTurnRow(
                name, degrees, len(values), identity, distance, nme, halo, outline, detail=detail, worn=worn
            )
        )
    return rows


@torch.inference_mode()
def score_turn(
    turn: TrueTurn, features: nn.Module, recognition: RecognitionNet | None
) -> dict[str, tuple[float, ...]]:
    """Identity, deep features, NME, the logarithms of halo, outline and detail, and the difference of what is
    worn, of each picture of a turn."""
    size = turn.sitting.camera.width // 2
    found = compare_pictures(turn.pictures, turn.found, REAL, turn.truth, features, recognition, size)
    inside = inner_head(turn)
    energies = {
        name: np.append(outline_energies(turn, name), gradient_energy(turn.crop.extract(picture), inside))
        for name, picture in turn.pictures.items()
    }
    return {
        name: (*found[name], *np.log(energies[name] / energies[REAL]).tolist(), worn_difference(turn, name))
        for name in found
    }


def worn_difference(turn: TrueTurn, name: str) -> float:
    """Mean absolute difference of a picture from the real view (of 255) where something is worn."""
    if not turn.worn.any():
        return math.nan
    own, real = (turn.pictures[one][turn.worn].astype(np.float64) for one in (name, REAL))
    return float(np.abs(own - real).mean())


def outline_energies(turn: TrueTurn, name: str) -> Float[np.ndarray, "2"]:
    """Gradient energy beside and on the outline of the head in one of a turn's pictures; NaN if unknown."""
    if name not in turn.figures:
        return np.full(2, np.nan)
    picture, figure, counted = turn.crop.extract(turn.pictures[name]), turn.figures[name], heads_own(turn)
    return np.array([gradient_energy(picture, counted & band(figure)) for band in (halo_band, edge_band)])


def heads_own(turn: TrueTurn) -> Bool[np.ndarray, "S S"]:
    """The part of the head crop where outlines are the head's: above the chin, and not beside clothes."""
    chin = float(turn.crop.crop_from_photo(torch.from_numpy(turn.truth[8:9]).float())[0, 1])
    clothes = turn.crop.extract_labels(turn.source.classes) == ParsingClass.BODY
    counted = ndimage.distance_transform_edt(~clothes) > HALO if clothes.any() else ~clothes
    counted[max(0, round(chin)) :] = False
    return counted


def inner_head(turn: TrueTurn) -> Bool[np.ndarray, "S S"]:
    """The head crop's pixels well inside the real view's head."""
    head = np.isin(turn.crop.extract_labels(turn.real.classes), HEAD)
    return ndimage.distance_transform_edt(head) > HALO


def halo_band(figure: Bool[np.ndarray, "S S"]) -> Bool[np.ndarray, "S S"]:
    """Pixels beside the outline of what is person."""
    away = ndimage.distance_transform_edt(~figure)
    return (away > EDGE) & (away <= HALO)


def edge_band(figure: Bool[np.ndarray, "S S"]) -> Bool[np.ndarray, "S S"]:
    """Pixels on the outline of what is person."""
    away, inside = ndimage.distance_transform_edt(~figure), ndimage.distance_transform_edt(figure)
    return (away <= EDGE) & (inside <= EDGE)


def gradient_energy(picture: Float[Tensor, "3 S S"], band: Bool[np.ndarray, "S S"]) -> float:
    """Mean square of the colours' gradients (RGB in [0, 1], per pixel) in a band, at least `STILL`."""
    smooth = ndimage.gaussian_filter(picture.numpy(), (0, SMOOTH, SMOOTH))
    down, across = np.gradient(smooth, axis=(1, 2))
    energy = (down**2 + across**2).sum(axis=0)
    return max(float(energy[band].mean()), STILL) if band.any() else STILL
