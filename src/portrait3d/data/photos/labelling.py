"""Pictures labelled by the package's own networks, in the layout that `data.photos.labelled` reads."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from scipy import ndimage

from portrait3d.data.face.fits import project_points
from portrait3d.data.photos.clips import UNFOLDED_CLASSES, replace_file
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.parsing_classes import HEAD, ParsingClass
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import FACE_SIZE, HEAD_SIZE, Crop


@dataclass(frozen=True, slots=True)
class PhotoLabels:
    """What training learns from a photo, all in the photo's own pixels."""

    parsing: UInt8[np.ndarray, "H W"]
    """Classes by `ParsingClass`."""
    hair: UInt8[np.ndarray, "H W"]
    """How certainly every pixel shows hair, 0 to 255."""
    figure: UInt8[np.ndarray, "H W"]
    """How certainly it shows the person."""
    points: Float[np.ndarray, "468 3"]
    """MediaPipe's face mesh; z is in pixels too: smaller is nearer, relative to the head's centre."""

    @classmethod
    def of(cls, model: Portrait3D, portrait: Portrait) -> "PhotoLabels":
        """What the package's own networks say.

        Hair and head end as softly as the matte; neck and body have the parsing's own border.
        """
        parsing, head = portrait.parsing, portrait.head_parsing.matte
        hair = parsing == ParsingClass.HAIR
        other = np.isin(parsing, [ParsingClass.NECK, ParsingClass.BODY])
        # Beside the labels' border the matte tells how much of a pixel is still hair.
        near = ndimage.maximum_filter(hair, 5) & ~np.isin(parsing, HEAD) & ~other
        return cls(
            parsing,
            (255 * np.where(hair | near, head, 0)).round().astype(np.uint8),
            (255 * np.maximum(head, other)).round().astype(np.uint8),
            mesh_points(model, portrait),
        )


def mesh_points(model: Portrait3D, portrait: Portrait) -> Float[np.ndarray, "468 3"]:
    """The 468 points of MediaPipe's face mesh, in pixels of the photo.

    z is in pixels too: smaller is nearer, relative to the head's centre.
    """
    wide, coefficients = portrait.head_crop, portrait.coefficients
    crop = Crop(wide.centre, wide.side / wide.zoom, wide.angle, FACE_SIZE)
    batched = portrait.crop_from_model.batched
    points = MeshPoints.from_head_model(model.head_model)
    shape = torch.cat([coefficients.identity, coefficients.expression])[None]
    with torch.no_grad():
        seen = project_points(points, shape, batched, model.face_net.mesh_slide)[0]
        depth = batched.apply(points(shape))[0, :, 2]
    centre = batched.apply(torch.from_numpy(HEAD_CENTRE).float()[None, None])[0, 0, 2]
    scale = float(portrait.camera.focal) / float(centre)
    pixels = crop.photo_from_crop(seen)
    return torch.cat([pixels, (depth - centre)[:, None] * scale], dim=1).double().numpy()


@dataclass(frozen=True, slots=True)
class Window:
    """One part of a picture, the same for all frames of a clip, and the size that it is stored at."""

    left: int
    top: int
    right: int
    bottom: int
    size: tuple[int, int]
    """Width and height, pixels."""

    @classmethod
    def around(cls, portraits: Sequence[Portrait], growth: float = 1.0) -> "Window":
        """The smallest part that holds every head crop, grown about its middle, as far as the pictures reach.

        Head crops are stored at about the resolution that training wants; pictures are never enlarged.
        """
        centres = np.array([portrait.head_crop.centre for portrait in portraits])
        sides = np.array([portrait.head_crop.side for portrait in portraits])
        height, width = portraits[0].photo.pixels.shape[:2]
        reach = growth * sides[:, None] / 2
        left, top = np.floor((centres - reach).min(axis=0)).astype(int).clip(0).tolist()
        low = np.ceil((centres + reach).max(axis=0)).astype(int)
        right, bottom = np.minimum(low, [width, height]).tolist()
        scale = min(1.0, HEAD_SIZE / float(np.median(sides)))
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        return cls(left, top, right, bottom, size)

    def points(self, points: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
        """Pixels of a frame as those of the stored picture, with pixel centres at integers; z is scaled."""
        scale = np.array([self.size[0] / (self.right - self.left), self.size[1] / (self.bottom - self.top)])
        moved = points.copy()
        moved[:, :2] = (points[:, :2] - [self.left, self.top]) * scale - 0.5
        moved[:, 2:] *= scale.mean()
        return moved

    def cut(self, picture: UInt8[np.ndarray, "H W *C"], resample: Image.Resampling) -> Image.Image:
        """This part of a picture at the stored size."""
        part = Image.fromarray(np.ascontiguousarray(picture[self.top : self.bottom, self.left : self.right]))
        return part.resize(self.size, resample)

    def save(self, photo: UInt8[np.ndarray, "H W 3"], labels: PhotoLabels, folder: Path, name: str) -> None:
        """Write a picture, its parsing, and how much hair and how much of the person each pixel shows."""
        classes, lanczos = UNFOLDED_CLASSES[labels.parsing], Image.Resampling.LANCZOS
        png = {"format": "PNG"}
        for kind, image, how in (
            ("images", self.cut(photo, lanczos), {"format": "JPEG", "quality": 92}),
            ("parsing", self.cut(classes, Image.Resampling.NEAREST), png),
            ("hair", self.cut(labels.hair, lanczos), png),
            ("figure", self.cut(labels.figure, lanczos), png),
        ):
            buffer = io.BytesIO()
            image.save(buffer, **how)
            path = folder / kind / f"{name}.{how['format'].lower().replace('jpeg', 'jpg')}"
            replace_file(path, buffer.getvalue())

    def box(self, portrait: Portrait) -> list[float]:
        """The detected box and its score, as `landmarks.npz` holds them."""
        corners = self.points(portrait.detection.box.reshape(2, 2).astype(np.float64))
        return [*corners.ravel().tolist(), float(portrait.detection.score)]


def labelled_row(
    portrait: Portrait, window: Window, name: str, original: Path, licence: str, person: str
) -> dict[str, object]:
    """The row of `index.csv` of a picture that a window cut; angles in degrees, pitch > 0 looks down."""
    pose = portrait.pose
    return {
        "id": name,
        "source": str(original.parent),
        "original": original.name,
        "licence": licence,
        "width": window.size[0],
        "height": window.size[1],
        "person": person,
        "yaw": round(pose.yaw, 2),
        "pitch": round(-pose.pitch, 2),
        "roll": round(pose.roll, 2),
    }
