"""Hats, caps, headbands and scarves drawn over photographed heads, since few photos come with any."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer
from scipy import ndimage

from portrait3d.parsing_classes import EARS, ParsingClass

# fmt: off
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
"""The outline of the face among the 468 mesh points, in order."""
# fmt: on


@dataclass(frozen=True, slots=True)
class Layer:
    """Something drawn over an image: coverage and colour, and the shade that it throws on what is below."""

    alpha: Float[np.ndarray, "H W"]
    color: Float[np.ndarray, "H W 3"]
    shade: Float[np.ndarray, "H W"]
    """Factor on the image below."""


@dataclass(frozen=True, slots=True)
class _Head:
    """The head in its own frame: x right, y up, in face heights, origin between the brows."""

    x: Float[np.ndarray, "H W"]
    y: Float[np.ndarray, "H W"]
    pixel: float
    """Size of a pixel in the frame."""
    hairline: float
    """Height of the top of the forehead."""
    oval: Float[np.ndarray, "36 2"]
    left: float
    right: float
    top: float
    """Extent of hair and face above the brows."""


def draw_headwear(
    labels: Integer[np.ndarray, "H W"], points: Float[np.ndarray, "468 2"], random: np.random.Generator
) -> Layer:
    """Headwear of a random kind for the head that labels and mesh points (pixels) describe."""
    head = _measure(labels, points)
    kind = random.choice(["beanie", "cap", "hat", "band", "scarf"], p=[0.25, 0.25, 0.15, 0.15, 0.2])
    middle, half = (head.left + head.right) / 2, (head.right - head.left) / 2
    x = head.x - middle
    height = random.uniform(0.35, 0.95) * head.hairline
    brim = height + random.uniform(-0.25, 0.1) * (x / half) ** 2 + random.uniform(-0.04, 0.04) * x / half
    a = half * random.uniform(1.04, 1.18)
    b = max(head.top - height, 0.25) * random.uniform(1.05, 1.25)
    power = random.uniform(2.0, 3.2)
    up = (head.y - brim) / b
    # A superellipse: from a dome to a box.
    radius = (np.abs(x / a) ** power + np.abs(np.clip(up, -1, None)) ** power) ** (1 / power)
    dome = np.minimum((1 - radius) * min(a, b), head.y - brim)
    color = _cloth(x / a, up, random, knitted=kind == "beanie")
    shade = np.ones_like(x)
    if kind == "band":
        width = random.uniform(0.06, 0.22)
        inside = np.isin(labels, [ParsingClass.FACE, ParsingClass.HAIR, *EARS])
        distance = _signed_distance(inside) * head.pixel + 0.02
        region = np.minimum(np.minimum(head.y - brim, brim + width - head.y), distance)
    elif kind == "scarf":
        region = _scarf(head, labels, random)
    else:
        region = dome
        if kind == "beanie" and random.random() < 0.6:
            cuff = (head.y - brim < random.uniform(0.08, 0.2)) * random.uniform(0.75, 1.2)
            color = color * np.where(cuff > 0, cuff, 1.0)[..., None]
        if kind == "beanie" and random.random() < 0.25:
            region = np.maximum(region, 0.1 - np.hypot(x, head.y - height - b))
        if kind == "cap":
            region, color = _add_visor(region, color, head, x, brim, a, random)
        if kind == "hat":
            reach, thick = a * random.uniform(1.3, 2.1), random.uniform(0.05, 0.16)
            bend = random.uniform(-0.12, 0.12) * (x / a) ** 2
            plate = (1 - np.hypot(x / reach, (head.y - height - bend) / thick)) * thick
            color = color * np.where(plate > 0, random.uniform(0.7, 1.1), 1.0)[..., None]
            ribbon = (head.y - brim > 0) & (head.y - brim < random.uniform(0, 0.15)) & (plate <= 0)
            color = np.where(ribbon[..., None], random.uniform(0, 0.9, 3), color)
            region = np.maximum(region, plate)
    shadow = np.clip((head.y - brim + 0.12) / 0.12, 0, 1) * (np.abs(x) < a)
    shade = 1 - random.uniform(0, 0.5) * ndimage.gaussian_filter(shadow, 0.03 / head.pixel)
    alpha = np.clip(region / head.pixel + 0.5, 0, 1)
    return Layer(alpha.astype(np.float32), color.clip(0, 1).astype(np.float32), shade.astype(np.float32))


def _measure(labels: Integer[np.ndarray, "H W"], points: Float[np.ndarray, "468 2"]) -> _Head:
    brows, chin = points[[55, 285]].mean(0), points[152]
    up = points[10] - chin
    size = float(np.linalg.norm(up))
    up = up / size
    right = np.array([-up[1], up[0]])
    axes = np.stack([right, up], 1) / size
    height, width = labels.shape
    grid = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1) - brows
    x, y = np.moveaxis(grid @ axes, -1, 0)
    oval = (points[OVAL] - brows) @ axes
    left, right_end = float(oval[:, 0].min()), float(oval[:, 0].max())
    hairline = float(((points[10] - brows) @ axes)[1])
    head = _Head(x, y, 1 / size, hairline, oval, left, right_end, hairline + 0.2)
    above = np.isin(labels, [ParsingClass.FACE, ParsingClass.HAIR]) & (y > 0.3 * hairline)
    if above.sum() < 20:
        return head
    return replace(
        head,
        left=float(np.clip(np.quantile(x[above], 0.005), 1.7 * left, left)),
        right=float(np.clip(np.quantile(x[above], 0.995), right_end, 1.7 * right_end)),
        top=float(np.clip(np.quantile(y[above], 0.998), hairline + 0.12, hairline + 0.7)),
    )


def _scarf(
    head: _Head, labels: Integer[np.ndarray, "H W"], random: np.random.Generator
) -> Float[np.ndarray, "H W"]:
    """Cloth around the face: all hair, ears and neck, and an oval around them."""
    middle, half = (head.left + head.right) / 2, (head.right - head.left) / 2
    top = head.top + random.uniform(0.0, 0.12)
    bottom = -random.uniform(0.9, 1.5)
    a, b = half * random.uniform(1.1, 1.35), (top - bottom) / 2
    outer = (1 - np.hypot((head.x - middle) / a, (head.y - (top + bottom) / 2) / b)) * min(a, b)
    covered = np.isin(labels, [ParsingClass.HAIR, ParsingClass.NECK, *EARS])
    outer = np.maximum(outer, _signed_distance(covered) * head.pixel + random.uniform(0.0, 0.04))
    centre = head.oval.mean(0)
    # The opening: the face's outline, a little smaller or larger, lower at the forehead or not.
    oval = (head.oval - centre) * random.uniform(0.92, 1.06) + centre
    oval[:, 1] = np.minimum(oval[:, 1], head.hairline * random.uniform(0.5, 1.2))
    angle = np.arctan2(head.y - centre[1], head.x - centre[0])
    angles = np.arctan2(oval[:, 1] - centre[1], oval[:, 0] - centre[0])
    order = np.argsort(angles)
    reach = np.interp(angle, angles[order], np.hypot(*(oval - centre).T)[order], period=2 * np.pi)
    return np.minimum(outer, np.hypot(head.x - centre[0], head.y - centre[1]) - reach)


def _add_visor(
    region: Float[np.ndarray, "H W"],
    color: Float[np.ndarray, "H W 3"],
    head: _Head,
    x: Float[np.ndarray, "H W"],
    brim: Float[np.ndarray, "H W"],
    half: float,
    random: np.random.Generator,
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]]:
    """A cap's visor below the brim and, perhaps, a badge above it."""
    depth, reach = random.uniform(0.06, 0.2), half * random.uniform(0.75, 1.05)
    side = random.uniform(-0.3, 0.3) * half
    down = brim + 0.03 - head.y
    visor = np.minimum((1 - np.hypot((x - side) / reach, down / depth)) * depth, down)
    tint = color.mean((0, 1)) if random.random() < 0.6 else random.uniform(0, 0.9, 3)
    color = np.where(
        (visor > 0)[..., None], tint * random.uniform(0.5, 1.0) * (1 - 0.8 * down)[..., None], color
    )
    if random.random() < 0.5:
        size = random.uniform(0.05, 0.12)
        badge = np.maximum(np.abs(x - side) / random.uniform(1, 2), np.abs(head.y - brim - 2 * size)) < size
        color = np.where(badge[..., None], random.uniform(0, 1, 3), color)
    return np.maximum(region, visor), color


