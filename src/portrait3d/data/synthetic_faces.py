"""Synthetic faces for the face network: exact shape, albedo, light and pose at every angle to 75 degrees.

The people of `data.synthetic` (hair, beards, clothes, light, backgrounds), a third of them with glasses, in
the wide crop that training stores. Validation faces have other identities and hair styles than training's.

    faces = load_or_draw(cache, 500, split="val")
    crops = faces.face_crops(slice(0, 32))  # what the face network takes
    faces.coefficients[:32], faces.pose.rotation[:32]  # the truth
"""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.data.augmentation import warp_crops
from portrait3d.data.face_crops import STORED_MARGIN, STORED_SIZE, exact_fits
from portrait3d.data.fits import FaceFits
from portrait3d.data.synthetic import STYLES_TRAIN, STYLES_VALIDATION, SyntheticHeads
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.data.synthetic.drawing import draw_view
from portrait3d.data.synthetic.glasses import Glasses, put_on
from portrait3d.data.synthetic.heads import draw_coefficients
from portrait3d.data.turned_faces import centred_pose
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE

logger = logging.getLogger(__name__)

SPLITS = {"train": (11, STYLES_TRAIN), "val": (12, STYLES_VALIDATION)}
"""First part of the seed, and the hair styles, of each split."""
MOST_YAW = 75.0
"""Yaw is uniform up to this many degrees to either side."""
WEARERS = 0.33
"""Share of the people with glasses."""
VERSION = 1
"""To be raised when the pictures change: cached ones are then drawn again."""


@dataclass(frozen=True, slots=True)
class SyntheticFaces:
    """Stored crops of N synthetic people with their truth."""

    images: UInt8[np.ndarray, "N 224 224 3"]
    """Wide crops: `STORED_MARGIN` times the face crop, whose landmarks' box is centred."""
    coefficients: Float[Tensor, "N 233"]
    """`FaceCoefficients.to_vector`; the lighting is the mean of the three channels'."""
    pose: Pose
    """camera_from_model in the face crop's camera (focal 1015 px at 224 px), mm."""
    glasses: np.ndarray
    """Who wears glasses, bool [N]."""

    def __len__(self) -> int:
        return len(self.images)

    def face_crops(self, rows: slice) -> Float[Tensor, "B 3 224 224"]:
        """The face crops of some rows, as the network takes them, RGB in [0, 1]."""
        images = np.array(self.images[rows])
        still, one = torch.zeros(len(images), 2), torch.ones(len(images))
        return warp_crops(images, STORED_MARGIN, still, one, torch.zeros(len(images)), FACE_SIZE)

    def labels(self, points: MeshPoints, slide: Float[Tensor, "7 468 2"]) -> FaceFits:
        """The truth in the form of offline fits, with points where a landmark network would put them."""
        names = [f"synthetic-{k}" for k in range(len(self))]
        shape = self.coefficients[:, :144]
        return exact_fits(points, shape, self.pose, slide, names=names, folder="synthetic", key="synthetic")

    @property
    def appearance(self) -> Float[np.ndarray, "N 89"]:
        """Albedo (80) and lighting (9)."""
        return self.coefficients[:, 144:].numpy()


def load_or_draw(cache: Path, count: int, seed: int = 0, split: str = "train") -> SyntheticFaces:
    """`count` synthetic faces of a split, kept in `cache` (150 KB a face) and drawn there if missing.

    Face i depends on seed, split and i alone, so that a smaller set is the beginning of a larger one. Drawing
    takes about 0.1 s a face on one core.
    """
    if split not in SPLITS:
        raise ValueError(f"A split is train or val, got {split!r}.")
    if count < 1:
        raise ValueError(f"There must be at least one face, got {count}.")
    cache.mkdir(parents=True, exist_ok=True)
    pictures, truth = (cache / f"synthetic-{split}-{seed}.{ending}" for ending in ("npy", "npz"))
    key = faces_key()
    if pictures.is_file() and truth.is_file():
        with np.load(truth, allow_pickle=False) as table:
            if str(table["key"]) == key and len(table["coefficients"]) >= count:
                arrays = {name: table[name][:count] for name in ("coefficients", "rotation", "translation")}
                glasses = table["glasses"][:count]
                stored = np.load(pictures, mmap_mode="r")[:count]
                pose = Pose(torch.from_numpy(arrays["rotation"]), torch.from_numpy(arrays["translation"]))
                return SyntheticFaces(stored, torch.from_numpy(arrays["coefficients"]), pose, glasses)
    logger.info("Drawing %d synthetic faces (%s).", count, split)
    faces = draw_faces(count, seed, split)
    part = pictures.with_suffix(".part.npy")
    np.save(part, faces.images)
    os.replace(part, pictures)
    np.savez(
        truth,
        coefficients=faces.coefficients.numpy(),
        rotation=faces.pose.rotation.numpy(),
        translation=faces.pose.translation.numpy(),
        glasses=faces.glasses,
        key=key,
    )
    return faces


