"""Everything that can be said about turned and refined photos, one table for each question."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from portrait3d.data.photos.labelled import LabelledPhoto, PhotoFolder, evenly
from portrait3d.data.photos.own_labels import read_classes
from portrait3d.evaluation.refinement.clips import ClipTurnRow, score_clip_turns, turned_clips
from portrait3d.evaluation.refinement.repairs import RepairRow, draw_repairs, held_out_damage, score_repairs
from portrait3d.evaluation.refinement.turns import (
    BackgroundRow,
    IdentityRow,
    score_background,
    score_identity,
    turned_photos,
)
from portrait3d.losses.perceptual import EfficientNetFeatures, Vgg19Features
from portrait3d.models.recognition import RecognitionNet
from portrait3d.pipeline import Portrait3D


@dataclass(frozen=True, slots=True)
class RefinementReport:
    """All tables; a table is empty where the data or the missing recognition network don't allow it."""

    repairs: list[RepairRow]
    identity: list[IdentityRow]
    clips: list[ClipTurnRow]
    background: list[BackgroundRow]


def evaluate_refinement(
    model: Portrait3D,
    data: Path,
    *,
    recognition: Path | None = None,
    vgg: Path | None = None,
    limit: int = 40,
    turned: int = 24,
    pairs: int = 24,
) -> RefinementReport:
    """Score a pipeline on the validation split below `data`.

    Args:
        model: The pipeline.
        data: Root of the labelled photos.
        recognition: An ONNX file of a face recognition network; without it nothing is said about identity.
        vgg: VGG-19 weights for the features of Eq. 13; EfficientNet-Lite0 without.
        limit: Number of damaged photos.
        turned: Number of photos, one a person, that are turned by six angles.
        pairs: Number of pairs of clip frames that are turned into each other.
    """
    folder = PhotoFolder(data, split="val")
    features = Vgg19Features(vgg) if vgg else EfficientNetFeatures()
    network = RecognitionNet(recognition) if recognition else None
    samples = held_out_damage(folder, partial(read_classes, model.parsing_net), limit)
    turns = list(turned_photos(model, evenly(one_a_person(folder), turned)))
    clip_pairs = list(folder.clip_pairs()) if any(photo.clip for photo in folder) else []
    return RefinementReport(
        repairs=score_repairs(model.refinement_net, samples, features),
        identity=score_identity(model, network, turns, folder) if network else [],
        clips=score_clip_turns(list(turned_clips(model, clip_pairs, pairs)), features, network),
        background=score_background(turns),
    )


def repairs_sheet(model: Portrait3D, data: Path, *, photos: int = 12) -> UInt8[np.ndarray, "H W 3"]:
    """Held-out photos, each with its damage and repairs in a row: see `draw_repairs`."""
    folder = PhotoFolder(data, split="val")
    samples = held_out_damage(folder, partial(read_classes, model.parsing_net), photos)
    return draw_repairs(model.refinement_net, samples)


def one_a_person(photos: PhotoFolder) -> list[LabelledPhoto]:
    """The first photo of everybody."""
    found: dict[str, LabelledPhoto] = {}
    for photo in photos:
        found.setdefault(photo.person, photo)
    return list(found.values())
