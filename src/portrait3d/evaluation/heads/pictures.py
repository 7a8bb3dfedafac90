"""A reconstructed head beside the true one in pictures: outlines, colours and deep features, turned away from
the photo."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from portrait3d.data.people.avatars import Avatar, avatar_mesh, draw_avatar
from portrait3d.evaluation.heads.truth import AvatarPhoto, studio_light
from portrait3d.evaluation.surfaces import turned
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import HeadMesh, HeadPart
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.similarity import Similarity
from portrait3d.losses.perceptual import Features, perceptual_loss
from portrait3d.parsing_classes import COVERING, HAIRY
from portrait3d.rendering.view import DISTANCE, render_view
from portrait3d.reposing.motion import RISE

TURNS = (-60.0, -30.0, 30.0, 60.0, 90.0, 180.0)
"""From the photo's yaw to those of the pictures that are compared, degrees."""
SIZE = 256
"""Pixels of their side."""
NECK_SIDE = 100.0
"""What is neither head nor hair and lies farther aside (mm) is a shoulder, even above the chin."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

DeepFeatures = Callable[[Tensor], Features]
"""RGB in [0, 1], [B, 3, H, W], to features."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadPicture:
    """A head without its body from some side, before white."""

    colours: UInt8[np.ndarray, "S S 3"]
    covered: Bool[np.ndarray, "S S"]
    """What the head covers at least half of."""


@dataclass(frozen=True, slots=True)
class PictureErrors:
    """How pictures of a reconstruction differ from those of the true head."""

    outline_90: float
    """Intersection over union of the silhouettes, turned by 90 degrees from the photo."""
    outline_180: float
    """The same from behind."""
    colour: float
    """Mean absolute difference (0 to 255) where both heads are, over `TURNS`."""
    features: float
    """Mean distance of deep features as in Eq. 13, over `TURNS`."""


@dataclass(frozen=True, eq=False)
class HeadPair:
    """An avatar's head and its reconstruction, both cut off at the same places.

    Skin ends at a plane that rises from the chin to the nape: neck and shoulders don't count. Hair ends where
    the photo shows no more of it.
    """

    photo: AvatarPhoto
    true: Avatar
    found: HeadMesh
    """In its own frame."""
    avatar_from_found: Similarity
    middle: Float[np.ndarray, "3"]
    """Of the true head, mm."""
    radius: float
    """From there to its farthest point, mm."""

    @classmethod
    def of(cls, photo: AvatarPhoto, found: HeadMesh, avatar_from_found: Similarity) -> "HeadPair":
        """The pair of a photo's avatar and its reconstruction."""
        avatar = photo.avatar
        kept, heights = cut(avatar.vertices, avatar.faces, np.isin(avatar.labels, HAIRY), photo)
        aside = np.abs(avatar.vertices[avatar.faces, 0]).max(axis=1) > NECK_SIDE
        kept &= ~(aside & np.isin(avatar.labels, COVERING))
        lifted = np.column_stack([avatar.vertices[:, 0], heights, avatar.vertices[:, 2]])
        true = replace(avatar, vertices=lifted.astype(np.float32)).kept(kept)

        points = avatar_from_found.apply(found.vertices)
        kept, heights = cut(points, found.faces, found.part[found.faces[:, 0]] == HeadPart.HAIR, photo)
        down = avatar_from_found.rotation[1] / avatar_from_found.scale
        lifted = found.vertices + (heights - points[:, 1])[:, None] * down
        found = replace(found, vertices=lifted.astype(found.vertices.dtype), faces=found.faces[kept])
        points = true.vertices[np.unique(true.faces)]
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        radius = float(np.linalg.norm(points - middle, axis=1).max())
        return cls(photo, true, found, avatar_from_found, middle, radius)

    def draw_true(self, yaw: float, size: int = SIZE) -> HeadPicture:
        """The true head at an absolute yaw (degrees), in the photo's light: it is in the other's texture."""
        pose, camera = self._view(yaw, size)
        light = studio_light(yaw - self.photo.yaw)
        view = draw_avatar(
            self.true, pose, camera, light=light, background=torch.ones(3, size, size), samples=2
        )
        return HeadPicture(to_pixels(view.picture), view.classes > 0)

    def draw_found(self, yaw: float, size: int = SIZE) -> HeadPicture:
        """The reconstruction from the same place."""
        pose, camera = self._found_view(yaw, size)
        # What a picture before black and one before white have in common is the head, see-through hair too.
        before_black, before_white = (
            render_view(self.found, pose, camera, background=ground) for ground in (BLACK, WHITE)
        )
        ground = (before_white.astype(float) - before_black).mean(axis=-1) / 255
        return HeadPicture(before_white, ground <= 0.5)

    def draw_shapes(self, yaw: float, size: int = SIZE) -> list[UInt8[np.ndarray, "S S 3"]]:
        """Both as plain surfaces, the true one first."""
        true = avatar_mesh(self.true, Pose.identity())
        return [
            render_view(true, *self._view(yaw, size), style="clay"),
            render_view(self.found, *self._found_view(yaw, size), style="clay"),
        ]

    def _view(self, yaw: float, size: int) -> tuple[Pose, Camera]:
        """camera_from_avatar and the camera."""
        focal = size / 2 * math.sqrt(DISTANCE**2 - self.radius**2) / self.radius
        camera = Camera(torch.tensor(focal), torch.tensor([size / 2, size / 2]), size, size)
        return turned(yaw, 0.0, self.middle, DISTANCE), camera

    def _found_view(self, yaw: float, size: int) -> tuple[Pose, Camera]:
        """The reconstruction's pose for the same picture: scaling about the camera changes no picture."""
        pose, camera = self._view(yaw, size)
        motion = self.avatar_from_found
        rotation = pose.rotation.double() @ torch.from_numpy(motion.rotation)
        place = pose.rotation.double() @ torch.from_numpy(motion.translation) + pose.translation
        return Pose(rotation.float(), (place / motion.scale).float()), camera


