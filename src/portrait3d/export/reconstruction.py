"""All files about one portrait, in one directory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from portrait3d import arguments
from portrait3d.export.files import write_together
from portrait3d.export.images import DEPTH_UNIT, encode_depth, encode_image, encode_parsing
from portrait3d.export.meshes import encode_glb, mesh_files
from portrait3d.export.options import MeshOptions
from portrait3d.export.overview import depth_of_photo, overview
from portrait3d.export.rig import PIECE_NAMES, extra_moves
from portrait3d.export.viewer import viewer_html
from portrait3d.geometry.mesh import HeadPart
from portrait3d.models.expressions import NEUTRAL, PHOTO, arkit_basis
from portrait3d.names import as_text
from portrait3d.parsing_classes import PARSING_CLASSES
from portrait3d.portrait import Portrait


def save_reconstruction(
    portrait: Portrait,
    directory: str | Path,
    turned: Mapping[float, UInt8[np.ndarray, "H W 3"]] | None = None,
    formats: Sequence[str] = (),
    **options: Any,
) -> list[Path]:
    """Write a portrait's files to a directory, all or none; returns their paths.

    `head.glb`, `head.obj` with `head.mtl` and `head.png`, `head.ply`; `depth.png` (16 bits, steps of 0.1 mm,
    0 where unknown) and `parsing.png` (a palette image whose values are the classes), both as large as the
    photo; `overview.png`, with `turned` photos by their yaw in degrees; `viewer.html`; `portrait.json`.
    `formats` are endings of further mesh files, without the dot: `vrm`, `usdz`, `usd`.
    `options` are those of `MeshOptions`; the viewer's head has no bones and PNG textures. The three mesh
    files and the viewer's are larger or smaller by `scale`; all that `portrait.json` says is as it was found.
    """
    arguments.instance(portrait, Portrait, "portrait")
    directory = Path(arguments.path(directory, "directory"))
    for yaw, photo in ({} if turned is None else arguments.instance(turned, Mapping, "turned")).items():
        arguments.number(yaw, "a yaw in turned")
        arguments.picture(photo, f"turned[{yaw!r}]")
    asked, head = MeshOptions(**options), portrait.head
    plain = MeshOptions(lit=asked.lit, visemes=asked.visemes, scale=asked.scale)
    glb = encode_glb(head, **asdict(plain))
    files = {directory / "head.glb": glb if asked == plain else encode_glb(head, **options)}
    for ending in ("obj", "ply", *formats):
        files |= mesh_files(head, directory / f"head.{ending}", **options)
    files[directory / "depth.png"] = encode_depth(*depth_of_photo(portrait))
    files[directory / "parsing.png"] = encode_parsing(portrait.parsing)
    files[directory / "overview.png"] = encode_image(overview(portrait, turned))
    files[directory / "viewer.html"] = viewer_html(
        glb, f"{Path(portrait.photo.name).name} - portrait3d"
    ).encode()
    text = json.dumps(describe(portrait, visemes=asked.visemes, scale=asked.scale), indent=1, allow_nan=False)
    files[directory / "portrait.json"] = text.encode()
    return write_together(files)


def describe(portrait: Portrait, *, visemes: bool = False, scale: float = 1.0) -> dict[str, Any]:
    """What `portrait.json` holds: numbers, with their units and conventions in the keys' names."""
    height, width = portrait.photo.pixels.shape[:2]
    pose, angles, crop = portrait.camera_from_model, portrait.pose, portrait.head_crop
    coefficients, head = portrait.coefficients, portrait.head
    return {
        "photo": {"name": as_text(portrait.photo.name), "width": width, "height": height},
        "camera": {
            "focal_px": float(portrait.camera.focal),
            "principal_px": portrait.camera.principal.tolist(),
        },
        "pose_degrees": {"yaw": angles.yaw, "pitch": angles.pitch, "roll": angles.roll},
        "quality": portrait.quality,
        "other_photos": [
            {
                "name": as_text(other.photo.name),
                "quality": other.quality,
                "pose_degrees": {"yaw": other.pose.yaw, "pitch": other.pose.pitch, "roll": other.pose.roll},
            }
            for other in portrait.others
        ],
        "camera_from_model_mm": {
            "rotation": pose.rotation.tolist(),
            "translation": pose.translation.tolist(),
        },
        "detection": {
            "box_px": portrait.detection.box.tolist(),
            "score": portrait.detection.score,
            "keypoints_px": portrait.detection.keypoints.tolist(),
        },
        "head_crop": {
            "centre_px": list(crop.centre),
            "side_px": crop.side,
            "angle_radians": crop.angle,
            "size": crop.size,
        },
        "landmarks_px": portrait.landmarks.round(3).tolist(),
        "coefficients": {
            name: getattr(coefficients, name).flatten().tolist()
            for name in ("identity", "expression", "albedo", "lighting")
        },
        "presets": {PHOTO: arkit_weights(portrait)},
        "head": {
            "exported_scale": scale,
            "rests_in": NEUTRAL if head.is_neutral else PHOTO,
            "vertices": len(head.vertices),
            "faces": len(head.faces),
            "vertices_by_part": {part.name.lower(): int((head.part == part).sum()) for part in HeadPart},
            "vertices_by_piece": {
                name: int((head.piece == piece).sum()) for piece, name in PIECE_NAMES.items()
            },
            "morph_targets": 0
            if head.binding is None
            else len(arkit_basis()[0]) + len(extra_moves(head, visemes=visemes)),
        },
        "parsing_classes": list(PARSING_CLASSES),
        "depth_unit_mm": DEPTH_UNIT,
    }


def arkit_weights(portrait: Portrait) -> dict[str, float]:
    """The photo's own expression in weights of ARKit's blendshapes, as near as they come to it.

    Weights that round to 0 are left out. The morph target `photo` of a neutral head holds all of it.
    """
    names, strengths = arkit_basis()[0], portrait.coefficients.expression.flatten().tolist()
    rounded = {name: round(weight, 3) for name, weight in zip(names, strengths, strict=False)}
    return {name: weight for name, weight in rounded.items() if weight}
