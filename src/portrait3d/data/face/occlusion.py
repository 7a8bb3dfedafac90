"""Things before a face that its shape must not follow: glasses, hands and rectangles, drawn on crops."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

SHARES = {"glasses": 0.08, "hand": 0.08, "rectangle": 0.1}
"""How many of the images get which."""
FINER = 2
"""Shapes are drawn at this many times the resolution."""


def cover(
    images: Float[Tensor, "B 3 S S"], landmarks: Float[Tensor, "B 68 2"], random: np.random.Generator
) -> Float[Tensor, "B 3 S S"]:
    """The images, some of them with something before the face; `landmarks` are pixels of the images."""
    drawers: dict[str, Callable] = {"glasses": draw_glasses, "hand": draw_hand, "rectangle": draw_rectangle}
    images, size = images.clone(), images.shape[-1]
    chosen = random.random((len(images), len(SHARES))) < np.array(list(SHARES.values()))
    for i, k in zip(*np.nonzero(chosen), strict=True):
        layer = Image.new("RGBA", (size * FINER, size * FINER))
        points = landmarks[i].double().numpy() * FINER
        drawers[list(SHARES)[k]](layer, points, random)
        layer = layer.filter(ImageFilter.GaussianBlur(random.uniform(0, 1) * FINER))
        values = np.asarray(layer.resize((size, size), Image.Resampling.BOX), np.float32) / 255
        colour, alpha = torch.from_numpy(values).permute(2, 0, 1).split([3, 1])
        images[i] += alpha * (colour - images[i])
    return images


def draw_glasses(
    layer: Image.Image, landmarks: Float[np.ndarray, "68 2"], random: np.random.Generator
) -> None:
    """Rims and lenses around the eyes, and a bridge; clear, tinted or black."""
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    across = right - left
    distance = max(float(np.hypot(*across)), 4.0)
    along = across / distance
    down = np.array([-along[1], along[0]])
    half = random.uniform(0.32, 0.44) * distance * along, random.uniform(0.22, 0.38) * distance * down
    power, angle = 2 / random.uniform(2, 4.5), np.linspace(0, 2 * np.pi, 33)
    cos, sin = np.cos(angle), np.sin(angle)
    # A superellipse: from round to square lenses.
    rim = (np.sign(cos) * np.abs(cos) ** power)[:, None] * half[0]
    rim = rim + (np.sign(sin) * np.abs(sin) ** power)[:, None] * half[1] + 0.05 * distance * down
    dark = random.random() < 0.3
    lens = _colour(random.uniform(0, 0.3, 3) if dark else random.uniform(0.4, 1, 3))
    opacity = int(255 * (random.uniform(0.5, 1) if dark else random.uniform(0, 0.25)))
    frame, width = (
        _colour(random.random(3) * random.uniform(0, 1)),
        max(int(random.uniform(0.02, 0.09) * distance), 1),
    )
    pen = ImageDraw.Draw(layer)
    for eye in (left, right):
        shape = (eye + rim).ravel().tolist()
        pen.polygon(shape, fill=(*lens, opacity))
        pen.line(shape, fill=(*frame, 255), width=width)
    pen.line([*(left + half[0]), *(right - half[0])], fill=(*frame, 255), width=width)


def draw_hand(layer: Image.Image, landmarks: Float[np.ndarray, "68 2"], random: np.random.Generator) -> None:
    """A palm and four fingers of one skin tone, from below or a side over part of the face."""
    extent = float(np.sqrt(np.prod(np.ptp(landmarks, axis=0)))) + 1
    target = landmarks[random.choice([8, 4, 12, 30, 57, 2, 14])] + random.normal(0, 0.08 * extent, 2)
    reach = random.uniform(-0.3 * np.pi, 1.3 * np.pi)
    forward, width = -np.array([np.cos(reach), np.sin(reach)]), random.uniform(0.1, 0.17) * extent
    aside = np.array([-forward[1], forward[0]])
    tone = np.array([0.85, 0.63, 0.52]) * random.uniform(0.25, 1.1) + random.normal(0, 0.03, 3)
    pen = ImageDraw.Draw(layer)
    palm = target - forward * random.uniform(0.35, 0.6) * extent
    wrist = palm - forward * extent
    pen.line([*wrist, *palm], fill=(*_colour(tone * 0.9), 255), width=int(3.2 * width))
    _disc(pen, palm, 1.9 * width, _colour(tone * 0.92))
    for k in range(4):
        root = palm + aside * (k - 1.5) * width
        tip = (
            root
            + forward * random.uniform(0.3, 0.6) * extent
            + aside * (k - 1.5) * random.uniform(0, 0.5) * width
        )
        shade = _colour(tone * random.uniform(0.85, 1.05))
        pen.line([*root, *tip], fill=(*shade, 255), width=int(width))
        _disc(pen, tip, width / 2, shade)


def draw_microphone(
    layer: Image.Image, landmarks: Float[np.ndarray, "68 2"], random: np.random.Generator
) -> None:
    """A round or long head on a stick that comes from below, before mouth or chin."""
    extent = float(np.sqrt(np.prod(np.ptp(landmarks, axis=0)))) + 1
    target = landmarks[random.choice([57, 8, 5, 11])] + random.normal(0, 0.1 * extent, 2)
    width, lean = random.uniform(0.08, 0.2) * extent, random.normal(0, 0.5)
    down = np.array([np.sin(lean), np.cos(lean)])
    end = target + down * width * random.choice([0.0, random.uniform(0.5, 2.5)])
    grey = random.uniform(0.03, 0.7) * (1 + random.normal(0, 0.05, 3))
    pen = ImageDraw.Draw(layer)
    stick = _colour(random.uniform(0.02, 0.6) * np.ones(3))
    pen.line([*end, *(end + down * 3 * extent)], fill=(*stick, 255), width=max(int(0.7 * width), 1))
    pen.line([*target, *end], fill=(*_colour(grey), 255), width=max(int(2 * width), 1))
    for place in (target, end):
        _disc(pen, place, width, _colour(grey))
    _disc(pen, target - 0.3 * width, 0.5 * width, _colour(1.3 * grey))


def draw_rectangle(
    layer: Image.Image, landmarks: Float[np.ndarray, "68 2"], random: np.random.Generator
) -> None:
    """A rectangle of one colour anywhere."""
    width, height = random.uniform(0.1, 0.35, 2) * layer.width
    left, top = random.uniform(0, layer.width - width), random.uniform(0, layer.height - height)
    ImageDraw.Draw(layer).rectangle(
        (left, top, left + width, top + height), fill=(*_colour(random.random(3)), 255)
    )


def _disc(pen: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, colour: tuple[int, ...]) -> None:
    pen.ellipse([*(centre - radius), *(centre + radius)], fill=(*colour, 255))


def _colour(rgb: np.ndarray) -> tuple[int, ...]:
    return tuple(int(value) for value in (255 * rgb).clip(0, 255))
