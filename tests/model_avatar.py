"""An artist-made head that is the head model itself, so that everything about it is known."""

import numpy as np
import torch

from portrait3d.data.people.avatars import EYEBALL, Avatar
from portrait3d.geometry.similarity import Similarity
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import coefficients_of_shape
from portrait3d.parsing_classes import ParsingClass

PART_CLASSES = {
    "skin": ParsingClass.FACE,
    "eye_cavities": ParsingClass.FACE,
    "mouth_cavity": ParsingClass.INNER_MOUTH,
    "left_eyeball": EYEBALL,
    "right_eyeball": EYEBALL,
    "upper_teeth": ParsingClass.INNER_MOUTH,
    "lower_teeth": ParsingClass.INNER_MOUTH,
    "tongue": ParsingClass.INNER_MOUTH,
}


def model_avatar(head: HeadModel, shape: torch.Tensor, avatar_from_model: Similarity) -> Avatar:
    """The head of a shape [1, 144] at another place, in another size; `jawOpen` is its one morph target."""
    vertices = avatar_from_model.apply(head.vertices(coefficients_of_shape(shape))[0].double().numpy())
    jaw = head.expression_basis[head.expression_names.index("jawOpen")].double().numpy()
    moved = avatar_from_model.scale * jaw @ avatar_from_model.rotation.T
    faces = head.faces.numpy()
    names = np.array([PART_CLASSES[name] for name in head.part_names], np.uint8)
    classes = names[head.face_part.numpy()]
    ears = (head.ears_mask.numpy()[faces] > 0.5).all(axis=1)
    left = vertices[faces].mean(axis=1)[:, 0] < 0
    classes[ears & left], classes[ears & ~left] = ParsingClass.LEFT_EAR, ParsingClass.RIGHT_EAR
    classes[(classes == ParsingClass.FACE) & (vertices[faces].mean(axis=1)[:, 1] > 110)] = ParsingClass.NECK
    return Avatar(
        name="model",
        style="bald",
        gender="none",
        group="none",
        vertices=vertices.astype(np.float32),
        faces=faces,
        uv=np.full((len(vertices), 2), 0.5, np.float32),
        face_class=classes,
        face_material=np.zeros(len(faces), np.uint8),
        textures=(np.full((8, 8, 3), 160, np.uint8),),
        morphs={"mouth_open": (np.arange(len(vertices)), moved.astype(np.float32))},
    )
