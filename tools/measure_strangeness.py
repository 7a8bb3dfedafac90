"""How well photos of different people are refused for one head, and how seldom those of one person are.

python tools/measure_strangeness.py --data DATA [--people 120]

DATA is a folder of labelled photos (src/portrait3d/data/photos/labelled.py). Of everybody in it who has
several photos (frames of one clip are one) faces are fitted as `reconstruct --same-person` does, and all
pairs of photos are compared. Printed is which share of the pairs is stranger than
`models.same_person.SURE`, which is refused, and than `DOUBTFUL`, which is warned about.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from portrait3d import NoFaceError, Portrait3D
from portrait3d.data.photos.labelled import LabelledPhoto, PhotoFolder, evenly, real_photo_folders
from portrait3d.models.same_person import DOUBTFUL, SURE, strangeness

ASIDE = math.radians(30)
"""Yaw from which on a photo counts as a side view."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """What a photo tells of whose face it shows."""

    person: str
    aside: bool
    identity: Float[Tensor, "80"]


def main() -> None:
    """Print one row for every kind of pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--people", type=int, default=120, help="how many of those with several photos")
    arguments = parser.parse_args()
    model = Portrait3D.from_pretrained()
    people = evenly(several_photos(arguments.data), arguments.people)
    faces = [*read_faces(model, [photo for photos in people for photo in photos])]
    found: dict[tuple[str, str], list[float]] = {}
    for first, second in combinations(faces, 2):
        kind = (
            "one person" if first.person == second.person else "different people",
            "with a side view" if first.aside or second.aside else "from the front",
        )
        found.setdefault(kind, []).append(strangeness(first.identity, second.identity, model.face_net))
    print(f"{len(faces)} photos of {len(people)} people")
    print(f"{'pairs of':34}{'pairs':>7}{'refused':>10}{'warned about':>15}")
    for (who, view), values in sorted(found.items(), reverse=True):
        refused, unsure = (100 * np.mean(np.array(values) > limit) for limit in (SURE, DOUBTFUL))
        print(f"{who + ', ' + view:34}{len(values):7}{refused:8.1f} %{unsure - refused:13.1f} %")


def several_photos(root: Path) -> list[list[LabelledPhoto]]:
    """The photos of everybody who has more than one, of each clip its first frame."""
    people: dict[str, dict[str, LabelledPhoto]] = {}
    for photo in PhotoFolder(root, folders=real_photo_folders(root)):
        people.setdefault(photo.person, {}).setdefault(photo.clip or photo.name, photo)
    return [[*photos.values()] for photos in people.values() if len(photos) > 1]


def read_faces(model: Portrait3D, photos: Sequence[LabelledPhoto]) -> Iterator[Face]:
    """The largest face of every photo that shows one."""
    for photo in photos:
        try:
            decoded, (largest, *_) = model.find_faces(photo.pixels())
        except NoFaceError as error:
            print(f"{photo.name}: {error}")
            continue
        fit = model.fit_face(decoded, largest)
        yield Face(photo.person, abs(photo.yaw) > ASIDE, fit.coefficients.identity)


if __name__ == "__main__":
    main()
