"""Batches for the face network: stored crops of fitted photos, placed, mirrored and recoloured at random."""

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.data.face.augmentation import degrade, move_points, move_pose, vary_colour, warp_crops
from portrait3d.data.face.fits import FaceFits, project_points
from portrait3d.data.face.occlusion import cover
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, LabelledPhoto
from portrait3d.geometry.pose import Pose, heading
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, mirror_pairs
from portrait3d.preprocessing.alignment import FACE_MARGIN, FACE_SIZE, Crop

logger = logging.getLogger(__name__)

STORED_SIZE, STORED_MARGIN = 224, 1.4
"""Pixels of the stored crops, and what they cover: this many face crops."""
BOX_SHIFT, BOX_SIDE = 0.16, 1.415
"""From the labels' detector boxes to face crops: centre lowered and side, both times sqrt(w h) of the box."""
MOST_FITTED_YAW = math.radians(30)
"""Yaw beyond which fits to a landmark network's points underrate how far a head is turned."""
RECOLOURED = 0.6
"""Share of the images whose colours are varied; the others teach albedo and light."""


@dataclass(frozen=True, slots=True)
class FaceBatch:
    """Face crops and everything known about them; points and poses in the crop's camera (pixels of 224)."""

    images: Float[Tensor, "B 3 S S"]
    points: Float[Tensor, "B 468 2"]
    """The teacher's points; NaN where a photo has the 68 landmarks alone."""
    coefficients: FaceCoefficients
    has_appearance: Bool[Tensor, " B"]
    """Whether albedo and lighting are known, and the image's colours still the photo's."""
    pose: Pose
    extent: Float[Tensor, " B"]
    """sqrt(w h) of the landmarks' box, pixels of 224."""
    has_pose: Bool[Tensor, " B"]
    """Whether the pose is to be believed: drawn faces' always, those of fits up to `MOST_FITTED_YAW`."""

    def to(self, device: torch.device) -> "FaceBatch":
        """The batch on a device."""
        return FaceBatch(
            images=self.images.to(device),
            points=self.points.to(device),
            coefficients=FaceCoefficients.from_vector(self.coefficients.to_vector().to(device)),
            has_appearance=self.has_appearance.to(device),
            pose=Pose(self.pose.rotation.to(device), self.pose.translation.to(device)),
            extent=self.extent.to(device),
            has_pose=self.has_pose.to(device),
        )

    @classmethod
    def joined(cls, batches: Sequence["FaceBatch"]) -> "FaceBatch":
        """Several batches in one."""
        vectors = [batch.coefficients.to_vector() for batch in batches]
        rotations = [batch.pose.rotation for batch in batches]
        translations = [batch.pose.translation for batch in batches]
        return cls(
            images=torch.cat([batch.images for batch in batches]),
            points=torch.cat([batch.points for batch in batches]),
            coefficients=FaceCoefficients.from_vector(torch.cat(vectors)),
            has_appearance=torch.cat([batch.has_appearance for batch in batches]),
            pose=Pose(torch.cat(rotations), torch.cat(translations)),
            extent=torch.cat([batch.extent for batch in batches]),
            has_pose=torch.cat([batch.has_pose for batch in batches]),
        )


def crop_from_box(box: Float[np.ndarray, "4"]) -> Crop:
    """The face crop that the labels' detector box suggests; its angle is unknown and left zero."""
    size = math.sqrt(max(float((box[2] - box[0]) * (box[3] - box[1])), 1.0))
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + BOX_SHIFT * size)
    return Crop((float(centre[0]), float(centre[1])), BOX_SIDE * size, 0.0, FACE_SIZE)


def face_rolls(landmarks: Float[Tensor, "N 68 2"]) -> Float[Tensor, " N"]:
    """Roll of faces in stored crops, as `alignment.roll_of_face` has it; 0 where crops were placed by it.

    Side views that look up or down lean in the picture though their heads do not roll.
    """
    left, right = landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)
    down = landmarks[:, [48, 54]].mean(1) - (left + right) / 2
    across = right - left + torch.stack([down[:, 1], -down[:, 0]], dim=1)
    return torch.atan2(across[:, 1], across[:, 0])


