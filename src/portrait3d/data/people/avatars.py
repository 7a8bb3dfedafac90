"""Artist-made heads with hair: textured meshes whose every triangle has a class, and pictures of them.

A directory of avatars holds `index.csv` (columns `name`, `gender`, `group`, `hair_style`) and for each head
`NAME.npz` with the mesh, `NAME_head.jpg` and `NAME_rest.jpg` with its colours, and `NAME_hair.jpg` where the
hair is a mesh of its own.
"""

import csv
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import HeadMesh, HeadPart, welded_normals
from portrait3d.geometry.pose import Pose
from portrait3d.parsing_classes import HEAD, MIRRORED_CLASSES
from portrait3d.rendering.fragments import Fragments
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import shade

HELD_OUT = (
    "AIAN_F_1",
    "Asian_F_3",
    "Asian_M_1",
    "NHPI_M_2",
    "Black_F_1",
    "Black_M_1",
    "Black_M_2",
    "Hispanic_F_2",
    "Hispanic_M_3",
    "X_NHPI_M_1",
)
"""Heads of the Validated Avatar Library that no training sees: one of each style.

Afro, cornrows, bald and receding have no other head of their style.
"""
EYEBALL, LASH = 9, 10
"""Classes of an avatar's triangles beyond those of the parsing."""
PARSED_AS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1], np.uint8)
"""An avatar's classes -> the parsing's: eyeballs and lashes are face."""
PARTS = np.array([3, 0, 1, 2, 2, 3, 3, 3, 1], np.uint8)
"""The parsing's classes -> `HeadPart`; headwear goes with hair."""
TEXTURES = ("head", "rest", "hair")
"""What the textures 0, 1 and 2 show; only hair that is a mesh of its own has the last."""
PLAIN = 0.5
"""Grey of a background that isn't given."""
ARRAYS = ("vertices", "faces", "uv", "face_class", "face_material")
MORPHS = ("morph_names", "morph_offset", "morph_vertex", "morph_delta")


