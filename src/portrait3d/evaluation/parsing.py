"""How well parsing agrees with labelled photos: IoU of every class, in the photos' own pixels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from PIL import Image

from portrait3d.data.photos import LabelledPhoto, PhotoFolder
from portrait3d.models.parsing_net import PARSING_CLASSES, HeadParsing, ParsingNet, parse_head
from portrait3d.preprocessing.alignment import crop_from_landmarks

# fmt: off
PALETTE = np.array([
    [0, 0, 0], [242, 196, 160], [130, 74, 32], [230, 60, 60], [60, 90, 230],
    [220, 60, 200], [80, 180, 90], [130, 130, 140], [250, 220, 70],
], np.uint8)
"""Colour of each class in pictures."""
# fmt: on


@dataclass(frozen=True, slots=True)
class ParsingScores:
    """Intersection over union, summed over the pixels of all photos of a folder."""

    folder: str
    photos: int
    iou: dict[str, float]
    """Class -> IoU, NaN where neither shows it; "ears" takes both ears together."""


def evaluate_parsing(
    net: ParsingNet,
    data: Path | str,
    *,
    limit: int | None = None,
    research: bool = True,
    mirrored: bool = True,
    sheet: Path | None = None,
) -> list[ParsingScores]:
    """Score a network on the validation split below `data`: one row for everything, then one a folder.

    Args:
        net: The network, in evaluation mode.
        data: Root of the labelled photos.
        limit: Take only so many photos, spread over the split.
        research: Include the research-only folders.
        mirrored: Average with the mirrored crop, as the pipeline does.
        sheet: Write a contact sheet here: photo, labels found, labels given, the worst photos first.
    """
    photos = list(PhotoFolder(data, research=research, split="val", parsed=True))
    if limit is not None:
        photos = [photos[i] for i in np.linspace(0, len(photos) - 1, min(limit, len(photos))).astype(int)]
    counts = {}
    for photo in photos:
        labels = parse_photo(net, photo, mirrored=mirrored).labels
        counts[photo] = count_overlap(labels, photo.parsing())
    if sheet is not None:
        hair = PARSING_CLASSES.index("hair")
        worst = sorted(photos, key=lambda photo: counts[photo][0, hair] / max(counts[photo][1, hair], 1))
        write_sheet(net, worst[:48], sheet)
    folders = list(dict.fromkeys(photo.folder for photo in photos))
    groups = [("all", photos)] + [(name, [p for p in photos if p.folder == name]) for name in folders]
    return [
        ParsingScores(name, len(members), intersection_over_union(counts[photo] for photo in members))
        for name, members in groups
    ]


def score_parsing(net: ParsingNet, photos: Sequence[LabelledPhoto]) -> dict[str, float]:
    """IoU of each class over some photos, and their "score": the mean of face, hair and ears."""
    iou = intersection_over_union(
        count_overlap(parse_photo(net, photo, mirrored=False).labels, photo.parsing()) for photo in photos
    )
    return {"score": (iou["face"] + iou["hair"] + iou["ears"]) / 3, **iou}


def parse_photo(net: ParsingNet, photo: LabelledPhoto, *, mirrored: bool = True) -> HeadParsing:
    """Parse a labelled photo in the head crop of its landmarks."""
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks)).head_crop()
    return parse_head(net, photo.pixels(), crop, mirrored=mirrored)


def count_overlap(
    found: Integer[np.ndarray, "H W"], given: Integer[np.ndarray, "H W"]
) -> Integer[np.ndarray, "2 9"]:
    """Pixels in the intersection and in the union of each class."""
    classes = len(PARSING_CLASSES)
    table = np.bincount(found.astype(np.int64).ravel() * classes + given.ravel(), minlength=classes**2)
    table = table.reshape(classes, classes)
    both = table.diagonal()
    return np.stack([both, table.sum(0) + table.sum(1) - both])


def intersection_over_union(counts: Iterable[Integer[np.ndarray, "2 9"]]) -> dict[str, float]:
    """IoU of each class from the summed counts of `count_overlap`, and of both ears as "ears"."""
    both, union = np.sum(list(counts), 0)
    iou = {
        name: float(both[i] / union[i]) if union[i] else float("nan")
        for i, name in enumerate(PARSING_CLASSES)
    }
    ears = [i for i, name in enumerate(PARSING_CLASSES) if name.endswith("ear")]
    total = union[ears].sum()
    return iou | {"ears": float(both[ears].sum() / total) if total else float("nan")}


def write_sheet(net: ParsingNet, photos: Sequence[LabelledPhoto], path: Path) -> None:
    """A picture of photos, each with the labels found and the labels given."""
    tiles = []
    for photo in photos:
        pixels = photo.pixels()
        found, given = parse_photo(net, photo).labels, photo.parsing()
        row = np.hstack([pixels, paint(pixels, found), paint(pixels, given)])
        tiles.append(np.array(Image.fromarray(row).resize((3 * 160, 160), Image.Resampling.BILINEAR)))
    while len(tiles) % 4:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[i : i + 4]) for i in range(0, len(tiles), 4)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(path)


def paint(
    pixels: UInt8[np.ndarray, "H W 3"], labels: Integer[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The photo with its labels' colours over it."""
    return (pixels // 2 + PALETTE[labels] // 2).astype(np.uint8)
