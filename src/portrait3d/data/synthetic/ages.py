"""Proportions of children and of old people in the head model's own identity modes."""

from functools import lru_cache
from importlib import resources

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.weights import read_arrays

CHILDREN, ELDERLY = (2.0, 15.0), (60.0, 90.0)
"""Years of the people whose proportions differ from those of grown-ups."""
SHARES = {CHILDREN: 0.125, ELDERLY: 0.2}
"""How many people are of those ages; everybody else is a grown-up like the head model's own."""
SPREAD = 0.8
"""How much people of those ages differ from each other, as a share of how much grown-ups do."""


def draw_years(rng: np.random.Generator) -> float | None:
    """A random age of `SHARES`, None for other grown-ups."""
    chance = rng.random()
    for ages, share in SHARES.items():
        if chance < share:
            return rng.uniform(*ages)
        chance -= share
    return None


def aged(identity: Float[Tensor, "B 80"], years: float) -> Float[Tensor, "B 80"]:
    """People with the proportions of an age."""
    return SPREAD * identity + proportions(years)


def proportions(years: float) -> Float[Tensor, "80"]:
    """Identity of the average person of an age, by straight lines between the ages that are known."""
    known, identities = _ages()
    return torch.from_numpy(
        np.array([np.interp(years, known, column) for column in identities.T], np.float32)
    )


@lru_cache(maxsize=1)
def _ages() -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, "K 80"]]:
    # From `tools/build_head_model.py ages`.
    path = resources.files("portrait3d") / "assets" / "ages.npz"
    with resources.as_file(path) as file:
        arrays = read_arrays(file, {"years": ("f", "K"), "identity": ("f", "K 80")})
    return arrays["years"].astype(float), arrays["identity"].astype(float)
