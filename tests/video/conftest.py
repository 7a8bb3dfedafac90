"""A face to film."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def face(astronaut: np.ndarray) -> np.ndarray:
    """The astronaut's face, uint8 [160, 160, 3]."""
    return np.ascontiguousarray(astronaut[20:180, 140:300])
