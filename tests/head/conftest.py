"""Synthetic sitters, made once."""

import pytest

from portrait3d.geometry import HeadMesh
from portrait3d.models.head_model import HeadModel
from synthetic_head import STYLES, Sitter, sitter


@pytest.fixture(scope="session")
def model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="session")
def sitters(model: HeadModel) -> dict[str, Sitter]:
    """One of every hairstyle, from the front."""
    return {style: sitter(model, style) for style in STYLES}


@pytest.fixture(scope="session")
def meshes(sitters: dict[str, Sitter]) -> dict[str, HeadMesh]:
    """Their heads."""
    return {style: known.mesh() for style, known in sitters.items()}
