"""Artist-made and synthetic people who look elsewhere while their shoulders stay: turned photos' truth.

A head is drawn in its own frame, at a pose; what lags behind it, neck and the ends of long hair, and what
stays, clothes, is moved in that frame.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.data.people.avatars import Avatar
from portrait3d.data.people.outfits import AVATAR_FROM_MODEL
from portrait3d.data.synthetic.drawing import Layer, Person
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.parsing_classes import ParsingClass
from portrait3d.portrait import HeadAngles
from portrait3d.reposing.motion import Turn


def rotation_of(angles: HeadAngles) -> Float[Tensor, "3 3"]:
    """The rotation of a head at an absolute pose."""
    degrees = (angles.yaw, angles.pitch, angles.roll)
    return rotation_from_euler(*torch.tensor(np.radians(degrees)).float())


def same_turn(rotation: Float[Tensor, "3 3"], source: HeadAngles, target: HeadAngles) -> HeadAngles:
    """Where a head that is fitted with this rotation looks after the turn from one true pose to another.

    A fit errs in the pose that it starts from; the turn alone is asked for.
    """
    turned = rotation_of(target) @ rotation_of(source).T @ rotation
    return HeadAngles.of(Pose(turned, torch.zeros(3)))


def model_pose(camera_from_avatar: Pose) -> Pose:
    """Where the head model is that has its eyes in an avatar's."""
    return camera_from_avatar @ Pose(torch.eye(3), torch.tensor(AVATAR_FROM_MODEL))


def turned_pose(pose: Pose, turn: Turn) -> Pose:
    """The pose of a head after a turn in which it takes part fully."""
    rotation = torch.from_numpy(turn.rotate(np.eye(3), np.ones(3)).T).float()
    pivot = torch.from_numpy(turn.pivot).float()
    return Pose(rotation, pivot - rotation @ pivot) @ pose


def lagging_points(
    points: Float[np.ndarray, "N 3"],
    pose: Pose,
    turn: Turn,
    clothes: Bool[np.ndarray, " N"] | None = None,
) -> Float[np.ndarray, "N 3"]:
    """Points of a head's frame (mm) after a turn, in the frame that has turned: those of the head stay.

    `clothes` take no part in the turn, at whatever height; by default there are none.
    """
    rotation, shift = _as_arrays(pose)
    placed = points @ rotation.T + shift
    share = turn.following(placed)
    moved = turn.apply(placed, share if clothes is None else share * ~clothes)
    rotation, shift = _as_arrays(turned_pose(pose, turn))
    return (moved - shift) @ rotation


def turned_avatar(avatar: Avatar, pose: Pose, turn: Turn) -> tuple[Avatar, Pose]:
    """An avatar after a turn of its head, without its expressions, and its head's pose."""
    clothes = np.zeros(len(avatar.vertices), bool)
    clothes[avatar.faces[avatar.labels == ParsingClass.BODY]] = True
    points = lagging_points(avatar.vertices.astype(np.float64), pose, turn, clothes)
    return replace(avatar, vertices=points.astype(np.float32), morphs={}), turned_pose(pose, turn)


def turned_person(person: Person, pose: Pose, turn: Turn) -> tuple[Person, Pose]:
    """A synthetic person, prepared for drawing, after a turn of the head, and the head's pose."""
    layers = tuple(_lagging_layer(layer, pose, turn) for layer in person.layers)
    return replace(person, layers=layers), turned_pose(pose, turn)


def _lagging_layer(layer: Layer, pose: Pose, turn: Turn) -> Layer:
    clothes = layer.labels == ParsingClass.BODY
    points = lagging_points(layer.vertices.astype(np.float64), pose, turn, clothes).astype(np.float32)
    normals = vertex_normals(torch.from_numpy(points), torch.from_numpy(layer.faces)).numpy()
    return replace(
        layer, vertices=points, attributes=np.concatenate([normals, layer.attributes[:, 3:]], axis=1)
    )


def _as_arrays(pose: Pose) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    return pose.rotation.double().numpy(), pose.translation.double().numpy()
