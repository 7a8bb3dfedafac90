"""Groups of people that networks should serve alike: by the index's age and gender, by measured looks.

Skin is measured as the individual typology angle of the cheek, atan((L* - 50) / b*) in degrees, in the bands
of Del Bino and Bernerd (British Journal of Dermatology, 2013), with the picture's brightest pixels taken for
white. One photo doesn't tell skin from light, so single photos are off by a band or two and only means over
groups say something. Hair is measured too: where no ages are known, grey hair tells the older people.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from skimage.color import rgb2lab

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.whole_files import whole_file

TONES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -90.0}
"""Bands of skin and the typology angle (degrees) that each begins above."""
DEEP_TONES = ("tan", "brown", "dark")
"""Bands that photos show seldom."""
CHEEK = (0.4, 0.3, 0.3)
"""Where a cheek's middle lies between the eye, the corner of the mouth and the edge of the face."""
CHEEK_SIZE = 0.07
"""Radius of the measured disc, over sqrt(w h) of the landmarks' box."""
SIDES = ((slice(36, 42), 48, 2), (slice(42, 48), 54, 14))
"""Landmarks of eye, corner of the mouth and edge of the face, for the left and the right cheek."""
TURNED = math.radians(15)
"""Yaw beyond which only the near cheek is measured."""
WHITE, DARKEST_WHITE = 99.5, 0.5
"""Percentile of the picture's brightness that is white, and the least that it is taken for, 0 to 1."""
SURE_HAIR, LEAST_HAIR = 0.9, 0.05
"""Probability from which a pixel is hair, and how much of the face's box it must fill to have a colour."""
GREY_CHROMA, GREY_LIGHTNESS = 9.0, 42.0
"""Hair of less chroma and more lightness (CIELAB) than this is grey."""
AGES = ((0, 12), (13, 19), (20, 39), (40, 59), (60, 200))
"""Bands of age, years, first and last."""
OLD = 60
"""Age (years) from which people are told apart as old."""


def groups_of(photo: LabelledPhoto) -> dict[str, str]:
    """The groups that a photo's person belongs to: kind of group -> group, of kinds that are known."""
    groups = {}
    if photo.age is not None:
        groups["age"] = age_band(photo.age)
    if photo.gender is not None:
        groups["gender"] = photo.gender
    pixels = photo.pixels()
    angle = typology_angle(pixels, photo.landmarks, photo.yaw)
    if angle is not None:
        groups["skin"] = tone_of(angle)
    if photo.map_path("hair").is_file():
        grey = has_grey_hair(pixels, photo.probability("hair") > SURE_HAIR, photo.box)
        if grey is not None:
            groups["hair"] = "grey" if grey else "other colours"
    return groups


def load_or_group(photos: Sequence[LabelledPhoto], cache: Path) -> list[dict[str, str]]:
    """The groups of every photo, kept in `cache`; measuring takes about 20 ms a photo."""
    path, names = cache / "groups.npz", [f"{photo.folder}/{photo.name}" for photo in photos]
    if path.is_file():
        with np.load(path, allow_pickle=False) as table:
            if table["names"].tolist() == names:
                return json.loads(str(table["groups"]))
    groups = [groups_of(photo) for photo in photos]
    with whole_file(path) as file:
        np.savez(file, names=np.array(names), groups=np.array(json.dumps(groups)))
    return groups


def age_band(years: float) -> str:
    """The band of `AGES` that an age belongs to."""
    first, last = next(band for band in AGES if years < band[1] + 1)
    return f"{first} and more" if first == OLD else f"{first} to {last}"


def is_old(groups: dict[str, str]) -> bool:
    """Whether somebody is `OLD` by the index, or has grey hair where it names no age."""
    if "age" in groups:
        return groups["age"] == age_band(OLD)
    return groups.get("hair") == "grey"


def tone_of(angle: float) -> str:
    """The band of `TONES` that a typology angle (degrees) belongs to."""
    return next(name for name, least in TONES.items() if angle > least or least == -90.0)


def typology_angle(
    pixels: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "68 2"], yaw: float
) -> float | None:
    """Individual typology angle of the cheeks, degrees; None where they lie off the picture.

    Args:
        pixels: The photo, RGB.
        landmarks: Pixels of the photo.
        yaw: Radians; of a face that is turned only the near cheek counts.
    """
    # A face that looks to the picture's right shows its cheek on the picture's left.
    sides = SIDES if abs(yaw) < TURNED else SIDES[:1] if yaw > 0 else SIDES[1:]
    radius = CHEEK_SIZE * float(np.sqrt(np.prod(np.ptp(landmarks, axis=0))))
    colours = [_disc(pixels, _cheek(landmarks, side), radius) for side in sides]
    skin = np.concatenate(colours)
    if len(skin) < 9:
        return None
    white = max(float(np.percentile(pixels.mean(axis=2), WHITE)) / 255, DARKEST_WHITE)
    lightness, _, yellow = np.median(rgb2lab((skin[None] / 255 / white).clip(0, 1))[0], axis=0)
    return math.degrees(math.atan2(lightness - 50, max(float(yellow), 1e-3)))


def has_grey_hair(
    pixels: UInt8[np.ndarray, "H W 3"], hair: Bool[np.ndarray, "H W"], box: Sequence[float] | np.ndarray
) -> bool | None:
    """Whether the hair is grey or white; None where there is too little of it."""
    area = float((box[2] - box[0]) * (box[3] - box[1]))
    if hair.sum() < LEAST_HAIR * area:
        return None
    lightness, red, yellow = np.median(rgb2lab(pixels[hair][None] / 255.0)[0], axis=0)
    return bool(math.hypot(red, yellow) < GREY_CHROMA and lightness > GREY_LIGHTNESS)


def _cheek(landmarks: np.ndarray, side: tuple[slice, int, int]) -> np.ndarray:
    eye, mouth, edge = side
    return np.average([landmarks[eye].mean(0), landmarks[mouth], landmarks[edge]], axis=0, weights=CHEEK)


def _disc(pixels: np.ndarray, middle: np.ndarray, radius: float) -> Float[np.ndarray, "N 3"]:
    # The pixels of a disc as far as the picture shows it.
    left, top = np.floor(middle - radius).astype(int).clip(0)
    right, bottom = np.ceil(middle + radius).astype(int).clip(0)
    part = pixels[top:bottom, left:right]
    rows, columns = np.indices(part.shape[:2]) + 0.5
    inside = (columns + left - middle[0]) ** 2 + (rows + top - middle[1]) ** 2 <= radius**2
    return part[inside].astype(float)
