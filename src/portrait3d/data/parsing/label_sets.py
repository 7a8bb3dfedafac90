"""Label sets: for every pixel, which parsing classes it may show, as bits of a number.

An exact label is a set of one class. A weak label leaves several, such as "ear or face". The empty set says
that nothing is known, and costs nothing.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Integer, UInt8, UInt16
from PIL import Image

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.whole_files import whole_file
from portrait3d.parsing_classes import MIRRORED_CLASSES, PARSING_CLASSES

CLASSES = len(PARSING_CLASSES)
UNSURE = 255
"""Stands for the class of a pixel of which several are possible, or nothing is known."""


def bit(name: str) -> int:
    """The set of one class, by its name."""
    return 1 << PARSING_CLASSES.index(name)


def exact_sets(labels: Integer[np.ndarray, "*grid"]) -> UInt16[np.ndarray, "*grid"]:
    """The sets that hold just the labels given."""
    return np.left_shift(np.uint16(1), labels.astype(np.uint16))


def certain(sets: UInt16[np.ndarray, "*grid"]) -> UInt8[np.ndarray, "*grid"]:
    """The class where only one is possible, `UNSURE` elsewhere."""
    return _CERTAIN[sets]


def collect(allowed: Bool[np.ndarray, "C H W"]) -> UInt16[np.ndarray, "H W"]:
    """The sets of those classes that are allowed at each pixel."""
    powers = (1 << np.arange(CLASSES)).astype(np.uint16)
    return (allowed * powers[:, None, None]).sum(axis=0, dtype=np.uint16)


def mirrored_sets(sets: UInt16[np.ndarray, "*grid"]) -> UInt16[np.ndarray, "*grid"]:
    """The sets with the ears exchanged; the picture stays as it is."""
    return _MIRRORED[sets]


def label_path(root: Path, photo: LabelledPhoto) -> Path:
    """Where the label sets of a photo lie below a root."""
    return root / photo.folder / f"{photo.name}.png"


def save_sets(sets: UInt16[np.ndarray, "H W"], path: Path) -> None:
    """Write a 16-bit PNG, whole or not at all."""
    with whole_file(path) as file:
        Image.fromarray(sets).save(file, format="PNG")


def read_sets(path: Path) -> UInt16[np.ndarray, "H W"]:
    """Read what `save_sets` wrote; `ValueError` for a picture that holds something else."""
    with Image.open(path) as image:
        sets = np.asarray(image)
    if sets.ndim != 2 or sets.min() < 0 or sets.max() >= 1 << CLASSES:
        raise ValueError(f"{path} holds no label sets.")
    return sets.astype(np.uint16)


# Tables of all 512 sets: what is asked of pictures is then a look-up.
_ALL = np.arange(1 << CLASSES)
_MEMBERS = (_ALL[:, None] >> np.arange(CLASSES)) & 1
_CERTAIN = np.where(_MEMBERS.sum(1) == 1, _MEMBERS.argmax(1), UNSURE).astype(np.uint8)
_MIRRORED = (_MEMBERS[:, list(MIRRORED_CLASSES)] << np.arange(CLASSES)).sum(1).astype(np.uint16)
