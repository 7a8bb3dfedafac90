"""Folders of drawn people with exact labels, in the layout of labelled photos."""

import csv
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from portrait3d.data.parsing.scenes import ParsedAvatars, ParsedHeads, ParsedScene
from portrait3d.data.people.avatars import HELD_OUT, read_avatars
from portrait3d.data.people.hairstyles import HELD_OUT_HAIRSTYLES, read_hairstyles
from portrait3d.data.photos.labelled import UNFOLDED_CLASSES, LabelledPhoto, PhotoFolder, real_photos
from portrait3d.data.photos.people_free import PeopleFreeBackgrounds
from portrait3d.data.synthetic import STYLES_TRAIN, STYLES_VALIDATION
from portrait3d.data.whole_files import whole_file

logger = logging.getLogger(__name__)

DRAWN_FOLDERS = ("drawn/avatars", "drawn/hairstyles", "drawn/synthetic")
"""Folders of drawn people, by where the heads come from."""
CHECKED = 4
"""One drawn person of so many more is drawn for validation, `MOST_CHECKED` at most."""
MOST_CHECKED = 100
QUALITY = 92
"""Of the JPEG files."""
COLUMNS = (
    "id", "source", "original", "licence", "width", "height", "person", "split", "yaw", "pitch", "roll"
)  # fmt: skip
Draw = Callable[[int], ParsedScene]


def prepare_parsing(
    data: Path,
    out: Path,
    *,
    avatars: Path | None,
    hairstyles: Path | None,
    avatar_views: int = 1800,
    synthetic_views: int = 1400,
    hairstyle_views: int = 500,
    seed: int = 0,
) -> Iterator[Path]:
    """Draw people with exact labels before what the photos show where nobody is; yields finished folders.

    Heads, hairstyles, styles of hair and walls of the validation split are not in the training split.

    Args:
        data: Root of photos with figure maps, for backgrounds.
        out: Root that gets `DRAWN_FOLDERS`; pictures that are there are kept.
        avatars: The directory of artist-made heads, all but `HELD_OUT` for training; None leaves them out.
        hairstyles: A file of hairstyles that `tools/bind_hairstyles.py` writes; None leaves them out.
        avatar_views: Training pictures of avatars.
        synthetic_views: Training pictures of synthetic heads with procedural hair.
        hairstyle_views: Training pictures of synthetic heads that wear hairstyles.
        seed: Of everything that is drawn.
    """
    train, val = (PeopleFreeBackgrounds(real_photos(data, split), seed).draw for split in ("train", "val"))
    if avatars is not None and avatar_views:
        heads = read_avatars(avatars)
        learned = ParsedAvatars(seed, [head for head in heads if head.name not in HELD_OUT], train)
        checked = ParsedAvatars(seed + 1, [head for head in heads if head.name in HELD_OUT], val)
        yield write_folder(out, DRAWN_FOLDERS[0], "mit", learned.scene, checked.scene, avatar_views)
    if hairstyles is not None and hairstyle_views:
        styles, buzz = read_hairstyles(hairstyles), {"buzz": STYLES_TRAIN["buzz"]}
        worn = [style for style in styles if style.name not in HELD_OUT_HAIRSTYLES]
        others = [style for style in styles if style.name in HELD_OUT_HAIRSTYLES]
        learned = ParsedHeads(10 * seed + 5, buzz, train, worn)
        checked = ParsedHeads(10 * seed + 6, buzz, val, others)
        yield write_folder(out, DRAWN_FOLDERS[1], "cc0", learned.scene, checked.scene, hairstyle_views)
    if synthetic_views:
        learned = ParsedHeads(10 * seed + 3, STYLES_TRAIN, train)
        checked = ParsedHeads(10 * seed + 4, STYLES_VALIDATION, val)
        yield write_folder(out, DRAWN_FOLDERS[2], "own", learned.scene, checked.scene, synthetic_views)


def drawn_people(root: Path) -> list[LabelledPhoto]:
    """The pictures of `DRAWN_FOLDERS` below a root; `FileNotFoundError` if there are none."""
    folders = [name for name in DRAWN_FOLDERS if (root / name / "index.csv").is_file()]
    if not folders:
        raise FileNotFoundError(f"{root} holds no drawn people; `portrait3d prepare parsing` draws them.")
    return list(PhotoFolder(root, folders=folders))


def write_folder(out: Path, name: str, licence: str, learned: Draw, checked: Draw, count: int) -> Path:
    """Draw the scenes of one folder, validation first, and list them."""
    folder = out / name
    for kind in ("images", "parsing", "points"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    rows, points = [], []
    for split, draw, views in (
        ("val", checked, min(MOST_CHECKED, -(-count // CHECKED))),
        ("train", learned, count),
    ):
        for number in range(views):
            identity = f"{split}_{number:05d}"
            path = folder / "points" / f"{identity}.npz"
            if not path.is_file():
                write_scene(folder, identity, draw(number))
            with np.load(path, allow_pickle=False) as table:
                points.append(table["points"])
                size, angles, original = table["size"], np.degrees(table["angles"]), str(table["name"])
            # The tables' pitch is positive downward.
            turned = [f"{value:.1f}" for value in angles * [1, -1, 1]]
            person = original.rpartition("_")[0]
            rows.append([identity, "drawn", original, licence, *size[::-1], person, split, *turned])
    _write_tables(folder, rows, np.stack(points))
    logger.info("%s: %d pictures.", folder, len(rows))
    return folder


def write_scene(folder: Path, identity: str, scene: ParsedScene) -> None:
    """Write one picture, its labels, and last of all what the tables need."""
    Image.fromarray(scene.picture).save(folder / "images" / f"{identity}.jpg", quality=QUALITY)
    Image.fromarray(UNFOLDED_CLASSES[scene.labels]).save(folder / "parsing" / f"{identity}.png")
    path = folder / "points" / f"{identity}.npz"
    with whole_file(path) as file:
        np.savez(
            file,
            points=scene.points.astype(np.float32),
            angles=np.array(scene.angles),
            size=np.array(scene.labels.shape),
            name=np.array(scene.name),
        )


def _write_tables(folder: Path, rows: list[list], points: np.ndarray) -> None:
    # Stored points count pixel centres from 0, the package's from 0.5.
    low, high = points.min(axis=1), points.max(axis=1)
    with whole_file(folder / "landmarks.npz") as file:
        np.savez_compressed(
            file,
            ids=np.array([row[0] for row in rows]),
            points=np.pad(points - 0.5, ((0, 0), (0, 0), (0, 1))).astype(np.float16),
            box=np.concatenate([low - 0.5, high - 0.5, np.ones((len(rows), 1))], axis=1).astype(np.float32),
            mesh_index=np.arange(points.shape[1]),
        )
    unfinished = folder / "index.part"
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows)
    unfinished.rename(folder / "index.csv")
