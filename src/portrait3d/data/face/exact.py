"""Drawn faces whose coefficients and pose are known exactly, in the wide crop that training stores."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.data.face.augmentation import warp_crops
from portrait3d.data.face.crops import STORED_MARGIN, STORED_SIZE, exact_fits
from portrait3d.data.face.fits import FaceFits
from portrait3d.data.whole_files import whole_file
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.models.mesh_points import SHAPES, MeshPoints
from portrait3d.preprocessing.alignment import FACE_SIZE, crop_camera

logger = logging.getLogger(__name__)

MOST_YAW = 100.0
"""Yaw is uniform up to this many degrees to either side."""


class ExactFace(NamedTuple):
    """One drawn face."""

    picture: Float[Tensor, "3 224 224"]
    """Its wide crop, RGB in [0, 1]."""
    vector: Float[Tensor, "233"]
    """`FaceCoefficients.to_vector`; NaN where albedo and lighting are unknown."""
    pose: Pose
    """camera_from_model, unbatched."""
    glasses: bool
    person: str
    """Whose face it is: people of one name look alike."""


@dataclass(frozen=True, slots=True)
class ExactFaces:
    """Stored crops of N drawn faces with their truth."""

    images: UInt8[np.ndarray, "N 224 224 3"]
    """Wide crops: `STORED_MARGIN` times the face crop, whose landmarks' box is centred."""
    coefficients: Float[Tensor, "N 233"]
    """`FaceCoefficients.to_vector`, NaN where albedo and lighting are unknown; the lighting is the mean of
    the three channels'."""
    pose: Pose
    """camera_from_model in the face crop's camera (focal 1015 px at 224 px), mm."""
    glasses: Bool[np.ndarray, " N"]
    """Who wears glasses."""
    people: np.ndarray
    """Whose face each is, strings [N]."""

    def __len__(self) -> int:
        return len(self.images)

    def face_crops(self, rows: slice) -> Float[Tensor, "B 3 224 224"]:
        """The face crops of some rows, as the network takes them, RGB in [0, 1]."""
        images = np.array(self.images[rows])
        still, one = torch.zeros(len(images), 2), torch.ones(len(images))
        return warp_crops(images, STORED_MARGIN, still, one, torch.zeros(len(images)), FACE_SIZE)

    def labels(
        self, points: MeshPoints, slide: Float[Tensor, "7 468 2"], folder: str = "synthetic"
    ) -> FaceFits:
        """The truth in the form of offline fits, with points where a landmark network would put them."""
        names = [f"{folder}-{k}" for k in range(len(self))]
        shape = self.coefficients[:, :SHAPES]
        return exact_fits(points, shape, self.pose, slide, names=names, folder=folder, key=folder)

    @property
    def appearance(self) -> Float[np.ndarray, "N 89"]:
        """Albedo (80) and lighting (9), NaN where they are unknown."""
        return self.coefficients[:, SHAPES:].numpy()

    @classmethod
    def draw(cls, count: int, face: Callable[[int], ExactFace]) -> "ExactFaces":
        """The first `count` faces of a list."""
        images = np.empty((count, STORED_SIZE, STORED_SIZE, 3), np.uint8)
        drawn = []
        for k in range(count):
            one = face(k)
            images[k] = as_bytes(one.picture)
            drawn.append(one)
        pose = Pose(
            torch.stack([one.pose.rotation for one in drawn]),
            torch.stack([one.pose.translation for one in drawn]),
        )
        return cls(
            images,
            torch.stack([one.vector for one in drawn]),
            pose,
            np.array([one.glasses for one in drawn]),
            np.array([one.person for one in drawn]),
        )


def load_or_draw_faces(
    cache: Path, name: str, key: str, count: int, face: Callable[[int], ExactFace]
) -> ExactFaces:
    """The first `count` faces of a list, kept in `cache` (150 KB a face) and drawn there if missing.

    Args:
        cache: Gets `NAME.npy` and `NAME.npz`.
        name: Of the list.
        key: Changes when what is drawn does; faces that are there with another key are drawn again.
        count: How many. `ValueError` if it is none.
        face: Draws the face with a number, which alone decides it.
    """
    if count < 1:
        raise ValueError(f"There must be at least one face, got {count}.")
    pictures, truth = cache / f"{name}.npy", cache / f"{name}.npz"
    if pictures.is_file() and truth.is_file():
        with np.load(truth, allow_pickle=False) as table:
            if str(table["key"]) == key and len(table["coefficients"]) >= count:
                known = {column: table[column][:count] for column in table.files if column != "key"}
                pose = Pose(torch.from_numpy(known["rotation"]), torch.from_numpy(known["translation"]))
                stored = np.load(pictures, mmap_mode="r")[:count]
                coefficients = torch.from_numpy(known["coefficients"])
                return ExactFaces(stored, coefficients, pose, known["glasses"], known["people"])
    logger.info("Drawing %d faces (%s).", count, name)
    faces = ExactFaces.draw(count, face)
    with whole_file(pictures) as file:
        np.save(file, faces.images)
    with whole_file(truth) as file:
        np.savez(
            file,
            coefficients=faces.coefficients.numpy(),
            rotation=faces.pose.rotation.numpy(),
            translation=faces.pose.translation.numpy(),
            glasses=faces.glasses,
            people=faces.people,
            key=np.array(key),
        )
    return faces


def draw_angles(rng: np.random.Generator) -> Float[Tensor, "3"]:
    """Yaw, pitch and roll of a drawn face, radians: any side, pitch and roll little."""
    yaw = rng.uniform(-MOST_YAW, MOST_YAW)
    pitch, roll = np.clip(rng.normal(0, 12), -35, 35), np.clip(rng.normal(0, 4), -12, 12)
    return torch.tensor(np.radians([yaw, pitch, roll])).float()


def wide_camera() -> Camera:
    """The camera of the stored crops."""
    return crop_camera(STORED_SIZE, STORED_MARGIN)
