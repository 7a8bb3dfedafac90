"""Random changes to face crops: placement (with the labels that follow it), colour, sharpness."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from portrait3d.geometry.pose import Pose, rotation_from_axis_angle
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE

MIDDLE = FACE_SIZE / 2


def move_points(
    points: Float[Tensor, "B P 2"],
    shift: Float[Tensor, "B 2"],
    scale: Float[Tensor, " B"],
    angle: Float[Tensor, " B"],
) -> Float[Tensor, "B P 2"]:
    """Points of a face crop (pixels of 224) in another crop of the same photo.

    The other crop is centred `shift` away, shows everything `scale` times as large and turned by `angle`
    (radians, clockwise): u' = C + scale Q(angle) (u - C - shift).
    """
    return MIDDLE + (points - MIDDLE - shift[:, None]) @ _turn(angle).transpose(1, 2) * scale[:, None, None]


def move_pose(
    pose: Pose, shift: Float[Tensor, "B 2"], scale: Float[Tensor, " B"], angle: Float[Tensor, " B"]
) -> Pose:
    """The pose that explains the crop of `move_points`: its camera is turned towards the new centre.

    Exact for rotations about the axis, right to about 0.2 px of 224 for the shifts and scales of crops.
    """
    # The camera turns about its centre until it looks at the new middle.
    ray = F.normalize(torch.cat([shift / FACE_FOCAL, torch.ones_like(shift[:, :1])], dim=1), dim=1)
    axis = torch.stack([ray[:, 1], -ray[:, 0], torch.zeros_like(ray[:, 0])], dim=1)
    sine = axis.norm(dim=1, keepdim=True)
    look = rotation_from_axis_angle(axis / sine.clamp_min(1e-9) * torch.atan2(sine, ray[:, 2:]))
    roll = torch.zeros_like(look)
    roll[:, :2, :2], roll[:, 2, 2] = _turn(angle), 1.0
    moved = Pose(roll @ look, torch.zeros_like(pose.translation)) @ pose
    # The crop's focal length is fixed: what is shown larger is nearer.
    zoom = torch.stack([torch.ones_like(scale), torch.ones_like(scale), 1 / scale], dim=1)
    return Pose(moved.rotation, moved.translation * zoom)


def warp_crops(
    images: UInt8[np.ndarray, "B H W 3"],
    margin: float,
    shift: Float[Tensor, "B 2"],
    scale: Float[Tensor, " B"],
    angle: Float[Tensor, " B"],
    size: int,
    mirrored: Bool[Tensor, " B"] | None = None,
) -> Float[Tensor, "B 3 size size"]:
    """Cut the crops of `move_points` out of wider ones, which cover `margin` times the face crop.

    Wide crops are uint8, the result is RGB in [0, 1]. `mirrored` reflects the wide crop first; the shift then
    refers to the reflected one.
    """
    line = (torch.arange(size) + 0.5) / size * FACE_SIZE - MIDDLE
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).flatten(0, 1)
    grid = (grid @ _turn(angle) / scale[:, None, None] + shift[:, None]) / (MIDDLE * margin)
    if mirrored is not None:
        grid = torch.stack([torch.where(mirrored[:, None], -grid[..., 0], grid[..., 0]), grid[..., 1]], -1)
    source = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return F.grid_sample(source, grid.unflatten(1, (size, size)), align_corners=False)


def vary_colour(images: Float[Tensor, "B 3 S S"], random: np.random.Generator) -> Float[Tensor, "B 3 S S"]:
    """Random gamma, contrast, saturation (sometimes none) and tint."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.from_numpy(random.uniform(low, high, (len(images), 1, 1, 1)).astype(np.float32))

    images = images.clamp(0, 1) ** torch.exp(uniform(-0.4, 0.4))
    # Contrast is changed about the mean, and the mean, brightness, by itself.
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * uniform(0.65, 1.35) + mean * uniform(0.75, 1.25)
    gray = images.mean(1, keepdim=True)
    saturation = torch.where(uniform(0.0, 1.0) < 0.1, 0.0, uniform(0.5, 1.4))
    images = gray + (images - gray) * saturation
    tint = torch.from_numpy(random.normal(0, 0.05, (len(images), 3, 1, 1)).astype(np.float32))
    return (images * (1 + tint)).clamp(0, 1)


def degrade(images: Float[Tensor, "B 3 S S"], random: np.random.Generator) -> Float[Tensor, "B 3 S S"]:
    """Low resolution, blur, noise and JPEG, each for some of the images."""
    images, (batch, _, size, _) = images.clone(), images.shape
    few = random.permutation(batch)[: int(0.3 * batch)]
    if len(few):
        low = int(random.uniform(0.3, 0.8) * size)
        small = F.interpolate(images[few], (low, low), mode="bilinear", antialias=True)
        images[few] = F.interpolate(small, (size, size), mode="bilinear")
    few = random.permutation(batch)[: int(0.15 * batch)]
    if len(few):
        images[few] = blur(images[few], size / 128 * random.uniform(0.3, 2.5, 2), random.uniform(0, np.pi))
    few = random.permutation(batch)[: int(0.2 * batch)]
    noise = random.normal(0, random.uniform(0.01, 0.06), (len(few), 3, size, size))
    images[few] += torch.from_numpy(noise.astype(np.float32))
    for i in np.flatnonzero(random.random(batch) < 0.1):
        images[i] = _compressed(images[i], int(random.integers(15, 60)))
    return images.clamp(0, 1)


def blur(
    images: Float[Tensor, "B 3 S S"], sigma: Float[np.ndarray, "2"], angle: float
) -> Float[Tensor, "B 3 S S"]:
    """Blur by an elliptic Gaussian with these deviations (pixels), turned by an angle: lens or motion."""
    line = np.arange(-7, 8)
    x, y = np.meshgrid(line, line)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    kernel = np.exp(-((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2) / 2)
    weight = torch.from_numpy((kernel / kernel.sum()).astype(np.float32)).expand(3, 1, 15, 15)
    return F.conv2d(F.pad(images, (7, 7, 7, 7), mode="replicate"), weight, groups=3)


def _compressed(image: Float[Tensor, "3 H W"], quality: int) -> Float[Tensor, "3 H W"]:
    """The image after JPEG at some quality."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file).convert("RGB"))
    return torch.from_numpy(decoded).permute(2, 0, 1).float() / 255


def _turn(angle: Float[Tensor, " B"]) -> Float[Tensor, "B 2 2"]:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=1).unflatten(1, (2, 2))
