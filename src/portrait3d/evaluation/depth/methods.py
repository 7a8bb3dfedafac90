"""Ways to give a head its depth: the network, and what it has to beat."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy import ndimage

from portrait3d.data.depth.samples import wide_camera
from portrait3d.data.people.model_views import (
    HeadInCrop,
    HeadView,
    SkinModel,
    nearest_value,
    render_model_views,
)
from portrait3d.evaluation.face.drawn import rigid_alignment
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose
from portrait3d.head.frame import seen_by
from portrait3d.models.depth_net import DepthNet, predict_depth
from portrait3d.models.face_depth import render_head_depths
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import FACE
from portrait3d.preprocessing.alignment import HEAD_ZOOM, WIDE_ZOOM

Method = Callable[[HeadView], Float[np.ndarray, "H W"]]
"""Depth (mm) of every pixel; it counts within the view's region."""


def depth_methods(net: DepthNet, head_model: HeadModel) -> dict[str, Method]:
    """The network and all baselines by name, the network first."""
    skin = SkinModel.from_head_model(head_model)
    return {
        "network": lambda view: network_depth(net, head_model, view),
        "constant": constant_depth,
        "nearest face": nearest_face_depth,
        "average head": lambda view: average_head_depth(skin, view),
    }


def rest_of_head(view: HeadView) -> Bool[np.ndarray, "H W"]:
    """The head without its bare face, and without eyes and mouth, which are holes in the model's face."""
    face = ndimage.binary_fill_holes(np.isfinite(view.face_depth))
    return view.region & ~(np.isin(view.labels, FACE) & face)


@torch.no_grad()
def network_depth(net: DepthNet, head_model: HeadModel, view: HeadView) -> Float[np.ndarray, "H W"]:
    """What the depth network says of the head crop alone: nothing is known around it."""
    camera, head = wide_camera(net.size), view.head
    inner = round(net.size * HEAD_ZOOM / WIDE_ZOOM)
    margin = (net.size - inner) // 2
    picture = torch.from_numpy(view.image).permute(2, 0, 1)[None].float() / 255
    picture = F.interpolate(picture, (inner, inner), mode="bilinear", antialias=True, align_corners=False)
    labels = F.interpolate(
        torch.from_numpy(view.labels)[None, None].float(), (inner, inner), mode="nearest-exact"
    )
    edges = (margin, net.size - inner - margin) * 2
    rotation, translation = torch.from_numpy(head.rotation), torch.from_numpy(head.translation)
    pose = Pose(rotation[None].float(), translation[None].float())
    vertices = torch.from_numpy(head.vertices)[None].float()
    fitted = render_head_depths(head_model, vertices, pose, camera)
    found = predict_depth(
        net, F.pad(picture, edges), fitted, F.pad(labels, edges).to(torch.uint8)[:, 0], camera
    )
    middle = torch.full((2,), head.size / 2)
    own = Camera(torch.tensor(head.focal).float(), middle, head.size, head.size)
    return seen_by(found.front[None], camera, own)[0].double().numpy()


def constant_depth(view: HeadView) -> Float[np.ndarray, "H W"]:
    """The face where it is seen, its mean depth everywhere else."""
    bare = view.bare_face
    mean = view.face_depth[bare].mean() if bare.any() else view.head.centre[2]
    return np.where(bare, view.face_depth, mean)


def nearest_face_depth(view: HeadView) -> Float[np.ndarray, "H W"]:
    """The depth around the face continued from its border, the heuristic of Zhu et al. (2016)."""
    bare = view.bare_face
    return _continued(view.face_depth, bare) if bare.any() else constant_depth(view)


def average_head_depth(skin: SkinModel, view: HeadView) -> Float[np.ndarray, "H W"]:
    """The mean head of the head model, moved rigidly to where its face lies nearest to the fitted face.

    The bare face keeps the fitted face's depth. Hair outside the mean head's silhouette takes the depth of
    the nearest pixel of that silhouette.
    """
    views = render_model_views(skin, place_average_head(skin, view.head))
    seen = np.isfinite(views.skin) & ~views.is_neck
    depth = _continued(views.skin, seen) if seen.any() else constant_depth(view)
    return np.where(view.bare_face, view.face_depth, depth)


def place_average_head(skin: SkinModel, head: HeadInCrop) -> HeadInCrop:
    """The mean head in the pose that brings its face nearest to that of `head`."""
    face = skin.face_mask > 0.5
    fitted = head.vertices[face] @ head.rotation.T + head.translation
    pose = rigid_alignment(torch.from_numpy(skin.mean[face]), torch.from_numpy(fitted))
    return HeadInCrop(skin.mean, pose.rotation.numpy(), pose.translation.numpy(), head.focal, head.size)


def _continued(depth: Float[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Every pixel's depth at the nearest known pixel."""
    return nearest_value(np.where(known, depth, 0.0), known)[0]
