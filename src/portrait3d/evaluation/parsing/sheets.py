"""Contact sheets of parsing: photo, labels found, labels given, head cut out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8, UInt16
from PIL import Image

from portrait3d.data.parsing.label_sets import exact_sets
from portrait3d.data.parsing.weak_labels import weak_sets
from portrait3d.data.photos.compositions import StoredPhoto
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.models.head_parsing import ParsingExperts, parse_head
from portrait3d.preprocessing.alignment import crop_from_landmarks

# fmt: off
PALETTE = np.array([
    [0, 0, 0], [242, 196, 160], [130, 74, 32], [230, 60, 60], [60, 90, 230],
    [220, 60, 200], [80, 180, 90], [130, 130, 140], [250, 220, 70],
], np.uint8)
"""Colour of each class in pictures."""
# fmt: on
BEHIND = (70, 200, 90)
"""Colour behind heads that are cut out."""
SIDE, COLUMNS = 200, 2
DOUBTS_COLUMNS, DOUBTS_ROWS = 6, 10


def write_sheet(experts: ParsingExperts, photos: Sequence[StoredPhoto], path: Path) -> None:
    """A picture of photos, two a row, each with what was found, what was given, and the head alone."""
    tiles = []
    for photo in photos:
        found = parse_head(experts, photo.pixels, photo.crop)
        pictures = (
            photo.pixels,
            paint(photo.pixels, found.labels),
            paint(photo.pixels, photo.labels),
            cut_out(photo.pixels, found.matte),
        )
        tiles.append(np.hstack([_fitted(picture) for picture in pictures]))
    _save(tiles, COLUMNS, path)


def write_doubts(
    experts: ParsingExperts, photos: Sequence[LabelledPhoto], path: Path
) -> list[tuple[str, float]]:
    """Pictures of photos and their labels, those first that contradict the photos' maps most.

    More than one page of them are numbered: NAME-1, NAME-2 and so on. Returns names and `contradiction`s in
    this order.
    """
    tiles, doubts = [], []
    for photo in photos:
        pixels = photo.pixels()
        crop = crop_from_landmarks(torch.from_numpy(photo.landmarks)).head_crop()
        labels = parse_head(experts, pixels, crop).labels
        # Beyond the head crop labels end, and clothes with them.
        seen = crop.restore(torch.ones(1, crop.size, crop.size), *labels.shape)[0].numpy() > 0
        doubts.append((photo.name, contradiction(labels, np.where(seen, weak_sets(photo), np.uint16(0)))))
        tiles.append(np.hstack([_fitted(picture) for picture in (pixels, paint(pixels, labels))]))
    order = sorted(range(len(photos)), key=lambda k: -doubts[k][1])
    page = DOUBTS_COLUMNS * DOUBTS_ROWS
    for first in range(0, len(order), page):
        place = path if len(order) <= page else path.with_stem(f"{path.stem}-{first // page + 1}")
        _save([tiles[k] for k in order[first : first + page]], DOUBTS_COLUMNS, place)
    return [doubts[k] for k in order]


def contradiction(labels: UInt8[np.ndarray, "H W"], sets: UInt16[np.ndarray, "H W"]) -> float:
    """Pixels whose label is impossible by the label sets, over those that aren't surely background."""
    impossible = (sets > 0) & ((exact_sets(labels) & sets) == 0)
    return float(impossible.sum() / max(int((sets > 1).sum()), 1))


def paint(
    pixels: UInt8[np.ndarray, "H W 3"], labels: Integer[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The photo with its labels' colours over it."""
    return (pixels // 2 + PALETTE[labels] // 2).astype(np.uint8)


def cut_out(
    pixels: UInt8[np.ndarray, "H W 3"], matte: Float[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The head before one colour."""
    return (pixels * matte[..., None] + np.array(BEHIND) * (1 - matte[..., None])).astype(np.uint8)


def _fitted(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "side side 3"]:
    """The picture in a black square of `SIDE` pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (SIDE, SIDE))
    tile.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return np.array(tile)


def _save(tiles: Sequence[UInt8[np.ndarray, "h w 3"]], columns: int, path: Path) -> None:
    """Tiles of one size in rows, as a picture; black where the last row has none."""
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    missing = columns * tiles[0].shape[1] - rows[-1].shape[1]
    rows[-1] = np.pad(rows[-1], ((0, 0), (0, missing), (0, 0)))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(path)
