"""The astronaut as a file and as an open session."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.app.session import Session, open_photo, open_session
from portrait3d.pipeline import Portrait3D


@pytest.fixture(scope="session")
def photo_file(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("app") / "a1b2c3.jpg"
    Image.fromarray(astronaut).save(path, quality=95)
    return path


@pytest.fixture(scope="session")
def session(model: Portrait3D, photo_file: Path) -> Session:
    return open_session(model, open_photo(photo_file, "astronaut.jpg"))
