"""What lies behind lids and lips: colours of eyeballs, teeth, tongue and mouth cavity."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy import ndimage

from portrait3d.geometry.blurring import gaussian
from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.pictures import resample, sample
from portrait3d.geometry.pixels import box_about
from portrait3d.geometry.polygon import inside_by
from portrait3d.geometry.skin import openings
from portrait3d.geometry.vectors import length
from portrait3d.head.fitted import FittedHead
from portrait3d.head.layout import Texels
from portrait3d.head.scene import Scene
from portrait3d.parsing_classes import ParsingClass

EYES = (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE)
NATURAL = {
    HeadPiece.TEETH: (0.80, 0.76, 0.70),
    HeadPiece.TONGUE: (0.66, 0.36, 0.35),
    HeadPiece.MOUTH_CAVITY: (0.42, 0.17, 0.16),
}
"""RGB in good light."""
FEW = 25
"""Texels below which the photo says nothing about an eye or the teeth."""
DARKENING = 26.0
"""Light in the mouth falls to 1/e over this way inward, mm."""
BESIDE = 4
"""Pixels of the crop by which the mouth goes on beside what is parsed as open."""
HIDDEN = 4.0
"""What lies this far (mm) behind what the crop's pixel shows is hidden in it."""


@dataclass(frozen=True)
class EyePaint:
    """What an eye looks like where the photo does not show it."""

    white: tuple[float, float, float] = (0.80, 0.77, 0.75)
    iris: tuple[float, float, float] = (0.28, 0.20, 0.15)
    pupil: tuple[float, float, float] = (0.06, 0.05, 0.05)
    pupil_angle: float = math.radians(9.0)
    iris_angle: float = math.radians(24.0)
    """Half the angles under which pupil and iris are seen from the eyeball's middle."""
    bins: int = 30
    """Rings about the iris' middle, out to a right angle, in which the eye's colour is taken."""
    lashes: float = 0.9
    """Width of the border of the eye's opening (pixels of the crop) that lids and lashes may colour."""


EYE = EyePaint()


def paint_pieces(model: FittedHead, texels: Texels, scene: Scene, colours: Float[np.ndarray, "N 3"]) -> None:
    """Put the colours of eyes and inner mouth into those of the texels, in place.

    Where the opening shows them, they are the photo's. The rest of an eye has the colours at the same
    distance from the iris' middle, the rest of the mouth natural ones in the photo's light.
    """
    piece = model.layout.piece[texels.face]
    margins = openings(model.faces, model.model_vertices)
    # How bright the fitted light is on the face; natural colours are scaled by it, within reason.
    light = float(np.clip(np.median(model.irradiance[model.face_mask > 0.5]), 0.45, 1.1))
    for eye in EYES:
        chosen = np.flatnonzero(piece == eye)
        colours[chosen] = eye_colours(model, texels, scene, chosen, margins[eye], light)
    chosen = np.flatnonzero(np.isin(piece, list(NATURAL)))
    margin = margins[HeadPiece.MOUTH_CAVITY]
    colours[chosen] = mouth_colours(model, texels, scene, chosen, margin, light)


