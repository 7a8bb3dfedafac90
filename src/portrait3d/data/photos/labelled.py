"""Folders of labelled photos, as every training and evaluation stage reads them.

The layout, below one root: `portraits/`, `people/`, `clips/`, `research/scut/` and `research/utk/`, each with
`images/ID.jpg`, `parsing/ID.png` (19 classes; may be missing), `hair/ID.png` and `figure/ID.png` (probability
maps; may be missing), `landmarks.npz` and `index.csv`. Labels are
converted to this project's conventions on reading: pixel centres at +0.5, pitch > 0 looks up, angles in
radians, nine parsing classes.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from portrait3d import arguments
from portrait3d.data.photos.shards import Place, data_root

Item = TypeVar("Item")

OPEN_FOLDERS = ("portraits", "clips")
"""Folders whose licences allow any use of models trained on them."""
PHOTO_FOLDERS = ("portraits", "people", "clips")
"""Folders of photos of real people, with hair and figure maps, whose licences allow any use."""
GENERATED = "op_"
"""How the names of pictures begin whose people don't exist; no network learns from them."""
MAPS = ("hair", "figure")
"""Probability maps that photos may have."""

FOLDED_CLASSES = np.array([0, 1, 1, 1, 1, 1, 1, 3, 4, 7, 1, 5, 1, 1, 6, 7, 7, 2, 8], np.uint8)
"""CelebAMask-HQ's 19 classes -> the nine of `portrait3d.parsing_classes.PARSING_CLASSES`.

Brows, eyes, nose, lips and glasses are face; ear rings, necklaces and clothes are body.
"""
UNFOLDED_CLASSES = np.array([0, 1, 17, 7, 8, 11, 14, 16, 18], np.uint8)
"""The nine classes -> one of the 19 that folds back to each."""

# fmt: off
LANDMARKS_OF_MESH = np.array([
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
])
"""The 68 iBUG landmarks among the 468 points of MediaPipe's face mesh, in iBUG order."""
# fmt: on


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPhoto:
    """One photo of one person with its labels; pixels are read when asked for, and it equals only itself."""

    name: str
    folder: str
    """Its folder below the root, such as "portraits"."""
    root: Place = field(repr=False)
    person: str
    """The same for all photos of one person."""
    split: str
    """"train" or "val"; no person is in both."""
    licence: str
    width: int
    height: int
    yaw: float
    """Radians, rough; > 0 faces the picture's right."""
    pitch: float
    """Radians, rough; > 0 looks up."""
    roll: float
    """Radians, rough; > 0 is clockwise in the picture."""
    points: Float[np.ndarray, "N 3"] = field(repr=False)
    """MediaPipe mesh points (N = 468), or the iBUG landmarks alone (N = 68): x and y in pixels, z likewise
    in pixels, smaller = nearer, relative to the head's centre."""
    box: Float[np.ndarray, "4"] = field(repr=False)
    """The face detector's x0, y0, x1, y1 in pixels."""
    clip: str | None = None
    """The clip that the photo is a frame of, if any."""
    frame: int | None = None
    age: float | None = None
    """Years, where the index has the column."""
    gender: str | None = None
    """As the index names it, where it has the column."""

    @property
    def landmarks(self) -> Float[np.ndarray, "68 2"]:
        """The 68 landmarks in iBUG order, pixels."""
        points = self.points if len(self.points) == 68 else self.points[LANDMARKS_OF_MESH]
        return points[:, :2]

    @property
    def has_mesh_points(self) -> bool:
        """Whether all 468 mesh points are known."""
        return len(self.points) == 468

    @property
    def parsing_path(self) -> Place:
        """Where the 19-class label image lies, if there is one."""
        return self.root / self.folder / "parsing" / f"{self.name}.png"

    def map_path(self, name: str) -> Place:
        """Where a probability map lies, if there is one: "hair" or "figure"."""
        return self.root / self.folder / name / f"{self.name}.png"

    @property
    def has_maps(self) -> bool:
        """Whether it comes with `MAPS`."""
        return all(self.map_path(name).is_file() for name in MAPS)

    def probability(self, name: str) -> Float[np.ndarray, "H W"]:
        """A probability map, 0 to 1: "hair" or "figure"."""
        with self.map_path(name).open("rb") as file, Image.open(file) as image:
            return np.asarray(image.convert("L"), np.float32) / 255

    def pixels(self) -> UInt8[np.ndarray, "H W 3"]:
        """The photo itself, RGB."""
        path = self.root / self.folder / "images" / f"{self.name}.jpg"
        with path.open("rb") as file, Image.open(file) as image:
            return np.array(image.convert("RGB"))

    def parsing(self) -> UInt8[np.ndarray, "H W"]:
        """The nine-class label of every pixel."""
        return FOLDED_CLASSES[self.finer_parsing()]

    def finer_parsing(self) -> UInt8[np.ndarray, "H W"]:
        """The label of every pixel among CelebAMask-HQ's 19."""
        with self.parsing_path.open("rb") as file, Image.open(file) as image:
            return np.array(image)


@dataclass(frozen=True, slots=True)
class ClipPair:
    """Two frames of one clip whose heads differ in rotation and little in expression."""

    first: LabelledPhoto
    second: LabelledPhoto
    rotation: float
    """Angle between the two head poses, radians."""
    scale: float
    """Size of the face in the second frame over that in the first."""


