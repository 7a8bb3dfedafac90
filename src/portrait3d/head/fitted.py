"""The head model fitted to a photo, as the camera of the head crop sees it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped

from portrait3d.geometry.pixels import pixel_under
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.skin import normals, view_cosine
from portrait3d.geometry.topology import Topology
from portrait3d.head.layout import HeadLayout
from portrait3d.rendering.rasterizer import rasterize


@dataclass(frozen=True, eq=False)
class FittedHead:
    """The head model fitted to a photo, in the frame of the head crop's camera."""

    vertices: Float[np.ndarray, "V 3"]
    """All vertices of the head model, crop camera, mm."""
    faces: Int64[np.ndarray, "F 3"]
    """Triangles of the model's skin, outward; eyes and mouth are openings in it."""
    layout: HeadLayout
    """All triangles, and their places in the texture."""
    camera_from_model: Pose
    """Unbatched; the model's frame to the crop's camera."""
    face_mask: Float[np.ndarray, " V"]
    """1 on the face, 0 off it."""
    ears_mask: Float[np.ndarray, " V"]
    """1 on the ears, 0 off them."""
    irradiance: Float[np.ndarray, " V"]
    """Brightness of the fitted light on the skin; 1 shows the skin's own colour."""
    face_index: Int64[np.ndarray, "H W"]
    """Triangle of `layout` seen in every pixel of the head crop, -1 where none is; the first are `faces`."""
    depth: Float[np.ndarray, "H W"]
    """Depth of what is seen there, mm; infinite where nothing is."""
    focal: float
    """Focal length of the crop's camera, pixels; its principal point is the crop's centre."""

    def moved(self, vertices: Float[np.ndarray, "V 3"]) -> "FittedHead":
        """The same head with other vertices, as its camera sees it then."""
        height, width = self.depth.shape
        # Geometry is float64, the rasteriser float32 as in training.
        screen = np.concatenate([self.pixels(vertices), vertices[:, 2:]], axis=1)
        seen = rasterize(
            torch.from_numpy(screen).float()[None], torch.from_numpy(self.layout.faces), height, width
        )
        return replace(
            self,
            vertices=vertices,
            face_index=seen.face_index[0].numpy(),
            depth=seen.depth[0].double().numpy(),
        )

    @property
    def topology(self) -> Topology:
        """Of the skin's triangles."""
        return Topology.of(self.faces, len(self.vertices))

    @cached_property
    def normals(self) -> Float[np.ndarray, "V 3"]:
        """Unit normals of the skin at the vertices, crop camera; zero off the skin."""
        return normals(self.vertices, self.faces)

    @cached_property
    def cosine(self) -> Float[np.ndarray, " V"]:
        """Cosine between the skin and the view at the vertices; > 0 faces the camera."""
        return view_cosine(self.vertices, self.normals)

    @cached_property
    def model_vertices(self) -> Float[np.ndarray, "V 3"]:
        """The vertices in the model's frame, mm."""
        return self.to_model(self.vertices)

    @cached_property
    def model_normals(self) -> Float[np.ndarray, "V 3"]:
        """Unit normals of the skin in the model's frame; zero off the skin."""
        return normals(self.model_vertices, self.faces)

    def to_model(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Points of the crop's camera in the model's frame, mm."""
        rotation, translation = self.camera_from_model.rotation, self.camera_from_model.translation
        # Rows times R are R^T times columns: the inverse of `to_camera`.
        return (points - translation.double().numpy()) @ rotation.double().numpy()

    def pixels(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Pixels of the head crop at which points of its camera's frame are seen."""
        size = np.array(self.depth.shape[::-1])
        return self.focal * points[:, :2] / points[:, 2:] + size / 2

    def read(self, values: Shaped[np.ndarray, "H W"], points: Float[np.ndarray, "N 3"]) -> np.ndarray:
        """The values of the head crop's pixels at which points are seen; those of its border beyond it."""
        return values[pixel_under(self.pixels(points), values.shape)]

    def in_crop(self, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        """Which points are seen in the head crop."""
        pixels = self.pixels(points)
        return np.all((pixels >= 0) & (pixels < self.depth.shape[::-1]), axis=1)

    def to_camera(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Points of the model's frame in the crop's camera, mm."""
        pose, kind = self.camera_from_model, points.dtype
        # The same as points @ R.T, which is several times as slow for many points in single precision.
        return (pose.rotation.numpy().astype(kind) @ points.T).T + pose.translation.numpy().astype(kind)