def eye_colours(
    model: FittedHead,
    texels: Texels,
    scene: Scene,
    chosen: Int64[np.ndarray, " K"],
    margin: Int64[np.ndarray, " M"],
    light: float,
) -> Float[np.ndarray, "K 3"]:
    """Colours of the texels of one eyeball."""
    crop = len(scene.labels)
    pixels, inner = model.pixels(model.vertices), model.model_vertices
    # Of every texel: its pixel in the crop (0, 1) and its place in the model's frame (2 to 4).
    there = texels.spread(np.concatenate([pixels, inner], axis=1), chosen)
    own = np.zeros(len(inner), bool)
    own[texels.corners[chosen]] = True
    # Eyeballs are spheres: the middle of the box is the centre, and a direction from there is a place on the
    # eye.
    centre = (inner[own].min(axis=0) + inner[own].max(axis=0)) / 2
    toward = there[:, 2:] - centre
    toward = toward / np.maximum(length(toward), 1e-9)[:, None]
    depth = inside_by(there[:, :2], pixels[margin])
    # Within the lids' opening and on the front half.
    shown = (depth > 0) & (toward[:, 2] < 0)
    sure = (depth > EYE.lashes) & (toward[:, 2] < 0)
    seen = sample(scene.picture, there[:, :2] / crop)
    gaze = iris_middle(toward[sure], seen[sure])
    angle = np.arccos(np.clip(toward @ gaze, -1, 1))
    rings = ring_colours(angle[sure], seen[sure], light)
    # An eye looks alike all round its iris: what lids hide has the colour that is seen at the same angle.
    ring = np.clip(angle / (np.pi / 2) * EYE.bins - 0.5, 0, EYE.bins - 1)
    whole = np.stack([np.interp(ring, np.arange(EYE.bins), rings[:, k]) for k in range(3)], axis=1)
    share = np.clip(depth / (0.5 * EYE.lashes), 0, 1) * shown
    return whole + (seen - whole) * share[:, None]


def iris_middle(toward: Float[np.ndarray, "K 3"], seen: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "3"]:
    """Direction from the eyeball's middle to that of the iris: the middle of what is dark in the opening."""
    ahead = np.array([0.0, 0.0, -1.0])
    if len(toward) < FEW:
        return ahead
    brightness = seen.mean(axis=1)
    # Quantiles, since highlights and lashes are the extremes. Weights grow with darkness: the pupil counts
    # most.
    low, high = np.quantile(brightness, [0.05, 0.9])
    dark = np.clip((low + 0.4 * (high - low) - brightness) / max(high - low, 1e-3), 0, None)
    if dark.sum() <= 0:
        return ahead
    middle = (toward * dark[:, None]).sum(axis=0) / dark.sum()
    # What lids hide of the iris pulls the middle of the rest down or up: trust the model's height by half.
    middle[1] *= 0.5
    return middle / np.linalg.norm(middle)


def ring_colours(
    angle: Float[np.ndarray, " K"], seen: Float[np.ndarray, "K 3"], light: float
) -> Float[np.ndarray, "B 3"]:
    """Colour of the eye by distance from the iris' middle: the photo's, natural where it shows nothing."""
    at = (np.arange(EYE.bins) + 0.5) / EYE.bins * np.pi / 2
    natural = np.where((at < EYE.pupil_angle)[:, None], EYE.pupil, EYE.iris)
    natural = np.where((at > EYE.iris_angle)[:, None], EYE.white, natural) * light
    if len(angle) < FEW:
        return natural
    ring = np.clip(angle / (np.pi / 2) * EYE.bins, 0, EYE.bins - 1).astype(np.int64)
    outer = seen[angle > EYE.iris_angle]
    if len(outer) >= FEW:
        brightness = outer.mean(axis=1)
        white = outer[brightness >= np.quantile(brightness, 0.6)].mean(axis=0)
        natural = np.where((at > EYE.iris_angle)[:, None], white, natural)
    colours = natural.copy()
    for k in np.unique(ring):
        # Lids and lashes darken the white, so that its bright part counts.
        rank = 0.5 if at[k] < EYE.iris_angle else 0.7
        colours[k] = np.quantile(seen[ring == k], rank, axis=0)
    return ndimage.gaussian_filter1d(colours, 0.7, axis=0, mode="nearest")


