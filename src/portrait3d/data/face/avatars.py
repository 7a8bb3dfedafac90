"""Artist-made heads for the face network: exact pose to 100 degrees, shape and expression of the head model.

The head model is laid on an avatar (`data.people.avatar_fits`), which becomes another person by a random
change of identity, makes a face by its morph targets, and is drawn with headwear, glasses and earrings in
random light, before what photos show where nobody is. Those of `HELD_OUT` are for validation.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from portrait3d.data.face.crops import STORED_SIZE
from portrait3d.data.face.exact import ExactFace, ExactFaces, draw_angles, load_or_draw_faces, wide_camera
from portrait3d.data.face.synthetic import place_in_crop
from portrait3d.data.parsing.scenes import Backgrounds
from portrait3d.data.people.avatar_fits import AvatarFit, fit_avatar, reshaped
from portrait3d.data.people.avatars import HELD_OUT, Avatar, read_avatars
from portrait3d.data.people.outfits import AVATAR_FROM_MODEL, Outfit, draw_dressed, expressed
from portrait3d.data.photos.labelled import evenly, real_photos
from portrait3d.data.photos.people_free import PeopleFreeBackgrounds
from portrait3d.data.synthetic.drawing import develop
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, coefficients_of_shape
from portrait3d.parsing_classes import ParsingClass

SPLITS = {"train": 21, "val": 22}
"""First part of the seed of each split."""
CHANGE = {"train": 0.5, "val": 0.0}
"""Deviation of the change of identity: validation heads stay as their artist made them."""
LEAST_FACE = 0.04
"""Share of the wide crop that must show the face; where hair hides it another one is drawn."""
BACKGROUNDS = 600
"""Photos, spread over all, whose surroundings are used."""
VERSION = 1
"""To be raised when the pictures change: cached ones are then drawn again."""


class AvatarFaces:
    """An endless list of faces of artist-made heads; face i depends on i, seed and split alone.

    Args:
        seed: Of everything that is drawn.
        avatars: The heads, all equally often.
        backgrounds: Draws what is behind.
        split: "train" or "val".
    """

    def __init__(
        self, seed: int, avatars: Sequence[Avatar], backgrounds: Backgrounds, split: str = "train"
    ) -> None:
        if not avatars:
            raise ValueError("There are no avatars to draw.")
        self.seed, self.backgrounds, self.split = seed, backgrounds, split
        self.head = HeadModel.load()
        self.points = MeshPoints.from_head_model(self.head)
        self.avatars = list(avatars)
        self.fits: Mapping[str, AvatarFit] = {a.name: fit_avatar(a, self.head) for a in avatars}

    @torch.no_grad()
    def face(self, index: int) -> ExactFace:
        """The face with this number."""
        for attempt in itertools.count():
            rng = np.random.default_rng([SPLITS[self.split], self.seed, index, attempt])
            face, shown = self._draw(self.avatars[index % len(self.avatars)], rng)
            if shown >= LEAST_FACE:
                return face
        raise AssertionError("unreachable")

    def _draw(self, rest: Avatar, rng: np.random.Generator) -> tuple[ExactFace, float]:
        # A face, and the share of the picture that shows it.
        fit, moved = self.fits[rest.name], expressed(rest, rng)
        change = rng.normal(0, CHANGE[self.split], len(fit.identity))
        avatar = reshaped(fit.in_model_frame(moved), self.head, fit.identity, change)
        shape = torch.from_numpy(
            np.concatenate([fit.identity + change, fit.expression(self.head, rest, moved)])
        )
        shape = shape.float()[None]
        if rng.random() < 0.5:
            avatar, shape = avatar.mirrored(), self._mirrored(shape)
        angles, outfit = draw_angles(rng), Outfit.draw(rng)
        pose = place_in_crop(self.points, shape, rotation_from_euler(*angles))
        view, _ = draw_dressed(
            *_in_avatar_frame(avatar, self._landmarks(shape), pose, outfit),
            wide_camera(),
            self.backgrounds(rng, STORED_SIZE),
            rng,
        )
        picture = torch.from_numpy(develop(view.image.numpy(), rng).astype(np.float32))
        vector = torch.cat([shape[0], torch.full((89,), torch.nan)])
        face = ExactFace(picture, vector, pose, outfit.glasses is not None, rest.name)
        return face, float((view.labels == ParsingClass.FACE).float().mean())

    def _mirrored(self, shape: Tensor) -> Tensor:
        mirrored = self.head.mirrored(coefficients_of_shape(shape))
        return torch.cat([mirrored.identity, mirrored.expression], dim=1)

    def _landmarks(self, shape: Tensor) -> Tensor:
        coefficients: FaceCoefficients = coefficients_of_shape(shape)
        return self.head.landmarks(self.head.vertices(coefficients))[0]


def _in_avatar_frame(
    avatar: Avatar, landmarks: Tensor, pose: Pose, outfit: Outfit
) -> tuple[Avatar, Outfit, Tensor, Pose]:
    # What is known of a head in the head model's frame, where headwear expects an avatar.
    shift = torch.tensor(AVATAR_FROM_MODEL)
    moved = replace(avatar, vertices=avatar.vertices + np.array(AVATAR_FROM_MODEL, np.float32))
    return moved, outfit, landmarks + shift, pose @ Pose(torch.eye(3), -shift)


def load_or_draw_avatars(
    cache: Path, directory: Path, data: Path, count: int, seed: int = 0, split: str = "train"
) -> ExactFaces:
    """`count` faces of artist-made heads of a split, kept in `cache` and drawn there if missing.

    Drawing takes about 0.2 s a face on one core.

    Args:
        cache: Gets 150 KB a face.
        directory: Of avatars; those of `HELD_OUT` are the validation split.
        data: Root of photos with figure maps, for backgrounds of the same split; without any, they are drawn.
        count: How many.
        seed: Of everything that is drawn.
        split: "train" or "val".
    """
    if split not in SPLITS:
        raise ValueError(f"A split is train or val, got {split!r}.")
    avatars = [head for head in read_avatars(directory) if (head.name in HELD_OUT) == (split == "val")]

    drawn: list[AvatarFaces] = []

    def face(index: int) -> ExactFace:
        if not drawn:
            photos = evenly(real_photos(data, split), BACKGROUNDS)
            backgrounds = PeopleFreeBackgrounds(photos, seed).draw
            drawn.append(AvatarFaces(seed, avatars, backgrounds, split))
        return drawn[0].face(index)

    return load_or_draw_faces(cache, f"avatars-{split}-{seed}", avatars_key(avatars), count, face)


def avatars_key(avatars: Sequence[Avatar]) -> str:
    """Changes when the avatars or the head model do, or how faces are drawn."""
    head = HeadModel.load()
    digest = hashlib.sha256(str(VERSION).encode())
    for array in (head.mean.numpy(), head.identity_basis.numpy(), head.expression_basis.numpy()):
        digest.update(array.tobytes())
    for avatar in avatars:
        digest.update(avatar.name.encode() + avatar.vertices.tobytes())
    return digest.hexdigest()
