"""What the package's networks make of a scene, as the depth network will meet it: fit, labels and truth.

The truth is told in the frame of the fit, which has its own idea of a head's size and errs in its pose.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.data.depth.scenes import Scene
from portrait3d.data.depth.views import IS_HAIR, NOT_HAIR, UNKNOWN, DepthView
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.similarity import Similarity
from portrait3d.models.face_depth import HeadDepths, render_head_depths
from portrait3d.models.face_fit import fit_face
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import ParsingExperts, parse_head
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.alignment import HEAD_ZOOM, WIDE_ZOOM, Crop, crop_from_landmarks
from portrait3d.pretrained import bundled, load_network

LEAST_FACE = 40
"""Pixels of the face that the fit has to meet."""
WORST_FIT = 9.0
"""mm along the rays between the fitted and the true face, laid on each other, beyond which a fit is wrong."""
HAIR_AT_BORDER = 8
"""Pixels of hair along the head crop's border from which parsing looks beyond it."""
POINTS = 1500
"""Most points of unseen hair that a view remembers."""


@dataclass(frozen=True, slots=True)
class Readers:
    """The package's networks that read pictures before the depth network does."""

    head_model: HeadModel
    face_net: FaceNet
    parsing: ParsingExperts

    @classmethod
    def bundled(cls) -> "Readers":
        """Those that ship."""
        return cls(
            HeadModel.load(),
            load_network(FaceNet, bundled("face")).eval(),
            ParsingExperts.load(bundled("parsing")),
        )


@torch.inference_mode()
def read_scene(readers: Readers, scene: Scene, size: int, *, parsed: bool) -> DepthView | None:
    """What the pipeline makes of a scene's picture, with its truth; None where the fit misses the face.

    Args:
        readers: The networks.
        scene: The picture and its truth.
        size: Pixels of the wide crop.
        parsed: Take the labels from the parsing network, which errs, rather than the exact ones.
    """
    fit = fit_face(readers.face_net, readers.head_model, scene.picture, crop_from_landmarks(scene.landmarks))
    crop, head_crop = fit.crop.wide_crop(size), fit.crop.head_crop()
    vertices = readers.head_model.vertices(fit.coefficients.batched)
    head = render_head_depths(readers.head_model, vertices, fit.crop_from_model.batched, crop.camera())
    # The crop is the fit's, not the truth's: inference has no other.
    exact = crop.extract_labels(scene.labels)
    front, back = (extract_values(crop, depth, np.inf) for depth in (scene.front, scene.back))
    into_fit = fit_frame(head, front, face_proper(scene, crop, exact), crop, scene.camera)
    if into_fit is None:
        return None
    if parsed:
        labels = crop.extract_labels(parse_head(readers.parsing, scene.picture, head_crop).labels)
    else:
        labels = as_far_as_parsed(exact, head_crop.extract_labels(scene.labels))
    center = float(head.center)

    def relative(depth: np.ndarray) -> Float[np.ndarray, "H W"]:
        return np.where(np.isfinite(depth), depth - center, np.nan)

    within = crop.extract_labels(np.ones_like(scene.labels)) > 0
    is_hair = extract_values(crop, scene.back_is_hair.astype(np.float32), 0.0) > 0
    return DepthView(
        name=scene.name,
        style=scene.style,
        image=as_bytes(crop.extract(scene.picture)),
        labels=labels,
        near=relative(head.near[0].numpy()),
        far=relative(head.far[0].numpy()),
        front=relative(into_fit(front)),
        back=relative(into_fit(back)),
        back_hair=np.where(within, np.where(is_hair, IS_HAIR, NOT_HAIR), UNKNOWN).astype(np.uint8),
        center=center,
        unseen_hair=_moved(scene, into_fit),
        rotation=fit.crop_from_model.rotation.numpy(),
        translation=fit.crop_from_model.translation.numpy(),
    )


def extract_values(
    crop: Crop, values: Float[np.ndarray, "H W"], outside: float
) -> Float[np.ndarray, "size size"]:
    """The value of the photo's pixel under each of the crop's centres, `outside` off the photo."""
    places = np.arange(values.size).reshape(values.shape)
    found = crop.extract_labels(places, -1)
    return np.where(found >= 0, values.reshape(-1)[found.clip(0)], outside)


