"""Accuracy of the face network on labelled photos: landmarks to the teacher's, shapes to offline fits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from portrait3d.data.face_crops import crop_from_box
from portrait3d.data.fits import FaceFits, FitConfig, fit_in_chunks, fit_photos, project_points
from portrait3d.data.photos import LANDMARKS_OF_MESH, LabelledPhoto, PhotoFolder
from portrait3d.geometry.pose import Pose, rotation_from_axis_angle
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import crop_from_landmarks


@dataclass(frozen=True, slots=True)
class FaceScores:
    """Mean errors over the photos of a folder, each beside that of the mean face in its best pose."""

    folder: str
    photos: int
    nme: float
    """Mean distance of the 68 landmarks to the teacher's over sqrt(w h) of their box, percent."""
    baseline_nme: float
    """The same for the mean face in the 3D pose that fits the teacher's landmarks best."""
    fit_nme: float
    """The same for the offline fits: the floor."""
    shape: float
    """Mean distance of the face's vertices to the offline fit's, in the model's frame, mm."""
    baseline_shape: float
    """The same for the mean face."""
    rotation: float
    """Angle between the predicted and the offline fit's rotation, degrees."""


@dataclass(frozen=True, slots=True)
class FacePrediction:
    """What the network says about N photos."""

    landmarks: Float[np.ndarray, "N 68 2"]
    """Where a landmark detector would see them, pixels of each photo."""
    shape: Float[Tensor, "N 144"]
    pose: Pose
    """In the camera of the crop, the angle of which is in `angle`."""
    angle: Float[np.ndarray, " N"]
    """The crops' roll in the photo, radians."""


@torch.no_grad()
def predict_faces(
    net: FaceNet, head: HeadModel, photos: Sequence[LabelledPhoto], passes: int = 2, chunk: int = 32
) -> FacePrediction:
    """Reconstruct faces from the labels' detector boxes; later passes crop around the landmarks found."""
    net.eval()
    landmarks, shapes, rotations, translations, angles = [], [], [], [], []
    for k in range(0, len(photos), chunk):
        part = photos[k : k + chunk]
        pixels = [photo.pixels() for photo in part]
        crops = [crop_from_box(photo.box) for photo in part]
        for again in range(passes):
            if again:
                crops = [crop_from_landmarks(points) for points in found]
            output = net(torch.stack([c.extract(p) for c, p in zip(crops, pixels, strict=True)]))
            points = head.landmarks(head.vertices(output.coefficients))
            seen = net.landmarks(points, output.camera_from_model)
            found = [crop.photo_from_crop(s) for crop, s in zip(crops, seen, strict=True)]
        landmarks += found
        shapes.append(output.shape)
        rotations.append(output.camera_from_model.rotation)
        translations.append(output.camera_from_model.translation)
        angles += [crop.angle for crop in crops]
    return FacePrediction(
        torch.stack(landmarks).numpy(),
        torch.cat(shapes),
        Pose(torch.cat(rotations), torch.cat(translations)),
        np.array(angles, np.float32),
    )


def evaluate_face(
    net: FaceNet,
    data: Path | str,
    *,
    limit: int | None = None,
    research: bool = True,
    passes: int = 2,
    sheet: Path | None = None,
) -> list[FaceScores]:
    """Score a network on the validation split below `data`: one row for everything, then one a folder.

    Labels and fits come from a landmark network: the figures say how well the two agree.

    Args:
        net: The network.
        data: Root of the labelled photos.
        limit: Take only so many photos, spread over the split.
        research: Include the research-only folders.
        passes: The first crop comes from the detector's box, further ones from the landmarks found.
        sheet: Write a contact sheet here: the best, middling and worst photos, landmarks drawn in.
    """
    photos = list(PhotoFolder(data, research=research, split="val"))
    if limit is not None:
        photos = [photos[i] for i in np.linspace(0, len(photos) - 1, min(limit, len(photos))).astype(int)]
    head = HeadModel.load()
    points = MeshPoints.from_head_model(head)
    truth = np.stack([photo.landmarks for photo in photos])
    found = predict_faces(net, head, photos, passes)
    fits = fit_photos(photos, points, slide=net.mesh_slide)
    mean = net.shape_mean.expand(len(photos), -1)
    best_pose = FitConfig(outline_weight=1.0, iterations=8, pose_iterations=99)
    _, pose = fit_in_chunks(
        points, torch.from_numpy(fits.landmarks), LANDMARKS_OF_MESH, best_pose, net.mesh_slide, shape=mean
    )
    plain = project_points(points, mean, pose, net.mesh_slide)[:, LANDMARKS_OF_MESH].numpy()
    fitted = torch.from_numpy(fits.shape)
    columns = {
        "nme": normalised_error(found.landmarks, truth),
        "baseline_nme": normalised_error(plain, fits.landmarks),
        "fit_nme": 100 * fits.residual,
        "shape": face_distance(head, found.shape, fitted),
        "baseline_shape": face_distance(head, mean, fitted),
        "rotation": rotation_error(found, fits),
    }
    if sheet is not None:
        write_sheet(photos, found.landmarks, columns["nme"], sheet)
    folders = np.array([photo.folder for photo in photos])
    groups = [("all", np.full(len(photos), True))]
    groups += [(name, folders == name) for name in dict.fromkeys(folders.tolist())]
    return [
        FaceScores(
            name, int(rows.sum()), **{key: float(value[rows].mean()) for key, value in columns.items()}
        )
        for name, rows in groups
    ]


