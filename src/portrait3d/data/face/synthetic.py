"""Synthetic faces for the face network: exact shape, albedo, light and pose at every angle to 100 degrees.

The people of `data.synthetic` (hair, beards, clothes, light, backgrounds) with skin of every tone, an eighth
of them children, a fifth old, a third with glasses. Validation faces have other identities and hair styles
than training's.

    faces = load_or_draw(cache, 500, split="val")
    crops = faces.face_crops(slice(0, 32))  # what the face network takes
    faces.coefficients[:32], faces.pose.rotation[:32]  # the truth
"""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.face.crops import STORED_SIZE
from portrait3d.data.face.exact import ExactFace, ExactFaces, draw_angles, load_or_draw_faces, wide_camera
from portrait3d.data.face.turned import centred_pose
from portrait3d.data.synthetic import STYLES_TRAIN, STYLES_VALIDATION, SyntheticHeads
from portrait3d.data.synthetic.ages import aged, draw_years
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.data.synthetic.drawing import draw_view
from portrait3d.data.synthetic.glasses import Glasses, put_on
from portrait3d.data.synthetic.heads import draw_coefficients
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints

SPLITS = {"train": (11, STYLES_TRAIN), "val": (12, STYLES_VALIDATION)}
"""First part of the seed, and the hair styles, of each split."""
WEARERS = 0.33
"""Share of the people with glasses."""
WIDE_TONES, TONES = 0.5, (-1.5, 4.5)
"""Share of the people whose skin is drawn from the whole range of tones instead of the portraits', and that
range: deviations of the first albedo mode, from very light to the darkest there is."""
VERSION = 2
"""To be raised when the pictures change: cached ones are then drawn again."""


def load_or_draw(cache: Path, count: int, seed: int = 0, split: str = "train") -> ExactFaces:
    """`count` synthetic faces of a split, kept in `cache` (150 KB a face) and drawn there if missing.

    Face i depends on seed, split and i alone, so that a smaller set is the beginning of a larger one. Drawing
    takes about 0.1 s a face on one core.
    """
    if split not in SPLITS:
        raise ValueError(f"A split is train or val, got {split!r}.")
    first, styles = SPLITS[split]
    heads = SyntheticHeads(seed=0, styles=styles, size=STORED_SIZE)
    face = partial(draw_face, heads, MeshPoints.from_head_model(heads.head), (first, seed))
    return load_or_draw_faces(cache, f"synthetic-{split}-{seed}", faces_key(), count, face)


def faces_key() -> str:
    """Changes when the head model does, or how faces are drawn."""
    head = HeadModel.load()
    digest = hashlib.sha256(str(VERSION).encode())
    for name in ("mean", "identity_basis", "expression_basis", "albedo_mean", "albedo_basis"):
        digest.update(getattr(head, name).numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def draw_face(heads: SyntheticHeads, points: MeshPoints, seed: tuple[int, int], number: int) -> ExactFace:
    """The face with a number."""
    rng = np.random.default_rng([*seed, number])
    head = heads.head
    style = heads.styles[list(heads.styles)[rng.integers(len(heads.styles))]]
    angles = draw_angles(rng)
    rotation = rotation_from_euler(angles[0], angles[1], angles[2])
    person, coefficients = heads.dress(draw_person(head, rng), style, rotation, rng)
    pose = place_in_crop(points, coefficients.to_vector()[:, :144], rotation)
    camera = wide_camera()
    drawn = draw_view(person, pose, camera, draw_background(rng, STORED_SIZE), rng)
    wears = bool(rng.random() < WEARERS)
    image = drawn.image
    if wears:
        marks = head.landmarks(head.vertices(coefficients))[0]
        image = put_on(drawn, Glasses.draw(rng), marks, pose, camera)
    return ExactFace(image, coefficients.to_vector()[0], pose, wears, f"synthetic-{number}")


def draw_person(head: HeadModel, rng: np.random.Generator) -> FaceCoefficients:
    """A random face in no particular light, of any age and with skin of any tone."""
    coefficients = draw_coefficients(head, rng)
    years = draw_years(rng)
    if years is not None:
        coefficients = replace(coefficients, identity=aged(coefficients.identity, years))
    if rng.random() < WIDE_TONES:
        albedo = coefficients.albedo.clone()
        albedo[:, 0] = rng.uniform(*TONES)
        coefficients = replace(coefficients, albedo=albedo)
    return coefficients


def place_in_crop(points: MeshPoints, shape: Float[Tensor, "1 144"], rotation: Float[Tensor, "3 3"]) -> Pose:
    """The unbatched pose whose landmarks have the face crop's centre and size."""
    batched = centred_pose(points, shape, rotation[None], torch.zeros(7, 468, 2))
    return Pose(batched.rotation[0], batched.translation[0])
