"""Artist-made and drawn heads as they come before the camera: form, place, hair, and what they wear."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.data.people.avatar_fits import AvatarFit, fit_avatar
from portrait3d.data.people.avatars import Avatar, draw_avatar
from portrait3d.data.people.hairstyles import AvatarHair, HairShape
from portrait3d.data.people.ornaments import hang_earrings
from portrait3d.data.synthetic.drawing import (
    Drawing,
    HeadSides,
    Person,
    draw_layer,
    draw_sides,
    soften_edges,
)
from portrait3d.data.synthetic.glasses import Glasses, put_on
from portrait3d.data.synthetic.headgear import CLOSED, Extent, Headgear
from portrait3d.data.synthetic.light import draw_light
from portrait3d.data.synthetic.strands import PALETTE, HairLook
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import EARS, HAIRY, ParsingClass
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_MARGIN, FACE_SIZE

HEADWEAR, GLASSES, EARRINGS, DYED = 0.25, 0.25, 0.15, 0.6
"""Share of the people who wear these, and of artist-made heads whose hair gets another colour."""
MOUTHS = ("mouth_open", "smile_open", "vowel_ao")
"""Morphs of avatars that open the mouth."""
AVATAR_FACE = 138.0
"""sqrt(width * height) of the box of an avatar's landmarks from the front, mm, about."""
AVATAR_FROM_MODEL = (0.0, 19.3, -45.2)
"""What brings the head model's eyes to an avatar's, mm."""
AVATAR_CENTRE = (0.0, 11.0, -5.0)
"""The middle of the skull in an avatar's frame, mm."""


@dataclass(frozen=True, slots=True)
class Outfit:
    """What somebody wears on the head, and whether the hair is dyed."""

    headgear: Headgear | None = None
    glasses: Glasses | None = None
    earrings: bool = False
    dyed: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Outfit":
        """A random outfit, mostly nothing."""
        headgear, glasses, earrings, dyed = rng.random(4) < [HEADWEAR, GLASSES, EARRINGS, DYED]
        return cls(
            Headgear.draw(rng) if headgear else None,
            Glasses.draw(rng) if glasses else None,
            bool(earrings),
            bool(dyed),
        )


class AvatarCast:
    """Artist-made heads, all styles equally often, each time somebody else."""

    def __init__(self, avatars: Sequence[Avatar]) -> None:
        if not avatars:
            raise ValueError("There are no avatars to draw.")
        self.avatars = list(avatars)
        self.styles = sorted({avatar.style for avatar in avatars})
        self.head = HeadModel.load()
        self._hair: dict[str, tuple[AvatarFit, AvatarHair | None]] = {}

    def pick(self, index: int, rng: np.random.Generator) -> tuple[Avatar, Float[np.ndarray, "3"]]:
        """Head number `index` with another expression, hair and form, and its stretch along each axis."""
        style = self.styles[index % len(self.styles)]
        alike = [avatar for avatar in self.avatars if avatar.style == style]
        rest = alike[rng.integers(len(alike))]
        avatar = self._with_other_hair(expressed(rest, rng), rest, rng)
        stretch = np.clip(rng.normal(1, 0.05, 3), 0.9, 1.15).astype(np.float32)
        avatar = replace(avatar, vertices=avatar.vertices * stretch)
        return (avatar.mirrored() if rng.random() < 0.5 else avatar), stretch

    def _with_other_hair(self, avatar: Avatar, rest: Avatar, rng: np.random.Generator) -> Avatar:
        shape = HairShape.draw(rng)
        if rest.name not in self._hair:
            fit = fit_avatar(rest, self.head)
            self._hair[rest.name] = fit, AvatarHair.of(rest, fit, self.head)
        fit, hair = self._hair[rest.name]
        return avatar if hair is None else hair.reshaped(avatar, fit, shape)


@lru_cache(maxsize=1)
def average_landmarks() -> Float[Tensor, "68 3"]:
    """The mean head's landmarks in an avatar's frame, mm."""
    head = HeadModel.load()
    return head.landmarks(head.mean[None])[0] + torch.tensor(AVATAR_FROM_MODEL)


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


def place_avatar_somewhere(
    camera: Camera, rotation: Float[Tensor, "3 3"], stretch: Float[np.ndarray, "3"], rng: np.random.Generator
) -> Pose:
    """The pose of an avatar, stretched by `AvatarCast.pick`, about where crops have faces."""
    distance = avatar_distance(camera) * float(np.exp(rng.normal(0, 0.05))) * float(stretch[:2].mean())
    return place_avatar(camera, rotation, distance, rng.normal(0, [0.015, 0.03]))


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


def expressed(avatar: Avatar, rng: np.random.Generator) -> Avatar:
    """The avatar with a random expression; half of the mouths are open."""
    names = [name for name in avatar.morphs if name in MOUTHS]
    weights = {}
    if names and rng.random() < 0.5:
        weights[names[rng.integers(len(names))]] = rng.uniform(0.2, 1.0)
    others = [name for name in avatar.morphs if name not in MOUTHS]
    if others and rng.random() < 0.5:
        weights[others[rng.integers(len(others))]] = rng.uniform(0.3, 1.0)
    return avatar.expressed(weights)


