"""The depths of the fitted face and head, as the depth network is given them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pixels import nearest
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel, neck_vertices
from portrait3d.rendering.rasterizer import rasterize

LEAST_COSINE = 0.12
"""Where the face is seen flatter than this its depth is left out: it makes spikes on the far cheek."""


@dataclass(frozen=True, slots=True)
class FaceDepth:
    """The rendered face of the head model."""

    depth: Float[Tensor, "B H W"]
    """mm, inf where there is no face."""
    mask: Bool[Tensor, "B H W"]
    """The region F of the paper: where the face is seen, whatever may lie in front of it."""
    center: Float[Tensor, " B"]
    """Depth of the head's centre, mm."""


@torch.no_grad()
def render_face_depth(
    head_model: HeadModel, coefficients: FaceCoefficients, camera_from_model: Pose, head_camera: Camera
) -> FaceDepth:
    """Draw the depth of the model's face region, without scalp, ears and neck.

    Coefficients, pose and the camera's focal length are batched.
    """
    faces = face_triangles(head_model)
    points = camera_from_model.apply(head_model.vertices(coefficients))
    fragments = rasterize(head_camera.screen(points), faces, head_camera.height, head_camera.width)
    a, b, c = (points[:, faces[:, k]] for k in range(3))
    normals = torch.linalg.cross(b - a, c - a)
    # Between a triangle's normal and the ray to its middle, a third of this sum.
    cosine = -torch.cosine_similarity(normals, a + b + c, dim=-1)
    seen = fragments.face_index.clamp_min(0)
    steep = cosine.gather(1, seen.flatten(1)).view_as(seen) > LEAST_COSINE
    mask = (fragments.face_index >= 0) & steep
    center = camera_from_model.apply(points.new_tensor(HEAD_CENTRE).expand(len(points), 1, 3))[:, 0, 2]
    depth = torch.where(mask, fragments.depth, torch.inf)
    return FaceDepth(depth, mask, center)


@dataclass(frozen=True, slots=True)
class HeadDepths:
    """The first and the last surface of the fitted head along each ray, without hair."""

    near: Float[Tensor, "B H W"]
    """mm, inf where there is no head."""
    far: Float[Tensor, "B H W"]
    """mm, inf where there is no head, and where the neck's cut end shows one surface alone."""
    center: Float[Tensor, " B"]
    """Depth of the head's centre, mm."""

    @property
    def mask(self) -> Bool[Tensor, "B H W"]:
        """Where there is a head."""
        return self.near.isfinite()


@torch.no_grad()
def render_head_depths(
    head_model: HeadModel, vertices: Float[Tensor, "B V 3"], camera_from_model: Pose, camera: Camera
) -> HeadDepths:
    """Draw the fitted head, scalp, ears and neck included, from the front and from behind.

    Args:
        head_model: Whose triangles are drawn.
        vertices: What `head_model.vertices` gives, model frame, mm.
        camera_from_model: Pose, batched.
        camera: Of any crop; its focal length is batched or one for all.
    """
    screen = camera.screen(camera_from_model.apply(vertices))
    near, far = (
        rasterize(screen, head_model.faces, camera.height, camera.width, farthest=farthest).depth
        for farthest in (False, True)
    )
    centre = vertices.new_tensor(HEAD_CENTRE).expand(len(vertices), 1, 3)
    # Through the neck's open end a ray meets one surface, which is no back.
    closed = torch.where(far > near, far, torch.inf)
    return HeadDepths(near, closed, camera_from_model.apply(centre)[:, 0, 2])


def carried_on(depth: Float[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """A depth map with the nearest known depth where it is not finite; 0 where nothing is known at all."""
    result = torch.zeros_like(depth)
    for filled, given in zip(result, depth, strict=True):
        known = given.isfinite().cpu().numpy()
        if known.any():
            _, (row, column) = nearest(known)
            filled.copy_(given[row, column])
    return result


def face_triangles(head_model: HeadModel) -> Tensor:
    """The skin's triangles that belong to the face, int64 [F, 3], outward."""
    faces = head_model.skin_faces
    on_face = head_model.face_mask[faces].mean(dim=1) > 0.5
    on_neck = neck_vertices(head_model.mean, head_model.face_mask)
    return faces[on_face & ~on_neck[faces].any(dim=1)].contiguous()