def _cloth(
    x: Float[np.ndarray, "H W"], y: Float[np.ndarray, "H W"], random: np.random.Generator, *, knitted: bool
) -> Float[np.ndarray, "H W 3"]:
    """Colour of a rounded piece of cloth: a pattern, folds, fibres and light from one side."""
    base, other = (_cloth_color(random) for _ in range(2))
    pattern = random.random()
    mix = np.zeros_like(x)
    frequency = random.uniform(4, 16)
    if pattern < 0.15:
        mix = (np.sin(frequency * y) > random.uniform(-0.5, 0.8)).astype(float)
    elif pattern < 0.25:
        mix = ((np.sin(frequency * x) > 0.3).astype(float) + (np.sin(frequency * y) > 0.3)) / 2
    elif pattern < 0.35:
        mix = (np.sin(frequency * x) * np.sin(frequency * y) > 0.6).astype(float)
    color = base + (other - base) * mix[..., None]
    light = random.normal(size=2) * 0.35
    brightness = 1 + light[0] * x + light[1] * np.clip(y, -1, 1) - random.uniform(0, 0.4) * (x**2).clip(0, 1)
    brightness = brightness + _noise(x.shape, random, 5) * random.uniform(0, 0.35)
    brightness = brightness + _noise(x.shape, random, 16) * random.uniform(0, 0.25)
    if knitted or random.random() < 0.15:
        brightness = brightness + np.sin(random.uniform(20, 60) * x) * random.uniform(0.03, 0.15)
    color = color * brightness.clip(0.25, 1.6)[..., None]
    return color + random.normal(size=(*x.shape, 1)) * random.uniform(0, 0.04)


def _cloth_color(random: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Often dark or muted, sometimes vivid."""
    vivid = random.random() < 0.35
    hue, value = random.random(), random.beta(1.2, 1.4) * 0.9 + 0.04
    saturation = random.uniform(0.5, 1.0) if vivid else random.uniform(0.0, 0.35)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def _noise(shape: tuple[int, ...], random: np.random.Generator, cells: int) -> Float[np.ndarray, "H W"]:
    """Smooth noise of about unit deviation, with so many bumps along a side."""
    grid = random.normal(size=(cells + 1, cells + 1))
    factors = (shape[0] / (cells + 1), shape[1] / (cells + 1))
    return np.asarray(ndimage.zoom(grid, factors, order=1, mode="nearest"))


def _signed_distance(inside: np.ndarray) -> Float[np.ndarray, "H W"]:
    """Distance to the border of a region in pixels, positive inside."""
    if not inside.any():
        return np.full(inside.shape, -1e3)
    within, without = (np.asarray(ndimage.distance_transform_edt(x)) for x in (inside, ~inside))
    return within - without
