"""Pictures of whole heads whose first and last surfaces are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from portrait3d.data.avatars import Avatar, draw_avatar
from portrait3d.data.hairstyles import Hairstyle
from portrait3d.data.synthetic import HairStyle, SyntheticHeads
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.data.synthetic.drawing import develop, draw_sides, draw_view, soften_edges
from portrait3d.data.synthetic.heads import draw_coefficients, place
from portrait3d.data.synthetic.light import draw_light
from portrait3d.data.synthetic.strands import PALETTE
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_MARGIN, FACE_SIZE

SIDE = 448
"""Pixels along a side of the pictures."""
ZOOM = (2.4, 3.4)
"""Side of the picture over that of the face crop: long hair is mostly in the picture, but not always."""
VOLUME = (0.9, 1.25)
"""Stretch of hairstyles that were modelled by hand."""
AVATAR_FACE = 138.0
"""sqrt(width * height) of the box of an avatar's landmarks from the front, mm, about."""
AVATAR_FROM_MODEL = (0.0, 19.3, -45.2)
"""What brings the head model's eyes to an avatar's, mm."""
AVATAR_CENTRE = (0.0, 11.0, -5.0)
"""The middle of the skull in an avatar's frame, mm."""
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
    focal = FACE_FOCAL * SIDE / (FACE_SIZE * zoom)
    return Camera(torch.tensor(focal), torch.full((2,), SIDE / 2), SIDE, SIDE)


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
        worn = None if hairstyle is None else partial(hairstyle.worn, volume=rng.uniform(*VOLUME))
        person, coefficients = self.heads.dress(
            draw_coefficients(self.heads.head, rng), styles[style], rotation, rng, worn
        )
        pose = place(self.heads.head, coefficients, rotation, camera, rng)
        drawn = draw_view(person, pose, camera, draw_background(rng, SIDE), rng)
        sides = draw_sides(person, pose, camera.resized(SIDE // 2, SIDE // 2))
        landmarks = self.heads.head.landmarks(self.heads.head.vertices(coefficients))[0]
        return Scene(
            name=f"{hairstyle.name if hairstyle else style} {index}",
            style=hairstyle.name if hairstyle else style,
            picture=as_bytes(drawn.image),
            labels=drawn.labels.numpy(),
            front=_doubled(sides.front),
            back=_doubled(sides.back),
            back_is_hair=_doubled(sides.back_is_hair),
            camera=camera,
            landmarks=camera.project(pose.apply(landmarks)),
        )


def _doubled(values: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "H W"]:
    # Drawn at half the size, which is still finer than the wide crop.
    return values.repeat(2, axis=0).repeat(2, axis=1)


class AvatarScenes:
    """An endless list of artist-made heads, all styles equally often; scene i depends on i and the seed."""

    def __init__(self, seed: int, avatars: Sequence[Avatar]) -> None:
        self.seed, self.avatars = seed, list(avatars)
        self.styles = sorted({avatar.style for avatar in avatars})
        if not avatars:
            raise ValueError("There are no avatars to draw.")

    def scene(self, index: int) -> Scene:
        """The scene with this number: a head stretched, mirrored, turned, lit and recoloured at random."""
        rng = np.random.default_rng([self.seed, index, 2])
        style = self.styles[index % len(self.styles)]
        alike = [avatar for avatar in self.avatars if avatar.style == style]
        avatar = alike[rng.integers(len(alike))]
        stretch = np.clip(rng.normal(1, 0.05, 3), 0.9, 1.15).astype(np.float32)
        avatar = replace(avatar, vertices=avatar.vertices * stretch)
        if rng.random() < 0.5:
            avatar = avatar.mirrored()
        camera, rotation = draw_camera(rng), draw_rotation(rng)
        away = rng.normal(0, [0.015, 0.03])
        distance = avatar_distance(camera) * float(np.exp(rng.normal(0, 0.05))) * float(stretch[:2].mean())
        drawn = _draw(avatar, place_avatar(camera, rotation, distance, away), camera, rng)
        return replace(drawn, name=f"{avatar.name} {index}")

    def checked(self) -> list[Scene]:
        """Every head as it is from `CHECKED_YAWS`, with the hair that the pictures don't show."""
        scenes = []
        for number, avatar in enumerate(self.avatars):
            for yaw in CHECKED_YAWS:
                rng = np.random.default_rng([self.seed, number, 3])
                angles = torch.tensor([np.radians(yaw), 0.0, 0.0]).float()
                camera = picture_camera(ZOOM[1])
                pose = place_avatar(camera, rotation_from_euler(*angles), avatar_distance(camera), (0.0, 0.0))
                drawn = _draw(avatar, pose, camera, rng, recolour=False)
                points = unseen_hair(avatar, pose, drawn, rng)
                scenes.append(replace(drawn, name=f"{avatar.name} {yaw:+.0f}", unseen_hair=points))
        return scenes


def avatar_distance(camera: Camera) -> float:
    """Distance (mm) at which an avatar's face has the size that the crops' cameras see."""
    wanted = float(camera.focal) * FACE_SIZE / (FACE_FOCAL * FACE_MARGIN)
    return float(camera.focal) * AVATAR_FACE / wanted


def place_avatar(
    camera: Camera, rotation: Float[Tensor, "3 3"], distance: float, away: Sequence[float] | np.ndarray
) -> Pose:
    """The pose that has the skull's middle `distance` mm before the camera, `away` (shares of the picture's
    side) from the picture's middle."""
    aside = torch.tensor([*away, 0.0]).float() * camera.width * distance / camera.focal
    middle = aside + torch.tensor([0.0, 0.0, distance])
    return Pose(rotation, middle - rotation @ torch.tensor(AVATAR_CENTRE))


def _draw(
    avatar: Avatar, pose: Pose, camera: Camera, rng: np.random.Generator, recolour: bool = True
) -> Scene:
    light = torch.from_numpy(draw_light(rng).mean(0)).float()
    background = torch.from_numpy(draw_background(rng, SIDE))
    view = draw_avatar(avatar, pose, camera, light=light, background=background)
    picture = view.picture.numpy()
    if recolour and rng.random() < 0.6:
        picture = recoloured(picture, view.classes == ParsingClass.HAIR, rng)
    picture = develop(soften_edges(picture, view.depth), rng)
    return Scene(
        name=avatar.name,
        style=avatar.style,
        picture=as_bytes(torch.from_numpy(picture)),
        labels=view.classes,
        front=view.near,
        back=view.far,
        back_is_hair=view.far_classes == ParsingClass.HAIR,
        camera=camera,
        landmarks=camera.project(pose.apply(_average_landmarks())),
    )


@lru_cache(maxsize=1)
def _average_landmarks() -> Float[Tensor, "68 3"]:
    # In an avatar's frame, mm.
    head = HeadModel.load()
    return head.landmarks(head.mean[None])[0] + torch.tensor(AVATAR_FROM_MODEL)


def recoloured(
    picture: Float[np.ndarray, "3 H W"], hair: Bool[np.ndarray, "H W"], rng: np.random.Generator
) -> Float[np.ndarray, "3 H W"]:
    """The picture with hair of another colour: its brightness about the mean is kept."""
    if not hair.any():
        return picture
    first, second = PALETTE[rng.integers(len(PALETTE), size=2)]
    colour = first + rng.uniform(0, 0.3) * (second - first)
    grey = picture[:, hair].mean(axis=0)
    relative = np.clip(grey / max(float(grey.mean()), 0.02), 0.3, 1.7)
    result = picture.copy()
    result[:, hair] = np.clip(colour[:, None] * relative, 0, 1)
    return result


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