def pairs_by_clip(pairs: Iterable[ClipPair]) -> dict[str, list[ClipPair]]:
    """The pairs of every clip, in their order."""
    clips: dict[str, list[ClipPair]] = {}
    for pair in pairs:
        clips.setdefault(str(pair.first.clip), []).append(pair)
    return clips


def frames_of(pairs: Iterable[ClipPair]) -> list[LabelledPhoto]:
    """Every frame of the pairs once, in the order in which they appear."""
    return list({photo.name: photo for pair in pairs for photo in (pair.first, pair.second)}.values())


class PhotoFolder(Sequence[LabelledPhoto]):
    """The photos below one root, in a fixed order.

    Args:
        root: The directory that holds `portraits/` and `clips/`, or shards of such (`data.photos.shards`).
        folders: Which folders to read, by name; by default those two, as far as they exist.
        split: "train", "val", or None for both.
        parsed: Keep only photos that have a parsing label.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        folders: Sequence[str] | None = None,
        split: str | None = None,
        parsed: bool = False,
    ) -> None:
        arguments.path(root, "root")
        self.root = data_root(root)
        arguments.truth_value(parsed, "parsed")
        if isinstance(folders, str):
            raise TypeError(f"folders must be a sequence of names, got {arguments.shown(folders)}.")
        if folders is None:
            folders = [name for name in OPEN_FOLDERS if (self.root / name / "index.csv").is_file()]
        if split not in (None, "train", "val"):
            raise ValueError(f'A split is "train", "val" or None, got {split!r}.')
        if not folders:
            raise FileNotFoundError(f"{self.root} holds none of {', '.join(OPEN_FOLDERS)}.")
        photos = [photo for name in folders for photo in read_folder(self.root, name)]
        self.photos = [
            photo
            for photo in photos
            if (split is None or photo.split == split) and (not parsed or photo.parsing_path.is_file())
        ]

    @overload
    def __getitem__(self, index: int) -> LabelledPhoto: ...
    @overload
    def __getitem__(self, index: slice) -> list[LabelledPhoto]: ...
    def __getitem__(self, index: int | slice) -> LabelledPhoto | list[LabelledPhoto]:
        return self.photos[index]

    def __len__(self) -> int:
        return len(self.photos)

    def clip_pairs(self) -> Iterator[ClipPair]:
        """The pairs listed in `clips/pairs.csv` of which both frames are in this folder."""
        frames = {photo.name: photo for photo in self.photos if photo.clip is not None}
        with (self.root / "clips" / "pairs.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                first, second = frames.get(row["frame_a"]), frames.get(row["frame_b"])
                if first is not None and second is not None:
                    rotation = math.radians(float(row["rotation_deg"]))
                    yield ClipPair(first, second, rotation, float(row["scale_ratio"]))


def real_photo_folders(root: Path) -> list[str]:
    """Those of `PHOTO_FOLDERS` that exist below a root; `FileNotFoundError` if none does."""
    place = data_root(root)
    folders = [name for name in PHOTO_FOLDERS if (place / name / "index.csv").is_file()]
    if not folders:
        raise FileNotFoundError(f"{root} holds none of {', '.join(PHOTO_FOLDERS)}.")
    return folders


def people_photos(root: Path, split: str | None = None) -> list[LabelledPhoto]:
    """Photos of real people whose licences allow any use; by default of both splits."""
    photos = PhotoFolder(root, folders=real_photo_folders(root), split=split)
    return [photo for photo in photos if not photo.name.startswith(GENERATED)]


def real_photos(
    root: Path, split: str | None = None, folders: Sequence[str] | None = None
) -> list[LabelledPhoto]:
    """Photos of real people with hair and figure maps; by default of both splits and all `PHOTO_FOLDERS`."""
    photos = PhotoFolder(root, folders=folders or real_photo_folders(root), split=split)
    return [photo for photo in photos if not photo.name.startswith(GENERATED) and photo.has_maps]


def read_folder(root: Place, folder: str) -> Iterator[LabelledPhoto]:
    """Read the labels of one folder; `ValueError` if its tables disagree."""
    index, landmarks = root / folder / "index.csv", root / folder / "landmarks.npz"
    for path in (index, landmarks):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing.")
    with index.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with landmarks.open("rb") as file, np.load(file, allow_pickle=False) as table:
        ids = [str(name) for name in table["ids"]]
        points = table["points"].astype(np.float32)
        boxes = table["box"][:, :4].astype(np.float32) + 0.5
    if ids != [row["id"] for row in rows]:
        raise ValueError(f"{landmarks} and {index} list different photos.")
    points[..., :2] += 0.5
    for row, marks, box in zip(rows, points, boxes, strict=True):
        yield LabelledPhoto(
            name=row["id"],
            folder=folder,
            root=root,
            person=row["person"],
            split=row["split"],
            licence=row["licence"],
            width=int(row["width"]),
            height=int(row["height"]),
            yaw=math.radians(float(row["yaw"])),
            pitch=-math.radians(float(row["pitch"])),
            roll=math.radians(float(row["roll"])),
            points=marks,
            box=box,
            clip=row.get("clip") or None,
            frame=int(row["frame"]) if row.get("frame") else None,
            age=float(row["age"]) if row.get("age") else None,
            gender=row.get("gender") or None,
        )


def evenly(items: Sequence[Item], count: int | None) -> list[Item]:
    """Up to `count` items (None: all), spread over all."""
    chosen = len(items) if count is None else min(count, len(items))
    return [items[i] for i in np.linspace(0, len(items) - 1, chosen).astype(int).tolist()]
