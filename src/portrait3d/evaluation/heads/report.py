"""Everything that is said about heads reconstructed from photos of artist-made ones."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from portrait3d.data.people.avatars import Avatar
from portrait3d.errors import NoFaceError
from portrait3d.evaluation.heads.pictures import DeepFeatures, HeadPair, PictureErrors, compare_pictures
from portrait3d.evaluation.heads.truth import AvatarPhoto, HeadErrors, measure_head, photograph, true_surface
from portrait3d.geometry import Camera, HeadMesh
from portrait3d.pipeline import Portrait3D

YAWS = (0.0, 25.0, -40.0)
"""Of the photos, degrees."""
ASIDE = (60.0, -60.0)
"""By how much further photos of the same head look aside from the first, degrees."""
LONG = "long"
"""Styles of hair that hangs begin with this."""
ERRORS = tuple(field.name for kind in (HeadErrors, PictureErrors) for field in fields(kind))


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredHead:
    """One photo and what came out of it."""

    pair: HeadPair
    errors: HeadErrors
    pictures: PictureErrors
    seconds: float
    """That the reconstruction took, the mesh included."""

    @property
    def row(self) -> dict[str, Any]:
        """One line of the table."""
        photo = self.pair.photo
        of = {"head": photo.avatar.name, "style": photo.avatar.style, "yaw": photo.yaw}
        return {**of, **asdict(self.errors), **asdict(self.pictures), "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo from which no head was made."""

    head: str
    yaw: float
    error: str


def measure_heads(
    model: Portrait3D,
    avatars: Sequence[Avatar],
    yaws: Sequence[float],
    features: DeepFeatures,
    views: int = 1,
) -> Iterator[MeasuredHead | Failure]:
    """Photograph avatars from several sides, reconstruct the photos and compare.

    With more `views`, 3 at most, every head comes from that many photos: further ones look `ASIDE` of the
    first, by which the head is measured.
    """
    for avatar in avatars:
        truth = true_surface(avatar)
        for yaw in yaws:
            photo = photograph(avatar, yaw)
            further = [photograph(avatar, yaw + aside) for aside in ASIDE[: views - 1]]
            start = time.perf_counter()
            try:
                head, camera = reconstruct_views(model, photo, further)
                seconds = time.perf_counter() - start
                errors, avatar_from_found = measure_head(head, camera, photo, truth)
            except (NoFaceError, ValueError) as error:
                yield Failure(avatar.name, yaw, str(error))
                continue
            pair = HeadPair.of(photo, head, avatar_from_found)
            yield MeasuredHead(pair, errors, compare_pictures(pair, features), seconds)


def reconstruct_views(
    model: Portrait3D, photo: AvatarPhoto, further: Sequence[AvatarPhoto]
) -> tuple[HeadMesh, Camera]:
    """The head of a photo with the colours of further ones, and the photo's camera; `ValueError` if one of
    those shows the face better."""
    if not further:
        portrait = model.reconstruct(photo.pixels)
        return portrait.head, portrait.camera
    portrait = model.reconstruct_person([one.pixels for one in (photo, *further)], check=False)
    if not np.array_equal(portrait.photo.pixels, photo.pixels):
        raise ValueError("Another photo than the first shows the face best.")
    return portrait.head, portrait.camera


def by_style(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the photos of each style of hair, of long hair and of all, without NaN."""
    styles = sorted({row["style"] for row in rows})
    groups = {style: [row for row in rows if row["style"] == style] for style in styles}
    groups["all long hair"] = [row for row in rows if row["style"].startswith(LONG)]
    groups["all"] = list(rows)
    return [
        {
            "style": style,
            "photos": len(chosen),
            **{name: mean_of_known([row[name] for row in chosen]) for name in (*ERRORS, "seconds")},
        }
        for style, chosen in groups.items()
        if chosen
    ]


def mean_of_known(values: Sequence[float]) -> float:
    """The mean without NaN; NaN if nothing is left."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