@dataclass(frozen=True, slots=True)
class FitFrame:
    """Brings true depths to those of the fitted head: a similarity lays the true face on the fitted one.

    Neither size nor focal length can be told from a picture, and the fit errs in the head's pose too. What
    matters is where hair lies in relation to the fitted face. A point stays in the pixel that shows it, so
    that truth, picture and labels share their outlines, and takes the depth that the motion gives it.
    """

    crop: Crop
    picture_camera: Camera
    fit_from_picture: Similarity

    def __call__(self, depth: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
        """Depths in the fit's frame of the crop's pixels, whose true ones are given; infinite ones stay."""
        finite = np.isfinite(depth)
        points = self._points(np.where(finite, depth, 1.0))
        return np.where(finite, self.fit_from_picture.apply(points)[..., 2], np.inf)

    def moved(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Points of the picture's camera frame in the crop's."""
        depth = torch.from_numpy(self.fit_from_picture.apply(points.double().numpy())[:, 2])
        pixels = self.crop.crop_from_photo(self.picture_camera.project(points))
        return self.crop.camera().unproject(pixels, depth.to(points))

    def _points(self, depth: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S 3"]:
        pixels = self.crop.photo_from_crop(self.crop.camera().pixel_centres())
        return self.picture_camera.unproject(pixels, torch.from_numpy(depth).float()).double().numpy()


def fit_frame(
    head: HeadDepths,
    front: Float[np.ndarray, "S S"],
    face: Bool[np.ndarray, "S S"],
    crop: Crop,
    picture_camera: Camera,
) -> FitFrame | None:
    """The frame of a fit, from the face that is seen; None where the fit misses it.

    Args:
        head: The fitted head in the crop.
        front: True first surface in the crop's pixels, mm in the picture's camera.
        face: Which of them show the face.
        crop: Of the picture.
        picture_camera: What took it.
    """
    near = head.near[0].numpy()
    both = face & np.isfinite(near) & np.isfinite(front)
    if both.sum() < LEAST_FACE:
        return None
    unmoved = FitFrame(crop, picture_camera, Similarity(1.0, np.eye(3), np.zeros(3)))
    camera = crop.camera()
    mask = torch.from_numpy(both)
    fitted = camera.unproject(camera.pixel_centres()[mask], head.near[0][mask])
    frame = replace(
        unmoved, fit_from_picture=Similarity.robust(unmoved._points(front)[both], fitted.double().numpy())
    )
    return frame if np.abs(frame(front)[both] - near[both]).mean() < WORST_FIT else None


def face_proper(scene: Scene, crop: Crop, labels: UInt8[np.ndarray, "S S"]) -> Bool[np.ndarray, "S S"]:
    """The crop's pixels of the face from brows to chin: a bald scalp is face too, but no fit knows it."""
    low, high = (f(crop.crop_from_photo(scene.landmarks).numpy(), axis=0) for f in (np.min, np.max))
    centres = crop.camera().pixel_centres().numpy()
    return (labels == ParsingClass.FACE) & ((centres >= low) & (centres <= high)).all(axis=-1)


def as_far_as_parsed(
    labels: UInt8[np.ndarray, "H W"], head_labels: UInt8[np.ndarray, "S S"]
) -> UInt8[np.ndarray, "H W"]:
    """Exact labels of a wide crop as `parse_head` gives them: beyond the head crop only if hair leaves it."""
    hair = head_labels == ParsingClass.HAIR
    if sum(int(edge.sum()) for edge in (hair[0], hair[-1], hair[:, 0], hair[:, -1])) > HAIR_AT_BORDER:
        return labels
    size = len(labels)
    margin = round(size * (1 - HEAD_ZOOM / WIDE_ZOOM) / 2)
    middle = np.s_[margin : size - margin, margin : size - margin]
    kept = np.zeros_like(labels)
    kept[middle] = labels[middle]
    return kept


def _moved(scene: Scene, into_fit: FitFrame) -> Float[np.ndarray, "P 3"]:
    # Unseen hair in the crop's camera, in the fit's frame; NaN fills up what the head lacks.
    if scene.unseen_hair is None:
        return np.zeros((0, 3), np.float32)
    result = np.full((POINTS, 3), np.nan, np.float32)
    points = into_fit.moved(torch.from_numpy(scene.unseen_hair[:POINTS]))
    result[: len(points)] = points.numpy()
    return result
