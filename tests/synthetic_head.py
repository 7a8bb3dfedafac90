"""Synthetic portraits with exact depth: the mean head with simple hairstyles, from the front or turned."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy import ndimage

from portrait3d.geometry import HeadMesh, Mesh, Pose
from portrait3d.geometry.pictures import as_planes
from portrait3d.geometry.pose import rotation_from_euler
from portrait3d.head.assembly import assemble_head
from portrait3d.head.fitted import FittedHead
from portrait3d.head.frame import see_hair, seen_by
from portrait3d.head.hair_view import HairView
from portrait3d.head.placement import place_head, texels
from portrait3d.head.scene import Scene
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.depth_net import HeadDepth
from portrait3d.models.face_depth import render_head_depths
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.parsing_classes import HEAD, ParsingClass
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.detection import Detection
from portrait3d.preprocessing.image import Photo

Style = Literal["cap", "bald", "fringe", "half-covered ears", "long"]
STYLES: tuple[Style, ...] = ("cap", "bald", "fringe", "half-covered ears", "long")
SIZE = 256
CROP = Crop((128.0, 128.0), 256.0, 0.0, SIZE, zoom=2.0)
CAMERA = CROP.camera()
WIDE = 128
"""Pixels of the wide crop."""
GROWN = 416
"""Pixels of a crop like the head's that holds the wide crop."""
GROWN_CAMERA = Crop((0.0, 0.0), 1.0, 0.0, GROWN, zoom=2.0 * GROWN / SIZE).camera()
THICKNESS = 12.0
"""How far hair stands off the head, mm."""
COLOURS = np.array(
    [
        *((40, 90, 160), (220, 170, 150), (60, 40, 20), (230, 120, 110), (230, 120, 110), (150, 40, 40)),
        *((200, 150, 130), (30, 30, 90), (90, 160, 60)),
    ],
    np.uint8,
)
"""Of every class."""


@dataclass(frozen=True)
class Sitter:
    """What the networks would say of a synthetic head in the head crop."""

    head: FittedHead
    labels: UInt8[np.ndarray, "S S"]
    depth: HeadDepth

    def with_hair_at(self, millimetres: float | Float[np.ndarray, "S S"]) -> "Sitter":
        """The same with what the networks say of hair's front so much farther away, mm."""
        farther = torch.from_numpy(np.broadcast_to(millimetres, self.labels.shape).copy()).float()
        moved = self.depth.front + seen_by(farther[None], CAMERA, self.depth.camera)[0]
        return replace(self, depth=replace(self.depth, front=moved))

    @property
    def picture(self) -> UInt8[np.ndarray, "2S 2S 3"]:
        """Every class in its own plain colour."""
        return np.kron(COLOURS[self.labels], np.ones((2, 2, 1), np.uint8))

    @property
    def matte(self) -> Float[torch.Tensor, "2S 2S"]:
        """1 on the head, with a soft outline."""
        shown = np.kron(np.isin(self.labels, HEAD), np.ones((2, 2)))
        return torch.from_numpy(ndimage.gaussian_filter(shown, 1.0)).float()

    @property
    def view(self) -> HairView:
        """Its hair as the head crop's camera sees it."""
        return see_hair(self.head, self.labels, self.depth, CROP)

    def scene(self, picture: UInt8[np.ndarray, "2S 2S 3"] | None = None) -> Scene:
        """Its picture, or another one, with its classes."""
        return Scene.of(as_planes(self.picture if picture is None else picture), self.labels, self.matte)

    def mesh(
        self, angle: float = 0.0, picture: np.ndarray | None = None, *, delight: bool = False
    ) -> HeadMesh:
        """Its layers as one mesh."""
        pair = texels(self.head.layout, 2 * SIZE)
        scene = self.scene(picture)
        return assemble_head(self.head, self.view, scene, pair, 2 * SIZE, angle, delight=delight)


def fitted_head(model: HeadModel, yaw: float = 0.0) -> FittedHead:
    """The mean head, seen from the front or turned by so many degrees."""
    none = torch.tensor(0.0)
    rotation = rotation_from_euler(torch.tensor(math.radians(yaw)), none, none)
    pose = Pose(rotation, torch.tensor([0.0, 0.0, 900.0]))
    even = torch.zeros(9)
    even[0] = (4 * torch.pi) ** 0.5
    return place_head(model, model.mean, pose, CAMERA, even)


def sitter(model: HeadModel, style: Style = "cap", yaw: float = 0.0) -> Sitter:
    """The mean head with a hairstyle, its depth exact in front and behind."""
    head = fitted_head(model, yaw)
    labels = classes(head, style)
    return Sitter(head, labels, surfaces(model, head, labels, style))


