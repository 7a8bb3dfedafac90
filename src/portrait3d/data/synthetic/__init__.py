"""Synthetic heads with hair: pictures whose depth is known exactly."""

from portrait3d.data.synthetic.heads import SyntheticHeads, SyntheticPair, SyntheticView, head_camera
from portrait3d.data.synthetic.styles import STYLES_TRAIN, STYLES_VALIDATION, HairStyle

__all__ = [
    "STYLES_TRAIN",
    "STYLES_VALIDATION",
    "HairStyle",
    "SyntheticHeads",
    "SyntheticPair",
    "SyntheticView",
    "head_camera",
]