def mouth_colours(
    model: FittedHead,
    texels: Texels,
    scene: Scene,
    chosen: Int64[np.ndarray, " K"],
    margin: Int64[np.ndarray, " M"],
    light: float,
) -> Float[np.ndarray, "K 3"]:
    """Colours of the texels of teeth, tongue and mouth cavity."""
    piece = model.layout.piece[texels.face[chosen]]
    pixels, inner = model.pixels(model.vertices), model.model_vertices
    # Of every texel: its pixel in the crop (0, 1), its depth in the model (2) and before the camera (3).
    there = texels.spread(np.concatenate([pixels, inner[:, 2:], model.vertices[:, 2:]], axis=1), chosen)
    shown = in_open_mouth(model, scene, there[:, :2], there[:, 3], pixels[margin])
    some = np.flatnonzero(shown)
    seen, share = mouth_picture(scene, there[some, :2]), shown[some]
    # Light falls in through the opening: the first 8 mm behind the lips' margin have all of it.
    inward = np.clip(there[:, 2] - inner[margin, 2].min() - 8.0, 0, None)
    lit = np.exp(-inward / DARKENING)[:, None]
    usual = np.zeros((len(HeadPiece), 3))
    usual[list(NATURAL)] = list(NATURAL.values())
    natural = (usual * light).take(piece, axis=0)
    teeth = piece == HeadPiece.TEETH
    if (sure := teeth[some] & (share > 0.9)).sum() >= FEW:
        bright = seen[sure].mean(axis=1)
        # The brighter ones, without the gaps between teeth.
        natural[teeth] = seen[sure][bright >= np.quantile(bright, 0.6)].mean(axis=0)
    # Further in, the mouth shines on teeth.
    gums = usual[HeadPiece.MOUTH_CAVITY] * light
    natural[teeth] = natural[teeth] * lit[teeth] + gums * (1 - lit[teeth])
    natural *= lit
    natural[some] += (seen - natural[some]) * share[:, None]
    return natural


def mouth_picture(scene: Scene, pixels: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "K 3"]:
    """Colours of the photo's open mouth at some of the crop's pixels; beside it, those at its border."""
    if not len(pixels):
        return np.zeros((0, 3))
    inside = scene.labels == ParsingClass.INNER_MOUTH
    box = box_about(inside, BESIDE + 1)
    rows, columns = scene.finely(box)
    part = scene.picture[:, rows, columns]
    known = resample(torch.from_numpy(inside[box])[None].float(), part.shape[1:])[0]  # pyright: ignore
    filled = push_pull(part, (2 * known - 1).clamp(0, 1))
    scale = scene.picture.shape[-1] / len(inside)
    return sample(filled, (pixels * scale - [columns.start, rows.start]) / part.shape[:0:-1])


def in_open_mouth(
    model: FittedHead,
    scene: Scene,
    pixels: Float[np.ndarray, "K 2"],
    depth: Float[np.ndarray, " K"],
    lips: Float[np.ndarray, "M 2"],
) -> Float[np.ndarray, " K"]:
    """How far the photo shows points behind the lips, 0 to 1, by their pixels in the crop and depths (mm)."""
    shown = np.zeros(len(pixels))
    open_mouth = scene.labels == ParsingClass.INNER_MOUTH
    if not open_mouth.any():
        return shown
    # A fitted opening is often wider than the parsed one.
    open_mouth = gaussian(ndimage.binary_dilation(open_mouth, iterations=BESIDE).astype(np.float64), 0.7)
    # Only about the opening, between whose pixels is read. The deepest of the neighbours: at the lips' edge a
    # pixel may show either side.
    about = box_about(open_mouth > 0, 1)
    front = np.where(np.isfinite(model.depth), model.depth, -np.inf)
    visible = np.full_like(front, -np.inf)
    visible[about] = ndimage.grey_dilation(front, (3, 3))[about]
    at = pixels[:, ::-1].T - 0.5
    row, column = np.round(at).astype(np.int64).clip(0, len(scene.labels) - 1)
    some = np.flatnonzero(depth < visible[row, column] + HIDDEN)
    share = np.clip(ndimage.map_coordinates(open_mouth, at[:, some], order=1, mode="nearest") * 2 - 0.5, 0, 1)
    shown[some] = share * np.clip(inside_by(pixels[some], lips) + 1.0, 0, 1)
    return shown
