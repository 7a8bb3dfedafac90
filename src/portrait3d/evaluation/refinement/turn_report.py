"""Everything that is said about turned photos of artist-made people, one table for each question."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from portrait3d.data.people.avatars import Avatar
from portrait3d.errors import NoFaceError
from portrait3d.evaluation.heads.truth import SIZE
from portrait3d.evaluation.refinement.flicker import FlickerRow, score_flicker, sweep
from portrait3d.evaluation.refinement.parts import PartRow, score_parts
from portrait3d.evaluation.refinement.turn_scores import TrueTurnRow, score_true_turns
from portrait3d.evaluation.refinement.turn_truth import FRONTAL, Sitting, TrueTurn, turn_truly
from portrait3d.geometry.pictures import as_bytes
from portrait3d.models.recognition import RecognitionNet
from portrait3d.pipeline import Portrait3D


@dataclass(frozen=True, slots=True)
class TurnReport:
    """All tables; `parts` is empty where nobody asked why."""

    turns: list[TrueTurnRow]
    parts: list[PartRow]
    flicker: list[FlickerRow]


def evaluate_turns(
    model: Portrait3D,
    avatars: Sequence[Avatar],
    features: nn.Module,
    *,
    recognition: Path | None = None,
    previous: Portrait3D | None = None,
    others: Path | None = None,
    why: bool = False,
    glasses: bool = False,
    earrings: bool = False,
    size: int = SIZE,
) -> tuple[TurnReport, list[TrueTurn], list[str]]:
    """Turn photos of avatars and compare them with photos of the same avatars that really turned.

    Args:
        model: The pipeline.
        avatars: The heads; those that training saw say nothing.
        features: Those of Eq. 13.
        recognition: An ONNX file of a face recognition network; without it nothing is said about identity.
        previous: Weights to compare with.
        others: Directory of another method's pictures (`turn_truth.picture_name`) to compare with.
        why: Say where the differences lie.
        glasses: Put glasses on the heads.
        earrings: Hang earrings on their lobes.
        size: Pixels along a side of the photos; deep features are compared in head crops of half as many.

    Returns:
        The tables, the turns, and the names of avatars without a detected face, which are left out.
    """
    network = RecognitionNet(recognition) if recognition else None
    turns, sweeps, faceless = [], [], []
    for avatar in avatars:
        sitting = Sitting.of(avatar, model.head_model, glasses=glasses, earrings=earrings, size=size)
        try:
            portrait = model.reconstruct(as_bytes(sitting.view(FRONTAL).picture))
            turns += list(turn_truly(model, sitting, portrait, previous, others=others))
        except NoFaceError:
            faceless.append(avatar.name)
            continue
        sweeps.append(sweep(model, sitting, portrait))
    report = TurnReport(
        turns=score_true_turns(turns, features, network),
        parts=score_parts(turns, features, network) if why else [],
        flicker=score_flicker(sweeps),
    )
    return report, turns, faceless
