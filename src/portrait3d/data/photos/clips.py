"""Frames of videos as training reads them: which of them to take, and the tables of a `clips/` folder.

Every video's frames lie in `images/` and `parsing/` and its rows in `parts/`; `gather` makes the folder's
tables of all parts, so that videos can be added later and an interrupted run goes on where it stopped.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from scipy.spatial.transform import Rotation

COLUMNS = (
    *("id", "source", "original", "licence", "width", "height", "person", "split"),
    *("yaw", "pitch", "roll", "clip", "frame"),
)
PAIR_COLUMNS = ("clip", "frame_a", "frame_b", "rotation_deg", "eye_diff", "mouth_diff", "scale_ratio")
UNFOLDED_CLASSES = np.array([0, 1, 17, 7, 8, 11, 14, 16, 18], np.uint8)
"""The nine parsing classes -> the 19 that label files hold; `photos.FOLDED_CLASSES` leads back."""
BLINK = 0.6
"""Eyes that are opened less than this part of the clip's median are blinking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRules:
    """Which frames of a clip go together."""

    nearest: float = 5.0
    """Smallest angle between the two heads, degrees."""
    farthest: float = 15.0
    """Largest angle."""
    eyes: float = 0.08
    """Largest change of the eyes' opening over their width."""
    mouth: float = 0.06
    """Largest change of the mouth's opening and of its width over the distance of the eyes' outer corners."""
    most_frames: int = 40
    """Frames taken of one clip."""
    most_pairs: int = 200
    """Pairs of one clip."""

    def __post_init__(self) -> None:
        if not 0 <= self.nearest < self.farthest:
            raise ValueError(f"Angles need 0 <= nearest < farthest, got {self.nearest} and {self.farthest}.")
        if self.most_frames < 2 or self.most_pairs < 1:
            raise ValueError(
                f"A clip needs two frames and a pair, got {self.most_frames=} and {self.most_pairs=}."
            )


@dataclass(frozen=True, slots=True)
class FramePair:
    """Two frames, by their position, and how they differ."""

    first: int
    second: int
    rotation: float
    """Degrees."""
    eyes: float
    mouth: float
    scale: float
    """Size of the second face over that of the first."""


def eyes_and_mouth(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T 4"]:
    """How far the left eye, the right eye and the mouth are opened, and the mouth's width.

    Eyes over their widths, the mouth over the distance of the eyes' outer corners.
    """

    def length(first: int, second: int) -> Float[np.ndarray, " T"]:
        return np.linalg.norm(landmarks[:, first] - landmarks[:, second], axis=1)

    left = (length(37, 41) + length(38, 40)) / 2 / length(36, 39)
    right = (length(43, 47) + length(44, 46)) / 2 / length(42, 45)
    return np.stack([left, right, length(62, 66) / length(36, 45), length(48, 54) / length(36, 45)], axis=1)


def choose_frames(
    rotation: Float[np.ndarray, "T 3 3"], landmarks: Float[np.ndarray, "T 68 2"], most: int
) -> Int64[np.ndarray, " K"]:
    """At most `most` frames in order, their poses spread as far as possible, none of them blinking."""
    eyes = eyes_and_mouth(landmarks)[:, :2].mean(axis=1)
    awake = np.flatnonzero(eyes >= BLINK * np.median(eyes))
    if len(awake) <= most:
        return awake
    turned = Rotation.from_matrix(rotation[awake])
    chosen = [int(np.argmin((turned * turned.mean().inv()).magnitude()))]
    distance = (turned * turned[chosen[0]].inv()).magnitude()
    # Farthest point sampling: always the frame whose pose is least like any that is chosen.
    while len(chosen) < most:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, (turned * turned[chosen[-1]].inv()).magnitude())
    return np.sort(awake[chosen])


def choose_pairs(
    rotation: Float[np.ndarray, "T 3 3"], landmarks: Float[np.ndarray, "T 68 2"], rules: PairRules
) -> list[FramePair]:
    """Pairs of frames that differ in pose and little in expression; too many are thinned out evenly."""
    shape = eyes_and_mouth(landmarks)
    size = np.sqrt((landmarks.max(axis=1) - landmarks.min(axis=1)).prod(axis=1))
    turned = Rotation.from_matrix(rotation)
    pairs = []
    for a in range(len(landmarks) - 1):
        angles = np.degrees((turned[a + 1 :] * turned[a].inv()).magnitude())
        for b, degrees in enumerate(angles.tolist(), start=a + 1):
            change = np.abs(shape[b] - shape[a])
            eyes, mouth = float(change[:2].max()), float(change[2:].max())
            if rules.nearest <= degrees <= rules.farthest and eyes < rules.eyes and mouth < rules.mouth:
                pairs.append(FramePair(a, b, degrees, eyes, mouth, float(size[b] / size[a])))
    if len(pairs) > rules.most_pairs:
        pairs = [pairs[k] for k in np.linspace(0, len(pairs) - 1, rules.most_pairs).astype(int)]
    return pairs


def write_part(
    folder: Path,
    clip: str,
    rows: Sequence[dict[str, object]],
    pairs: Sequence[dict[str, object]],
    points: Float[np.ndarray, "T 468 3"],
    boxes: Float[np.ndarray, "T 5"],
) -> None:
    """Write the rows of one clip, whole or not at all; points and boxes have pixel centres at integers."""
    buffer = io.BytesIO()
    tables = json.dumps({"rows": list(rows), "pairs": list(pairs)})
    np.savez(buffer, points=points.astype(np.float32), box=boxes.astype(np.float32), tables=np.array(tables))
    replace_file(part_path(folder, clip), buffer.getvalue())


def part_path(folder: Path, clip: str) -> Path:
    """Where the rows of a clip lie."""
    return folder / "parts" / f"{clip}.npz"


def gather(folder: Path, validation: int) -> tuple[int, int]:
    """Write `index.csv`, `landmarks.npz` and, of clips, `pairs.csv` of all parts; returns rows and pairs.

    About every `validation`-th person, chosen by name, is for validation; 0 leaves none.
    """
    rows: list[dict[str, object]] = []
    pairs: list[dict[str, object]] = []
    points, boxes = [], []
    for path in sorted((folder / "parts").glob("*.npz")):
        with np.load(path, allow_pickle=False) as part:
            tables = json.loads(str(part["tables"]))
            points.append(part["points"])
            boxes.append(part["box"])
        rows += [{**row, "split": split_of(row["person"], validation)} for row in tables["rows"]]
        pairs += tables["pairs"]
    if not rows:
        raise ValueError(
            f"{folder} has nothing to learn from: no photo could be labelled, no video gave a pair."
        )
    buffer = io.BytesIO()
    ids = np.array([str(row["id"]) for row in rows])
    np.savez(
        buffer, ids=ids, points=np.concatenate(points), box=np.concatenate(boxes), mesh_index=np.arange(468)
    )
    replace_file(folder / "landmarks.npz", buffer.getvalue())
    if pairs:
        replace_file(folder / "pairs.csv", _table(PAIR_COLUMNS, pairs))
    replace_file(folder / "index.csv", _table(COLUMNS, rows))
    return len(rows), len(pairs)


def split_of(person: str, validation: int) -> str:
    """The split of a person: "val" for about every `validation`-th name, "train" for the others."""
    # A hash of the name: people who are added later change nobody's split.
    number = int(hashlib.sha256(person.encode()).hexdigest(), 16)
    return "val" if validation and number % validation == 0 else "train"


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under another name and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _table(columns: Sequence[str], rows: Sequence[dict[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
