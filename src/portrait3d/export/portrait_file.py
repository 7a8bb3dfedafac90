"""A portrait in one file, npz with JSON inside, and read again: nothing in it is executed."""

import hashlib
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from portrait3d import arguments
from portrait3d.errors import PortraitFileError, WeightsError
from portrait3d.export.files import write_together
from portrait3d.geometry import Camera, Mesh, Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.depth_net import HeadDepth
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.parsing_classes import ParsingClass
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.detection import Detection
from portrait3d.preprocessing.image import Photo
from portrait3d.weights import read_arrays

FORMAT, VERSION = "portrait3d portrait", 4
LARGEST = 2_000_000_000
"""Bytes that a file may hold when it is unpacked; the largest photo takes a third of that."""
ROUNDING = 1e-3
"""By which a rotation's axes may fail to be of length 1 and upright on each other."""
DEPTHS = ("front", "back", "back_hair", "front_scale", "back_scale")
REGIONS = ("head", "valid")
WORN = ("glasses", "earrings")
ARRAYS = {
    "about": ("u", "N"),
    "pixels": ("u", "H W 3"),
    "box": ("f", "4"),
    "keypoints": ("f", "5 2"),
    "focal": ("f", ""),
    "principal": ("f", "2"),
    "coefficients": ("f", "233"),
    "rotation": ("f", "3 3"),
    "translation": ("f", "3"),
    "landmarks": ("f", "68 2"),
    "labels": ("u", "H W"),
    "matte": ("f", "H W"),
    **dict.fromkeys(WORN, ("f", "H W")),
    "head_labels": ("u", "S S"),
    "head_probabilities": ("f", "9 S S"),
    **dict.fromkeys(DEPTHS, ("f", "T T")),
    **dict.fromkeys(REGIONS, ("b", "T T")),
}
"""The arrays of a file, kinds and shapes as `read_arrays` takes them; `about` is JSON in UTF-8."""
ABOUT = {
    "format": str,
    "version": int,
    "head_model": str,
    "name": str,
    "score": float,
    "quality": float,
    "centre": list,
    "side": float,
    "angle": float,
    "size": int,
    "zoom": float,
}
"""What `about` must hold, and its kinds."""


def save_portrait(portrait: Portrait, path: Path) -> Path:
    """Write all that networks found in a photo, and the photo, to a file; the head is made from it again.

    Raises `ValueError` for another ending than `.npz`, and for a portrait whose depth is not in the
    camera of its wide crop.
    """
    if portrait.others:
        raise ValueError(
            "A portrait of several photos can't be saved: save each photo's own, or export the head."
        )
    if path.suffix.lower() != ".npz":
        raise ValueError(f"A portrait is saved as .npz, got {str(path)!r}.")
    camera = portrait.depth.camera
    if not torch.equal(camera.focal, portrait.head_crop.wide_crop(camera.width).camera().focal):
        raise ValueError("This portrait's depth is not in the camera of its wide crop.")
    stream = io.BytesIO()
    np.savez_compressed(stream, **_arrays(portrait))
    write_together({path: stream.getvalue()})
    return path


def _arrays(portrait: Portrait) -> dict[str, Any]:
    parsing, depth, pose = portrait.head_parsing, portrait.depth, portrait.camera_from_model
    nothing = np.zeros_like(parsing.matte)
    return {
        "about": np.frombuffer(json.dumps(_about(portrait)).encode(), np.uint8),
        "pixels": portrait.photo.pixels,
        "box": portrait.detection.box,
        "keypoints": portrait.detection.keypoints,
        "focal": portrait.camera.focal.numpy(),
        "principal": portrait.camera.principal.numpy(),
        "coefficients": portrait.coefficients.to_vector().numpy(),
        "rotation": pose.rotation.numpy(),
        "translation": pose.translation.numpy(),
        "landmarks": portrait.landmarks,
        "labels": parsing.labels,
        "matte": parsing.matte,
        "head_labels": parsing.head_labels,
        "head_probabilities": parsing.head_probabilities.numpy(),
        # Zeros where nothing is worn, which take no room in the file.
        **{name: nothing if (cover := getattr(portrait, name)) is None else cover for name in WORN},
        **{name: _finite(getattr(depth, name)) for name in DEPTHS},
        **{name: getattr(depth, name).numpy() for name in REGIONS},
    }


def _about(portrait: Portrait) -> dict[str, Any]:
    crop = portrait.head_crop
    return {
        "format": FORMAT,
        "version": VERSION,
        "head_model": fingerprint(portrait.head_model),
        "name": portrait.photo.name,
        "score": float(portrait.detection.score),
        "quality": float(portrait.quality),
        "centre": list(crop.centre),
        "side": crop.side,
        "angle": crop.angle,
        "size": crop.size,
        "zoom": float(crop.zoom),
    }


def _finite(depth: torch.Tensor) -> np.ndarray:
    """Depths with 0 for what is infinite: it is beside the head and has no meaning."""
    return torch.nan_to_num(depth, 0.0, 0.0, 0.0).numpy()


