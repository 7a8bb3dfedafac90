"""A head without hair and its exact depth, for the tests of inflated portraits."""

import numpy as np
import pytest

from portrait3d.data.model_views import HeadInCrop, SkinModel, render_model_views
from portrait3d.data.turning import HeadView, steep_face, turned
from portrait3d.models.head_model import HeadModel

SIZE = 128


@pytest.fixture(scope="session")
def skin() -> SkinModel:
    return SkinModel.from_head_model(HeadModel.load())


@pytest.fixture(scope="session")
def mean_head(skin: SkinModel) -> HeadInCrop:
    """The mean head, frontal, in a head crop of half the usual resolution."""
    return HeadInCrop(
        vertices=skin.mean,
        rotation=np.eye(3),
        translation=np.array([0.0, 0.0, 1000.0]),
        focal=290.0,
        size=SIZE,
    )


def bald_view(skin: SkinModel, head: HeadInCrop) -> HeadView:
    """A bald head in front of nothing, with the model's own depth."""
    views = render_model_views(skin, head, 0.0)
    shown = np.isfinite(views.skin) & ~views.is_neck
    ear = views.is_ear & shown
    columns = np.arange(head.size)[None, :] + 0.5
    labels = np.where(shown, 1, 0)
    labels = np.where(ear, np.where(columns < head.size / 2, 3, 4), labels)
    labels = np.where(views.is_neck & np.isfinite(views.skin), 6, labels)
    rows = np.arange(head.size)[:, None]
    image = np.stack(
        [rows + 0 * columns, columns + 0 * rows, 90 + 60 * np.sin(rows / 5 + columns / 7)], axis=-1
    )
    return HeadView(
        image=image.astype(np.uint8),
        labels=labels.astype(np.uint8),
        region=shown,
        face_depth=steep_face(views),
        depth=np.where(shown, views.skin, np.inf),
        trust=shown.astype(float),
        head=head,
    )


@pytest.fixture(scope="session")
def frontal(skin: SkinModel, mean_head: HeadInCrop) -> HeadView:
    return bald_view(skin, mean_head)


@pytest.fixture(scope="session")
def aside(skin: SkinModel, mean_head: HeadInCrop) -> HeadView:
    """The same head turned by 10 degrees, drawn from the model, not warped."""
    return bald_view(skin, turned(mean_head, np.radians(10), 0.0))
