"""Frames of clips turned into each other: turns of which the real picture is known."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.photos.labelled import ClipPair, LabelledPhoto, evenly
from portrait3d.data.refinement.stored_turns import StoredTurn
from portrait3d.errors import NoFaceError
from portrait3d.geometry import Pose
from portrait3d.models.face_fit import FaceFit, fit_face, rotation_in_photo
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.alignment import Crop, crop_from_landmarks
from portrait3d.reposing import Reposer
from portrait3d.reposing.reposer import CoarseTurn

logger = logging.getLogger(__name__)

NEIGHBOURHOOD = 25
"""Side of the square (pixels of the head crop) over which two pictures have to agree."""
LARGEST_DIFFERENCE = 0.05
"""How far (RGB from 0 to 1, mean over the neighbourhood) pictures that agree may differ."""
FEWEST_KNOWN = 0.15
"""Share of the neighbourhood that has to be known to say whether they agree."""


@dataclass(frozen=True, slots=True)
class TurnedFrame:
    """A frame that was turned into the pose of another one, with that other one laid over it."""

    turn: CoarseTurn
    real: Float[Tensor, "3 S S"]
    """The other frame, moved so that its face lies where the turned one does, RGB in [0, 1]."""
    shown: Float[Tensor, "1 S S"]
    """1 where the other frame reaches."""


def fit_photo(model: Portrait3D, photo: LabelledPhoto) -> FaceFit:
    """The face network's fit in a labelled photo, the crop placed by the labels."""
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks))
    return fit_face(model.face_net, model.head_model, photo.pixels(), crop)


def pose_in_photo(fit: FaceFit) -> HeadAngles:
    """The angles of a fitted face in the upright photo, degrees."""
    rotation = rotation_in_photo(fit.crop_from_model.rotation[None], np.array([fit.crop.angle], np.float32))
    return HeadAngles.of(Pose(rotation[0], fit.crop_from_model.translation))


@torch.inference_mode()
def turn_into(model: Portrait3D, portrait: Portrait, reposer: Reposer, second: LabelledPhoto) -> TurnedFrame:
    """Turn the person of one frame into the pose that the face network sees in another one."""
    fit = fit_photo(model, second)
    turn = reposer.coarse_turn(pose_in_photo(fit), guided=True)
    crop, whole = portrait.head_crop, reposer.composite(turn)
    found = fit_face(
        model.face_net, model.head_model, whole, crop_from_landmarks(torch.from_numpy(portrait.landmarks))
    )
    placed = carry_crop(crop, found.landmarks.double().numpy(), fit.landmarks.double().numpy())
    pixels = second.pixels()
    shown = placed.extract_labels(np.ones(pixels.shape[:2], np.uint8))
    return TurnedFrame(turn, placed.extract(pixels), torch.from_numpy(shown)[None].float())


def carry_crop(crop: Crop, landmarks: Float[np.ndarray, "N 2"], others: Float[np.ndarray, "N 2"]) -> Crop:
    """The crop that shows another photo as `crop` shows this one, after the similarity of their landmarks."""
    scale, shift = similarity(landmarks, others)
    centre = scale * complex(*crop.centre) + shift
    angle = crop.angle + float(np.angle(scale))
    return replace(crop, centre=(centre.real, centre.imag), side=crop.side * abs(scale), angle=angle)


def similarity(points: Float[np.ndarray, "N 2"], others: Float[np.ndarray, "N 2"]) -> tuple[complex, complex]:
    """The similarity z -> scale z + shift that brings points nearest to others; (x, y) stands for x + iy."""
    a, b = (line @ np.array([1, 1j]) for line in (points, others))
    centred = a - a.mean()
    scale = np.vdot(centred, b - b.mean()) / np.vdot(centred, centred).real
    return complex(scale), complex(b.mean() - scale * a.mean())


def wanted_picture(frame: TurnedFrame) -> tuple[Float[Tensor, "3 S S"], Float[Tensor, "1 S S"]]:
    """What the refined turn should look like, and 1 where that is known.

    In and at holes it is the real frame, its colours shifted by the mean difference around, for light changes
    as heads turn; elsewhere the turn itself. Unknown are holes around which turn and real frame differ: a
    body that moved, another expression, a bad fit.
    """
    image, holes = frame.turn.image, frame.turn.holes
    near = F.max_pool2d(holes, 5, 1, 2)
    known = (1 - near) * frame.shown
    share = mean_around(known)
    # The mean difference around a hole, over what is known of both: the change of light.
    offset = mean_around((image - frame.real) * known) / share.clamp_min(1e-4)
    rest = (image - frame.real - offset).abs().mean(0, keepdim=True)
    differing = mean_around(rest * known) / share.clamp_min(1e-4)
    agreeing = (differing < LARGEST_DIFFERENCE) & (share > FEWEST_KNOWN) & (frame.shown > 0)
    original = torch.where(near > 0, (frame.real + offset).clamp(0, 1), image)
    return original, ((near == 0) | agreeing).float()


def mean_around(values: Float[Tensor, "C S S"]) -> Float[Tensor, "C S S"]:
    """Means over square neighbourhoods, cut off at the border."""
    half = NEIGHBOURHOOD // 2
    return F.avg_pool2d(values[None], NEIGHBOURHOOD, 1, half, count_include_pad=False)[0]


def prepare_frames(
    model: Portrait3D, pairs: Sequence[ClipPair], directory: Path, *, frames: int, turns: int = 3
) -> int:
    """Turn frames of clips into others, store each as `A-B.npz`; returns how many there are.

    Frames that are there already are passed over, so that an interrupted preparation can go on. Frames
    without a detected face and turns of whose holes nothing is known are left out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for first, seconds in spread_pairs(pairs, frames, turns):
        missing = [second for second in seconds if not turn_path(directory, first, second).is_file()]
        if not missing:
            continue
        try:
            portrait = model.reconstruct(first.pixels())
        except NoFaceError as error:
            logger.info("%s is left out: %s", first.name, error)
            continue
        reposer = Reposer(portrait, model.head_model)
        for second in missing:
            frame = turn_into(model, portrait, reposer, second)
            original, known = wanted_picture(frame)
            if float((known * frame.turn.holes).sum()) < 0.2 * float(frame.turn.holes.sum()):
                logger.info("%s as %s is left out: the pictures differ.", first.name, second.name)
                continue
            stored = StoredTurn.of(frame.turn, reposer.photo_crop, original, known)
            stored.save(turn_path(directory, first, second))
    return len(list(directory.glob("*.npz")))


def spread_pairs(
    pairs: Iterable[ClipPair], frames: int, turns: int
) -> list[tuple[LabelledPhoto, list[LabelledPhoto]]]:
    """Up to `frames` first frames, as many from every clip, each with up to `turns` frames to turn into."""
    found: dict[str, dict[str, list[ClipPair]]] = {}
    for pair in pairs:
        found.setdefault(str(pair.first.clip), {}).setdefault(pair.first.name, []).append(pair)
    chosen = []
    for clip in found.values():
        firsts = list(clip.values())
        for own in evenly(firsts, -(-frames // len(found))):
            chosen.append((own[0].first, [pair.second for pair in evenly(own, turns)]))
    return evenly(chosen, frames)


def turn_path(directory: Path, first: LabelledPhoto, second: LabelledPhoto) -> Path:
    """Where the turn of one frame into another is kept."""
    return directory / f"{first.name}-{second.name}.npz"