def draw_dressed(
    avatar: Avatar,
    outfit: Outfit,
    landmarks: Float[Tensor, "68 3"],
    pose: Pose,
    camera: Camera,
    background: Float[np.ndarray, "3 H W"],
    rng: np.random.Generator,
) -> tuple[Drawing, HeadSides]:
    """An avatar in its outfit, in random light, before a lens has blurred more than edges; its surfaces."""
    light = draw_light(rng).astype(np.float32)
    gear = None
    if outfit.headgear is not None:
        avatar, extent = under_headgear(avatar, outfit.headgear)
        gear = outfit.headgear.layer(extent)
        gear = replace(gear, vertices=gear.vertices + np.array(AVATAR_FROM_MODEL, np.float32))
    mean_light = torch.from_numpy(light.mean(0))
    view = draw_avatar(avatar, pose, camera, light=mean_light, background=torch.from_numpy(background))
    image, depth, labels = view.picture.numpy(), view.depth.copy(), view.classes.copy()
    sides = HeadSides(view.near, view.far, np.isin(view.far_classes, HAIRY))
    if outfit.dyed:
        image = recoloured(image, labels == ParsingClass.HAIR, rng)
    if gear is not None:
        person = Person((gear,), HairLook.draw(rng), light)
        sides = sides.joined(draw_sides(person, pose, camera))
        colour, z, label = draw_layer(gear, person, pose, camera)
        nearer = z < depth
        image = np.where(nearer, colour.clip(0, 1), image)
        depth, labels = np.where(nearer, z, depth), np.where(nearer, label, labels)
    image = soften_edges(image, depth).astype(np.float32)
    view = Drawing(torch.from_numpy(image), torch.from_numpy(depth), torch.from_numpy(labels))
    return adorned(view, outfit, landmarks, pose, camera, rng), sides


def under_headgear(avatar: Avatar, headgear: Headgear) -> tuple[Avatar, Extent]:
    """The avatar with its hair pressed under headwear, or taken off, and the extent of the rest."""
    shift = np.array(AVATAR_FROM_MODEL, np.float32)
    if headgear.kind in CLOSED:
        avatar = avatar.kept((avatar.labels != ParsingClass.HAIR) | (avatar.face_material == 0))
    points = avatar.vertices - shift
    skin, hair = (np.zeros(len(points), bool) for _ in range(2))
    skin[avatar.faces[avatar.labels == ParsingClass.FACE]] = True
    hair[avatar.faces[avatar.labels == ParsingClass.HAIR]] = True
    extent = Extent.measure(points[skin | (hair & ~_hangs(points))], points[hair])
    own = hair & ~skin
    if headgear.kind in CLOSED:
        own[avatar.faces[np.isin(avatar.labels, EARS)]] = True
    return replace(avatar, vertices=headgear.pressed(points, extent, own) + shift), extent


def _hangs(points: Float[np.ndarray, "N 3"]) -> np.ndarray:
    return points[:, 1] > 20


def with_headgear(person: Person, headgear: Headgear) -> Person:
    """The person with headwear; hair is pressed under it, or taken off where it would hang out."""
    solid, *others = person.layers
    skin = solid.vertices[np.isin(solid.labels, [ParsingClass.FACE, ParsingClass.HAIR])].astype(np.float64)
    hair = [layer for layer in others if (layer.labels == ParsingClass.HAIR).all()]
    beards = [layer for layer in others if (layer.labels != ParsingClass.HAIR).any()]
    if headgear.kind in CLOSED:
        hair = []
    loose = np.isin(solid.labels, EARS) & (headgear.kind in CLOSED)
    roots = np.concatenate([layer.vertices for layer in hair]) if hair else np.zeros((0, 3))
    extent = Extent.measure(skin, roots.astype(np.float64))
    pressed = [
        replace(
            layer,
            vertices=headgear.pressed(layer.vertices, extent, np.ones(len(layer.vertices), bool)),
        )
        for layer in hair
    ]
    solid = replace(solid, vertices=headgear.pressed(solid.vertices, extent, loose))
    return replace(person, layers=(solid, *pressed, *beards, headgear.layer(extent)))


def adorned(
    view: Drawing,
    outfit: Outfit,
    landmarks: Float[Tensor, "68 3"],
    pose: Pose,
    camera: Camera,
    rng: np.random.Generator,
) -> Drawing:
    """The drawing with glasses, which are face, and earrings, which are body."""
    if outfit.glasses is not None:
        view = replace(view, image=put_on(view, outfit.glasses, landmarks, pose, camera))
    if outfit.earrings:
        millimetre = float(camera.focal / pose.translation[2])
        image, labels = hang_earrings(view.image.numpy(), view.labels.numpy(), millimetre, rng)
        view = replace(view, image=torch.from_numpy(image), labels=torch.from_numpy(labels))
    return view
