"""Coarse turns of real portraits, the unpaired data of the refinement stage."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.refinement.stored_turns import StoredTurn
from portrait3d.errors import NoFaceError
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles
from portrait3d.reposing import Reposer

logger = logging.getLogger(__name__)

TURN = 24.0
"""Largest change of yaw, degrees; further out, what comes into view is mostly unknown."""
NOD = 10.0
"""Largest change of pitch, degrees."""
MAX_YAW = 35.0
"""Largest absolute yaw, degrees."""


@torch.inference_mode()
def prepare_turns(
    model: Portrait3D,
    photos: Sequence[LabelledPhoto],
    directory: Path,
    *,
    turns: int = 3,
    seed: int = 0,
) -> int:
    """Turn the heads of photos by random angles, store each turn as `ID-k.npz`; returns how many there are.

    Photos whose turns are there already are passed over, so that an interrupted preparation can go on; photos
    without a detected face are left out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        if (directory / f"{photo.name}-{turns - 1}.npz").is_file():
            continue
        random = np.random.default_rng((seed, *photo.name.encode()))
        try:
            portrait = model.reconstruct(photo.pixels())
        except NoFaceError as error:
            logger.info("%s is left out: %s", photo.name, error)
            continue
        reposer, now = Reposer(portrait, model.head_model), portrait.pose
        for k in range(turns):
            turn = reposer.coarse_turn(draw_target(now, random), guided=True)
            StoredTurn.of(turn, reposer.photo_crop).save(directory / f"{photo.name}-{k}.npz")
    return len(list(directory.glob("*.npz")))


def draw_target(now: HeadAngles, random: np.random.Generator) -> HeadAngles:
    """A pose up to `TURN` and `NOD` away from another one, in degrees."""
    change = random.uniform(0.2, 1) * random.choice((-1, 1)) * TURN
    yaw = float(np.clip(now.yaw + change, -MAX_YAW, MAX_YAW))
    return HeadAngles(
        yaw=yaw, pitch=now.pitch + random.uniform(-NOD, NOD), roll=now.roll + random.uniform(-6, 6)
    )
