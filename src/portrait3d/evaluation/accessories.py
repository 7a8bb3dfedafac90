"""How well glasses and earrings are found: drawn ones against their exact cover, real ones by whether."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from portrait3d.data.accessories.earrings import EarringSamples
from portrait3d.data.accessories.faces import AccessorySamples, BareFace, read_wearers
from portrait3d.data.accessories.glasses import GlassesSamples
from portrait3d.data.face.fits import fit_photos
from portrait3d.data.photos.labelled import LabelledPhoto, evenly, real_photos
from portrait3d.evaluation.face.groups import face_groups
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.earrings import BAND, REACH, SIZE, earring_pieces, find_earrings, lobes
from portrait3d.models.glasses import find_glasses, glasses_pieces
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import crop_from_landmarks

DRAWN = 300
"""Pictures with something drawn and without."""
EARRING_CLASS, LEAST_EARRING = 9, 8
"""Parsing class (of 19), and how many pixels of a photo it must take."""


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """Faces that wear none of their own, with drawn ones."""

    drawn: str
    pictures: int
    iou: float
    """Intersection over union of all pixels with exact cover; of bare faces, the share without any find."""


@dataclass(frozen=True, slots=True)
class WearersRow:
    """Photos that are labelled as with or without, by eye or by another network."""

    photos: str
    count: int
    found: int
    """On how many of them some are found."""


@dataclass(frozen=True, slots=True)
class AccessoryReport:
    """Everything that `evaluate glasses` and `evaluate earrings` print."""

    drawn: list[DrawnRow]
    wearers: list[WearersRow]


def evaluate_glasses(
    net: AccessoryNet, data: Path, wearers: Path | None = None, limit: int | None = None
) -> AccessoryReport:
    """Both tables on the validation split below `data`.

    `wearers` names photos with glasses, one a line: nothing is drawn on these.
    """
    people, head = _People.read(data, wearers, limit), HeadModel.load()

    def found(photo: LabelledPhoto, _: BareFace) -> bool:
        marks = torch.from_numpy(photo.landmarks)
        return find_glasses(net, photo.pixels(), crop_from_landmarks(marks), marks) is not None

    samples = GlassesSamples(people.bare, head, seed=1, still=True)
    groups = {name: face_groups(photo).get("glasses") for name, (photo, _) in people.faces.items()}
    return AccessoryReport(drawn_glasses(net, samples, DRAWN), people.score(groups, found))


def evaluate_earrings(
    net: AccessoryNet, data: Path, wearers: Path | None = None, limit: int | None = None
) -> AccessoryReport:
    """The same for earrings; `wearers` says on which photos they should be found, too.

    Without it another network's labels do, which miss small ones.
    """
    people, head = _People.read(data, wearers, limit), HeadModel.load()

    def found(_: LabelledPhoto, face: BareFace) -> bool:
        places = face.pose.apply(lobes(head, face.vertices(head)))
        return find_earrings(net, face.pixels, face.crop, places) is not None

    def group(photo: LabelledPhoto) -> str | None:
        if wearers is not None:
            return "with" if photo.name in people.worn else "without"
        if not photo.parsing_path.is_file():
            return None
        worn = (photo.finer_parsing() == EARRING_CLASS).sum() >= LEAST_EARRING
        return "with" if worn else "without"

    samples = EarringSamples(people.bare, head, seed=1, still=True)
    groups = {name: group(photo) for name, (photo, _) in people.faces.items()}
    return AccessoryReport(drawn_earrings(net, samples, DRAWN), people.score(groups, found))


@dataclass(frozen=True, slots=True)
class _People:
    """The validation split, by the photos' names."""

    faces: dict[str, tuple[LabelledPhoto, BareFace]]
    worn: set[str]
    """Names of those who wear something."""

    @classmethod
    def read(cls, data: Path, wearers: Path | None, limit: int | None) -> "_People":
        worn = read_wearers(wearers)
        photos = evenly(real_photos(data, "val"), limit)
        fits = fit_photos(photos, MeshPoints.from_head_model(HeadModel.load()))
        faces = {photo.name: (photo, BareFace.read(photo, fits, row)) for row, photo in enumerate(photos)}
        return cls(faces, worn)

    @property
    def bare(self) -> list[BareFace]:
        """Those who wear nothing."""
        return [face for name, (_, face) in self.faces.items() if name not in self.worn]

    def score(
        self, groups: Mapping[str, str | None], found: Callable[[LabelledPhoto, BareFace], bool]
    ) -> list[WearersRow]:
        """A row for photos that are labelled with and one for those without, where they have labels."""
        counts: dict[str, list[int]] = {}
        for name, group in groups.items():
            if group is not None:
                row = counts.setdefault(group, [0, 0])
                row[0] += 1
                row[1] += found(*self.faces[name])
        return [WearersRow(group, *row) for group, row in sorted(counts.items())]


def score_glasses(net: AccessoryNet, samples: AccessorySamples, count: int) -> dict[str, float]:
    """How well a network in training finds drawn glasses; the score is that of frames."""
    clear, dark, none = drawn_glasses(net, samples, count)
    return {"score": clear.iou, "clear": clear.iou, "dark": dark.iou, "none": none.iou}


def score_earrings(net: AccessoryNet, samples: AccessorySamples, count: int) -> dict[str, float]:
    """How well a network in training finds drawn earrings; what it invents counts against it."""
    small, large, none = drawn_earrings(net, samples, count)
    score = (small.iou + large.iou) / 2 - (1 - none.iou)
    return {"score": score, "small": small.iou, "large": large.iou, "none": none.iou}


def drawn_glasses(net: AccessoryNet, samples: AccessorySamples, count: int) -> list[DrawnRow]:
    """A row for frames with clear lenses, one for lenses that hide the eyes, one for bare faces."""
    # Dark lenses make most of what is covered; frames alone are thin.
    kinds = "clear lenses", "dark lenses", "none"
    return _score_drawn(net, samples, count, kinds, 0.12, glasses_pieces)


def drawn_earrings(net: AccessoryNet, samples: AccessorySamples, count: int) -> list[DrawnRow]:
    """A row for earrings of less than a square centimetre, one for larger ones, one for bare ears."""
    centimetre = (10 * SIZE / REACH) ** 2 / (SIZE * (BAND.stop - BAND.start))
    return _score_drawn(net, samples, count, ("small", "large", "none"), centimetre, earring_pieces)


@torch.inference_mode()
def _score_drawn(
    net: AccessoryNet,
    samples: AccessorySamples,
    count: int,
    kinds: tuple[str, str, str],
    large: float,
    pieces: Callable[[np.ndarray], np.ndarray],
) -> list[DrawnRow]:
    """Rows for samples that are covered by less than the share `large`, for others, and for bare ones."""
    device = next(net.parameters()).device
    counts = {kind: [0, 0.0, 0.0] for kind in kinds}
    for number in range(count):
        picture, cover = samples[number]
        found, true = net(picture[None].to(device))[0, 0].cpu() > 0, cover[0] > 0.5
        share = float(true.float().mean())
        row = counts[kinds[2 if share == 0 else int(share > large)]]
        row[0] += 1
        if share == 0:
            row[1] += not pieces(found.numpy()).any()
            row[2] += 1
        else:
            row[1] += float((found & true).sum())
            row[2] += float((found | true).sum())
    return [
        DrawnRow(kind, int(pictures), both / max(either, 1))
        for kind, (pictures, both, either) in counts.items()
    ]
