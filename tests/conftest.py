"""Check shapes and types in every test run, and keep torch to one thread."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# An int is a float, as everywhere in Python. jaxtyping wants the checker by the name of its module.
checker = ModuleType("portrait3d_typechecker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # pyright: ignore[reportAttributeAccessIssue]
sys.modules[checker.__name__] = checker

# Must come before anything imports portrait3d: only modules loaded after this are checked.
install_import_hook("portrait3d", f"{checker.__name__}.check")

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from portrait3d import Portrait, Portrait3D

# With two threads MKL's factorisations wait for each other for ever on some machines.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Start every test from the same random state."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (code under test may use the legacy generator)


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """Return the portrait that scikit-image ships, uint8 [512, 512, 3]."""
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="session")
def model() -> "Portrait3D":
    """Return the bundled networks; tests that change one copy the model first."""
    from portrait3d import Portrait3D

    return Portrait3D.from_pretrained()


@pytest.fixture(scope="session")
def portrait(model: "Portrait3D", astronaut: np.ndarray) -> "Portrait":
    """Return what they make of the astronaut."""
    return model.reconstruct(astronaut)