def classes(head: FittedHead, style: Style) -> UInt8[np.ndarray, "S S"]:
    """Classes of the crop's pixels."""
    skin = np.isfinite(head.depth)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    centre = head.pixels(head.to_camera(np.array([[0.0, -8.0, 40.0]])))[0]
    index = np.where(skin & (head.face_index < len(head.faces)), head.face_index, 0)
    corners = head.faces[index]
    height = np.where(skin, head.model_vertices[corners][..., 1].mean(axis=-1), 200.0)
    ear = skin & (head.ears_mask[corners].max(axis=-1) > 0.5)
    brow = {"cap": -55, "fringe": -38, "half-covered ears": -55, "long": -55, "bald": -999}[style]
    hair = ndimage.binary_dilation(skin & (height < brow), iterations=7) & (y < centre[1] - 12)
    if style == "half-covered ears":
        hair |= ndimage.binary_dilation(ear, iterations=3) & (y < np.median(np.nonzero(ear)[0]))
    if style == "long":
        aside = np.abs(x - centre[0])
        hair |= (aside > 38) & (aside < 62) & (y > centre[1] - 30) & (y < centre[1] + 95)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[skin] = ParsingClass.NECK
    labels[skin & (height < 86) & (y < centre[1] + 60)] = ParsingClass.FACE
    labels[ear & (x < centre[0])] = ParsingClass.LEFT_EAR
    labels[ear & (x > centre[0])] = ParsingClass.RIGHT_EAR
    labels[hair] = ParsingClass.HAIR
    return labels


def surfaces(model: HeadModel, head: FittedHead, labels: UInt8[np.ndarray, "S S"], style: Style) -> HeadDepth:
    """A hairstyle's first and last surface: behind as thick as in front, down to the nape or the back."""
    wide = CROP.wide_crop(WIDE)
    camera = wide.camera()
    depths = render_head_depths(model, model.mean[None], head.camera_from_model.batched, camera)
    seen = np.isfinite(depths.far[0].numpy()) & depths.mask[0].numpy()
    far, near = (np.where(seen, depth[0].numpy(), 0.0) for depth in (depths.far, depths.near))
    row, column = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    far, near = far[row, column], near[row, column]
    y, x = np.mgrid[: wide.size, : wide.size] + 0.5
    centre = wide.size / 2
    rays = np.stack(
        [(x - centre) / float(camera.focal), (y - centre) / float(camera.focal), np.ones_like(x)], -1
    )
    inner = head.to_model((rays * far[..., None]).reshape(-1, 3)).reshape(*far.shape, 3)
    lowest = 140.0 if style == "long" else 40.0
    hairy = (inner[..., 1] < lowest) & (inner[..., 2] > 25) if style != "bald" else np.zeros_like(seen)
    if style == "long":
        far = np.where(
            inner[..., 1] > 30, np.maximum(far, head.to_camera(np.array([[0, 0, 110.0]]))[0, 2]), far
        )
    maps = [near - THICKNESS, far + THICKNESS * hairy, hairy]
    first, last, is_hair = (torch.from_numpy(np.ascontiguousarray(m)).float() for m in maps)
    scale = torch.ones_like(first)
    parsed = torch.from_numpy(np.isin(np.pad(labels, (GROWN - SIZE) // 2), HEAD)).float()
    shown = seen_by(parsed[None], GROWN_CAMERA, camera)[0] > 0.5
    return HeadDepth(first, last, is_hair, shown, torch.from_numpy(seen), scale, scale, camera)


def synthetic_portrait(height: int = 320, width: int = 340, style: Style = "cap") -> Portrait:
    """That head in front of a noisy wall."""
    model = HeadModel.load()
    known = sitter(model, style)
    crop = Crop((170.0, 150.0), 300.0, 0.0, SIZE, zoom=2.0)
    pixels = np.random.default_rng(0).integers(90, 110, (height, width, 3), dtype=np.uint8)
    soft = np.stack([ndimage.gaussian_filter((known.labels == k).astype(float), 0.7) for k in range(9)])
    probabilities = torch.from_numpy(soft / soft.sum(axis=0)).float()
    planes = torch.from_numpy(COLOURS[known.labels]).permute(2, 0, 1).float()
    restored = crop.restore(planes, height, width).round().byte().permute(1, 2, 0).numpy()
    restored_parsing = crop.restore(probabilities, height, width)
    shown = restored_parsing[1:].sum(0).numpy() > 0.5
    pixels[shown] = restored[shown]
    return Portrait(
        photo=Photo(pixels, "synthetic"),
        detection=Detection(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32)),
        camera=crop.photo_camera(height, width),
        head_crop=crop,
        coefficients=FaceCoefficients.from_vector(torch.zeros(80 + 64 + 80 + 9)),
        camera_from_model=known.head.camera_from_model,
        face=Mesh(torch.from_numpy(known.head.vertices).float(), model.faces),
        landmarks=np.zeros((68, 2), np.float32),
        head_parsing=HeadParsing(
            restored_parsing.argmax(0).numpy().astype(np.uint8),
            known.labels,
            probabilities,
            restored_parsing[[int(k) for k in HEAD]].sum(0).numpy(),
        ),
        depth=known.depth,
        head_model=model,
    )
