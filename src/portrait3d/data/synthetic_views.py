"""Synthetic pairs in the form that the depth network's training reads."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from portrait3d.data.depth_views import DepthViews
from portrait3d.data.model_views import HeadInCrop
from portrait3d.data.synthetic import (
    STYLES_TRAIN,
    STYLES_VALIDATION,
    HairStyle,
    SyntheticHeads,
    SyntheticView,
    head_camera,
)
from portrait3d.data.turning import HeadView
from portrait3d.geometry.pictures import as_bytes
from portrait3d.models.head_parsing import ParsingExperts, parse_head
from portrait3d.parsing_classes import HEAD
from portrait3d.preprocessing.alignment import HEAD_ZOOM, Crop

logger = logging.getLogger(__name__)

SEEDS = {"train": 1, "val": 2}
STYLES: Mapping[str, Mapping[str, HairStyle]] = {"train": STYLES_TRAIN, "val": STYLES_VALIDATION}


def head_view(view: SyntheticView) -> HeadView:
    """A synthetic view with its exact depth as supervision."""
    size = view.image.shape[-1]
    labels = view.labels.numpy()
    depth = view.depth.double().numpy()
    region = np.isin(labels, HEAD) & np.isfinite(depth)
    head = HeadInCrop(
        vertices=np.zeros((0, 3)),
        rotation=view.camera_from_model.rotation.double().numpy(),
        translation=view.camera_from_model.translation.double().numpy(),
        focal=float(head_camera(size).focal),
        size=size,
    )
    return HeadView(
        image=as_bytes(view.image),
        labels=labels,
        region=region,
        face_depth=view.face_depth.double().numpy(),
        depth=np.where(region, depth, np.inf),
        trust=region.astype(np.float64),
        head=head,
    )


def as_parsed(view: HeadView, experts: ParsingExperts) -> HeadView:
    """The view as a photo of it would be labelled: by networks, which err; its depth stays exact."""
    size = len(view.image)
    crop = Crop((size / 2, size / 2), size, angle=0.0, size=size, zoom=HEAD_ZOOM)
    labels = parse_head(experts, view.image, crop).head_labels
    return replace(view, labels=labels, region=np.isin(labels, HEAD))


def prepare_synthetic(
    folder: Path,
    split: str,
    pairs: int,
    experts: ParsingExperts | None = None,
    shard: int = 48,
    seed: int = 0,
) -> Iterator[Path]:
    """Write `pairs` synthetic pairs of a split in files of `shard`; yields each file as it is done.

    Hair styles and identities of the two splits differ. Every second pair gets its labels from `experts`, if
    there are any. Existing files are kept.
    """
    heads = SyntheticHeads(seed=10 * seed + SEEDS[split], styles=STYLES[split])
    for start in range(0, pairs, shard):
        path = folder / f"synthetic-{start:05d}.npz"
        if not path.is_file():
            names, views = [], []
            for index in range(start, min(start + shard, pairs)):
                pair = heads.pair(index)
                names += [f"{pair.style} {index} first", f"{pair.style} {index} second"]
                both = [head_view(pair.first), head_view(pair.second)]
                views += [as_parsed(view, experts) for view in both] if experts and index % 2 else both
            count = len(views)
            DepthViews.collect(names, views, zip(range(0, count, 2), range(1, count, 2), strict=True)).save(
                path
            )
        yield path
