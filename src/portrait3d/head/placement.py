"""The head model placed in a head crop: what its layers start from."""

import weakref

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import HeadPiece, vertex_normals
from portrait3d.geometry.pose import Pose
from portrait3d.head.ears import ear_light, fit_ears
from portrait3d.head.fitted import FittedHead
from portrait3d.head.layout import SIDES, HeadLayout, Texels, pack
from portrait3d.models.head_model import HeadModel
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import spherical_harmonics

PIECES = {
    "left_eyeball": HeadPiece.RIGHT_EYE,
    "right_eyeball": HeadPiece.LEFT_EYE,
    "upper_teeth": HeadPiece.TEETH,
    "lower_teeth": HeadPiece.TEETH,
    "tongue": HeadPiece.TONGUE,
    "mouth_cavity": HeadPiece.MOUTH_CAVITY,
}
"""Pieces of the head mesh by the head model's parts: left and right of the picture, not the person's own."""

KEPT = 2
"""Sizes of textures whose texels are kept."""

_texels: "weakref.WeakKeyDictionary[HeadLayout, dict[int, tuple[Texels, Texels]]]" = (
    weakref.WeakKeyDictionary()
)
_layouts: "weakref.WeakKeyDictionary[HeadModel, HeadLayout]" = weakref.WeakKeyDictionary()


def head_layout(model: HeadModel) -> HeadLayout:
    """The layout of a head model; made once for each."""
    if model not in _layouts:
        piece = np.array([PIECES.get(name, HeadPiece.SURFACE) for name in model.part_names], np.uint8)
        faces, corners = model.faces.numpy(), model.uv_faces.numpy()
        uv, mean = model.uv.double().numpy(), model.mean.double().numpy()
        # Places in the texture outnumber vertices: the layout has seams.
        vertex = np.zeros(len(uv), np.int64)
        vertex[corners] = faces
        _layouts[model] = HeadLayout(
            faces=faces,
            piece=piece[model.face_part.numpy()],
            mirror=model.mirror.numpy(),
            ear_light=ear_light(
                mean, model.skin_faces.numpy(), model.ears_mask.double().numpy(), model.mirror.numpy()
            ),
            points=pack(uv, corners, faces, mean),
            point_faces=corners,
            point_vertex=vertex,
        )
    return _layouts[model]


def texels(layout: HeadLayout, size: int) -> tuple[Texels, Texels]:
    """Pixels of a texture that show the head model, at full and half resolution.

    `size` is that of the photo's chart, in pixels. Those of the last sizes are kept.
    """
    kept = _texels.setdefault(layout, {})
    if size not in kept:
        while len(kept) >= KEPT:
            kept.pop(next(iter(kept)))
        kept[size] = (_texels_of(layout, SIDES * size), _texels_of(layout, SIDES * size // 2))
    return kept[size]


def _texels_of(layout: HeadLayout, side: int) -> Texels:
    # UV rasterisation: the layout drawn flat, at depth 1, tells every texel's triangle and place in it.
    points = torch.from_numpy(layout.points * (side / SIDES)).float()
    screen = torch.cat([points, torch.ones(len(points), 1)], dim=1)[None]
    seen = rasterize(screen, torch.from_numpy(layout.point_faces), side, side)
    index = seen.face_index.flatten()
    place = (index >= 0).nonzero()[:, 0]
    weight = seen.barycentric.reshape(-1, 3)[place].numpy()
    return Texels.of(layout, side, place.numpy(), index[place].numpy(), weight)


def place_head(
    model: HeadModel,
    vertices: Float[Tensor, "V 3"],
    crop_from_model: Pose,
    camera: Camera,
    lighting: Float[Tensor, "9"],
    labels: UInt8[np.ndarray, "H W"] | None = None,
) -> FittedHead:
    """Vertices of the head model (model frame, mm) as the camera of a head crop sees them.

    `lighting` are the nine spherical harmonics of the fitted light, `labels` the classes of the crop: with
    them the ears are moved to where the photo shows them.
    """
    placed = crop_from_model.apply(vertices)
    if labels is not None:
        ears, side = model.ears_mask.double().numpy(), model.mean[:, 0].double().numpy()
        moved = fit_ears(placed.double().numpy(), ears, side, labels, float(camera.focal))
        placed = torch.from_numpy(moved).float()
    seen = rasterize(camera.screen(placed)[None], model.faces, camera.height, camera.width)
    normals = vertex_normals(placed, model.skin_faces)
    irradiance = (spherical_harmonics(normals) * lighting).sum(dim=-1)
    return FittedHead(
        vertices=placed.double().numpy(),
        faces=model.skin_faces.numpy(),
        layout=head_layout(model),
        camera_from_model=crop_from_model,
        face_mask=model.face_mask.double().numpy(),
        ears_mask=model.ears_mask.double().numpy(),
        irradiance=irradiance.double().numpy(),
        face_index=seen.face_index[0].numpy(),
        depth=seen.depth[0].double().numpy(),
        focal=float(camera.focal),
    )
