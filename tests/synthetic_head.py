"""A synthetic portrait with exact depth: the mean head with a cap of hair, seen from the front."""

import math

import numpy as np
import torch
from scipy import ndimage

from portrait3d.geometry import DepthMap, HeadMesh, Mesh, Pose
from portrait3d.geometry.pose import rotation_from_euler
from portrait3d.geometry.skin import FittedHead
from portrait3d.geometry.stitching import stitch
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.models.parsing_net import HEAD_CLASSES
from portrait3d.models.placed_head import place_head, texels
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.detection import Detection
from portrait3d.preprocessing.image import Photo

SIZE = 256
CROP = Crop((128.0, 128.0), 256.0, 0.0, SIZE, zoom=2.0)
CAMERA = CROP.camera()


def fitted_head(model: HeadModel, yaw: float = 0.0) -> FittedHead:
    """The mean head, seen from the front or turned by so many degrees."""
    none = torch.tensor(0.0)
    rotation = rotation_from_euler(torch.tensor(math.radians(yaw)), none, none)
    pose = Pose(rotation, torch.tensor([0.0, 0.0, 900.0]))
    even = torch.zeros(9)
    even[0] = (4 * torch.pi) ** 0.5
    return place_head(model, model.mean, pose, CAMERA, even)


def stitched(head: FittedHead, angle: float = 0.0) -> HeadMesh:
    """That head with its cap of hair as a mesh."""
    depth, parsing, picture = capped_head(head)
    return stitch(head, texels(head.layout, len(picture)), depth, parsing, picture, angle)


def capped_head(head: FittedHead) -> tuple[DepthMap, np.ndarray, np.ndarray]:
    """Hair like a cap of 12 mm on that head: depth, parsing probabilities and a picture in plain colours."""
    skin = np.isfinite(head.depth)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    centre = head.pixels(head.to_camera(np.array([[0.0, -8.0, 40.0]])))[0]
    index = np.where(skin & (head.face_index < len(head.faces)), head.face_index, 0)
    corners = head.faces[index]
    height = np.where(skin, head.model_vertices[corners][..., 1].mean(axis=-1), 200.0)
    ear = skin & (head.ears_mask[corners].max(axis=-1) > 0.5)
    grown = ndimage.binary_dilation(skin & (height < -55), iterations=7) & (y < centre[1] - 25)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[skin] = 6
    labels[skin & (height < 86) & (y < centre[1] + 60)] = 1
    labels[ear & (x < centre[0])] = 3
    labels[ear & (x > centre[0])] = 4
    labels[grown] = 2
    _, source = ndimage.distance_transform_edt(~skin, return_indices=True)
    beyond = ndimage.distance_transform_edt(~skin) * 1.5
    depth = head.depth[source[0], source[1]] + beyond - 12.0 * (labels == 2)
    valid = (labels != 0) & (labels != 6)
    soft = np.stack([ndimage.gaussian_filter((labels == k).astype(float), 0.7) for k in range(9)])
    colours = np.zeros((9, 3), np.uint8)
    colours[[0, 1, 2, 3, 4, 6]] = (
        *((40, 90, 160), (220, 170, 150), (60, 40, 20), (230, 120, 110), (230, 120, 110), (200, 150, 130)),
    )
    picture = np.kron(colours[labels], np.ones((2, 2, 1), np.uint8))
    depth_map = DepthMap(torch.from_numpy(depth).float(), torch.from_numpy(valid), CAMERA)
    return depth_map, soft / soft.sum(axis=0), picture


def synthetic_portrait(height: int = 320, width: int = 340) -> Portrait:
    """That head in front of a noisy wall."""
    model = HeadModel.load()
    head = fitted_head(model)
    depth, parsing, picture = capped_head(head)
    crop = Crop((170.0, 150.0), 300.0, 0.0, SIZE, zoom=2.0)
    pixels = np.random.default_rng(0).integers(90, 110, (height, width, 3), dtype=np.uint8)
    probabilities = torch.from_numpy(parsing).float()
    planes = torch.from_numpy(picture[::2, ::2].copy()).permute(2, 0, 1).float()
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
        camera_from_model=head.camera_from_model,
        face=Mesh(torch.from_numpy(head.vertices).float(), model.faces),
        landmarks=np.zeros((68, 2), np.float32),
        head_parsing=HeadParsing(
            restored_parsing.argmax(0).numpy().astype(np.uint8),
            parsing.argmax(axis=0).astype(np.uint8),
            probabilities,
            restored_parsing[list(HEAD_CLASSES)].sum(0).numpy(),
        ),
        depth=depth,
        head=stitched(head),
    )
