"""Everything that `evaluate parsing` prints: agreement by folder, borders, robustness, wide photos, time."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from portrait3d.data.parsing.preparation import DRAWN_FOLDERS, drawn_people
from portrait3d.data.photos.compositions import StoredPhoto
from portrait3d.data.photos.labelled import PhotoFolder, evenly
from portrait3d.evaluation.parsing.scores import (
    TOLERANCE,
    border_score,
    count_borders,
    count_overlap,
    intersection_over_union,
    whole_photo,
    widened,
)
from portrait3d.evaluation.parsing.sheets import write_sheet
from portrait3d.models.head_parsing import ParsingExperts, parse_head
from portrait3d.preprocessing.alignment import Crop

SHOWN = (
    "face",
    "hair",
    "ears",
    "left ear",
    "right ear",
    "inner mouth",
    "neck",
    "body",
    "headwear",
    "background",
)
"""Order of the columns."""
DISTURBED = ("face", "hair", "ears", "inner mouth", "neck")
"""Classes that a wrong face box may not change much."""
BOXES: dict[str, tuple[float, float, float]] = {
    "size 0.8": (0.8, 0.0, 0.0),
    "size 1.25": (1.25, 0.0, 0.0),
    "to the left": (1.0, -0.1, 0.0),
    "to the right": (1.0, 0.1, 0.0),
    "up": (1.0, 0.0, -0.1),
    "down": (1.0, 0.0, 0.1),
}
"""Wrong face boxes: factor on the size, and shift in parts of the landmarks' box."""
BOX = 1 / 3.2
"""Side of the landmarks' box over that of the head crop."""
TIMED_SIDE = 1024
"""Longest side (pixels) of the photo whose parsing is timed: that of the figures of speed elsewhere."""
YAWS = {"yaw to 30": 30.0, "yaw 30 to 60": 60.0, "yaw beyond 60": 180.0}
"""Degrees of yaw, either way, below which heads belong to each group."""


@dataclass(frozen=True, slots=True)
class ParsingReport:
    """Tables, each a list of rows."""

    exact: list[dict[str, Any]]
    overlap: list[dict[str, Any]]
    borders: list[dict[str, Any]]
    wide: list[dict[str, Any]]
    boxes: list[dict[str, Any]]
    seconds: list[dict[str, Any]]


