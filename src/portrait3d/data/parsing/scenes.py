"""Drawn people with the exact class of every pixel, from all sides, before photographed backgrounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.data.people.avatars import Avatar
from portrait3d.data.people.hairstyles import HairShape, Hairstyle
from portrait3d.data.people.outfits import (
    AVATAR_FROM_MODEL,
    AvatarCast,
    Outfit,
    adorned,
    draw_dressed,
    place_avatar_somewhere,
    with_headgear,
)
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH
from portrait3d.data.synthetic import HairStyle, SyntheticHeads
from portrait3d.data.synthetic.drawing import develop, draw_view
from portrait3d.data.synthetic.heads import draw_coefficients, place
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import rotation_from_euler
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import crop_camera

SIDE = 416
"""Pixels along a side of the pictures."""
ZOOM = (1.7, 3.1)
"""Side of the picture over that of the face crop."""
FARTHEST = 95.0
"""Degrees of yaw to which heads turn."""
Backgrounds = Callable[[np.random.Generator, int], Float[np.ndarray, "3 size size"]]


@dataclass(frozen=True, slots=True)
class ParsedScene:
    """A picture of one head with the class of every pixel."""

    name: str
    style: str
    picture: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]
    points: Float[np.ndarray, "468 2"]
    """The face mesh's points on the head, pixels; of an avatar, those of the average head in its place."""
    angles: tuple[float, float, float]
    """Yaw, pitch and roll, radians."""

    @property
    def landmarks(self) -> Float[np.ndarray, "68 2"]:
        """The 68 landmarks in iBUG order, pixels."""
        return self.points[LANDMARKS_OF_MESH]


def draw_angles(rng: np.random.Generator) -> tuple[float, float, float]:
    """Yaw, pitch and roll (radians): half of the heads face the camera more or less, half any side."""
    yaw = rng.normal(0, 25) if rng.random() < 0.5 else rng.uniform(-FARTHEST, FARTHEST)
    pitch, roll = np.clip(rng.normal(0, 10), -25, 25), np.clip(rng.normal(0, 6), -18, 18)
    yaw, pitch, roll = np.radians([np.clip(yaw, -FARTHEST, FARTHEST), pitch, roll]).tolist()
    return yaw, pitch, roll


def draw_camera(rng: np.random.Generator, side: int = SIDE) -> Camera:
    """The crops' camera with a picture that reaches further, to a random extent."""
    return crop_camera(side, rng.uniform(*ZOOM))


class ParsedHeads:
    """An endless list of synthetic heads; scene i depends on i and the seed alone.

    Args:
        seed: Of everything that is drawn.
        styles: Procedural hair, by name.
        backgrounds: Draws what is behind.
        worn: Hairstyles modelled by hand that are worn over it, one after the other; none by default.
    """

    def __init__(
        self,
        seed: int,
        styles: Mapping[str, HairStyle],
        backgrounds: Backgrounds,
        worn: Sequence[Hairstyle] = (),
    ) -> None:
        self.seed, self.backgrounds, self.worn = seed, backgrounds, list(worn)
        self.heads = SyntheticHeads(seed, styles)

    @torch.no_grad()
    def scene(self, index: int) -> ParsedScene:
        """The scene with this number."""
        rng = np.random.default_rng([self.seed, index, 4])
        head, styles = self.heads.head, self.heads.styles
        style = list(styles)[index % len(styles)]
        angles, camera, outfit = draw_angles(rng), draw_camera(rng), Outfit.draw(rng)
        rotation = rotation_from_euler(*torch.tensor(angles))
        hairstyle = self.worn[index % len(self.worn)] if self.worn else None
        worn = None if hairstyle is None else partial(hairstyle.worn, shape=HairShape.draw(rng))
        drawn = draw_coefficients(head, rng)
        person, coefficients = self.heads.dress(drawn, styles[style], rotation, rng, worn)
        if outfit.headgear is not None:
            person = with_headgear(person, outfit.headgear)
        pose = place(head, coefficients, rotation, camera, rng)
        view = draw_view(person, pose, camera, self.backgrounds(rng, camera.height), rng)
        vertices = head.vertices(coefficients)
        points = camera.project(pose.apply(head.mesh_points(vertices)[0])).numpy()
        view = adorned(view, outfit, head.landmarks(vertices)[0], pose, camera, rng)
        name = hairstyle.name if hairstyle else style
        return ParsedScene(
            name=f"{name}_{index:05d}",
            style=name,
            picture=as_bytes(view.image),
            labels=view.labels.numpy(),
            points=points,
            angles=angles,
        )


class ParsedAvatars:
    """An endless list of artist-made heads, all styles equally often; scene i depends on i and the seed."""

    def __init__(self, seed: int, avatars: Sequence[Avatar], backgrounds: Backgrounds) -> None:
        self.seed, self.cast, self.backgrounds = seed, AvatarCast(avatars), backgrounds

    def scene(self, index: int) -> ParsedScene:
        """The scene with this number: a head stretched, mirrored, turned, lit, dressed and recoloured."""
        rng = np.random.default_rng([self.seed, index, 5])
        avatar, stretch = self.cast.pick(index, rng)
        angles, camera, outfit = draw_angles(rng), draw_camera(rng), Outfit.draw(rng)
        rotation = rotation_from_euler(*torch.tensor(angles))
        pose = place_avatar_somewhere(camera, rotation, stretch, rng)
        scale = torch.from_numpy(stretch)
        points, landmarks = ((part + torch.tensor(AVATAR_FROM_MODEL)) * scale for part in _average_points())
        view, _ = draw_dressed(
            avatar, outfit, landmarks, pose, camera, self.backgrounds(rng, camera.height), rng
        )
        return ParsedScene(
            name=f"{avatar.name}_{index:05d}",
            style=avatar.style,
            picture=as_bytes(torch.from_numpy(develop(view.image.numpy(), rng))),
            labels=view.labels.numpy(),
            points=camera.project(pose.apply(points)).numpy(),
            angles=angles,
        )


@lru_cache(maxsize=1)
def _average_points() -> tuple[Float[Tensor, "468 3"], Float[Tensor, "68 3"]]:
    # Mesh points and landmarks of the mean head, model frame, mm.
    head = HeadModel.load()
    mean = head.mean[None]
    return head.mesh_points(mean)[0], head.landmarks(mean)[0]