def store_crops(photos: Sequence[LabelledPhoto], fits: FaceFits, cache: Path) -> np.ndarray:
    """A wide upright crop of every photo, uint8 [N, 224, 224, 3] mapped from the cache, made if missing."""
    path, key = cache / "crops.npy", cache / "crops.key"
    places = hashlib.sha256(np.column_stack([fits.centre, fits.side, fits.angle]).tobytes())
    places.update("\n".join(fits.names).encode())
    if not (path.is_file() and key.is_file() and key.read_text() == places.hexdigest()):
        logger.info("Cutting %d crops.", len(photos))
        shape = (len(photos), STORED_SIZE, STORED_SIZE, 3)
        stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        for k, photo in enumerate(photos):
            x, y = fits.centre[k].tolist()
            side, angle = STORED_MARGIN * float(fits.side[k]), float(fits.angle[k])
            crop = Crop((x, y), side, angle, STORED_SIZE)
            pixels = crop.extract(photo.pixels()).permute(1, 2, 0) * 255
            stored[k] = pixels.round().to(torch.uint8).numpy()
        stored.flush()
        key.write_text(places.hexdigest())
    return np.load(path, mmap_mode="r")


def exact_fits(
    points: MeshPoints,
    shape: Float[Tensor, "N 144"],
    pose: Pose,
    slide: Float[Tensor, "7 468 2"],
    *,
    names: Sequence[str],
    folder: str,
    key: str,
) -> FaceFits:
    """The exact truth of drawn faces, whose stored crops are the photos, in the form of offline fits.

    The 468 points lie where a landmark network would put them, by the table `slide`.
    """
    count = len(shape)
    return FaceFits(
        names=np.array(names),
        folders=np.full(count, folder),
        validation=np.zeros(count, bool),
        centre=np.full((count, 2), STORED_SIZE / 2, np.float32),
        side=np.full(count, STORED_SIZE / STORED_MARGIN, np.float32),
        angle=np.zeros(count, np.float32),
        box=np.zeros((count, 4), np.float32),
        points=project_points(points, shape, pose, slide).numpy(),
        shape=shape.numpy(),
        rotation=pose.rotation.numpy(),
        translation=pose.translation.numpy(),
        residual=np.zeros(count, np.float32),
        slide=slide.numpy(),
        key=key,
    )