def load_portrait(path: Path, head_model: HeadModel | None = None) -> Portrait:
    """Read what `save_portrait` wrote.

    Args:
        path: The file.
        head_model: The model that the face was fitted with; by default the bundled one.

    Raises `FileNotFoundError`, and `PortraitFileError` for a file that is none, is damaged, comes from a
    newer version or was fitted with another head model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    arrays = _read(path)
    about = _read_about(path, arrays["about"])
    model = HeadModel.load() if head_model is None else head_model
    if about["head_model"] != fingerprint(model):
        raise PortraitFileError(f"{path} was fitted with another head model.")
    try:
        crop = _head_crop(arrays, about)
        _check_rotation(arrays["rotation"])
        arguments.number(about["quality"], "quality", 0, 1)
        arguments.number(about["score"], "score", 0, 1)
    except (ValueError, TypeError) as error:
        raise PortraitFileError(f"{path} can't be used: {error}") from None
    return _portrait(arrays, about, crop, model)


def _head_crop(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> Crop:
    """The crop that a file tells of; `ValueError` or `TypeError` if it is none or not that of its maps."""
    x, y = about["centre"]
    crop = Crop((float(x), float(y)), about["side"], about["angle"], about["size"], about["zoom"])
    if not 0 < crop.zoom < math.inf:
        raise ValueError(f"zoom must be above 0, got {crop.zoom}.")
    if (size := len(arrays["head_labels"])) != crop.size:
        raise ValueError(f"its maps have sides of {size} pixels, its crop {crop.size}.")
    return crop


def _check_rotation(rotation: np.ndarray) -> None:
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > ROUNDING or np.linalg.det(rotation) < 0:
        raise ValueError("rotation is none.")


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, checked."""
    try:
        # Before anything is unpacked: a small file may claim to hold any amount.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sum(part.file_size for part in archive.infolist()) > LARGEST:
                    raise PortraitFileError(f"{path} holds more than any portrait does.")
        arrays = read_arrays(path, ARRAYS)
    except WeightsError as error:
        raise PortraitFileError(str(error)) from None
    for name in ("about", "pixels", "labels", "head_labels"):
        if arrays[name].dtype != np.uint8:
            raise PortraitFileError(f"{path}: {name} is stored as {arrays[name].dtype}, expected bytes.")
    for name in ("labels", "head_labels"):
        if arrays[name].max() >= len(ParsingClass):
            raise PortraitFileError(f"{path}: {name} has classes that don't exist.")
    return arrays


def _read_about(path: Path, content: np.ndarray) -> dict[str, Any]:
    """The JSON of a file, checked."""
    try:
        about = json.loads(content.tobytes().decode())
    except ValueError:
        raise PortraitFileError(f"{path}: about is no JSON.") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise PortraitFileError(f"{path} is no portrait.")
    version = about.get("version")
    if version != VERSION:
        raise PortraitFileError(
            f"{path} has version {version!r} of the format; this program reads {VERSION}."
        )
    for name, kind in ABOUT.items():
        if not isinstance(about.get(name), kind):
            raise PortraitFileError(
                f"{path}: {name} must be of kind {kind.__name__}, got {about.get(name)!r}."
            )
    return about


def _portrait(arrays: dict[str, np.ndarray], about: dict[str, Any], crop: Crop, model: HeadModel) -> Portrait:
    """A portrait of checked parts."""
    tensors = {
        name: torch.from_numpy(array.astype(np.float32) if array.dtype.kind == "f" else array)
        for name, array in arrays.items()
    }
    height, width = arrays["labels"].shape
    coefficients = FaceCoefficients.from_vector(tensors["coefficients"])
    pose = Pose(tensors["rotation"], tensors["translation"])
    vertices = model.vertices(coefficients.batched)[0]
    return Portrait(
        photo=Photo(arrays["pixels"], about["name"]),
        detection=Detection(tensors["box"].numpy(), about["score"], tensors["keypoints"].numpy()),
        camera=Camera(tensors["focal"], tensors["principal"], height, width),
        head_crop=crop,
        coefficients=coefficients,
        camera_from_model=pose,
        face=Mesh(pose.apply(vertices), model.faces),
        landmarks=tensors["landmarks"].numpy(),
        head_parsing=HeadParsing(
            arrays["labels"],
            arrays["head_labels"],
            tensors["head_probabilities"],
            tensors["matte"].numpy(),
        ),
        depth=HeadDepth(
            **{name: tensors[name] for name in (*DEPTHS, *REGIONS)},
            camera=crop.wide_crop(len(arrays["front"])).camera(),
        ),
        head_model=model,
        glasses=_unless_empty(arrays["glasses"]),
        earrings=_unless_empty(arrays["earrings"]),
        quality=about["quality"],
    )


def _unless_empty(cover: np.ndarray) -> np.ndarray | None:
    return cover.astype(np.float32) if cover.any() else None


def fingerprint(model: HeadModel) -> str:
    """A digest of the shapes that a head model makes of coefficients, which tells models apart."""
    digest = hashlib.sha256()
    for part in (model.mean, model.identity_basis, model.expression_basis, model.faces):
        digest.update(np.ascontiguousarray(part.numpy()).tobytes())
    return digest.hexdigest()
