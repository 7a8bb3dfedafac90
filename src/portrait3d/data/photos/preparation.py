"""Plain photos as labelled ones: detection, points, parsing and maps by the package's own networks."""

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from portrait3d.data.photos.clips import part_path, write_part
from portrait3d.data.photos.labelling import PhotoLabels, Window, labelled_row
from portrait3d.data.photos.teacher import Teacher
from portrait3d.errors import PoorFitWarning
from portrait3d.models.fit_quality import LEAST_QUALITY
from portrait3d.names import in_one_line
from portrait3d.pipeline import Portrait3D
from portrait3d.preprocessing.formats import looks_like_picture

GROWTH = 1.6
"""Side of the stored pictures over that of the head crop: room for hair that falls on the shoulders."""


def find_photos(directories: Sequence[Path]) -> Iterator[tuple[Path, str, str]]:
    """The pictures below some directories with their names and whose each is, in a fixed order.

    Those in one sub-folder are one person's; a picture beside the sub-folders is the only one of its person.
    `ValueError` if two pictures have the same name after characters that files may lack are replaced.
    """
    taken: dict[str, Path] = {}
    for directory in directories:
        if not directory.is_dir():
            raise FileNotFoundError(f"{directory} is no directory of photos.")
        for photo in sorted(path for path in directory.rglob("*") if looks_like_picture(path)):
            inside = photo.relative_to(directory)
            name = photo_name(inside)
            if name in taken:
                raise ValueError(f"{photo} and {taken[name]} would both be called {name}.")
            taken[name] = photo
            person = inside.parts[0] if len(inside.parts) > 1 else name
            yield photo, name, person


def photo_name(inside: Path) -> str:
    """The name of a photo from its place below its directory, with plain characters alone."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", "_".join(inside.with_suffix("").parts)) or "photo"


def prepare_photo(
    model: Portrait3D,
    photo: Path,
    name: str,
    person: str,
    folder: Path,
    licence: str = "unknown",
    teacher: Teacher | None = None,
) -> None:
    """Label the largest face of a photo and write all but the tables, which `data.photos.clips.gather` makes.

    Labels are those of the package's networks, as far as a teacher does not know better. Raises
    `InvalidImageError` and `NoFaceError` as `Portrait3D.reconstruct` does, and `ValueError` if the face is
    fitted so badly that its labels would teach mistakes, and as the teacher does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorFitWarning)
        portrait = model.reconstruct(photo)
    if portrait.quality < LEAST_QUALITY:
        raise ValueError(
            f"{in_one_line(str(photo))}: the face may be fitted badly (quality {portrait.quality:.2f}, below "
            f"{LEAST_QUALITY}), so it is left out."
        )
    window = Window.around([portrait], GROWTH)
    labels = PhotoLabels.of(model, portrait)
    if teacher is not None:
        labels = teacher(labels, portrait)
    window.save(portrait.photo.pixels, labels, folder, name)
    row = labelled_row(portrait, window, name, photo, licence, person)
    points = window.points(labels.points)
    write_part(folder, name, [row], [], points[None], np.array([window.box(portrait)]))


def is_labelled(name: str, folder: Path) -> bool:
    """Whether a folder has the labels of a photo already."""
    return part_path(folder, name).is_file()
