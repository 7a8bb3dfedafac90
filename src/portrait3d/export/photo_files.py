"""What a portrait knows of its photo, as files for other programs: depth, cut-out, camera."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from portrait3d.export.files import write_together
from portrait3d.export.gltf import GLTF_FROM_CAMERA, METRES
from portrait3d.export.images import encode_depth, encode_exr, encode_image, encode_tiff
from portrait3d.export.overview import depth_of_photo
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.portrait import Portrait

NEAR = 0.01
"""Nearest distance that glTF's camera sees, metres; glTF wants one above 0."""


def save_depth(portrait: Portrait, path: Path) -> Path:
    """Write the head's depth at the photo's pixels; `ValueError` for any other ending.

    `.png` has 16 bits, steps of 0.1 mm and 0 where depth is unknown; the others have 32-bit floating point
    and millimetres: `.tif` and `.tiff` with NaN there, `.exr` in its channel Z with infinity, since what is
    farther than all else is what compositing programs expect behind a head.

    Raises `MissingPackageError` for `.exr` where OpenEXR is not installed.
    """
    depth, valid = depth_of_photo(portrait)
    match path.suffix.lower():
        case ".png":
            content = encode_depth(depth, valid)
        case ".tif" | ".tiff":
            content = encode_tiff(np.where(valid, depth, np.nan).astype(np.float32))
        case ".exr":
            content = encode_exr(np.where(valid, depth, np.inf))
        case _:
            raise ValueError(f"Depth is written as .png, .tif, .tiff or .exr, got {str(path)!r}.")
    write_together({path: content})
    return path


def save_cutout(portrait: Portrait, path: Path) -> Path:
    """Write the photo with the head's matte as alpha; `ValueError` for what isn't `.png` or `.webp`."""
    if path.suffix.lower() not in (".png", ".webp"):
        raise ValueError(f"A cut-out needs alpha: .png or .webp, got {str(path)!r}.")
    write_together({path: encode_image(cutout(portrait), path.suffix)})
    return path


def cutout(portrait: Portrait) -> UInt8[np.ndarray, "H W 4"]:
    """The photo's pixels, and as alpha the matte of the head and what it wears; colours are straight."""
    alpha = portrait.matte if portrait.worn is None else np.maximum(portrait.matte, portrait.worn)
    alpha = np.round(alpha * 255).astype(np.uint8)
    return np.dstack([portrait.photo.pixels, alpha])


def save_camera(portrait: Portrait, path: Path) -> Path:
    """Write `describe_camera` as JSON."""
    if path.suffix.lower() != ".json":
        raise ValueError(f"A camera is written as .json, got {str(path)!r}.")
    text = json.dumps(describe_camera(portrait), indent=1, allow_nan=False)
    write_together({path: text.encode()})
    return path


def describe_camera(portrait: Portrait) -> dict[str, Any]:
    """The photo's camera and where the head is before it, as OpenCV and glTF take them.

    `opencv`: the matrix K for pixels whose *centres* lie at integers, as OpenCV counts, no distortion, and
    rotation and translation (mm) of the head model's frame. `gltf`: a camera for an exported head, which
    stands in the origin: its node's matrix, by columns, in metres. glTF's cameras look through the picture's
    middle; `principal_offset_px` says how far right and below of it the photo's principal point is.
    """
    camera, pose = portrait.camera, portrait.camera_from_model
    focal, (x, y) = float(camera.focal), camera.principal.tolist()
    return {
        "width": camera.width,
        "height": camera.height,
        "opencv": {
            "camera_matrix": [[focal, 0.0, x - 0.5], [0.0, focal, y - 0.5], [0.0, 0.0, 1.0]],
            "distortion": [0.0] * 5,
            "rotation": pose.rotation.tolist(),
            "translation_mm": pose.translation.tolist(),
        },
        "gltf": {
            "camera": {
                "type": "perspective",
                "perspective": {
                    "yfov": 2 * math.atan(camera.height / 2 / focal),
                    "aspectRatio": camera.width / camera.height,
                    "znear": NEAR,
                },
            },
            "node_matrix": _gltf_from_camera(portrait).T.ravel().tolist(),
            "principal_offset_px": [x - camera.width / 2, y - camera.height / 2],
        },
    }


def _gltf_from_camera(portrait: Portrait) -> np.ndarray:
    """The matrix that places glTF's camera (y up, looks along -z) before an exported head, metres."""
    rotation = portrait.camera_from_model.rotation.double().numpy()
    translation = portrait.camera_from_model.translation.double().numpy()
    flip = np.diag(GLTF_FROM_CAMERA.astype(np.float64))
    matrix = np.eye(4)
    matrix[:3, :3] = flip @ rotation.T @ flip
    matrix[:3, 3] = flip @ (-rotation.T @ translation - HEAD_PIVOT) * METRES
    return matrix
