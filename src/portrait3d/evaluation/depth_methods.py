"""Ways to give a head its depth: the network, and what it has to beat."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage

from portrait3d.data.inflation import inflate
from portrait3d.data.model_views import HeadInCrop, SkinModel, nearest_value, render_model_views
from portrait3d.data.outline import HeadFit, pull_skull_inside
from portrait3d.data.turning import HeadView, bare_face
from portrait3d.evaluation.face_synthetic import rigid_alignment
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose
from portrait3d.models.depth_net import DepthNet
from portrait3d.models.face_depth import render_average_head
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import FACE


@dataclass(frozen=True, slots=True, eq=False)
class SeenHead:
    """What is known about one head when its depth is wanted."""

    view: HeadView
    """Picture, labels, the fitted face's depth and the fitted head; methods don't read its own depth."""
    inside: Bool[np.ndarray, "H W"]
    """Pixels of the head crop that the photo covers."""


Method = Callable[[SeenHead], Float[np.ndarray, "H W"]]
"""Depth (mm) of every pixel; it counts within the view's region."""


def depth_methods(net: DepthNet, head_model: HeadModel) -> dict[str, Method]:
    """The network and all baselines by name, the network first."""
    skin = SkinModel.from_head_model(head_model)
    return {
        "network": lambda seen: network_depth(net, head_model, seen.view),
        "constant": lambda seen: constant_depth(seen.view),
        "nearest face": lambda seen: nearest_face_depth(seen.view),
        "average head": lambda seen: average_head_depth(skin, seen.view),
        "inflation": lambda seen: inflated_depth(skin, seen),
    }


def rest_of_head(view: HeadView) -> Bool[np.ndarray, "H W"]:
    """The head without its bare face, and without eyes and mouth, which are holes in the model's face."""
    face = ndimage.binary_fill_holes(np.isfinite(view.face_depth))
    return view.region & ~(np.isin(view.labels, FACE) & face)


@torch.no_grad()
def network_depth(net: DepthNet, head_model: HeadModel, view: HeadView) -> Float[np.ndarray, "H W"]:
    """What the depth network says."""
    bare, head = bare_face(view), view.head
    middle = torch.full((1, 2), head.size / 2)
    camera = Camera(torch.tensor([head.focal]).float(), middle, head.size, head.size)
    rotation, translation = torch.from_numpy(head.rotation), torch.from_numpy(head.translation)
    pose = Pose(rotation[None].float(), translation[None].float())
    depth = net(
        torch.from_numpy(view.image).permute(2, 0, 1)[None].float() / 255,
        torch.from_numpy(np.where(bare, view.face_depth, 0.0)).float()[None, None],
        torch.from_numpy(view.region)[None, None],
        torch.tensor([head.centre[2]]).float(),
        torch.from_numpy(view.labels)[None, None],
        render_average_head(head_model, pose, camera)[:, None],
    )
    return depth[0, 0].double().numpy()


def constant_depth(view: HeadView) -> Float[np.ndarray, "H W"]:
    """The face where it is seen, its mean depth everywhere else."""
    bare = bare_face(view)
    mean = view.face_depth[bare].mean() if bare.any() else view.head.centre[2]
    return np.where(bare, view.face_depth, mean)


def nearest_face_depth(view: HeadView) -> Float[np.ndarray, "H W"]:
    """The depth around the face continued from its border, the heuristic of Zhu et al. (2016)."""
    bare = bare_face(view)
    return _continued(view.face_depth, bare) if bare.any() else constant_depth(view)


def average_head_depth(skin: SkinModel, view: HeadView) -> Float[np.ndarray, "H W"]:
    """The mean head of the head model, moved rigidly to where its face lies nearest to the fitted face.

    The bare face keeps the fitted face's depth. Hair outside the mean head's silhouette takes the depth of
    the nearest pixel of that silhouette.
    """
    views = render_model_views(skin, place_average_head(skin, view.head), 0.0)
    seen = np.isfinite(views.skin) & ~views.is_neck
    depth = _continued(views.skin, seen) if seen.any() else constant_depth(view)
    return np.where(bare_face(view), view.face_depth, depth)


def place_average_head(skin: SkinModel, head: HeadInCrop) -> HeadInCrop:
    """The mean head in the pose that brings its face nearest to that of `head`."""
    face = skin.face_mask > 0.5
    fitted = head.vertices[face] @ head.rotation.T + head.translation
    pose = rigid_alignment(torch.from_numpy(skin.mean[face]), torch.from_numpy(fitted))
    return HeadInCrop(skin.mean, pose.rotation.numpy(), pose.translation.numpy(), head.focal, head.size)


def inflated_depth(skin: SkinModel, seen: SeenHead) -> Float[np.ndarray, "H W"]:
    """Hair inflated between the fitted head and the outline, as training portraits get it.

    Before, the parts of the skull that stick out of the parsed head are pulled inside, as there.
    """
    view = seen.view
    # Coefficients count from the fitted shape, so that nothing but the skull changes.
    fitted = HeadFit(np.zeros(len(skin.identity)), np.zeros(len(skin.expression)), view.head)
    own = SkinModel(
        mean=view.head.vertices,
        identity=skin.identity,
        expression=skin.expression,
        faces=skin.faces,
        face_mask=skin.face_mask,
        ear_mask=skin.ear_mask,
    )
    head = pull_skull_inside(own, fitted, view.labels, seen.inside).head
    depth = inflate(view.labels, seen.inside, skin, head).depth
    known = np.isfinite(depth)
    return np.where(bare_face(view), view.face_depth, _continued(depth, known)) if known.any() else depth


def _continued(depth: Float[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Every pixel's depth at the nearest known pixel."""
    return nearest_value(np.where(known, depth, 0.0), known)[0]
