"""How well glasses are found: drawn ones against their exact cover, real ones by whether they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from portrait3d.data.face.fits import fit_photos
from portrait3d.data.glasses.samples import BareFace, GlassesSamples, read_wearers
from portrait3d.data.photos.labelled import LabelledPhoto, evenly, real_photos
from portrait3d.evaluation.face.groups import face_groups
from portrait3d.models.glasses import find_glasses, glasses_pieces
from portrait3d.models.glasses_net import GlassesNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import crop_from_landmarks

DRAWN = 300
"""Pictures with drawn glasses and without."""


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """Faces without glasses of their own, with drawn ones."""

    glasses: str
    pictures: int
    iou: float
    """Intersection over union of all pixels with exact cover; of bare faces, the share without any find."""


@dataclass(frozen=True, slots=True)
class WearersRow:
    """Photos that are labelled with or without glasses, by another network or by eye."""

    photos: str
    count: int
    found: int
    """On how many of them glasses are found."""


@dataclass(frozen=True, slots=True)
class GlassesReport:
    """Everything that `evaluate glasses` prints."""

    drawn: list[DrawnRow]
    wearers: list[WearersRow]


def evaluate_glasses(
    net: GlassesNet, data: Path, wearers: Path | None = None, limit: int | None = None
) -> GlassesReport:
    """Both tables on the validation split below `data`.

    `wearers` names photos with glasses, one a line: nothing is drawn on these.
    """
    worn = read_wearers(wearers)
    photos, head = evenly(real_photos(data, "val"), limit), HeadModel.load()
    bare = [photo for photo in photos if photo.name not in worn]
    fits = fit_photos(bare, MeshPoints.from_head_model(head))
    faces = [BareFace.read(photo, fits, row) for row, photo in enumerate(bare)]
    samples = GlassesSamples(faces, head, seed=1, still=True)
    return GlassesReport(score_drawn(net, samples, DRAWN), score_wearers(net, photos))


@torch.inference_mode()
def score_drawn(net: GlassesNet, samples: GlassesSamples, count: int) -> list[DrawnRow]:
    """A row for frames with clear lenses, one for lenses that hide the eyes, one for bare faces."""
    device = next(net.parameters()).device
    counts = {kind: [0, 0.0, 0.0] for kind in ("clear lenses", "dark lenses", "none")}
    for number in range(count):
        picture, cover = samples[number]
        found, true = net(picture[None].to(device))[0, 0].cpu() > 0, cover[0] > 0.5
        # Dark lenses make most of what is covered; frames alone are thin.
        share = float(true.float().mean())
        row = counts["none" if share == 0 else "dark lenses" if share > 0.12 else "clear lenses"]
        row[0] += 1
        if share == 0:
            row[1] += not glasses_pieces(found.numpy()).any()
            row[2] += 1
        else:
            row[1] += float((found & true).sum())
            row[2] += float((found | true).sum())
    return [
        DrawnRow(kind, int(pictures), both / max(either, 1))
        for kind, (pictures, both, either) in counts.items()
    ]


def score_wearers(net: GlassesNet, photos: Sequence[LabelledPhoto]) -> list[WearersRow]:
    """A row for photos with glasses and one for those without, by their own labels where they have any."""
    counts: dict[str, list[int]] = {}
    for photo in photos:
        group = face_groups(photo).get("glasses")
        if group is None:
            continue
        marks = torch.from_numpy(photo.landmarks)
        found = find_glasses(net, photo.pixels(), crop_from_landmarks(marks), marks)
        row = counts.setdefault(group, [0, 0])
        row[0] += 1
        row[1] += found is not None
    return [WearersRow(group, *row) for group, row in sorted(counts.items())]
