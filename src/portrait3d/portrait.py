"""Everything known about the person in one photo."""

import math
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8

from portrait3d import arguments
from portrait3d.geometry import Camera, HeadMesh, Mesh, Pose
from portrait3d.geometry.mesh import SeeThrough
from portrait3d.head.assembly import assemble_head
from portrait3d.head.earrings import lift_earrings
from portrait3d.head.frame import TEXTURES, see_hair, see_scene, texture_size, whole_head
from portrait3d.head.glasses import lift_glasses
from portrait3d.head.lips import close_lips, fit_lips
from portrait3d.head.placement import place_head, texels
from portrait3d.head.shot import Shot
from portrait3d.head.teeth import fit_teeth
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.depth_net import HeadDepth
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.detection import Detection
from portrait3d.preprocessing.image import Photo
from portrait3d.preprocessing.removal import EARRINGS_EDGE, GLASSES_EDGE, take_off
from portrait3d.preprocessing.threads import at_once


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

    def check(self, name: str) -> None:
        """Raise `TypeError` or `ValueError`, naming the argument, for what is no finite number."""
        for angle in ("yaw", "pitch", "roll"):
            arguments.number(getattr(self, angle), f"{name}.{angle}")


@dataclass(frozen=True, eq=False)
class Portrait:
    """One reconstructed person; made by `Portrait3D.reconstruct`, turned by `Portrait3D.repose`."""

    photo: Photo
    detection: Detection
    """The face that was chosen."""
    camera: Camera
    """The photo's camera, in pixels of the original photo."""
    head_crop: Crop
    """The upright square that parsing and refinement work on; depth sees a wider one with the same middle."""
    coefficients: FaceCoefficients
    """Shape, expression, albedo and light, unbatched."""
    camera_from_model: Pose
    """Places the head model in the photo's camera frame, mm."""
    face: Mesh = field(repr=False)
    """The head model's surface in the photo's camera frame, mm."""
    landmarks: Float[np.ndarray, "68 2"] = field(repr=False)
    """iBUG order, float32 pixels of the original photo."""
    head_parsing: HeadParsing = field(repr=False)
    depth: HeadDepth = field(repr=False)
    """First and last surface of head and hair, in the wide crop's camera, mm."""
    head_model: HeadModel = field(repr=False)
    """The model that the face was fitted with."""
    glasses: Float[np.ndarray, "H W"] | None = field(default=None, repr=False)
    """How much of every pixel of the photo is the frame of glasses, or a lens that hides the eyes: float32 in
    [0, 1]; None if none are worn."""
    earrings: Float[np.ndarray, "H W"] | None = field(default=None, repr=False)
    """How much of every pixel of the photo is an earring: float32 in [0, 1]; None if none are worn. Parsing,
    matte and depth are those of the photo without them."""
    quality: float = 1.0
    """How far the portrait can be trusted, in [0, 1]: 1 % over the expected error in percent of face size, as
    fit, landmarks and parsing tell. Below 0.5 (`portrait3d.models.fit_quality.LEAST_QUALITY`) `reconstruct`
    warns."""
    others: tuple["Portrait", ...] = field(default=(), repr=False)
    """Further photos of the same person, with this one's identity, from `Portrait3D.reconstruct_person`: the
    head takes the colours of each where it shows them best."""

    @cached_property
    def head(self) -> HeadMesh:
        """Face, hair, ears and the rest as one mesh in the photo's camera frame, mm; made on first use."""
        return self.build_head()

    @torch.inference_mode()
    def build_head(self, *, delight: bool = False, texture: int = TEXTURES[1]) -> HeadMesh:
        """Put the head's layers together; `delight` takes the fitted light's shading out of the skin.

        `texture` is the largest side that the texture may have, 512 to 4096 pixels; where the photo shows the
        head by fewer, it is smaller.
        """
        arguments.truth_value(delight, "delight")
        arguments.number(arguments.whole_number(texture, "texture"), "texture", TEXTURES[0], TEXTURES[-1])
        posed, size = self._posed_vertices(), texture_size(self.head_crop, texture)
        shot = self.shot(posed, size)
        others = [portrait.shot_beside(self, texture) for portrait in self.others]
        head = assemble_head(
            shot.model,
            shot.view,
            shot.scene,
            texels(shot.model.layout, size),
            size,
            self.head_crop.angle,
            others,
            delight=delight,
        )
        expression = (posed - self._neutral_vertices()).astype(np.float32)
        return replace(
            head,
            camera_from_head=self.camera_from_model,
            expression=expression,
            glasses=self._lift_glasses(posed),
            earrings=self._lift_earrings(posed),
        )

    @cached_property
    def bare_pixels(self) -> UInt8[np.ndarray, "H W 3"]:
        """The photo without what is worn; the photo itself if nothing is."""
        pixels = self.photo.pixels
        for cover, edge in ((self.earrings, EARRINGS_EDGE), (self.glasses, GLASSES_EDGE)):
            if cover is not None:
                pixels = take_off(pixels, cover, self.head_crop, edge)
        return pixels

    @property
    def worn(self) -> Float[np.ndarray, "H W"] | None:
        """How much of every pixel of the photo glasses or earrings take; None if neither is worn."""
        covers = [cover for cover in (self.glasses, self.earrings) if cover is not None]
        return np.maximum.reduce(covers) if covers else None

    def shot_beside(self, main: "Portrait", texture: int) -> Shot:
        """This photo as a further one of the person, for a head in the main one's frame."""
        shot = self.shot(self._posed_vertices(), texture_size(self.head_crop, texture))
        return replace(shot, density=self._fineness(texture) / main._fineness(texture))

    def shot(self, posed: Float[np.ndarray, "M 3"], size: int) -> Shot:
        """The photo as the head's layers take it.

        Args:
            posed: The fitted face's vertices, model frame, mm.
            size: Pixels of the head crop's side in the texture.
        """
        frame = whole_head(self.head_crop, self.head_parsing.head_labels)
        labels = frame.extract_labels(self.head_parsing.labels)
        model = place_head(
            self.head_model,
            torch.from_numpy(posed).float(),
            self.crop_from_model,
            frame.camera(),
            self.coefficients.lighting,
            labels,
        )
        view, scene = at_once(
            lambda: see_hair(model, labels, self.depth, frame),
            lambda: see_scene(self.bare_pixels, self.head_parsing, self.head_crop, frame, size),
        )
        return Shot(model, view, scene, density=1.0)

    def _lift_glasses(self, posed: Float[np.ndarray, "M 3"]) -> SeeThrough | None:
        """The glasses in the photo's camera frame; `posed` as of `shot`."""
        if self.glasses is None:
            return None
        fit = self.head_crop, self.head_model, posed, self.crop_from_model
        return self._in_photo(lift_glasses(self.photo.pixels, self.glasses, *fit))

    def _lift_earrings(self, posed: Float[np.ndarray, "M 3"]) -> SeeThrough | None:
        """The earrings in the photo's camera frame; `posed` as of `shot`."""
        if self.earrings is None:
            return None
        fit = self.head_crop, self.head_model, posed, self.crop_from_model
        return self._in_photo(lift_earrings(self.photo.pixels, self.earrings, *fit, self.depth))

    def _in_photo(self, worn: SeeThrough | None) -> SeeThrough | None:
        """From the head crop's frame to the photo's."""
        if worn is None:
            return None
        turned = self.head_crop.roll.apply(torch.from_numpy(worn.vertices))
        return replace(worn, vertices=turned.numpy())

    def _fineness(self, texture: int) -> float:
        """Pixels of the photo that a millimetre of the head takes, as far as the texture keeps them."""
        kept = min(1.0, texture_size(self.head_crop, texture) / self.head_crop.side)
        return kept * float(self.camera.focal / self.camera_from_model.translation[2])

    def with_head(self, head: HeadMesh) -> "Portrait":
        """The same portrait with another head, such as `portrait.head.neutral()`."""
        other = replace(self)
        vars(other)["head"] = arguments.instance(head, HeadMesh, "head")
        return other

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the portrait to one `.npz` file, from which `load` makes it again; returns the path.

        The photo is inside, the head is not: it is made again. Raises `ValueError` for any other ending.
        """
        from portrait3d.export.portrait_file import save_portrait

        return save_portrait(self, Path(arguments.path(path, "path")))

    @classmethod
    def load(cls, path: str | os.PathLike[str], head_model: HeadModel | None = None) -> "Portrait":
        """Read a portrait that `save` wrote; nothing in the file is executed.

        `head_model` is the model that it was fitted with, if that is not the bundled one. Raises
        `FileNotFoundError`, and `PortraitFileError` for a file that can't be used.
        """
        from portrait3d.export.portrait_file import load_portrait

        return load_portrait(Path(arguments.path(path, "path")), head_model)

    def export_depth(self, path: str | os.PathLike[str]) -> Path:
        """Write the head's depth at the photo's pixels: `.png` (16 bits, steps of 0.1 mm, 0 where unknown),
        `.tiff` or `.exr` (32-bit floating point, mm; NaN or infinity where unknown).

        Raises `ValueError` for any other ending, `MissingPackageError` for `.exr` without OpenEXR.
        """
        from portrait3d.export.photo_files import save_depth

        return save_depth(self, Path(arguments.path(path, "path")))

    def export_cutout(self, path: str | os.PathLike[str]) -> Path:
        """Write the photo with the matte as alpha, `.png` or `.webp`; `ValueError` for any other ending."""
        from portrait3d.export.photo_files import save_cutout

        return save_cutout(self, Path(arguments.path(path, "path")))

    def export_camera(self, path: str | os.PathLike[str]) -> Path:
        """Write the photo's camera as `.json`, for OpenCV and for glTF; `ValueError` for any other ending."""
        from portrait3d.export.photo_files import save_camera

        return save_camera(self, Path(arguments.path(path, "path")))

    def vertex_landmarks(self, vertices: Int64[np.ndarray, " N"]) -> Float[np.ndarray, "N 2"]:
        """Where vertices of the head model are seen, by their numbers: float32 pixels of the photo.

        Raises `TypeError` or `ValueError` for what are no numbers of vertices.
        """
        chosen = arguments.numbers_of(vertices, "vertices", "N")
        count = len(self.face.vertices)
        if chosen.dtype.kind == "f" or (len(chosen) and not 0 <= chosen.min() <= chosen.max() < count):
            raise ValueError(f"vertices must be whole numbers from 0 to {count - 1}.")
        return self.camera.project(self.face.vertices[chosen.astype(np.int64)]).numpy()

    @property
    def dense_landmarks(self) -> Float[np.ndarray, "468 2"]:
        """Where the 468 points of MediaPipe's face mesh are seen: float32 pixels of the photo."""
        points = self.head_model.mesh_points(self.face.vertices[None])[0]
        return self.camera.project(points).numpy()

    def _posed_vertices(self) -> Float[np.ndarray, "M 3"]:
        """The fitted face with lips and teeth where the photo shows them; model frame, mm."""
        model, pose = self.head_model, self.crop_from_model
        fitted = model.vertices(self.coefficients.batched)[0].double().numpy()
        focal, classes = float(self.head_crop.camera().focal), self.head_parsing.head_probabilities
        fitted = fit_lips(model, fitted, pose, focal, classes)
        return fit_teeth(model, fitted, pose, self.head_crop, self.photo.pixels, self.parsing)

    def _neutral_vertices(self) -> Float[np.ndarray, "M 3"]:
        """The same face without expression; model frame, mm."""
        calm = replace(self.coefficients, expression=torch.zeros_like(self.coefficients.expression))
        return close_lips(self.head_model, self.head_model.vertices(calm.batched)[0].double().numpy())

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