class FaceCrops:
    """Random access to augmented batches of fitted crops.

    Args:
        fits: Labels and fits, one row a crop.
        images: The stored crops of the same rows.
        head: The head model, for mirroring.
        appearance: Albedo (80) and lighting (9) of every row, NaN where unknown; None if all are.
        exact: The poses are the truth, not fits to a landmark network's points.
    """

    def __init__(
        self,
        fits: FaceFits,
        images: UInt8[np.ndarray, "N H W 3"],
        head: HeadModel,
        appearance: Float[np.ndarray, "N 89"] | None = None,
        *,
        exact: bool = False,
    ) -> None:
        if len(fits) != len(images):
            raise ValueError(f"{len(fits)} fits and {len(images)} images do not belong together.")
        self.fits, self.images = fits, images
        self.points = torch.from_numpy(fits.points)
        if appearance is None:
            appearance = np.full((len(fits), 89), np.nan, np.float32)
        self.has_appearance = torch.from_numpy(np.isfinite(appearance).all(1))
        self.coefficients = torch.from_numpy(np.concatenate([fits.shape, np.nan_to_num(appearance)], axis=1))
        self.pose = Pose(torch.from_numpy(fits.rotation), torch.from_numpy(fits.translation))
        self.has_pose = (heading(self.pose.rotation).abs() < MOST_FITTED_YAW) | exact
        self.head, self.pairs = head, mirror_pairs(MeshPoints.from_head_model(head).mean)
        self.roll = face_rolls(self.points[:, LANDMARKS_OF_MESH])
        self.box_shift, self.box_scale = self._detector_crops()

    def __len__(self) -> int:
        return len(self.fits)

    def _detector_crops(self) -> tuple[Float[Tensor, "N 2"], Float[Tensor, " N"]]:
        """Where detectors' crops lie in the stored ones, as shift and scale; none for hopeless boxes."""
        shift, scale = np.zeros((len(self), 2), np.float32), np.ones(len(self), np.float32)
        for k, box in enumerate(self.fits.box):
            crop = crop_from_box(box)
            offset, angle = np.array(crop.centre) - self.fits.centre[k], self.fits.angle[k]
            cos, sin = math.cos(angle), math.sin(angle)
            upright = np.array([cos * offset[0] + sin * offset[1], cos * offset[1] - sin * offset[0]])
            shift[k], scale[k] = upright * FACE_SIZE / self.fits.side[k], self.fits.side[k] / crop.side
        # Boxes so far off must be another face's.
        hopeless = (np.hypot(*shift.T) > 60) | (np.abs(np.log(scale)) > 0.6)
        shift[hopeless], scale[hopeless] = 0, 1
        return torch.from_numpy(shift), torch.from_numpy(scale)

    def batch(self, rows: np.ndarray, size: int, random: np.random.Generator) -> FaceBatch:
        """These rows with random placement, mirroring and appearance."""
        count = len(rows)

        def normal(deviation: float, *shape: int) -> Tensor:
            return torch.from_numpy(random.normal(0, deviation, shape).astype(np.float32))

        # Half of the crops lie where a detector's box puts them, as in the first pass of inference, half near
        # where landmarks put them, as in the second.
        detected = torch.from_numpy(random.random(count) < 0.5)
        shift = torch.where(
            detected[:, None], self.box_shift[rows] + normal(4.0, count, 2), normal(6.0, count, 2)
        )
        scale = torch.where(detected, self.box_scale[rows].log(), 0.0)
        scale = (scale + normal(0.06, count)).exp()
        rolled = (random.random(count) < 0.2) * random.uniform(-0.6, 0.6, count)
        angle = normal(math.radians(5), count) + torch.from_numpy(rolled.astype(np.float32))
        mirrored = torch.from_numpy(random.random(count) < 0.5)
        angle = angle - torch.where(mirrored, -self.roll[rows], self.roll[rows])

        points, coefficients, pose = self.mirror(rows, mirrored)
        shift[:, 0] = torch.where(mirrored, -shift[:, 0], shift[:, 0])
        images = warp_crops(self.images[rows], STORED_MARGIN, shift, scale, angle, size, mirrored)
        recoloured = torch.from_numpy(random.random(count) < RECOLOURED)
        images = torch.where(recoloured[:, None, None, None], vary_colour(images, random), images)
        points = move_points(points, shift, scale, angle)
        images = cover(images, points[:, LANDMARKS_OF_MESH] * (size / FACE_SIZE), random)
        return FaceBatch(
            images=degrade(images, random),
            points=points,
            coefficients=coefficients,
            has_appearance=self.has_appearance[rows] & ~recoloured,
            pose=move_pose(pose, shift, scale, angle),
            # By construction: the crop's side is `FACE_MARGIN` times the landmarks' size.
            extent=FACE_SIZE / FACE_MARGIN * scale,
            has_pose=self.has_pose[rows],
        )

    def mirror(
        self, rows: np.ndarray, mirrored: Bool[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B 468 2"], FaceCoefficients, Pose]:
        """Points, coefficients and poses of these rows, some as a mirror would show them."""
        points, vector = self.points[rows], self.coefficients[rows]
        rotation, translation = self.pose.rotation[rows], self.pose.translation[rows]
        flip = torch.tensor([-1.0, 1.0, 1.0])
        reflected = torch.stack([FACE_SIZE - points[..., 0], points[..., 1]], dim=-1)[:, self.pairs]
        other = self.head.mirrored(FaceCoefficients.from_vector(vector)).to_vector()
        one, two = mirrored[:, None], mirrored[:, None, None]
        pose = Pose(
            torch.where(two, rotation * flip[:, None] * flip, rotation),
            torch.where(one, translation * flip, translation),
        )
        coefficients = FaceCoefficients.from_vector(torch.where(one, other, vector))
        return torch.where(two, reflected, points), coefficients, pose
