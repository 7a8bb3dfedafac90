"""Pictures of whole heads whose first and last surfaces are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.data.people.avatars import Avatar
from portrait3d.data.people.hairstyles import HairShape, Hairstyle
from portrait3d.data.people.outfits import (
    AvatarCast,
    Outfit,
    adorned,
    avatar_distance,
    average_landmarks,
    draw_dressed,
    place_avatar,
    place_avatar_somewhere,
    with_headgear,
)
from portrait3d.data.synthetic import HairStyle, SyntheticHeads
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.data.synthetic.drawing import develop, draw_sides, draw_view
from portrait3d.data.synthetic.heads import draw_coefficients, place
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.alignment import crop_camera

SIDE = 448
"""Pixels along a side of the pictures."""
ZOOM = (2.4, 3.4)
"""Side of the picture over that of the face crop: long hair is mostly in the picture, but not always."""
OUTFITS = 0.5
"""Share of the heads that may wear something: less often than parsing's, for hats hide hair."""
CHECKED_YAWS = (0.0, 25.0, -40.0)
"""Degrees at which heads that were held out are checked."""
LAYER = 8.0
"""mm behind the first surface from which hair counts as unseen."""
OUTER = 12.0
"""mm before the last surface up to which hair counts as its outside."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture of one head with its truth. Depths are mm in the picture's camera; inf beside the head."""

    name: str
    style: str
    picture: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]
    """What every pixel shows, in the parsing's classes."""
    front: Float[np.ndarray, "H W"]
    """First surface of face, hair and ears, also behind neck and clothes."""
    back: Float[np.ndarray, "H W"]
    """Last surface of the same."""
    back_is_hair: Bool[np.ndarray, "H W"]
    camera: Camera
    landmarks: Float[Tensor, "68 2"]
    """Pixels; of an avatar, which has none, those of the average head in its place."""
    unseen_hair: Float[np.ndarray, "N 3"] | None = None
    """Points of the hair's outside that the picture does not show, camera frame, mm, where asked for."""


def draw_rotation(rng: np.random.Generator) -> Float[Tensor, "3 3"]:
    """A head's rotation: yaw up to 60 degrees, pitch and roll little."""
    yaw = np.clip(rng.normal(0, 28), -60, 60)
    pitch, roll = np.clip(rng.normal(0, 9), -22, 22), np.clip(rng.normal(0, 4), -12, 12)
    return rotation_from_euler(*torch.tensor(np.radians([yaw, pitch, roll])).float())


def draw_camera(rng: np.random.Generator) -> Camera:
    """The crops' camera with a picture that reaches further, to a random extent."""
    zoom = rng.uniform(*ZOOM)
    return picture_camera(zoom)


def picture_camera(zoom: float) -> Camera:
    """The camera of a picture that is `zoom` times as wide as the face crop."""
    return crop_camera(SIDE, zoom)


class SyntheticScenes:
    """An endless list of the package's own synthetic heads; scene i depends on i and the seed alone.

    Args:
        seed: Of everything that is drawn.
        styles: Procedural hair, by name.
        worn: Hairstyles modelled by hand that are worn over it, one after the other; none by default.
    """

    def __init__(self, seed: int, styles: Mapping[str, HairStyle], worn: Sequence[Hairstyle] = ()) -> None:
        self.seed, self.worn = seed, list(worn)
        self.heads = SyntheticHeads(seed, styles)

    @torch.no_grad()
    def scene(self, index: int) -> Scene:
        """The scene with this number."""
        rng = np.random.default_rng([self.seed, index, 1])
        styles = self.heads.styles
        style = list(styles)[index % len(styles)]
        rotation, camera = draw_rotation(rng), draw_camera(rng)
        hairstyle = self.worn[index % len(self.worn)] if self.worn else None
        worn = None if hairstyle is None else partial(hairstyle.worn, shape=HairShape.draw(rng))
        drawn = draw_coefficients(self.heads.head, rng)
        person, coefficients = self.heads.dress(drawn, styles[style], rotation, rng, worn)
        outfit = draw_outfit(rng)
        if outfit.headgear is not None:
            person = with_headgear(person, outfit.headgear)
        pose = place(self.heads.head, coefficients, rotation, camera, rng)
        view = draw_view(person, pose, camera, draw_background(rng, SIDE), rng)
        sides = draw_sides(person, pose, camera)
        landmarks = self.heads.head.landmarks(self.heads.head.vertices(coefficients))[0]
        view = adorned(view, outfit, landmarks, pose, camera, rng)
        return Scene(
            name=f"{hairstyle.name if hairstyle else style} {index}",
            style=hairstyle.name if hairstyle else style,
            picture=as_bytes(view.image),
            labels=view.labels.numpy(),
            front=sides.front,
            back=sides.back,
            back_is_hair=sides.back_is_hair,
            camera=camera,
            landmarks=camera.project(pose.apply(landmarks)),
        )


