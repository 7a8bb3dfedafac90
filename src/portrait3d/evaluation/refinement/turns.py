"""What turning does to photos: is it still the same person, and does anything else change?"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.refinement.turned_frames import fit_photo
from portrait3d.errors import NoFaceError
from portrait3d.models.face_fit import fit_face
from portrait3d.models.recognition import RecognitionNet
from portrait3d.parsing_classes import HEAD, ParsingClass
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.alignment import crop_from_landmarks
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.reposing import Reposer
from portrait3d.reposing.motion import Turn

YAWS = (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)
"""Changes of yaw that are measured, degrees."""
MARGIN = 16.0
"""How far beyond head and neck (pixels of the 256 px head crop, about 1.75 mm) turning may change pixels."""


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """Cosine between features of a recognition network, mean over photos."""

    pictures: str
    pairs: int
    refined: float
    not_refined: float
    of_same_person: float
    """`refined` over the cosine of two photos of one person."""


@dataclass(frozen=True, slots=True)
class BackgroundRow:
    """What turning changes outside the moved region, over all turns of one angle."""

    turn: str
    photos: int
    region: float
    """Share of the photo that head and neck cover before or after, with a margin, percent."""
    changed: float
    """Share of all other pixels that are not exactly the photo's, percent."""
    photos_changed: int
    """Photos with any such pixel."""


@dataclass(frozen=True, slots=True)
class TurnedPhoto:
    """One turn of one photo."""

    portrait: Portrait
    change: float
    """Of yaw, degrees."""
    target: HeadAngles
    refined: UInt8[np.ndarray, "H W 3"]
    not_refined: UInt8[np.ndarray, "H W 3"]


@torch.inference_mode()
def turned_photos(model: Portrait3D, photos: Sequence[LabelledPhoto]) -> Iterator[list[TurnedPhoto]]:
    """Every photo by all of `YAWS`; photos without a detected face are left out."""
    for photo in photos:
        try:
            portrait = model.reconstruct(photo.pixels())
        except NoFaceError:
            continue
        reposer, now = Reposer(portrait, model.head_model), portrait.pose
        found = []
        for change in YAWS:
            target = replace(now, yaw=now.yaw + change)
            turn = reposer.coarse_turn(target, guided=model.refinement_net.guided)
            refined = model.finish(reposer, turn)
            found.append(TurnedPhoto(portrait, change, target, refined, reposer.composite(turn)))
        yield found


@torch.inference_mode()
def face_vector(
    recognition: RecognitionNet, pixels: UInt8[np.ndarray, "H W 3"], landmarks: Float[Tensor, "68 2"]
) -> Float[Tensor, " D"]:
    """A recognition network's features of a face whose landmarks (pixels of the photo) are known."""
    crop = crop_from_landmarks(landmarks)
    return recognition(crop.extract(pixels)[None], crop.crop_from_photo(landmarks)[None])[0]


def read_landmarks(
    model: Portrait3D, pixels: UInt8[np.ndarray, "H W 3"], near: Float[Tensor, "68 2"]
) -> Float[Tensor, "68 2"]:
    """Landmarks that the face network finds in a picture, looking around others."""
    return fit_face(model.face_net, model.head_model, pixels, crop_from_landmarks(near)).landmarks


def score_identity(
    model: Portrait3D,
    recognition: RecognitionNet,
    turned: Sequence[Sequence[TurnedPhoto]],
    photos: Sequence[LabelledPhoto],
) -> list[IdentityRow]:
    """A row for each change of yaw, and one for two photos of one person among `photos`."""
    cosines: dict[float, list[tuple[float, float]]] = {yaw: [] for yaw in YAWS}
    for turns in turned:
        for turn in turns:
            cosines[turn.change].append(identity_of_turn(model, recognition, turn))
    same = same_person(model, recognition, photos)
    base = float(np.mean(same)) if same else math.nan
    rows = []
    for yaw, found in cosines.items():
        refined, rough = np.mean(found, axis=0) if found else (math.nan, math.nan)
        share = float(refined) / base
        rows.append(IdentityRow(f"yaw {yaw:+.0f}", len(found), float(refined), float(rough), share))
    rows.append(IdentityRow("two photos of one person", len(same), base, base, 1.0))
    return rows


def identity_of_turn(
    model: Portrait3D, recognition: RecognitionNet, turn: TurnedPhoto
) -> tuple[float, float]:
    """Cosine of the photo with the refined and with the unrefined turn."""
    before = torch.from_numpy(turn.portrait.landmarks)
    own = face_vector(recognition, turn.portrait.photo.pixels, before)
    near = read_landmarks(model, turn.refined, before)
    refined = float(own @ face_vector(recognition, turn.refined, near))
    return refined, float(own @ face_vector(recognition, turn.not_refined, near))


def same_person(
    model: Portrait3D, recognition: RecognitionNet, photos: Sequence[LabelledPhoto]
) -> list[float]:
    """Cosines of all pairs of photos of one person; of a clip, only its first frame counts."""
    people: dict[str, dict[str, LabelledPhoto]] = {}
    for photo in photos:
        people.setdefault(photo.person, {}).setdefault(photo.clip or photo.name, photo)
    found = []
    for own in people.values():
        if len(own) > 1:
            vectors = [
                face_vector(recognition, photo.pixels(), fit_photo(model, photo).landmarks)
                for photo in own.values()
            ]
            found += [float(a @ b) for a, b in combinations(vectors, 2)]
    return found


def score_background(turned: Sequence[Sequence[TurnedPhoto]]) -> list[BackgroundRow]:
    """A row for each change of yaw: what changes outside the region that head and neck move in."""
    counts: dict[float, list[tuple[float, float]]] = {yaw: [] for yaw in YAWS}
    for turns in turned:
        for turn in turns:
            region = moved_region(turn.portrait, turn.target)
            changed = (turn.refined != turn.portrait.photo.pixels).any(-1)
            counts[turn.change].append((float(region.mean()), float(changed[~region].mean())))
    rows = []
    for yaw, found in counts.items():
        share, changed = 100 * np.array(found).reshape(-1, 2).T
        rows.append(
            BackgroundRow(
                f"yaw {yaw:+.0f}",
                len(found),
                float(share.mean()) if found else math.nan,
                float(changed.mean()) if found else math.nan,
                int((changed > 0).sum()),
            )
        )
    return rows


def moved_region(portrait: Portrait, target: HeadAngles) -> Bool[np.ndarray, "H W"]:
    """Pixels of the photo within `MARGIN` of head and neck, before or after the turn."""
    height, width = portrait.parsing.shape
    turn = Turn(portrait.camera_from_model, target)
    points = portrait.head.vertices.astype(np.float64)
    moved = turn.apply(points, turn.following(points))
    screen = portrait.camera.project(torch.from_numpy(moved).float())
    depth = torch.from_numpy(moved[:, 2:]).float()
    fragments = rasterize(
        torch.cat([screen, depth], dim=1)[None], torch.from_numpy(portrait.head.faces), height, width
    )
    region = np.isin(portrait.parsing, (*HEAD, ParsingClass.NECK)) | (fragments.face_index[0].numpy() >= 0)
    reach = MARGIN * portrait.head_crop.side / portrait.head_crop.size
    return ndimage.distance_transform_edt(~region) <= reach
