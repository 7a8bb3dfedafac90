"""How well parsing agrees with labelled photos: regions and their borders, in the photos' own pixels."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from scipy import ndimage

from portrait3d.data.photos.compositions import StoredPhoto, draw_backdrop, store_photo, widen
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.parsing_classes import EARS, PARSING_CLASSES
from portrait3d.preprocessing.alignment import crop_from_landmarks
from portrait3d.preprocessing.framing import frame_head

SCORED = ("face", "hair", "ears", "inner mouth")
"""Classes whose mean decides which weights of a training are the best."""
TOLERANCE = 0.005
"""How far apart borders may lie and still be the same, of the head crop's side: 2.5 pixels of 500."""
WIDE = 3.0
"""Side of the pictures that photos are pasted into, over their own."""


def score_parsing(
    net: ParsingNet, photos: Sequence[LabelledPhoto], framing: str = "plain", size: int = 256
) -> dict[str, float]:
    """IoU of each class over some photos, in one pass.

    "score" is the mean of face, hair, ears and mouth, as far as the photos show them.
    """
    iou = intersection_over_union(
        count_overlap(parse_framed(net, photo, framing, size), photo.parsing()) for photo in photos
    )
    return {"score": float(np.nanmean([iou[name] for name in SCORED])), **iou}


@torch.inference_mode()
def parse_framed(net: ParsingNet, photo: LabelledPhoto, framing: str, size: int) -> UInt8[np.ndarray, "H W"]:
    """What a network alone says in one framing, and nothing that follows: background beyond the frame."""
    pixels = photo.pixels()
    height, width = pixels.shape[:2]
    head_crop = crop_from_landmarks(torch.from_numpy(photo.landmarks)).head_crop()
    frame = frame_head(framing, head_crop, (height, width), size)
    image = frame.extract(pixels)[None].contiguous(memory_format=torch.channels_last)
    probabilities = net.parse(image)[0]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    points = frame.frame_from_photo(torch.stack([x, y], -1))
    labels = frame.read(probabilities, points).numpy().argmax(0).astype(np.uint8)
    return labels * frame.seen(points).numpy()


def whole_photo(photo: LabelledPhoto) -> StoredPhoto:
    """A photo at its own resolution."""
    return store_photo(photo, 2**31)


def widened(photo: StoredPhoto, other: StoredPhoto, number: int) -> StoredPhoto:
    """The person small in a larger picture, the same one for the same number."""
    random = np.random.default_rng((4, number))
    return widen(photo, draw_backdrop(photo, other, random), WIDE, random)


def count_overlap(
    found: Integer[np.ndarray, "H W"], given: Integer[np.ndarray, "H W"]
) -> Integer[np.ndarray, "2 9"]:
    """Pixels in the intersection and in the union of each class."""
    classes = len(PARSING_CLASSES)
    table = np.bincount(found.astype(np.int64).ravel() * classes + given.ravel(), minlength=classes**2)
    table = table.reshape(classes, classes)
    both = table.diagonal()
    return np.stack([both, table.sum(0) + table.sum(1) - both])


def intersection_over_union(counts: Iterable[Integer[np.ndarray, "2 9"]]) -> dict[str, float]:
    """IoU of each class from the summed counts of `count_overlap`, and of both ears as "ears"."""
    return by_class(*np.sum(list(counts), 0))


def count_borders(
    found: Integer[np.ndarray, "H W"], given: Integer[np.ndarray, "H W"], tolerance: float
) -> Float[np.ndarray, "2 9"]:
    """Twice the border pixels that the other labels have nearby, and all border pixels, for each class.

    The F-score of Csurka et al., "What is a good evaluation measure for semantic segmentation?" (BMVC 2013),
    in the form 2 TP / (2 TP + FP + FN), so that photos can be summed; `tolerance` in pixels.
    """
    counts = np.zeros((2, len(PARSING_CLASSES)))
    for label in np.union1d(found, given):
        borders = [_border(labels == label) for labels in (found, given)]
        for one, other in (borders, borders[::-1]):
            counts[1, label] += one.sum()
            if other.any():
                counts[0, label] += (ndimage.distance_transform_edt(~other)[one] <= tolerance).sum()
    return counts


def border_score(counts: Iterable[Float[np.ndarray, "2 9"]]) -> dict[str, float]:
    """Boundary F-score of each class from the summed counts of `count_borders`, and of both ears."""
    return by_class(*np.sum(list(counts), 0))


def by_class(part: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    """Ratios by name, NaN where there is nothing; "ears" takes both ears together."""
    ratios = {
        name: float(part[i] / whole[i]) if whole[i] else float("nan")
        for i, name in enumerate(PARSING_CLASSES)
    }
    total = whole[list(EARS)].sum()
    return ratios | {"ears": float(part[list(EARS)].sum() / total) if total else float("nan")}


def _border(region: np.ndarray) -> np.ndarray:
    """The pixels of a region next to other pixels; the picture's border is none."""
    return region & (ndimage.minimum_filter(region, 3, mode="nearest") == 0)