@dataclass(frozen=True, eq=False)
class Avatar:
    """A head with neck and shoulders in its own frame: OpenCV axes, mm, the face looks along -z.

    The origin lies between the ears, 80 mm behind the eyes.
    """

    name: str
    style: str
    """Of the hair, such as "long wavy"."""
    gender: str
    group: str
    vertices: Float[np.ndarray, "V 3"]
    """float32, mm; doubled where the texture has seams."""
    faces: Int64[np.ndarray, "F 3"]
    """Wound like those of `Mesh`. Some surfaces are open and seen from both sides."""
    uv: Float[np.ndarray, "V 2"]
    """float32; (0, 0) is the texture's top left corner."""
    face_class: UInt8[np.ndarray, " F"]
    """What each triangle is: the parsing's classes, and `EYEBALL` and `LASH`."""
    face_material: UInt8[np.ndarray, " F"]
    """Which of the textures each triangle shows."""
    textures: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    """RGB, in the order of `TEXTURES`."""
    morphs: Mapping[str, tuple[Int64[np.ndarray, " K"], Float[np.ndarray, "K 3"]]]
    """Vertices that an expression moves, and by how much at full strength (float32, mm)."""

    @cached_property
    def labels(self) -> UInt8[np.ndarray, " F"]:
        """The parsing's class of every triangle."""
        return PARSED_AS[self.face_class]

    @cached_property
    def normals(self) -> Float[np.ndarray, "V 3"]:
        """Unit normals at the vertices, smooth across seams of the texture."""
        return welded_normals(self.vertices, self.faces)

    def expressed(self, weights: Mapping[str, float]) -> "Avatar":
        """The head with an expression: morphs by name, 1 at full strength; `KeyError` for one it lacks."""
        vertices = self.vertices.copy()
        for name, weight in weights.items():
            index, shift = self.morphs[name]
            vertices[index] += np.float32(weight) * shift
        return replace(self, vertices=vertices)

    def kept(self, faces: Bool[np.ndarray, " F"]) -> "Avatar":
        """A part of the avatar: the chosen triangles."""
        return replace(
            self,
            faces=self.faces[faces],
            face_class=self.face_class[faces],
            face_material=self.face_material[faces],
        )

    def mirrored(self) -> "Avatar":
        """The head with left and right exchanged, classes of the ears too."""
        flip = np.array([-1, 1, 1], np.float32)
        classes = np.array([*MIRRORED_CLASSES, EYEBALL, LASH], np.uint8)
        return replace(
            self,
            vertices=self.vertices * flip,
            faces=np.ascontiguousarray(self.faces[:, ::-1]),
            face_class=classes[self.face_class],
            morphs={name: (index, shift * flip) for name, (index, shift) in self.morphs.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class AvatarView:
    """A picture of an avatar and all that is known about it."""

    picture: Float[Tensor, "3 H W"]
    """RGB in [0, 1]."""
    classes: UInt8[np.ndarray, "H W"]
    """What each pixel shows, in the parsing's classes; 0 in the background."""
    depth: Float[np.ndarray, "H W"]
    """Of what each pixel shows, mm; inf in the background."""
    near: Float[np.ndarray, "H W"]
    """Of the head's first surface along each ray, whatever lies before it, mm; inf beside the head."""
    far: Float[np.ndarray, "H W"]
    """Of the head's last surface along each ray, mm; inf beside the head."""
    near_classes: UInt8[np.ndarray, "H W"]
    """What the head's first surface is; 0 beside the head."""
    far_classes: UInt8[np.ndarray, "H W"]
    """What the head's last surface is; 0 beside the head."""


def read_avatars(directory: str | Path, names: Iterable[str] | None = None) -> list[Avatar]:
    """Read the avatars of a directory in the order of `names`, or all of them in the order of its index.

    `FileNotFoundError` names a file that is missing, `ValueError` a head that the index doesn't list or whose
    arrays contradict each other.
    """
    directory = Path(directory)
    index = directory / "index.csv"
    if not index.is_file():
        raise FileNotFoundError(f"{index} is missing: {directory} is no directory of avatars.")
    with index.open(newline="", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    wanted = list(rows if names is None else names)
    if unknown := [name for name in wanted if name not in rows]:
        raise ValueError(f"{index} doesn't list {', '.join(unknown)}.")
    return [_read_avatar(directory, rows[name]) for name in wanted]


def draw_avatar(
    avatar: Avatar,
    camera_from_avatar: Pose,
    camera: Camera,
    *,
    light: Float[Tensor, "9"] | None = None,
    background: Float[Tensor, "3 H W"] | None = None,
    mirrored: bool = False,
    samples: int = 1,
) -> AvatarView:
    """Draw an avatar with the classes and depths of every pixel.

    Args:
        avatar: The head in its own frame.
        camera_from_avatar: Where it is.
        camera: Who looks.
        light: Spherical harmonics as `shade` takes them, in the camera's frame; by default colours are the
            texture's.
        background: What is seen beside the avatar; by default a middle grey.
        mirrored: Exchange the head's left and right before it is placed.
        samples: Colours of a pixel are the mean of samples x samples; classes and depths are its centre's.
    """
    if mirrored:
        avatar = avatar.mirrored()
    height, width = camera.height, camera.width
    screen = camera.screen(camera_from_avatar.apply(torch.from_numpy(avatar.vertices)))[None]
    faces = torch.from_numpy(avatar.faces)
    head = np.isin(avatar.labels, HEAD)
    head_faces, head_labels = torch.from_numpy(avatar.faces[head]), avatar.labels[head]
    seen = rasterize(screen, faces, height, width)
    near = rasterize(screen, head_faces, height, width)
    far = rasterize(screen, head_faces, height, width, farthest=True)
    fine = screen * screen.new_tensor([samples, samples, 1])
    drawn = seen if samples == 1 else rasterize(fine, faces, height * samples, width * samples)
    colours = _textured(avatar, drawn)
    if light is not None:
        normals = torch.from_numpy(avatar.normals) @ camera_from_avatar.rotation.T
        colours = (colours * _irradiance(normals, light, screen, faces, drawn)).clamp(0, 1)
    colours = functional.avg_pool2d(colours, samples)[0]
    coverage = functional.avg_pool2d((drawn.face_index >= 0).float(), samples)
    ground = torch.full((3, 1, 1), PLAIN) if background is None else background
    return AvatarView(
        picture=(colours + (1 - coverage) * ground).clamp(0, 1),
        classes=_by_face(avatar.labels, seen),
        depth=seen.depth[0].numpy(),
        near=near.depth[0].numpy(),
        far=far.depth[0].numpy(),
        near_classes=_by_face(head_labels, near),
        far_classes=_by_face(head_labels, far),
    )


def avatar_mesh(avatar: Avatar, camera_from_avatar: Pose) -> HeadMesh:
    """An avatar in the form of a reconstruction, in a camera's frame; its textures become one."""
    part = PARTS[avatar.labels]
    kinds = len(avatar.textures) * len(HeadPart)
    kind = avatar.face_material.astype(np.int64) * len(HeadPart) + part
    # Vertices that triangles of two textures or parts share are doubled.
    corner, faces = np.unique(avatar.faces * kinds + kind[:, None], return_inverse=True)
    vertex, kind = np.divmod(corner, kinds)
    material, part = np.divmod(kind, len(HeadPart))
    height, widths = max(map(len, avatar.textures)), [texture.shape[1] for texture in avatar.textures]
    left = np.concatenate([[0], np.cumsum(widths)])
    texture = np.zeros((height, left[-1], 3), np.uint8)
    for start, picture in zip(left, avatar.textures, strict=False):
        texture[: len(picture), start : start + picture.shape[1]] = picture
    size = np.array([picture.shape[1::-1] for picture in avatar.textures])
    offset = np.stack([left[:-1], np.zeros(len(widths))], axis=1)
    at = avatar.uv[vertex] * size[material] + offset[material]
    return HeadMesh(
        vertices=camera_from_avatar.apply(torch.from_numpy(avatar.vertices[vertex])).numpy(),
        faces=faces.reshape(-1, 3).astype(np.int64),
        part=part.astype(np.uint8),
        uv=(at / [left[-1], height]).astype(np.float32),
        texture=texture,
        camera_from_head=camera_from_avatar,
    )


def _textured(avatar: Avatar, fragments: Fragments) -> Float[Tensor, "1 3 H W"]:
    """Colours of what is seen, 0 in the background."""
    uv = interpolate(torch.from_numpy(avatar.uv)[None], torch.from_numpy(avatar.faces), fragments)
    at = uv.permute(0, 2, 3, 1) * 2 - 1
    material = torch.from_numpy(_by_face(avatar.face_material, fragments))[None, None]
    covered = (fragments.face_index >= 0)[:, None]
    colours = torch.zeros(1, 3, *material.shape[2:])
    for number, texture in enumerate(avatar.textures):
        planes = torch.from_numpy(texture).permute(2, 0, 1)[None].float() / 255
        shown = functional.grid_sample(planes, at, padding_mode="border", align_corners=False)
        colours = torch.where(covered & (material == number), shown, colours)
    return colours


def _irradiance(
    normals: Float[Tensor, "V 3"],
    light: Float[Tensor, "9"],
    screen: Float[Tensor, "1 V 3"],
    faces: Int64[Tensor, "F 3"],
    fragments: Fragments,
) -> Float[Tensor, "1 1 H W"]:
    """Light on the side of the surface that is seen: some triangles show their back."""
    white = torch.ones_like(normals[:, :1]).expand(-1, 3)
    sides = torch.stack([shade(white, side, light)[:, 0] for side in (normals, -normals)], dim=-1)
    front, back = interpolate(sides[None], faces, fragments).unbind(1)
    a, b, c = screen[0, faces, :2].unbind(1)
    away = (b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1] > 0
    seen_from_behind = away[fragments.face_index.clamp_min(0)]
    return torch.where(seen_from_behind, back, front)[:, None]


def _by_face(values: UInt8[np.ndarray, " F"], fragments: Fragments) -> UInt8[np.ndarray, "H W"]:
    """A value of the triangles at every pixel, 0 in the background."""
    index = fragments.face_index[0].numpy()
    return np.append(values, np.uint8(0))[index]


def _read_avatar(directory: Path, row: Mapping[str, str]) -> Avatar:
    """One head of the index."""
    name = row["name"]
    arrays = _read_arrays(directory / f"{name}.npz")
    count = int(arrays["face_material"].max(initial=0)) + 1
    if count > len(TEXTURES):
        raise ValueError(f"{name}.npz shows texture {count - 1}, but there are {len(TEXTURES)} at most.")
    return Avatar(
        name=name,
        style=row["hair_style"],
        gender=row["gender"],
        group=row["group"],
        vertices=arrays["vertices"].astype(np.float32),
        faces=arrays["faces"].astype(np.int64),
        uv=arrays["uv"].astype(np.float32),
        face_class=arrays["face_class"].astype(np.uint8),
        face_material=arrays["face_material"].astype(np.uint8),
        textures=tuple(_read_texture(directory / f"{name}_{kind}.jpg") for kind in TEXTURES[:count]),
        morphs=_morphs(arrays),
    )


def _read_arrays(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of a mesh, checked against each other."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    try:
        with np.load(path, allow_pickle=False) as table:
            arrays = {name: table[name] for name in table.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no mesh of an avatar: {error}.") from error
    if lacking := [name for name in ARRAYS if name not in arrays]:
        raise ValueError(f"{path} lacks {', '.join(lacking)}.")
    vertices, faces = len(arrays["vertices"]), len(arrays["faces"])
    shapes = dict(zip(ARRAYS, [(vertices, 3), (faces, 3), (vertices, 2), (faces,), (faces,)], strict=True))
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{path}: {name} has the shape {arrays[name].shape}, not {shape}.")
    if not np.isfinite(arrays["vertices"]).all():
        raise ValueError(f"{path}: vertices are not finite.")
    if faces and not (arrays["faces"].min() >= 0 and arrays["faces"].max() < vertices):
        raise ValueError(f"{path}: faces name vertices that don't exist.")
    if faces and arrays["face_class"].max() >= len(PARSED_AS):
        raise ValueError(f"{path}: face_class goes beyond {len(PARSED_AS) - 1}.")
    return arrays


def _read_texture(path: Path) -> UInt8[np.ndarray, "Ht Wt 3"]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def _morphs(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, tuple[Any, Any]]:
    """Expressions by name; none where the file has none."""
    if any(name not in arrays for name in MORPHS):
        return {}
    cuts = arrays["morph_offset"][1:-1]
    indices = np.split(arrays["morph_vertex"].astype(np.int64), cuts)
    shifts = np.split(arrays["morph_delta"].astype(np.float32), cuts)
    names = [str(name) for name in arrays["morph_names"]]
    return dict(zip(names, zip(indices, shifts, strict=True), strict=True))