def evaluate_parsing(
    experts: ParsingExperts,
    data: Path | str | None,
    *,
    drawn: Path | None = None,
    limit: int | None = None,
    disturbed: int = 0,
    wide: int = 0,
    timed: bool = False,
    sheet: Path | None = None,
) -> ParsingReport:
    """Score networks on the validation splits of photos with labels and of drawn people.

    Args:
        experts: The networks, in evaluation mode.
        data: Root of the labelled photos; None for drawn people alone.
        drawn: Root of drawn people with exact labels.
        limit: Take only so many photos, spread over the split.
        disturbed: Photos that are parsed with wrong face boxes too.
        wide: Photos that are parsed small in larger pictures too.
        timed: Measure the time, too.
        sheet: Write the photos with the worst hair here: photo, labels found, labels given, cut out.
    """
    exact = [] if drawn is None else exact_rows(experts, drawn, limit)
    photos = [] if data is None else evenly(PhotoFolder(data, split="val", parsed=True), limit)
    if not photos:
        return ParsingReport(exact, [], [], [], [], [])
    subjects = [whole_photo(photo) for photo in photos]
    overlap, borders = [], []
    for photo in subjects:
        labels = parse_head(experts, photo.pixels, photo.crop).labels
        overlap.append(count_overlap(labels, photo.labels))
        borders.append(count_borders(labels, photo.labels, TOLERANCE * photo.crop.side))
    groups = grouped(subjects)
    if sheet is not None:
        worst = np.argsort([counts[0, 2] / max(counts[1, 2], 1) for counts in overlap])[:20]
        write_sheet(experts, [subjects[i] for i in worst], sheet)
    return ParsingReport(
        exact,
        rows(groups, overlap, intersection_over_union),
        rows(groups, borders, border_score),
        wide_rows(experts, subjects[:: max(1, len(subjects) // wide)]) if wide else [],
        box_rows(experts, subjects[:: max(1, len(subjects) // disturbed)]) if disturbed else [],
        time_rows(experts, subjects[0]) if timed else [],
    )


def exact_rows(experts: ParsingExperts, drawn: Path, limit: int | None) -> list[dict[str, Any]]:
    """Overlap with exact labels of drawn people that no training saw: by source and by yaw."""
    pictures = evenly([photo for photo in drawn_people(drawn) if photo.split == "val"], limit)
    groups: dict[str, list[int]] = {"all": list(range(len(pictures)))}
    counts = []
    for number, picture in enumerate(pictures):
        subject = whole_photo(picture)
        labels = parse_head(experts, subject.pixels, subject.crop).labels
        counts.append(count_overlap(labels, subject.labels))
        turned = next(name for name, limit in YAWS.items() if abs(picture.yaw) < math.radians(limit))
        for name in (picture.folder, turned):
            groups.setdefault(name, []).append(number)
    order = ["all", *DRAWN_FOLDERS, *YAWS]
    return rows({name: groups[name] for name in order if name in groups}, counts, intersection_over_union)


def grouped(photos: Sequence[StoredPhoto]) -> dict[str, list[int]]:
    """Numbers of the photos of each row: all, each folder, long hair."""
    groups = {"all": list(range(len(photos)))}
    for i, photo in enumerate(photos):
        groups.setdefault(photo.folder, []).append(i)
    groups["long hair"] = [i for i, photo in enumerate(photos) if photo.long_hair]
    return {name: members for name, members in groups.items() if members}


def rows(
    groups: dict[str, list[int]], counts: Sequence[np.ndarray], score: Callable[..., dict[str, float]]
) -> list[dict[str, Any]]:
    """A row for each group: its name, its size and its scores."""
    table = []
    for name, members in groups.items():
        scores = score(counts[i] for i in members)
        table.append({"photos of": name, "photos": len(members), **{key: scores[key] for key in SHOWN}})
    return table


def wide_rows(experts: ParsingExperts, photos: Sequence[StoredPhoto]) -> list[dict[str, Any]]:
    """Overlap on photos as they are, and on the same people small in larger pictures."""
    counts: list[list[np.ndarray]] = [[], []]
    for number, photo in enumerate(photos):
        large = widened(photo, photos[number - 1], number)
        for one, subject in zip(counts, (photo, large), strict=True):
            labels = parse_head(experts, subject.pixels, subject.crop).labels
            one.append(count_overlap(labels, subject.labels))
    table = []
    for name, one in zip(("as they are", "wide"), counts, strict=True):
        scores = intersection_over_union(one)
        table.append({"pictures": name, "photos": len(one), **{key: scores[key] for key in SHOWN}})
    return table


def box_rows(experts: ParsingExperts, photos: Sequence[StoredPhoto]) -> list[dict[str, Any]]:
    """Overlap with wrong face boxes, and the worst drop of each class."""

    def scores(change: tuple[float, float, float]) -> dict[str, float]:
        return intersection_over_union(
            count_overlap(parse_head(experts, photo.pixels, disturb(photo.crop, change)).labels, photo.labels)
            for photo in photos
        )

    table = [{"box": "right", **_chosen(scores((1.0, 0.0, 0.0)))}]
    table += [{"box": name, **_chosen(scores(change))} for name, change in BOXES.items()]
    drops = {key: max(table[0][key] - row[key] for row in table[1:]) for key in DISTURBED}
    return [*table, {"box": "worst drop", **drops}]


def disturb(crop: Crop, change: tuple[float, float, float]) -> Crop:
    """The head crop of a face box of another size, elsewhere."""
    factor, right, down = change
    middle = crop.size / 2
    step = BOX * crop.size
    point = crop.photo_from_crop(torch.tensor([middle + right * step, middle + down * step]))
    return replace(crop.recentred(point.tolist()), side=crop.side * factor)


def time_rows(experts: ParsingExperts, photo: StoredPhoto, runs: int = 15) -> list[dict[str, Any]]:
    """Times of the networks alone, and of all of parsing for a photo of 1024 px, ms.

    The median, and the shortest: what a machine that does other things as well can do.
    """
    scale = TIMED_SIDE / max(photo.labels.shape)
    height, width = (round(side * scale) for side in photo.labels.shape)
    pixels = np.array(Image.fromarray(photo.pixels).resize((width, height)))
    x, y = photo.crop.centre
    crop = replace(photo.crop, centre=(x * scale, y * scale), side=photo.crop.side * scale)
    images = torch.rand(1, len(experts.framings), 3, crop.size, crop.size)
    tasks: dict[str, Callable[[], Any]] = {
        "networks": lambda: experts(images),
        f"parsing of a photo of {TIMED_SIDE} px": lambda: parse_head(experts, pixels, crop),
    }
    table = []
    for name, task in tasks.items():
        times = [_milliseconds(task) for _ in range(runs + 1)][1:]
        row = {"time of": name, "threads": torch.get_num_threads()}
        table.append({**row, "ms": float(np.median(times)), "shortest": min(times)})
    return table


def _milliseconds(task: Callable[[], Any]) -> float:
    began = time.perf_counter()
    task()
    return 1000 * (time.perf_counter() - began)


def _chosen(scores: dict[str, float]) -> dict[str, float]:
    return {key: scores[key] for key in DISTURBED}
