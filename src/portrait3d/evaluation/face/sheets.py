"""Contact sheets of faces: landmarks of teacher and network, and the rendered face in the photo."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.evaluation.face.colours import draw_faces
from portrait3d.evaluation.face.predictions import FacePrediction
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import crop_from_landmarks

SIDE, COLUMNS = 224, 8
WORST = 20


def write_sheets(
    head: HeadModel,
    photos: Sequence[LabelledPhoto],
    found: FacePrediction,
    error: Float[np.ndarray, " N"],
    path: Path,
) -> tuple[Path, Path]:
    """Write the best, middling and worst photos to `path`, the worst 20 with renders to `NAME-worst`.

    The teacher's landmarks are red, the network's green; both paths are returned.
    """
    order = np.argsort(error)
    middle = max(len(order) // 2 - 8, 0)
    chosen = [*order[:16], *order[middle : middle + 16], *order[-16:]]
    path.parent.mkdir(parents=True, exist_ok=True)
    compose([marked(photos[i], found.landmarks[i], float(error[i])) for i in chosen]).save(path)
    tiles = []
    for i in order[::-1][:WORST]:
        tiles += [
            marked(photos[i], found.landmarks[i], float(error[i])),
            rendered(head, photos[i], found, int(i)),
        ]
    worst = path.with_stem(f"{path.stem}-worst")
    compose(tiles).save(worst)
    return path, worst


def compose(tiles: Sequence[Image.Image]) -> Image.Image:
    """Rows of eight square tiles."""
    sheet = Image.new("RGB", (COLUMNS * SIDE, -(-len(tiles) // COLUMNS) * SIDE))
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % COLUMNS * SIDE, k // COLUMNS * SIDE))
    return sheet


def marked(photo: LabelledPhoto, found: Float[np.ndarray, "68 2"], error: float) -> Image.Image:
    """The face with both sets of landmarks, its error (percent) and its name."""
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks)).resized(SIDE)
    pixels = as_bytes(crop.extract(photo.pixels()))
    tile = Image.fromarray(pixels)
    draw = ImageDraw.Draw(tile)
    for points, colour in ((photo.landmarks, (255, 40, 40)), (found, (60, 255, 60))):
        for x, y in crop.crop_from_photo(torch.from_numpy(points)).tolist():
            draw.ellipse((x - 1.2, y - 1.2, x + 1.2, y + 1.2), fill=colour)
    draw.text((4, 4), f"{error:.2f} %", fill=(255, 255, 0))
    draw.text((4, SIDE - 14), photo.name[:34], fill=(255, 255, 0))
    return tile


def rendered(head: HeadModel, photo: LabelledPhoto, found: FacePrediction, row: int) -> Image.Image:
    """The network's own crop with the face that it sees drawn over the photo."""
    one = slice(row, row + 1)
    coefficients = FaceCoefficients.from_vector(found.coefficients.to_vector()[one])
    pose = Pose(found.pose.rotation[one], found.pose.translation[one])
    face, where = draw_faces(head, coefficients, pose, SIDE)
    picture = torch.where(where, face[0], found.crops[row].resized(SIDE).extract(photo.pixels()))
    return Image.fromarray(as_bytes(picture))
