"""How well the rendered face has the photo's colours (Eq. 2, measured on parsed skin alone)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.evaluation.face.predictions import FacePrediction
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_depth import face_triangles
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import Crop
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import shade

SIZE = 112
"""Pixels of the compared crops."""
SKIN_CLASSES = (1, 10)
"""Skin and nose among the 19 parsing classes."""


@dataclass(frozen=True, slots=True)
class ColourScores:
    """Mean absolute colour difference (0 to 255) of the rendered face from the photo, on skin."""

    folder: str
    photos: int
    network: float
    flat: float
    """The same for one flat colour, the photo's mean skin."""
    shade: float
    """Mean of rendered less photographed brightness (0 to 255): above 0, faces come out too bright."""
    darkest: float
    """`shade` over the tenth of the photos with the darkest skin, and over that with the brightest."""
    brightest: float


@torch.no_grad()
def draw_faces(
    head: HeadModel, coefficients: FaceCoefficients, pose: Pose, size: int
) -> tuple[Float[Tensor, "N 3 S S"], Bool[Tensor, "N S S"]]:
    """Shaded faces as the network sees them in face crops of `size` pixels, RGB, and where they are."""
    points = pose.apply(head.vertices(coefficients))
    colours = shade(head.albedo(coefficients), vertex_normals(points, head.skin_faces), coefficients.lighting)
    triangles = face_triangles(head)
    camera = Crop((0.0, 0.0), 1.0, 0.0, size).camera()
    fragments = rasterize(camera.screen(points), triangles, size, size, cull_backfaces=True)
    return interpolate(colours, triangles, fragments).clamp(0, 1), fragments.face_index >= 0


def score_colours(
    head: HeadModel, photos: Sequence[LabelledPhoto], found: FacePrediction, chunk: int = 32
) -> list[ColourScores]:
    """One row for all parsed photos, then one for each of their folders."""
    rows = [k for k, photo in enumerate(photos) if photo.parsing_path.is_file()]
    errors = []
    for k in range(0, len(rows), chunk):
        part = rows[k : k + chunk]
        coefficients = FaceCoefficients.from_vector(found.coefficients.to_vector()[part])
        pose = Pose(found.pose.rotation[part], found.pose.translation[part])
        drawn, covered = draw_faces(head, coefficients, pose, SIZE)
        for row, face, where in zip(part, drawn, covered, strict=True):
            crop = found.crops[row].resized(SIZE)
            labels = crop.extract_labels(photos[row].finer_parsing())
            skin = where & torch.from_numpy(np.isin(labels, SKIN_CLASSES))
            errors.append(colour_errors(face, crop.extract(photos[row].pixels()), skin))
    if not errors:
        return []
    table = np.array(errors)
    folders = np.array([photos[row].folder for row in rows])
    scores = []
    for name in ("all", *dict.fromkeys(folders.tolist())):
        own = table[(folders == name) | (name == "all")]
        own = own[np.isfinite(own).all(1)]
        if len(own):
            tenth = max(len(own) // 10, 1)
            by_tone = own[np.argsort(own[:, 3])]
            network, flat, shift = own[:, :3].mean(0).tolist()
            dark, bright = float(by_tone[:tenth, 2].mean()), float(by_tone[-tenth:, 2].mean())
            scores.append(ColourScores(name, len(own), network, flat, shift, dark, bright))
    return scores


def colour_errors(
    drawn: Float[Tensor, "3 S S"], photo: Float[Tensor, "3 S S"], skin: Bool[Tensor, "S S"]
) -> tuple[float, float, float, float]:
    """Error, error of a flat colour, shift in brightness and the photo's brightness over skin, 0 to 255.

    NaN where there are fewer than 50 pixels of skin.
    """
    if skin.sum() < 50:
        return math.nan, math.nan, math.nan, math.nan
    # A pixel of photo is sharper than a vertex of skin is wide: compare at the mesh's own resolution.
    smooth = F.avg_pool2d(photo[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    wanted, got = 255 * smooth[:, skin], 255 * drawn[:, skin]
    flat = wanted.mean(1, keepdim=True)
    return (
        float((got - wanted).abs().mean()),
        float((flat - wanted).abs().mean()),
        float((got - wanted).mean()),
        float(wanted.mean()),
    )
