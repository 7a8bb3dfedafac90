"""Everything known about the person in one photo."""

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from portrait3d.geometry import Camera, DepthMap, HeadMesh, Mesh, Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.detection import Detection
from portrait3d.preprocessing.image import Photo


@dataclass(frozen=True, slots=True)
class HeadAngles:
    """Where a head looks, in degrees."""

    yaw: float
    """> 0 is turned to the picture's right."""
    pitch: float
    """> 0 looks up."""
    roll: float
    """> 0 is clockwise in the picture."""

    @classmethod
    def of(cls, pose: Pose) -> "HeadAngles":
        """The angles of an unbatched pose."""
        yaw, pitch, roll = (math.degrees(float(angle)) for angle in pose.euler())
        return cls(yaw, pitch, roll)


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """One reconstructed person; made by `Portrait3D.reconstruct`, turned by `Portrait3D.repose`."""

    photo: Photo
    detection: Detection
    """The face that was chosen."""
    camera: Camera
    """The photo's camera, in pixels of the original photo."""
    head_crop: Crop
    """The upright square that parsing, depth and refinement work on."""
    coefficients: FaceCoefficients
    """Shape, expression, albedo and light, unbatched."""
    camera_from_model: Pose
    """Places the head model in the photo's camera frame, mm."""
    face: Mesh = field(repr=False)
    """The head model's surface in the photo's camera frame, mm."""
    landmarks: Float[np.ndarray, "68 2"] = field(repr=False)
    """iBUG order, float32 pixels of the original photo."""
    head_parsing: HeadParsing = field(repr=False)
    depth: DepthMap = field(repr=False)
    """Depth of the head in the head crop's camera, mm."""
    head: HeadMesh = field(repr=False)
    """Face, hair, ears and the rest as one mesh in the photo's camera frame, mm."""
    quality: float = 1.0
    """How far the portrait can be trusted, in [0, 1]: 1 % over the expected error in percent of face size, as
    fit, landmarks and parsing tell. Below 0.5 (`portrait3d.models.fit_quality.LEAST_QUALITY`) `reconstruct`
    warns."""

    @property
    def pose(self) -> HeadAngles:
        """Yaw, pitch and roll of the head in the photo, degrees."""
        return HeadAngles.of(self.camera_from_model)

    @property
    def crop_from_model(self) -> Pose:
        """Places the head model in the upright head crop's camera frame, mm."""
        return self.head_crop.roll.inverse() @ self.camera_from_model

    @property
    def parsing(self) -> UInt8[np.ndarray, "H W"]:
        """Class of every pixel of the original photo; 0 background 1 face 2 hair 3 left ear 4 right ear
        5 inner mouth 6 neck 7 body 8 headwear, left and right as in the picture."""
        return self.head_parsing.labels

    @property
    def matte(self) -> Float[np.ndarray, "H W"]:
        """How much of every pixel of the original photo is head, float32 in [0, 1], soft along the outline.

        The head is face, hair, ears, mouth and headwear, without the neck.
        """
        return self.head_parsing.matte