def faces_key() -> str:
    """Changes when the head model does, or how faces are drawn."""
    head = HeadModel.load()
    digest = hashlib.sha256(str(VERSION).encode())
    for name in ("mean", "identity_basis", "expression_basis", "albedo_mean", "albedo_basis"):
        digest.update(getattr(head, name).numpy().tobytes())
    return digest.hexdigest()


def draw_faces(count: int, seed: int, split: str) -> SyntheticFaces:
    """Draw the first `count` faces of a split."""
    first, styles = SPLITS[split]
    heads = SyntheticHeads(seed=0, styles=styles, size=STORED_SIZE)
    points = MeshPoints.from_head_model(heads.head)
    images = np.empty((count, STORED_SIZE, STORED_SIZE, 3), np.uint8)
    found: list[tuple[Tensor, Pose, bool]] = []
    for k in range(count):
        picture, vector, pose, wears = draw_face(heads, points, np.random.default_rng([first, seed, k]))
        images[k] = as_bytes(picture)
        found.append((vector, pose, wears))
    rotation = torch.stack([pose.rotation for _, pose, _ in found])
    translation = torch.stack([pose.translation for _, pose, _ in found])
    coefficients = torch.stack([vector for vector, _, _ in found])
    glasses = np.array([wears for _, _, wears in found])
    return SyntheticFaces(images, coefficients, Pose(rotation, translation), glasses)


@torch.no_grad()
def draw_face(
    heads: SyntheticHeads, points: MeshPoints, rng: np.random.Generator
) -> tuple[Float[Tensor, "3 224 224"], Float[Tensor, "233"], Pose, bool]:
    """One face: its wide crop, coefficients, pose (unbatched) and whether it wears glasses."""
    head = heads.head
    style = heads.styles[list(heads.styles)[rng.integers(len(heads.styles))]]
    yaw = rng.uniform(-MOST_YAW, MOST_YAW)
    pitch, roll = np.clip(rng.normal(0, 12), -35, 35), np.clip(rng.normal(0, 4), -12, 12)
    angles = torch.tensor(np.radians([yaw, pitch, roll])).float()
    rotation = rotation_from_euler(angles[0], angles[1], angles[2])
    person, coefficients = heads.dress(draw_coefficients(head, rng), style, rotation, rng)
    shape = torch.cat([coefficients.identity, coefficients.expression], dim=1)
    batched = centred_pose(points, shape, rotation[None], torch.zeros(7, 468, 2))
    pose = Pose(batched.rotation[0], batched.translation[0])
    camera = wide_camera()
    drawn = draw_view(person, pose, camera, draw_background(rng, STORED_SIZE), rng)
    wears = bool(rng.random() < WEARERS)
    image = drawn.image
    if wears:
        marks = head.landmarks(head.vertices(coefficients))[0]
        image = put_on(drawn, Glasses.draw(rng), marks, pose, camera)
    return image, FaceCoefficients.to_vector(coefficients)[0], pose, wears


def wide_camera() -> Camera:
    """The camera of the stored crops."""
    focal = FACE_FOCAL * STORED_SIZE / (FACE_SIZE * STORED_MARGIN)
    return Camera(torch.tensor(focal), torch.full((2,), STORED_SIZE / 2), STORED_SIZE, STORED_SIZE)
