"""A frame of a clip turned into the pose of another one, beside that real frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from portrait3d.data.photos.labelled import ClipPair, LabelledPhoto
from portrait3d.data.refinement.turned_frames import (
    carry_crop,
    fit_photo,
    pose_in_photo,
    similarity,
    spread_pairs,
)
from portrait3d.errors import NoFaceError
from portrait3d.evaluation.face.predictions import normalised_error
from portrait3d.evaluation.refinement.turns import face_vector, read_landmarks
from portrait3d.losses.perceptual import perceptual_loss
from portrait3d.models.recognition import RecognitionNet
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import HEAD_SIZE, crop_from_landmarks
from portrait3d.reposing import Reposer


@dataclass(frozen=True, slots=True)
class ClipTurnRow:
    """Pictures beside the real frame whose pose they should have, means over pairs."""

    picture: str
    pairs: int
    identity: float
    """Cosine of the features of a recognition network; NaN without one."""
    features: float
    """Distance of Eq. 13 between the head crops, those of the faces' landmarks."""
    nme: float
    """Distance of the landmarks found from the real frame's labels after the best shift, scale and roll, in
    percent of face size."""


@dataclass(frozen=True, slots=True)
class ClipTurn:
    """One frame as it should look in the pose of another one, by several means."""

    second: LabelledPhoto
    pictures: dict[str, UInt8[np.ndarray, "H W 3"]]
    landmarks: dict[str, Float[Tensor, "68 2"]]


@torch.inference_mode()
def turned_clips(model: Portrait3D, pairs: Sequence[ClipPair], count: int) -> Iterator[ClipTurn]:
    """Up to `count` pairs spread over the clips; frames without a detected face are left out."""
    for first, seconds in spread_pairs(pairs, count, 1):
        try:
            portrait = model.reconstruct(first.pixels())
        except NoFaceError:
            continue
        yield turn_frame(model, portrait, seconds[0])


def turn_frame(model: Portrait3D, portrait: Portrait, second: LabelledPhoto) -> ClipTurn:
    """The pictures that are compared: the first frame as it is, turned and refined; the second one."""
    fit = fit_photo(model, second)
    reposer = Reposer(portrait, model.head_model)
    turn = reposer.coarse_turn(pose_in_photo(fit), guided=model.refinement_net.guided)
    pictures = {
        "refined": model.finish(reposer, turn),
        "not refined": reposer.composite(turn),
        "not turned": portrait.photo.pixels,
        "the real frame": second.pixels(),
    }
    near = torch.from_numpy(portrait.landmarks)
    landmarks = {
        name: fit.landmarks if name == "the real frame" else read_landmarks(model, pixels, near)
        for name, pixels in pictures.items()
    }
    return ClipTurn(second, pictures, landmarks)


@torch.inference_mode()
def score_clip_turns(
    turns: Sequence[ClipTurn], features: nn.Module, recognition: RecognitionNet | None
) -> list[ClipTurnRow]:
    """A row for each kind of picture; that of the real frame says what reading landmarks costs."""
    scores: dict[str, list[tuple[float, float, float]]] = {}
    for turn in turns:
        truth = turn.second.landmarks.astype(np.float64)
        found = compare_pictures(
            turn.pictures, turn.landmarks, "the real frame", truth, features, recognition
        )
        for name, values in found.items():
            scores.setdefault(name, []).append(values)
    return [
        ClipTurnRow(name, len(values), *np.mean(values, axis=0).tolist()) for name, values in scores.items()
    ]


def compare_pictures(
    pictures: Mapping[str, UInt8[np.ndarray, "H W 3"]],
    landmarks: Mapping[str, Float[Tensor, "68 2"]],
    real: str,
    truth: Float[np.ndarray, "68 2"],
    features: nn.Module,
    recognition: RecognitionNet | None,
    size: int = HEAD_SIZE,
) -> dict[str, tuple[float, float, float]]:
    """Identity (NaN without a network), deep features and NME of pictures beside that called `real`.

    `landmarks` are those found in the pictures, which lay heads upon each other; `truth` are the real one's.
    Deep features are those of head crops of `size` pixels.
    """
    at = landmarks[real]
    crop = crop_from_landmarks(at).head_crop().resized(size)
    wanted = features(crop.extract(pictures[real])[None])
    person = face_vector(recognition, pictures[real], at) if recognition else None
    scores = {}
    for name, pixels in pictures.items():
        found = landmarks[name]
        placed = carry_crop(crop, at.double().numpy(), found.double().numpy())
        distance = float(perceptual_loss(features(placed.extract(pixels)[None]), wanted))
        cosine = float("nan")
        if recognition and person is not None:
            cosine = float(face_vector(recognition, pixels, found) @ person)
        scores[name] = cosine, distance, aligned_error(found.double().numpy(), truth)
    return scores


def aligned_error(found: Float[np.ndarray, "68 2"], truth: Float[np.ndarray, "68 2"]) -> float:
    """NME after the similarity that brings the points found nearest to the true ones."""
    scale, shift = similarity(found, truth)
    moved = scale * (found @ np.array([1, 1j])) + shift
    points = np.stack([moved.real, moved.imag], axis=1)
    return float(normalised_error(points[None], truth[None])[0])
