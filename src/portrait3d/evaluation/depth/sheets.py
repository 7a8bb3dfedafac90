"""Contact sheets of depth: photo, true depth, every method's depth and error, worst to best heads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from portrait3d.data.people.model_views import SkinModel
from portrait3d.evaluation.depth.heads import load_or_draw
from portrait3d.evaluation.depth.methods import depth_methods
from portrait3d.evaluation.depth.report import TRUE_FACE, Measured, compare, situations
from portrait3d.pipeline import Portrait3D

TILE = 160
NEAR, FAR = -110.0, 110.0
"""Depths shown, mm before and behind the head's centre."""
WORST_ERROR = 30.0
"""Error (mm) shown in full colour: red is too far, blue too near."""
SHOWN = 3
"""Heads shown of the worst, the middling and the best each."""


def write_depth_sheet(
    model: Portrait3D, measured: Sequence[Measured], path: Path, cache: Path | None = None
) -> Path:
    """Write the worst, middling and best heads of the network, one a row, with the true face given."""
    own = {
        one.index: one.errors.rest_pixel
        for one in measured
        if one.given == TRUE_FACE and one.method == "network" and np.isfinite(one.errors.rest_pixel)
    }
    order = sorted(own, key=lambda index: -own[index])
    middle = max(len(order) // 2 - SHOWN // 2, 0)
    chosen = list(dict.fromkeys([*order[:SHOWN], *order[middle : middle + SHOWN], *order[-SHOWN:]]))
    skin = SkinModel.from_head_model(model.head_model)
    methods = depth_methods(model.depth_net, model.head_model)
    rows = []
    for index in chosen:
        known = load_or_draw(index, cache)
        situation = next(situations(known, model, skin, methods))
        centre = float(situation.view.head.centre[2])
        tiles = [
            tile(known.picture, f"{known.style} {index}"),
            tile(shade(known.depth - centre, known.region), "true depth"),
        ]
        for name, method in methods.items():
            depth, errors = compare(situation, method)
            tiles.append(tile(shade(depth - centre, known.region), name))
            tiles.append(tile(error_colours(errors.gap), f"{errors.rest_pixel:.1f} mm"))
        rows.append(np.concatenate(tiles, axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)
    return path


def shade(relative: Float[np.ndarray, "H W"], region: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Depth as grey, near is light, with a line every 10 mm."""
    value = np.where(region & np.isfinite(relative), relative, FAR)
    grey = 235 * (1 - np.clip((value - NEAR) / (FAR - NEAR), 0, 1)) + 20
    grey = np.where(np.mod(value, 10.0) < 1.2, grey * 0.6, grey)
    return np.repeat(np.where(region, grey, 0)[..., None], 3, axis=2).astype(np.uint8)


def error_colours(gap: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """White without error, red where too far, blue where too near, black where nothing is known."""
    share = np.clip(np.nan_to_num(gap) / WORST_ERROR, -1, 1)
    colours = np.stack([1 + np.minimum(share, 0), 1 - np.abs(share), 1 - np.maximum(share, 0)], axis=-1)
    return (255 * np.where(np.isfinite(gap)[..., None], colours, 0)).astype(np.uint8)


def tile(picture: UInt8[np.ndarray, "H W 3"], text: str) -> UInt8[np.ndarray, "S S 3"]:
    """A picture at the sheet's size with a word in its corner."""
    image = Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.BILINEAR)
    ImageDraw.Draw(image).text((4, 3), text, fill=(255, 200, 0))
    return np.array(image)