class AvatarScenes:
    """An endless list of artist-made heads, all styles equally often; scene i depends on i and the seed."""

    def __init__(self, seed: int, avatars: Sequence[Avatar]) -> None:
        self.seed, self.cast = seed, AvatarCast(avatars)

    def scene(self, index: int) -> Scene:
        """The scene with this number: a head reshaped, dressed, turned, lit and recoloured at random."""
        rng = np.random.default_rng([self.seed, index, 2])
        avatar, stretch = self.cast.pick(index, rng)
        camera, rotation, outfit = draw_camera(rng), draw_rotation(rng), draw_outfit(rng)
        pose = place_avatar_somewhere(camera, rotation, stretch, rng)
        landmarks = average_landmarks() * torch.from_numpy(stretch)
        drawn = _draw(avatar, outfit, landmarks, pose, camera, rng)
        return replace(drawn, name=f"{avatar.name} {index}")

    def checked(self) -> list[Scene]:
        """Every head as it is from `CHECKED_YAWS`, with the hair that the pictures don't show."""
        scenes = []
        for number, avatar in enumerate(self.cast.avatars):
            for yaw in CHECKED_YAWS:
                rng = np.random.default_rng([self.seed, number, 3])
                angles = torch.tensor([np.radians(yaw), 0.0, 0.0]).float()
                camera = picture_camera(ZOOM[1])
                pose = place_avatar(camera, rotation_from_euler(*angles), avatar_distance(camera), (0.0, 0.0))
                drawn = _draw(avatar, Outfit(), average_landmarks(), pose, camera, rng)
                points = unseen_hair(avatar, pose, drawn, rng)
                scenes.append(replace(drawn, name=f"{avatar.name} {yaw:+.0f}", unseen_hair=points))
        return scenes


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """What somebody wears on the head, mostly nothing."""
    drawn = Outfit.draw(rng)
    return drawn if rng.random() < OUTFITS else Outfit(dyed=drawn.dyed)


def _draw(
    avatar: Avatar,
    outfit: Outfit,
    landmarks: Float[Tensor, "68 3"],
    pose: Pose,
    camera: Camera,
    rng: np.random.Generator,
) -> Scene:
    background = draw_background(rng, SIDE)
    view, sides = draw_dressed(avatar, outfit, landmarks, pose, camera, background, rng)
    return Scene(
        name=avatar.name,
        style=avatar.style,
        picture=as_bytes(torch.from_numpy(develop(view.image.numpy(), rng))),
        labels=view.labels.numpy(),
        front=sides.front,
        back=sides.back,
        back_is_hair=sides.back_is_hair,
        camera=camera,
        landmarks=camera.project(pose.apply(landmarks)),
    )


def unseen_hair(
    avatar: Avatar, pose: Pose, scene: Scene, rng: np.random.Generator
) -> Float[np.ndarray, "N 3"]:
    """Points of the hair's outside that lie behind what the picture shows, camera frame, mm."""
    corners = avatar.vertices[avatar.faces[avatar.labels == ParsingClass.HAIR]]
    points = pose.apply(torch.from_numpy(np.concatenate([corners.mean(axis=1), corners[:, 0]])))
    column, row = scene.camera.project(points).floor().long().T.numpy()
    inside = (column >= 0) & (column < SIDE) & (row >= 0) & (row < SIDE)
    points, row, column = points.numpy()[inside], row[inside], column[inside]
    depth = points[:, 2]
    hidden = (depth > scene.front[row, column] + LAYER) & (depth > scene.back[row, column] - OUTER)
    found = points[hidden & np.isfinite(scene.back[row, column])]
    return found[rng.permutation(len(found))].astype(np.float32)
