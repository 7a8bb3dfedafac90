"""Everything the depth network learns from, prepared once below one folder."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from portrait3d.data.fits import load_or_fit
from portrait3d.data.model_views import SkinModel
from portrait3d.data.pairs import prepare_clips, prepare_portraits
from portrait3d.data.photos import LabelledPhoto, PhotoFolder
from portrait3d.data.synthetic_views import prepare_synthetic
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.parsing_classes import ParsingClass
from portrait3d.pretrained import bundled

logger = logging.getLogger(__name__)


def prepare_depth_views(
    data: Path,
    out: Path,
    *,
    portraits: int = 1200,
    validation: int = 48,
    synthetic: int = 3984,
    seed: int = 0,
) -> None:
    """Draw synthetic heads, fit, inflate and turn portraits, fit the clips' frames; what is there is kept.

    Args:
        data: The folder that `portrait3d.data.photos` describes.
        out: Gets `train/` and `val/` with files of `DepthViews`.
        portraits: How many training photos to take, long hair first, then at random.
        validation: How many validation photos to take.
        synthetic: How many pairs of synthetic heads to draw for training; 24 for validation.
        seed: Chooses photos and turns.
    """
    model = HeadModel.load()
    skin, points = SkinModel.from_head_model(model), MeshPoints.from_head_model(model)
    folder = PhotoFolder(data, parsed=True)
    fits = load_or_fit(folder.photos, points, out)
    clips = [photo for photo in folder if photo.clip is not None]
    logger.info("%d photos, %d of them frames of clips.", len(folder), len(clips))

    parsing = ParsingExperts.load(bundled("parsing"))
    for split, pairs, experts in (("val", 24, None), ("train", synthetic, parsing)):
        for path in prepare_synthetic(out / split, split, pairs, experts, seed=seed):
            logger.info("%s is ready.", path.name)
    stills = [photo for photo in folder if photo.clip is None]
    checked = [photo for photo in stills if photo.split == "val"]
    checked = [checked[k] for k in np.random.default_rng(seed).permutation(len(checked))[:validation]]
    chosen = _choose([p for p in stills if p.split == "train"], portraits, seed)
    for split, photos in (("val", checked), ("train", chosen)):
        for path in prepare_portraits(photos, fits, skin, out / split, seed=seed):
            logger.info("%s is ready.", path.name)
    for split in ("val", "train"):
        path = out / split / "clips.npz"
        pairs = [pair for pair in folder.clip_pairs() if pair.first.split == split] if clips else []
        if pairs and not path.is_file():
            prepare_clips(pairs, fits, points, skin, path)


def _choose(photos: Sequence[LabelledPhoto], count: int, seed: int) -> list[LabelledPhoto]:
    """A random order of the photos to use, among which are all with long hair."""
    generator = np.random.default_rng(seed)
    length = np.array([hair_below_mouth(photo) for photo in photos])
    order = [k for k in generator.permutation(len(photos)) if photos[k].points.shape[0] == 468]
    long = [k for k in order if length[k] > 0.1]
    short = [k for k in order if length[k] <= 0.1]
    return [photos[k] for k in generator.permutation([*long, *short][:count])]


def hair_below_mouth(photo: LabelledPhoto) -> float:
    """Area of the hair lower than the mouth, over the area of the landmarks' box."""
    labels, landmarks = photo.parsing(), photo.landmarks
    width, height = np.ptp(landmarks, axis=0)
    row = int(landmarks[48:68, 1].mean())
    return float((labels[max(row, 0) :] == ParsingClass.HAIR).sum() / (width * height))
