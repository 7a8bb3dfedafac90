"""A portrait whose photo has got drawn glasses, with what is known about them."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from portrait3d.data.synthetic.glasses import Glasses, WornGlasses, wear
from portrait3d.geometry.pictures import as_bytes, as_planes
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.reposing.motion import Turn

BLUE = Glasses(24, 17, 3, 3, np.array([0.1, 0.2, 0.9]), np.ones(3), 0.0)
"""A thick blue frame with clear lenses."""


def worn_glasses(
    portrait: Portrait, glasses: Glasses = BLUE, target: HeadAngles | None = None
) -> WornGlasses:
    """Glasses on the face of a portrait, in the photo or after the head has turned."""
    height, width = portrait.photo.pixels.shape[:2]
    turn = Turn(portrait.camera_from_model, target or portrait.pose)

    def placed(points: np.ndarray) -> torch.Tensor:
        moved = portrait.camera_from_model.apply(torch.from_numpy(points).float()).double().numpy()
        return torch.from_numpy(turn.apply(moved, np.ones(len(moved)))).float()

    model = portrait.head_model
    vertices = model.vertices(portrait.coefficients.batched)
    screen = portrait.camera.screen(placed(vertices[0].numpy()))
    depth = rasterize(screen[None], model.faces, height, width).depth[0].double().numpy()
    marks = model.landmarks(vertices)[0].double().numpy()
    return wear(
        glasses,
        marks,
        lambda points: portrait.camera.screen(placed(points)).double().numpy(),
        depth,
        np.random.default_rng(0),
    )


def with_glasses(portrait: Portrait, glasses: Glasses = BLUE) -> Portrait:
    """The portrait of the photo with glasses, which are known exactly."""
    worn = worn_glasses(portrait, glasses)
    pixels = drawn_over(portrait.photo.pixels, worn)
    return replace(portrait, photo=replace(portrait.photo, pixels=pixels), glasses=worn.cover)


def drawn_over(pixels: UInt8[np.ndarray, "H W 3"], worn: WornGlasses) -> UInt8[np.ndarray, "H W 3"]:
    """A photo with glasses."""
    return as_bytes(torch.from_numpy(worn.over(as_planes(pixels).numpy())).float())


def blueness(pixels: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
    """How much bluer than red pixels are, -1 to 1; that of `BLUE` is 0.8."""
    values = pixels.astype(np.float64) / 255
    return values[..., 2] - values[..., 0]
