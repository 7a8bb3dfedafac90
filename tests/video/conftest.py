"""A loaded pipeline and a face to film."""

import numpy as np
import pytest

from portrait3d import Portrait3D


@pytest.fixture(scope="session")
def model() -> Portrait3D:
    return Portrait3D.from_pretrained()


@pytest.fixture(scope="session")
def face(astronaut: np.ndarray) -> np.ndarray:
    """The astronaut's face, uint8 [160, 160, 3]."""
    return np.ascontiguousarray(astronaut[20:180, 140:300])
