"""Dressed people in a light and before a background that stay, who turn their heads: before and after."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, UInt8

from portrait3d.data.parsing.scenes import Backgrounds
from portrait3d.data.people.avatars import Avatar
from portrait3d.data.people.outfits import (
    AvatarCast,
    Outfit,
    adorned,
    average_landmarks,
    draw_dressed,
    place_avatar_somewhere,
    with_headgear,
)
from portrait3d.data.refinement.head_turns import model_pose, rotation_of, turned_avatar, turned_person
from portrait3d.data.synthetic import HairStyle, SyntheticHeads
from portrait3d.data.synthetic.drawing import develop, draw_view
from portrait3d.data.synthetic.heads import draw_coefficients, place
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.portrait import HeadAngles
from portrait3d.preprocessing.alignment import HEAD_SIZE, crop_camera
from portrait3d.reposing.motion import Turn

SIDE = 2 * HEAD_SIZE
"""Pixels along a side of the pictures, from which a head crop of `HEAD_SIZE` pixels is taken."""
ZOOM = (2.1, 3.0)
"""Side of the picture over that of the face crop: the head crop is mostly inside."""
YAW, PITCH = 45.0, 20.0
"""Degrees to which heads look."""
LEAST_TURN = 5.0
"""Degrees of yaw between two poses, at least, where the limits allow it."""
BODY_YAW = 12.0
"""Standard deviation of where the shoulders of avatars face, degrees."""


@dataclass(frozen=True, eq=False)
class TurnScene:
    """Somebody who can turn the head."""

    name: str
    camera: Camera
    source: HeadAngles
    """Where the head looks first."""
    pose: Pose
    """Places the head model there, mm."""
    draw: Callable[[Turn], UInt8[np.ndarray, "H W 3"]]
    """The picture after a turn that begins at that pose."""

    @cached_property
    def picture(self) -> UInt8[np.ndarray, "H W 3"]:
        """The picture before any turn."""
        return self.draw(Turn(self.pose, self.source))

    def turned(
        self, target: HeadAngles, pivot: Float[np.ndarray, "2"] | None = None
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The picture in which the head looks elsewhere.

        A reconstruction has its own idea of the neck's pivot. To turn about the same one, give the pixel in
        which it sees it: it has the depth of the true one.
        """
        turn = Turn(self.pose, target)
        if pivot is not None:
            depth = torch.tensor([turn.pivot[2]]).float()
            place = self.camera.unproject(torch.from_numpy(pivot).float()[None], depth)[0]
            turn = Turn(self.pose, target, place.double().numpy())
        return self.draw(turn)


def draw_source(rng: np.random.Generator) -> HeadAngles:
    """Where heads look in photos: mostly at the camera."""
    yaw, pitch, roll = rng.normal(0, [15, 6, 4])
    return _within(yaw, pitch, roll)


def draw_target(source: HeadAngles, rng: np.random.Generator) -> HeadAngles:
    """Another pose, mostly well aside of the first."""
    yaw = rng.uniform(-YAW, YAW)
    while abs(yaw - source.yaw) < LEAST_TURN:
        yaw = rng.uniform(-YAW, YAW)
    return _within(yaw, source.pitch + rng.normal(0, 8), source.roll + rng.normal(0, 3))


def _within(yaw: float, pitch: float, roll: float) -> HeadAngles:
    return HeadAngles(float(np.clip(yaw, -YAW, YAW)), float(np.clip(pitch, -PITCH, PITCH)), float(roll))


class TurningHeads:
    """An endless list of synthetic people; scene i depends on i and the seed alone.

    Args:
        seed: Of everything that is drawn.
        styles: Procedural hair, by name.
        backgrounds: Draws what is behind.
        side: Pixels along a side of the pictures.
    """

    source = "synthetic"

    def __init__(
        self, seed: int, styles: Mapping[str, HairStyle], backgrounds: Backgrounds, side: int = SIDE
    ) -> None:
        self.seed, self.backgrounds, self.side = seed, backgrounds, side
        self.heads = SyntheticHeads(seed, styles)

    @torch.no_grad()
    def scene(self, index: int) -> TurnScene:
        """The scene with this number."""
        rng = np.random.default_rng([self.seed, index, 6])
        head, style = self.heads.head, list(self.heads.styles.values())[index % len(self.heads.styles)]
        source, camera = draw_source(rng), crop_camera(self.side, rng.uniform(*ZOOM))
        outfit = Outfit.draw(rng)
        rotation = rotation_of(source)
        person, coefficients = self.heads.dress(draw_coefficients(head, rng), style, rotation, rng)
        if outfit.headgear is not None:
            person = with_headgear(person, outfit.headgear)
        pose = place(head, coefficients, rotation, camera, rng)
        background = self.backgrounds(rng, self.side)
        landmarks = head.landmarks(head.vertices(coefficients))[0]

        def draw(turn: Turn) -> UInt8[np.ndarray, "H W 3"]:
            lens = np.random.default_rng([self.seed, index, 7])  # the same noise in every picture
            turned, placed = turned_person(person, pose, turn)
            view = draw_view(turned, placed, camera, background, lens)
            return as_bytes(adorned(view, outfit, landmarks, placed, camera, lens).image)

        return TurnScene(f"{self.source}_{index:05d}", camera, source, pose, draw)


class TurningAvatars:
    """An endless list of artist-made heads, all styles equally often; scene i depends on i and the seed."""

    source = "avatars"

    def __init__(
        self, seed: int, avatars: Sequence[Avatar], backgrounds: Backgrounds, side: int = SIDE
    ) -> None:
        self.seed, self.cast, self.backgrounds, self.side = seed, AvatarCast(avatars), backgrounds, side

    def scene(self, index: int) -> TurnScene:
        """The scene with this number: a head reshaped, mirrored, lit and dressed; its hair is its own."""
        rng = np.random.default_rng([self.seed, index, 8])
        avatar, stretch = self.cast.pick(index, rng)
        source, camera = draw_source(rng), crop_camera(self.side, rng.uniform(*ZOOM))
        # Dyed hair is recoloured about its mean in a picture, which isn't the same in two.
        outfit = replace(Outfit.draw(rng), dyed=False)
        shoulders = rotation_of(HeadAngles(float(rng.normal(0, BODY_YAW)), 0.0, 0.0))
        rest = place_avatar_somewhere(camera, shoulders, stretch, rng)
        avatar, pose = turned_avatar(avatar, rest, Turn(model_pose(rest), source))
        background = self.backgrounds(rng, self.side)
        landmarks = average_landmarks() * torch.from_numpy(stretch)

        def draw(turn: Turn) -> UInt8[np.ndarray, "H W 3"]:
            again = np.random.default_rng([self.seed, index, 9])  # the same light in every picture
            turned, placed = turned_avatar(avatar, pose, turn)
            view, _ = draw_dressed(turned, outfit, landmarks, placed, camera, background, again)
            lens = np.random.default_rng([self.seed, index, 7])
            return as_bytes(torch.from_numpy(develop(view.image.numpy(), lens)))

        return TurnScene(f"{self.source}_{index:05d}", camera, source, model_pose(pose), draw)
