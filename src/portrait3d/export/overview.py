"""One picture that shows everything known about a portrait."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from portrait3d.export.images import PARSING_COLOURS
from portrait3d.export.sheets import contact_sheet
from portrait3d.parsing_classes import HEAD
from portrait3d.portrait import Portrait
from portrait3d.rendering.view import frame_head, render_view

CELL = 320
"""Pixels of a panel's side."""
LEAST_WEIGHT = 0.02
"""Share of the depth's pixels around that must be known; what they know is then carried on to the outline."""
LANDMARK_LINES = (
    *(range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)),
    *((*range(36, 42), 36), (*range(42, 48), 42), (*range(48, 60), 48), (*range(60, 68), 60)),
)
"""Landmarks that belong to one line: jaw, brows, nose, eyes, lips."""
DEPTH_COLOURS = np.array(
    [(250, 240, 120), (122, 209, 81), (34, 168, 132), (42, 120, 142), (65, 68, 135), (68, 1, 84)], np.float32
)
"""From near to far (anchors of matplotlib's viridis)."""


def overview(
    portrait: Portrait, turned: Mapping[float, UInt8[np.ndarray, "H W 3"]] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Photo, landmarks, parsing and depth over the head from three sides; to the right `turned` photos.

    `turned` has the photos by their yaw in degrees.
    """
    depth, valid = depth_of_photo(portrait)
    above = [
        ("photo", portrait.photo.pixels),
        ("landmarks", draw_landmarks(portrait)),
        ("parsing", close_up(portrait, tint_classes(portrait.photo.pixels, portrait.parsing))),
        ("depth", close_up(portrait, colour_depth(depth, valid))),
    ]
    below = [
        ("head", side_view(portrait, 0.0)),
        ("30° left", side_view(portrait, -30.0)),
        ("30° right", side_view(portrait, 30.0)),
        ("shape", side_view(portrait, 30.0, "clay")),
    ]
    for number, (yaw, pixels) in enumerate(sorted((turned or {}).items())):
        (below if number % 2 else above).append((f"yaw {yaw:+.0f}°", pixels))
    if len(below) < len(above):
        below.append(("", np.full((1, 1, 3), 255, np.uint8)))
    labels, images = zip(*above, *below, strict=True)
    return contact_sheet(images, len(above), labels, cell=(CELL, CELL))


def side_view(
    portrait: Portrait, yaw: float, style: Literal["photo", "clay"] = "photo"
) -> UInt8[np.ndarray, "CELL CELL 3"]:
    """The head alone, turned to an absolute yaw (degrees) whatever the photo's pose."""
    pose, camera = frame_head(portrait.head, yaw, 0.0, CELL)
    return render_view(portrait.head, pose, camera, style=style)


def depth_of_photo(portrait: Portrait) -> tuple[Float[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Depth (mm) at the photo's pixels and where it is known: on the parsed head, whose outline is finer.

    Turning the crop upright is a rotation about the optical axis: depth stays what it is.
    """
    found = portrait.depth
    known = found.head.float()
    depth = torch.where(found.head, found.front, torch.zeros_like(known))
    wide = portrait.head_crop.wide_crop(found.camera.width)
    restored, weight = wide.restore(torch.stack([depth, known]), *portrait.photo.pixels.shape[:2])
    # Depth and its mask are brought back alike; their quotient is depth without the zeros beside it.
    valid = (weight > LEAST_WEIGHT) & torch.from_numpy(np.isin(portrait.parsing, HEAD))
    return torch.where(valid, restored / weight.clamp_min(LEAST_WEIGHT), restored).numpy(), valid.numpy()


def draw_landmarks(portrait: Portrait) -> UInt8[np.ndarray, "CELL CELL 3"]:
    """The 68 landmarks over a close-up of the photo."""
    left, top, right, _ = _head_square(portrait)
    scale = 2 * CELL / (right - left)
    image = Image.fromarray(close_up(portrait, portrait.photo.pixels, 2 * CELL))
    draw = ImageDraw.Draw(image)
    points = [((x - left) * scale, (y - top) * scale) for x, y in portrait.landmarks.tolist()]
    for line in LANDMARK_LINES:
        draw.line([points[index] for index in line], (255, 255, 255), 2)
    for x, y in points:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), (30, 200, 90))
    return np.array(image.resize((CELL, CELL), Image.Resampling.LANCZOS))


def colour_depth(
    depth: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Depth as colours, near yellow, far violet, unknown white."""
    if not valid.any():
        return np.full((*depth.shape, 3), 255, np.uint8)
    near, far = np.percentile(depth[valid], [1, 99])
    place = np.clip((depth - near) / max(far - near, 1e-3), 0, 1) * (len(DEPTH_COLOURS) - 1)
    anchors = np.arange(len(DEPTH_COLOURS))
    colours = np.stack([np.interp(place, anchors, channel) for channel in DEPTH_COLOURS.T], axis=-1)
    return np.where(valid[..., None], colours, 255).round().astype(np.uint8)


def tint_classes(
    pixels: UInt8[np.ndarray, "H W 3"], labels: UInt8[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The photo under the colours of the parsing's classes; the background fades."""
    colours = np.array([(255, 255, 255), *PARSING_COLOURS[1:]], np.float32)[labels]
    return (0.45 * pixels + 0.55 * colours).round().astype(np.uint8)


def close_up(
    portrait: Portrait, pixels: UInt8[np.ndarray, "H W 3"], size: int = CELL
) -> UInt8[np.ndarray, "size size 3"]:
    """The square around the head, black off the photo."""
    image = Image.fromarray(pixels).crop(_head_square(portrait))
    return np.array(image.resize((size, size), Image.Resampling.LANCZOS))


def _head_square(portrait: Portrait) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the head crop, not turned upright."""
    crop = portrait.head_crop
    side = max(2, round(crop.side))
    left, top = (round(middle - side / 2) for middle in crop.centre)
    return left, top, left + side, top + side
