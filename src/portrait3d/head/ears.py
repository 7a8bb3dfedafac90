"""The head model's ears, moved to where the photo shows them, and the shade in their hollows."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8

from portrait3d.geometry.diffusion import neighbours_mean
from portrait3d.geometry.pixels import pixel_under, smoothstep
from portrait3d.geometry.skin import normals
from portrait3d.geometry.topology import Topology
from portrait3d.parsing_classes import EARS
from portrait3d.rendering.rasterizer import rasterize

FEWEST = 25
"""Pixels of an ear from which its place is known."""
HEIGHT, WIDTH = (0.85, 1.25), (0.6, 1.8)
"""Range in which an ear is scaled."""
FARTHEST = 14.0
"""Pixels of the crop by which an ear moves at most."""
DIRECTIONS = 64
"""From which light may come, all around; the head hides half of them from an ear."""
REACH, GRID = 60.0, 96
"""What is within this distance of an ear's middle, mm, shades it; pixels across twice that."""
BIAS = 1.5
"""A vertex is hidden by what lies so far before it, mm."""


def fit_ears(
    vertices: Float[np.ndarray, "V 3"],
    ears_mask: Float[np.ndarray, " V"],
    side: Float[np.ndarray, " V"],
    labels: UInt8[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, "V 3"]:
    """The model's vertices with each ear shifted and scaled in the picture to the ear that the photo shows.

    The ear stays where it grows from the head; its outer rim and its lobe move to those of the parsed ear,
    as does its top unless hair covers it.

    Args:
        vertices: Crop camera, mm.
        ears_mask: 1 on the ears, 0 off them.
        side: Negative for vertices of the ear on the picture's left.
        labels: Classes of the head crop.
        focal: Of the crop's camera, pixels.
    """
    moved = vertices.copy()
    pixels = focal * vertices[:, :2] / vertices[:, 2:] + np.array(labels.shape[::-1]) / 2
    for sign, label in zip((-1, 1), EARS, strict=True):
        row, column = np.nonzero(labels == label)
        # `sign` makes outward positive on either side. The root is the ring along which the ear grows from
        # the head.
        own = (ears_mask > 0.5) & (sign * side > 0)
        root = (ears_mask > 0.02) & (ears_mask < 0.3) & (sign * side > 0)
        if len(row) < FEWEST or not own.any() or not root.any():
            continue
        x, y = pixels[own].T
        inner, outer = float(np.median(pixels[root, 0])), float((x * sign).max() * sign)
        # A quantile rather than the outermost pixel, and half a pixel from its centre to its edge.
        wanted = float(np.quantile((column + 0.5) * sign, 0.97) * sign) + 0.5 * sign
        across = np.clip((wanted - inner) * sign / max((outer - inner) * sign, 1.0), *WIDTH)
        top, bottom = float(y.min()), float(y.max())
        high, low = np.quantile(row + 0.5, [0.02, 0.98])
        along = np.clip((low - high) / max(bottom - top, 1.0), *HEIGHT)
        # Scaled about the root across and about the lobe along: hair may cover the top.
        shift_x = inner + (pixels[:, 0] - inner) * across - pixels[:, 0]
        shift_y = low + (pixels[:, 1] - bottom) * along - pixels[:, 1]
        shift = np.clip(np.stack([shift_x, shift_y], axis=1), -FARTHEST, FARTHEST)
        share = smoothstep(ears_mask / 0.5) * (sign * side > 0)
        # From pixels to millimetres at each vertex's depth.
        moved[:, :2] += shift * share[:, None] * vertices[:, 2:] / focal
    return moved


def ear_light(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    ears_mask: Float[np.ndarray, " V"],
    mirror: Int64[np.ndarray, " V"],
) -> Float[np.ndarray, " V"]:
    """How much of an even light reaches the ears' skin (ambient occlusion), over their median; 1 elsewhere.

    Args:
        vertices: A head that is the same on both sides, mm; its ears stick out along x.
        faces: Triangles of its skin.
        ears_mask: 1 on the ears, 0 off them.
        mirror: The vertex on the other side.
    """
    ear = (ears_mask > 0) & (vertices[:, 0] > 0)
    near = np.linalg.norm(vertices - vertices[ear].mean(axis=0), axis=1) < REACH
    around = faces[near[faces].all(axis=1)]
    places = vertices - vertices[ear].mean(axis=0)
    upright = normals(vertices, faces)
    light, most = np.zeros(len(vertices)), np.full(len(vertices), 1e-9)
    for direction in sphere(DIRECTIONS):
        # What comes from the head's own side is hidden by it.
        if direction[0] <= 0:
            continue
        cosine = np.clip(upright @ direction, 0, None)
        light += cosine * lit_from(direction, places, around)
        most += cosine
    share = light / most
    # A vertex is lit or not: its neighbours make that gradual.
    share = neighbours_mean(Topology.of(faces, len(vertices)), share[:, None])[:, 0]
    shade = share / np.median(share[ear & (ears_mask > 0.5)])
    own = np.where(ear, 1 + ears_mask * (shade - 1), 1.0)
    return own * own[mirror]


def sphere(count: int) -> Float[np.ndarray, "N 3"]:
    """Unit vectors, evenly in all directions (a Fibonacci lattice)."""
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    turn = math.pi * (1 + math.sqrt(5)) * np.arange(count)
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)


def lit_from(
    direction: Float[np.ndarray, "3"], places: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"]
) -> Float[np.ndarray, " V"]:
    """1 for vertices that nothing hides from a far light, 0 for others; `places` are within `REACH` of 0."""
    across = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(direction, across), -direction], axis=1)
    seen = places @ axes * [GRID / (2 * REACH), GRID / (2 * REACH), 1] + [GRID / 2, GRID / 2, 2 * REACH]
    screen = torch.from_numpy(seen).float()[None]
    depth = rasterize(screen, torch.from_numpy(faces), GRID, GRID).depth[0].numpy()
    return (seen[:, 2] < depth[pixel_under(seen[:, :2], depth.shape)] + BIAS).astype(np.float64)
