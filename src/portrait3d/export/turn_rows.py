"""Turned photos beside the real view as rows of a contact sheet."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from portrait3d.evaluation.refinement.turn_scores import halo_band, heads_own
from portrait3d.evaluation.refinement.turn_truth import COARSE, REAL, REFINED, UNTURNED, TrueTurn
from portrait3d.export.sheets import contact_sheet
from portrait3d.geometry.pictures import as_bytes, resample

SIDE = 384
"""Pixels of a cell."""
GREEN = (0.0, 1.0, 0.0)


def turns_sheet(turns: Sequence[TrueTurn]) -> UInt8[np.ndarray, "H W 3"]:
    """A row for each turn: photo, real view, not refined, refined, and that with the halo's band in green."""
    pictures, labels = [], []
    for turn in turns:
        crop = turn.crop.resized(SIDE)
        shown = {name: crop.extract(turn.pictures[name]) for name in (UNTURNED, REAL, COARSE, REFINED)}
        pictures += map(as_bytes, shown.values())
        labels += [f"{turn.sitting.avatar.name} {turn.change:+.0f}°", *list(shown)[1:]]
        band = heads_own(turn) & halo_band(turn.figures[REFINED])
        share = resample(torch.from_numpy(band)[None].float(), (SIDE, SIDE))
        pictures.append(as_bytes(shown[REFINED].lerp(torch.tensor(GREEN)[:, None, None], 0.5 * share)))
        labels.append("band of the halo")
    return contact_sheet(pictures, 5, labels)
