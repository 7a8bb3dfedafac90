"""Drawn people with the exact class of every pixel, from all sides, before photographed backgrounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.data.avatars import Avatar, draw_avatar
from portrait3d.data.hairstyles import Hairstyle
from portrait3d.data.ornaments import hang_earrings
from portrait3d.data.photos import LANDMARKS_OF_MESH
from portrait3d.data.synthetic import HairStyle, SyntheticHeads
from portrait3d.data.synthetic.drawing import (
    Drawing,
    Person,
    develop,
    draw_layer,
    draw_view,
    soften_edges,
)
from portrait3d.data.synthetic.glasses import Glasses, put_on
from portrait3d.data.synthetic.headgear import CLOSED, Extent, Headgear
from portrait3d.data.synthetic.heads import draw_coefficients, place
from portrait3d.data.synthetic.light import draw_light
from portrait3d.data.synthetic.strands import HairLook
from portrait3d.data.two_sided_scenes import (
    AVATAR_FROM_MODEL,
    VOLUME,
    avatar_distance,
    place_avatar,
    recoloured,
)
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import EARS, ParsingClass
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE

SIDE = 416
"""Pixels along a side of the pictures."""
ZOOM = (1.7, 3.1)
"""Side of the picture over that of the face crop."""
FARTHEST = 95.0
"""Degrees of yaw to which heads turn."""
HEADWEAR, GLASSES, EARRINGS = 0.25, 0.25, 0.15
"""Share of the people who wear these."""
MOUTHS = ("mouth_open", "smile_open", "vowel_ao")
"""Morphs of avatars that open the mouth."""
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


@dataclass(frozen=True, slots=True)
class Outfit:
    """What somebody wears on the head."""

    headgear: Headgear | None
    glasses: Glasses | None
    earrings: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Outfit":
        """A random outfit, mostly nothing."""
        headgear, glasses, earrings = rng.random(3) < [HEADWEAR, GLASSES, EARRINGS]
        return cls(
            Headgear.draw(rng) if headgear else None, Glasses.draw(rng) if glasses else None, bool(earrings)
        )


def draw_angles(rng: np.random.Generator) -> tuple[float, float, float]:
    """Yaw, pitch and roll (radians): half of the heads face the camera more or less, half any side."""
    yaw = rng.normal(0, 25) if rng.random() < 0.5 else rng.uniform(-FARTHEST, FARTHEST)
    pitch, roll = np.clip(rng.normal(0, 10), -25, 25), np.clip(rng.normal(0, 6), -18, 18)
    yaw, pitch, roll = np.radians([np.clip(yaw, -FARTHEST, FARTHEST), pitch, roll]).tolist()
    return yaw, pitch, roll


def draw_camera(rng: np.random.Generator, side: int = SIDE) -> Camera:
    """The crops' camera with a picture that reaches further, to a random extent."""
    focal = FACE_FOCAL * side / (FACE_SIZE * rng.uniform(*ZOOM))
    return Camera(torch.tensor(focal), torch.full((2,), side / 2), side, side)


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
        worn = None if hairstyle is None else partial(hairstyle.worn, volume=rng.uniform(*VOLUME))
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
        if not avatars:
            raise ValueError("There are no avatars to draw.")
        self.seed, self.avatars, self.backgrounds = seed, list(avatars), backgrounds
        self.styles = sorted({avatar.style for avatar in avatars})

    def scene(self, index: int) -> ParsedScene:
        """The scene with this number: a head stretched, mirrored, turned, lit, dressed and recoloured."""
        rng = np.random.default_rng([self.seed, index, 5])
        style = self.styles[index % len(self.styles)]
        alike = [avatar for avatar in self.avatars if avatar.style == style]
        avatar = alike[rng.integers(len(alike))]
        name, avatar = avatar.name, expressed(avatar, rng)
        stretch = np.clip(rng.normal(1, 0.05, 3), 0.9, 1.15).astype(np.float32)
        avatar = replace(avatar, vertices=avatar.vertices * stretch)
        if rng.random() < 0.5:
            avatar = avatar.mirrored()
        angles, camera, outfit = draw_angles(rng), draw_camera(rng), Outfit.draw(rng)
        distance = avatar_distance(camera) * float(np.exp(rng.normal(0, 0.05))) * float(stretch[:2].mean())
        rotation = rotation_from_euler(*torch.tensor(angles))
        pose = place_avatar(camera, rotation, distance, rng.normal(0, [0.015, 0.03]))
        scale = torch.from_numpy(stretch)
        points, landmarks = ((part + torch.tensor(AVATAR_FROM_MODEL)) * scale for part in _average_points())
        view = draw_dressed(
            avatar, outfit, landmarks, pose, camera, self.backgrounds(rng, camera.height), rng
        )
        return ParsedScene(
            name=f"{name}_{index:05d}",
            style=style,
            picture=as_bytes(torch.from_numpy(develop(view.image.numpy(), rng))),
            labels=view.labels.numpy(),
            points=camera.project(pose.apply(points)).numpy(),
            angles=angles,
        )


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
) -> Drawing:
    """An avatar in its outfit, in random light, before a lens has blurred anything but edges."""
    light = draw_light(rng).astype(np.float32)
    gear = None
    if outfit.headgear is not None:
        avatar, extent = under_headgear(avatar, outfit.headgear)
        gear = outfit.headgear.layer(extent)
        gear = replace(gear, vertices=gear.vertices + np.array(AVATAR_FROM_MODEL, np.float32))
    mean_light = torch.from_numpy(light.mean(0))
    view = draw_avatar(avatar, pose, camera, light=mean_light, background=torch.from_numpy(background))
    image, depth, labels = view.picture.numpy(), view.depth.copy(), view.classes.copy()
    if rng.random() < 0.6:
        image = recoloured(image, labels == ParsingClass.HAIR, rng)
    if gear is not None:
        person = Person((), HairLook.draw(rng), light)
        colour, z, label = draw_layer(gear, person, pose, camera)
        nearer = z < depth
        image = np.where(nearer, colour.clip(0, 1), image)
        depth, labels = np.where(nearer, z, depth), np.where(nearer, label, labels)
    image = soften_edges(image, depth).astype(np.float32)
    view = Drawing(torch.from_numpy(image), torch.from_numpy(depth), torch.from_numpy(labels))
    return adorned(view, outfit, landmarks, pose, camera, rng)


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


@lru_cache(maxsize=1)
def _average_points() -> tuple[Float[Tensor, "468 3"], Float[Tensor, "68 3"]]:
    # Mesh points and landmarks of the mean head, model frame, mm.
    head = HeadModel.load()
    mean = head.mean[None]
    return head.mesh_points(mean)[0], head.landmarks(mean)[0]
