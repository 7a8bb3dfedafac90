"""Where turned photos differ from the real view: what each part of them costs, the part replaced by truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor, nn

from portrait3d.data.refinement.turned_frames import carry_crop
from portrait3d.evaluation.refinement.turn_truth import REAL, REFINED, UNTURNED, TrueTurn
from portrait3d.evaluation.refinement.turns import face_vector
from portrait3d.geometry.pictures import as_bytes, resample
from portrait3d.losses.perceptual import perceptual_loss
from portrait3d.models.recognition import RecognitionNet
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.alignment import HEAD_SIZE, Crop, crop_from_landmarks

SIDE = 2 * HEAD_SIZE
"""Pixels of the crop in which parts are exchanged."""
LOW = 6.0
"""Gaussian (pixels of the head crop) of what counts as smooth shading."""
SOFT = 1.5
"""Gaussian (pixels of the larger crop) of the borders between parts."""
FACE_MARGIN = 0.08
"""How far beyond its landmarks' box the face reaches, as a share of its sides."""
SKIN = (ParsingClass.FACE, ParsingClass.INNER_MOUTH)


@dataclass(frozen=True, slots=True)
class PartRow:
    """The refined picture with a part of the real view in it, beside the real view; means over turns by one
    angle."""

    real: str
    """What is taken from the real view."""
    degrees: float
    turns: int
    area: float
    """Share of the head crop that it covers, percent."""
    identity: float
    """Cosine to the real view of the features of a recognition network; NaN without one."""
    features: float
    """Distance of Eq. 13 between the head crops."""


def score_parts(
    turns: Sequence[TrueTurn], features: nn.Module, recognition: RecognitionNet | None
) -> list[PartRow]:
    """A row for each angle and part; the first part is nothing, the last the photo unturned."""
    scores: dict[tuple[float, str], list[tuple[float, float, float]]] = {}
    for turn in turns:
        for name, values in score_parts_of(turn, features, recognition).items():
            scores.setdefault((abs(turn.change), name), []).append(values)
    return [
        PartRow(name, degrees, len(values), *np.mean(values, axis=0).tolist())
        for (degrees, name), values in sorted(scores.items(), key=lambda item: item[0][0])
    ]


@torch.inference_mode()
def score_parts_of(
    turn: TrueTurn, features: nn.Module, recognition: RecognitionNet | None
) -> dict[str, tuple[float, float, float]]:
    """Area, identity and deep features of every exchange in one turn."""
    at = turn.found[REAL]
    crop = crop_from_landmarks(at).head_crop().resized(SIDE)
    real = crop.extract(turn.pictures[REAL])
    marks = crop.crop_from_photo(at)
    small = (HEAD_SIZE, HEAD_SIZE)
    wanted = features(resample(real, small)[None])
    person = face_vector(recognition, as_bytes(real), marks) if recognition else None
    scores = {}
    for name, (picture, area) in exchanged(turn, crop, real, marks).items():
        cosine = float("nan")
        if recognition and person is not None:
            cosine = float(face_vector(recognition, as_bytes(picture), marks) @ person)
        distance = float(perceptual_loss(features(resample(picture, small)[None]), wanted))
        scores[name] = 100 * area, cosine, distance
    return scores


def exchanged(
    turn: TrueTurn, crop: Crop, real: Float[Tensor, "3 S S"], marks: Float[Tensor, "68 2"]
) -> dict[str, tuple[Float[Tensor, "3 S S"], float]]:
    """The refined picture with each part of the real view, and the part's share of the crop.

    Args:
        turn: The pictures.
        crop: Of the real view; others are laid upon it by their landmarks.
        real: The real view in it.
        marks: Its landmarks there.
    """
    here = turn.found[REAL].double().numpy()

    def shown(name: str) -> Float[Tensor, "3 S S"]:
        return carry_crop(crop, here, turn.found[name].double().numpy()).extract(turn.pictures[name])

    ours = shown(REFINED)
    parts = parts_of(crop.extract_labels(turn.real.classes), crop.extract_labels(turn.source.classes), marks)
    parts |= halves(parts["face"], marks, turn.change)
    found = {"nothing": (ours, 0.0)}
    for name, mask in parts.items():
        found[name] = ours.lerp(real, soft(mask)), float(mask.mean())
    face, area = soft(parts["face"]), float(parts["face"].mean())
    smooth = low_frequencies(real, parts["face"]) - low_frequencies(ours, parts["face"])
    found["face, smooth shading"] = (ours + smooth * face).clamp(0, 1), area
    inside = torch.from_numpy(parts["face"])
    shift = (real[:, inside].mean(1) - ours[:, inside].mean(1))[:, None, None]
    found["face, mean colours"] = (ours + shift * face).clamp(0, 1), area
    found["nothing, not turned"] = shown(UNTURNED), 0.0
    return found


def parts_of(
    real: UInt8[np.ndarray, "S S"], source: UInt8[np.ndarray, "S S"], marks: Float[Tensor, "68 2"]
) -> dict[str, Bool[np.ndarray, "S S"]]:
    """Parts of the crop by the true classes of the real view and of the photo in its place."""
    low, high = marks.amin(0).numpy(), marks.amax(0).numpy()
    margin = FACE_MARGIN * (high - low)
    centres = np.stack(np.meshgrid(*(np.arange(len(real)) + 0.5,) * 2), axis=-1)
    near_marks = ((centres >= low - margin) & (centres <= high + margin)).all(axis=-1)
    face = np.isin(real, SKIN) & near_marks
    head_before = ~np.isin(source, (ParsingClass.BACKGROUND, ParsingClass.BODY))
    return {
        "face": face,
        "all but the face": ~face,
        "hair": np.isin(real, (ParsingClass.HAIR, ParsingClass.HEADWEAR)),
        "neck and clothes": np.isin(real, (ParsingClass.NECK, ParsingClass.BODY)),
        "uncovered background": (real == ParsingClass.BACKGROUND) & head_before,
    }


def halves(
    face: Bool[np.ndarray, "S S"], marks: Float[Tensor, "68 2"], change: float
) -> Mapping[str, Bool[np.ndarray, "S S"]]:
    """The near half of a face, which the turn brings into view, and the far one, beyond the nose's bridge."""
    bridge, chin = marks[27].numpy(), marks[8].numpy()
    down, y, x = chin - bridge, *np.mgrid[: len(face), : len(face)] + 0.5
    on_the_right = down[0] * (y - bridge[1]) - down[1] * (x - bridge[0]) < 0
    far = on_the_right if change > 0 else ~on_the_right
    return {"face, near half": face & ~far, "face, far half": face & far}


def low_frequencies(
    picture: Float[Tensor, "3 S S"], inside: Bool[np.ndarray, "S S"]
) -> Float[Tensor, "3 S S"]:
    """Smooth shading within a region, nothing of what lies beside it."""
    sigma = LOW * SIDE / HEAD_SIZE
    share = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    sums = ndimage.gaussian_filter(picture.numpy() * inside, (0, sigma, sigma))
    return torch.from_numpy(sums / np.maximum(share, 1e-3))


def soft(mask: Bool[np.ndarray, "S S"]) -> Float[Tensor, "1 S S"]:
    """A part with a border that can't be seen."""
    return torch.from_numpy(ndimage.gaussian_filter(mask.astype(np.float32), SOFT))[None]
