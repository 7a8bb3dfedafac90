"""Rounds of self-training: what networks and weak labels agree on becomes a photo's next labels."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt16

from portrait3d.data.parsing.label_sets import label_path, save_sets
from portrait3d.data.parsing.weak_labels import weak_sets
from portrait3d.data.photos.labelled import LabelledPhoto, real_photos
from portrait3d.models.head_parsing import ParsingExperts, look
from portrait3d.models.parsing_views import View, merge_views
from portrait3d.preprocessing.alignment import crop_from_landmarks

logger = logging.getLogger(__name__)

SURE = 0.7
"""Probability that every network has to give a class before it becomes a label."""


def prepare_labels(data: Path, out: Path, experts: ParsingExperts | None) -> Iterator[Path]:
    """Write the label sets of the training photos below a root; yields each file. Files there are kept.

    Args:
        data: Root of photos with hair and figure maps.
        out: Root of the label sets, laid out as `label_path` says.
        experts: Networks to agree with; None writes what the maps leave possible.
    """
    for photo in real_photos(data, "train"):
        path = label_path(out, photo)
        if not path.is_file():
            sets = weak_sets(photo)
            if experts is not None:
                sets = agreed(sets, [probabilities(view, photo) for view in views_of(experts, photo)])
            save_sets(sets, path)
        yield path


def views_of(experts: ParsingExperts, photo: LabelledPhoto) -> list[View]:
    """What each network says about a photo's own person."""
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks)).head_crop()
    return look(experts, photo.pixels(), crop)


def probabilities(view: View, photo: LabelledPhoto) -> Float[np.ndarray, "H W 9"]:
    """Class probabilities of one network at the photo's pixels; nothing is sure where it does not look."""
    y, x = torch.meshgrid(torch.arange(photo.height) + 0.5, torch.arange(photo.width) + 0.5, indexing="ij")
    points = torch.stack([x, y], dim=-1)
    seen = view.frame.seen(view.frame.frame_from_photo(points))
    return (merge_views([view], points) * seen[..., None]).numpy()


def agreed(
    weak: UInt16[np.ndarray, "H W"], opinions: Sequence[Float[np.ndarray, "H W 9"]]
) -> UInt16[np.ndarray, "H W"]:
    """Weak labels, narrowed to one class where every network is sure of it and the set holds it.

    Where all are sure of a class that the set rules out, one side is wrong, and nothing is known.
    """
    least = np.minimum.reduce(list(opinions))
    label, sure = least.argmax(axis=-1), least.max(axis=-1) > SURE
    single = np.left_shift(np.uint16(1), label.astype(np.uint16))
    possible = (weak & single) > 0
    narrowed = np.where(sure & possible, single, weak)
    return np.where(sure & ~possible, np.uint16(0), narrowed)
