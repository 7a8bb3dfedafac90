"""Photos whose depth was measured: what the whole line from photo to head makes of them."""

import warnings

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import cKDTree

from portrait3d.data.people.model_views import HeadInCrop, HeadView, render_depth
from portrait3d.errors import NoFaceError, PoorFitWarning
from portrait3d.evaluation.depth.errors import HeadTruth
from portrait3d.evaluation.depth.methods import Method
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pictures import as_bytes
from portrait3d.head.frame import seen_by
from portrait3d.models.face_depth import render_face_depth
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import HEAD
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import Crop


def reconstruct(model: Portrait3D, picture: UInt8[np.ndarray, "H W 3"]) -> Portrait | None:
    """The portrait of the largest face, None if there is none; poor fits count like any other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorFitWarning)
        try:
            return model.reconstruct(picture)
        except NoFaceError:
            return None


def seen_in(portrait: Portrait, head_model: HeadModel) -> HeadView:
    """What the pipeline knew of a photo before it asked for depth."""
    crop, pixels = portrait.head_crop, portrait.photo.pixels
    labels = portrait.head_parsing.head_labels
    inside = crop.extract_labels(np.ones(pixels.shape[:2], np.uint8)) > 0
    coefficients, batched = portrait.coefficients.batched, portrait.crop_from_model.batched
    camera = crop.camera()
    with torch.no_grad():
        face = render_face_depth(head_model, coefficients, batched, camera)
        vertices = head_model.vertices(coefficients)[0]
    return HeadView(
        image=as_bytes(crop.extract(pixels)),
        labels=labels,
        region=np.isin(labels, HEAD) & inside,
        face_depth=face.depth[0].double().numpy(),
        head=HeadInCrop(
            vertices=vertices.double().numpy(),
            rotation=batched.rotation[0].double().numpy(),
            translation=batched.translation[0].double().numpy(),
            focal=float(camera.focal),
            size=crop.size,
        ),
    )


def portrait_methods(portrait: Portrait) -> dict[str, Method]:
    """What the pipeline itself says of a photo: its depth network, which sees more than the head crop, and
    the finished head."""
    depth, camera = portrait.depth, portrait.head_crop.camera()
    first = seen_by(depth.front[None], depth.camera, camera)[0].double().numpy()
    return {"network": lambda _: first, "stitched head": lambda _: stitched_depth(portrait)}


def stitched_depth(portrait: Portrait) -> Float[np.ndarray, "S S"]:
    """Depth (mm) of the portrait's finished head in its head crop, inf beside it."""
    camera = portrait.head_crop.camera()
    vertices = torch.from_numpy(np.ascontiguousarray(portrait.head.vertices)).float()
    screen = camera.screen(portrait.head_crop.roll.inverse().apply(vertices))
    return render_depth(screen.double().numpy(), np.asarray(portrait.head.faces), camera.width)[1]


def measured_in(crop: Crop, depth: Float[np.ndarray, "H W"], camera: Camera) -> Float[np.ndarray, "S S 3"]:
    """What the pixels of a crop show, by a photo's measured depth: mm in the photo's camera, NaN if unknown.

    `depth` is that of the photo's pixels, inf where it was not measured.
    """
    height, width = depth.shape
    places = crop.photo_from_crop(crop.camera().pixel_centres().double())
    column, row = torch.floor(places).long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    z = torch.from_numpy(depth)[row.clamp(0, height - 1), column.clamp(0, width - 1)].double()
    z = torch.where(inside & z.isfinite(), z, torch.nan)
    taken = Camera(camera.focal.double(), camera.principal.double(), camera.height, camera.width)
    return taken.unproject(places.flatten(0, 1), z.flatten()).unflatten(0, z.shape).numpy()


def points_of(
    depth: Float[np.ndarray, "S S"], known: Bool[np.ndarray, "S S"], focal: float
) -> Float[np.ndarray, "S S 3"]:
    """Points (mm) of the known pixels of a crop whose camera has this focal length; zeros elsewhere."""
    size = len(depth)
    middle = torch.full((2,), size / 2, dtype=torch.float64)
    camera = Camera(torch.tensor(focal, dtype=torch.float64), middle, size, size)
    finite = torch.from_numpy(np.where(known, depth, 1.0))
    return DepthMap(finite, torch.from_numpy(known), camera).points().numpy()


def photo_points(depth: Float[np.ndarray, "H W"], camera: Camera) -> Float[np.ndarray, "H W 3"]:
    """Points (mm) of a photo's measured depth, NaN where that is infinite."""
    known = torch.from_numpy(depth).isfinite()
    finite = torch.where(known, torch.from_numpy(depth), torch.ones(()).double()).float()
    points = DepthMap(finite, known, camera).points().double().numpy()
    return np.where(known.numpy()[..., None], points, np.nan)


def truth_in(
    crop: Crop,
    depth: Float[np.ndarray, "H W"],
    camera: Camera,
    face: Bool[np.ndarray, "S S"],
    rest: Bool[np.ndarray, "S S"],
    surface: cKDTree,
) -> HeadTruth:
    """The truth at a crop's pixels; `face` and `rest` say which of them belong to what."""
    points = measured_in(crop, depth, camera)
    known = np.isfinite(points).all(axis=-1)
    return HeadTruth(points, face & known, rest & known, surface)
