"""Synthetic heads as the head crop shows them, with the head model's pose in them."""

import numpy as np

from portrait3d.data.people.model_views import HeadInCrop, HeadView
from portrait3d.data.synthetic import SyntheticView, head_camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.parsing_classes import HEAD


def head_view(view: SyntheticView) -> HeadView:
    """The picture with its exact labels and the true face."""
    size = view.image.shape[-1]
    labels = view.labels.numpy()
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
        region=np.isin(labels, HEAD) & np.isfinite(view.depth.numpy()),
        face_depth=view.face_depth.double().numpy(),
        head=head,
    )
