"""One head mesh from the fitted face, the lifted depth of everything else and a closed back."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt8

from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.mesh import HeadMesh
from portrait3d.geometry.pose import Pose


@dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """The head model fitted to a photo, in the frame of the head crop's camera."""

    vertices: Float[np.ndarray, "V 3"]
    """All vertices of the head model, crop camera, mm."""
    faces: Int64[np.ndarray, "F 3"]
    """All triangles of the head model (skin, cavities, eyeballs, teeth, tongue), outward."""
    camera_from_model: Pose
    """Unbatched; the model's frame to the crop's camera."""
    face_mask: Float[np.ndarray, " V"]
    """1 on the face, 0 off it."""
    ear_mask: Float[np.ndarray, " V"]
    """1 on the ears, 0 off them."""
    face_index: Int64[np.ndarray, "H W"]
    """Row of `faces` seen in every pixel of the head crop (all triangles rasterised), -1 where none is."""
    depth: Float[np.ndarray, "H W"]
    """Depth of what is seen there, mm; infinite where nothing is."""


def stitch(
    model: FittedHead,
    depth: DepthMap,
    parsing: Float[np.ndarray, "9 H W"],
    picture: UInt8[np.ndarray, "S S 3"],
    angle: float = 0.0,
) -> HeadMesh:
    """Join the face model and the lifted rest of the head into one closed, textured mesh.

    Args:
        model: The fitted head model.
        depth: The predicted depth of face, hair, ears and headwear in the head crop's camera, mm.
        parsing: Probabilities of the nine classes in the head crop.
        picture: The head crop at the texture's resolution (`head_crop.resized(S).extract`, S up to 1024).
        angle: The crop's roll in the photo, radians; the mesh is returned in the photo's camera frame.
    """
    raise NotImplementedError