def cut(
    points: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    hairy: Bool[np.ndarray, " F"],
    photo: AvatarPhoto,
) -> tuple[Bool[np.ndarray, " F"], Float[np.ndarray, " V"]]:
    """What of a surface in the avatar's frame (mm) is head: which triangles, and the height (y) of every
    vertex, lifted to where the head ends in triangles that cross it."""
    _, low, front = photo.chin
    underside = low - RISE * np.maximum(points[:, 2] - front, 0)
    ends = np.where(hairy[:, None], photo.hair_end, underside[faces])
    kept = (points[faces, 1] < ends).any(axis=1)
    lowest = np.full(len(points), -np.inf)
    np.maximum.at(lowest, faces[kept], ends[kept])
    return kept, np.where(np.isfinite(lowest), np.minimum(points[:, 1], lowest), points[:, 1])


def compare_pictures(pair: HeadPair, features: DeepFeatures) -> PictureErrors:
    """Compare outlines, colours and deep features from the sides."""
    overlap, colour, deep = {}, [], []
    for turn in TURNS:
        true, found = pair.draw_true(pair.photo.yaw + turn), pair.draw_found(pair.photo.yaw + turn)
        both = true.covered & found.covered
        overlap[turn] = float(both.sum() / (true.covered | found.covered).sum())
        difference = np.abs(true.colours.astype(float) - found.colours)
        colour.append(float(difference[both].mean()) if both.any() else float("nan"))
        deep.append(feature_distance(features, [true, found]))
    return PictureErrors(
        outline_90=overlap[90.0],
        outline_180=overlap[180.0],
        colour=float(np.nanmean(colour)),
        features=float(np.mean(deep)),
    )


@torch.no_grad()
def feature_distance(features: DeepFeatures, pictures: Sequence[HeadPicture]) -> float:
    """Distance of the deep features of two pictures."""
    one, other = (from_pixels(picture.colours) for picture in pictures)
    found: list[Features] = [features(one), features(other)]
    return float(perceptual_loss(*found))


def from_pixels(pixels: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 3 H W"]:
    """A picture as networks take it."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def to_pixels(picture: Float[Tensor, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """A picture as files take it."""
    return as_bytes(picture)