@torch.no_grad()
def face_distance(
    head: HeadModel, first: Float[Tensor, "N 144"], second: Float[Tensor, "N 144"]
) -> Float[np.ndarray, " N"]:
    """Mean distance between the face's vertices of two shapes, in the model's frame, mm."""
    face = head.face_mask > 0.5
    bases = torch.cat([head.identity_basis, head.expression_basis])[:, face]
    differences = ((first - second) @ bases.flatten(1)).unflatten(1, (-1, 3))
    return differences.norm(dim=-1).mean(1).numpy()


def rotation_error(found: FacePrediction, fits: FaceFits) -> Float[np.ndarray, " N"]:
    """Angle between predicted and fitted rotations in the photo, degrees."""

    def in_photo(rotation: Tensor, angle: np.ndarray) -> Tensor:
        roll = torch.zeros(len(angle), 3)
        roll[:, 2] = torch.from_numpy(angle)
        return rotation_from_axis_angle(roll) @ rotation

    ours = in_photo(found.pose.rotation, found.angle)
    return angle_between(ours, in_photo(torch.from_numpy(fits.rotation), fits.angle)).numpy()


def angle_between(first: Float[Tensor, "N 3 3"], second: Float[Tensor, "N 3 3"]) -> Float[Tensor, " N"]:
    """Angle between rotations, degrees."""
    chord = (first - second).square().sum((1, 2)).sqrt()
    return torch.rad2deg(2 * torch.asin((chord / 8**0.5).clamp(max=1)))


def write_sheet(
    photos: Sequence[LabelledPhoto],
    found: Float[np.ndarray, "N 68 2"],
    error: Float[np.ndarray, " N"],
    path: Path,
) -> None:
    """Best, middling and worst photos, two rows each: the teacher's landmarks red, the network's green."""
    order = np.argsort(error)
    middle = max(len(order) // 2 - 8, 0)
    chosen = [*order[:16], *order[middle : middle + 16], *order[-16:]]
    columns, side = 8, 224
    sheet = Image.new("RGB", (columns * side, -(-len(chosen) // columns) * side))
    for k, i in enumerate(chosen):
        crop = crop_from_landmarks(torch.from_numpy(photos[i].landmarks)).resized(side)
        pixels = (crop.extract(photos[i].pixels()).permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        tile = Image.fromarray(pixels)
        draw = ImageDraw.Draw(tile)
        for points, colour in ((photos[i].landmarks, (255, 40, 40)), (found[i], (60, 255, 60))):
            for x, y in crop.crop_from_photo(torch.from_numpy(points)).tolist():
                draw.ellipse((x - 1.2, y - 1.2, x + 1.2, y + 1.2), fill=colour)
        draw.text((4, 4), f"{error[i]:.2f} %", fill=(255, 255, 0))
        draw.text((4, side - 14), photos[i].name[:34], fill=(255, 255, 0))
        sheet.paste(tile, (k % columns * side, k // columns * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def normalised_error(
    found: Float[np.ndarray, "N 68 2"], truth: Float[np.ndarray, "N 68 2"]
) -> Float[np.ndarray, " N"]:
    """Mean distance of 68 landmarks over sqrt(w h) of their upright-rectangle box, in percent (NME)."""
    extent = np.sqrt(np.prod(truth.max(1) - truth.min(1), axis=1))
    return 100 * np.linalg.norm(found - truth, axis=-1).mean(1) / extent
