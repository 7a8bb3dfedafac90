"""The head as GLB, VRM, USD, OBJ with its material and texture, or PLY with vertex colours."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from portrait3d import arguments
from portrait3d.export.files import write_together
from portrait3d.export.gltf import Bone, GltfMesh, glb_bytes
from portrait3d.export.images import encode_image
from portrait3d.export.options import MeshOptions
from portrait3d.export.rig import named_meshes, place, see_through_meshes
from portrait3d.export.skeleton import skinned
from portrait3d.export.usd import usd_files
from portrait3d.export.vrm import EXTENSION as VRM
from portrait3d.export.vrm import vrm_extension, with_body
from portrait3d.geometry.mesh import HeadMesh
from portrait3d.names import in_one_line

ENDINGS = (".glb", ".vrm", ".usdz", ".usd", ".obj", ".ply")
"""Of the files that a head can be written to."""


def export_mesh(head: HeadMesh, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write a head as a file of one of `ENDINGS`; returns its path.

    `.usd` has its textures beside it, `.obj` a `.mtl` and a texture. Files are in metres with y up, the face
    along +z and the point that heads turn about in the origin (in `.vrm` above it): the head's pose is taken
    out. `options` are those of `MeshOptions`. OBJ and PLY lack hair sheet, glasses and earrings: how these
    are seen through, every program reads differently.

    Raises `ValueError` for any other ending, and the errors of `MeshOptions`, `skeleton.skinned` and
    `usd_files`.
    """
    path = Path(path)
    write_together(mesh_files(head, path, **options))
    return path


def mesh_files(head: HeadMesh, path: Path, **options: Any) -> dict[Path, bytes]:
    """The content of every file that `export_mesh` would write."""
    asked = MeshOptions(**options)
    suffix = path.suffix.lower()
    if suffix == ".glb":
        return {path: encode_glb(head, **options)}
    if suffix == ".vrm":
        return {path: encode_vrm(head, in_one_line(path.stem), **options)}
    if suffix in (".usd", ".usdz"):
        meshes, bones = scene_of(head, asked)
        return usd_files(meshes, bones, encoded_textures(head, "png"), path, lit=asked.lit)
    if suffix == ".obj":
        return _encode_obj(head, path, asked.scale)
    if suffix == ".ply":
        return {path: _encode_ply(head, asked.scale)}
    raise ValueError(f"A head is exported to {', '.join(ENDINGS)}, got {str(path)!r}.")


def encode_glb(head: HeadMesh, **options: Any) -> bytes:
    """The head as the content of a GLB file with its pieces as nodes and, if it is bound, morph targets.

    The textures are inside. Hair sheet, glasses and earrings are nodes of their own, whose textures have
    alpha. `options` are those of `MeshOptions`; with `lit`, targets turn the normals too. Raises the errors
    of `MeshOptions` and, with `bones`, of `skeleton.skinned`.
    """
    arguments.instance(head, HeadMesh, "head")
    asked = MeshOptions(**options)
    meshes, bones = scene_of(head, asked)
    return glb_bytes(
        meshes,
        encoded_textures(head, asked.texture_format),
        lit=asked.lit,
        bones=bones,
        dense=asked.dense_targets,
        normal_map=encoded_normals(head, asked),
    )


def encode_vrm(head: HeadMesh, name: str, **options: Any) -> bytes:
    """The head as the content of a VRM 1.0 file: a GLB with bones, on those of a body, see `vrm`.

    `options` are those of `MeshOptions`, `name` is the avatar's. Textures are PNG, as VRM asks. Raises the
    errors of `encode_glb` with bones.
    """
    arguments.instance(head, HeadMesh, "head")
    asked = replace(MeshOptions(**options), bones=True)
    meshes, bones = with_body(*scene_of(head, asked), asked.scale)
    return glb_bytes(
        meshes,
        encoded_textures(head, "png"),
        lit=asked.lit,
        bones=bones,
        dense=asked.dense_targets,
        normal_map=encoded_normals(head, asked),
        extensions={VRM: vrm_extension(meshes, bones, name, asked.author)},
    )


def encoded_textures(head: HeadMesh, kind: str) -> list[bytes]:
    """The texture and those of what is seen through, if any, as files of one of `TEXTURE_FORMATS`."""
    pictures = [head.texture, *(layer.texture for layer in head.see_through.values())]
    return [encode_image(picture, f".{kind}") for picture in pictures]


def encoded_normals(head: HeadMesh, asked: MeshOptions) -> bytes | None:
    """The normal map as a PNG file, if surfaces take light and the head has one."""
    return encode_image(head.normal_map) if asked.lit and head.normal_map is not None else None


def scene_of(head: HeadMesh, asked: MeshOptions) -> tuple[list[GltfMesh], list[Bone]]:
    """All meshes of a head, what is seen through last, and the bones that they are bound to, if any."""
    mapped = asked.lit and head.normal_map is not None
    meshes = named_meshes(head, turns=asked.lit, visemes=asked.visemes, tangents=mapped)
    meshes += see_through_meshes(head, visemes=asked.visemes)
    bones: list[Bone] = []
    if asked.bones:
        meshes, bones = skinned(meshes)
    if asked.scale != 1:
        meshes = [mesh.scaled(asked.scale) for mesh in meshes]
        bones = [bone.scaled(asked.scale) for bone in bones]
    return meshes, bones


def _encode_obj(head: HeadMesh, path: Path, scale: float) -> dict[Path, bytes]:
    import trimesh
    from trimesh.exchange.obj import export_obj
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import SimpleMaterial

    name = "_".join(in_one_line(path.stem).split())  # readers of OBJ end a name at the first space
    image = Image.open(io.BytesIO(encode_image(head.texture)))
    white, black = [255, 255, 255, 255], [0, 0, 0, 255]
    material = SimpleMaterial(image, white, white, black, name=name)
    scene = trimesh.Scene()
    for piece in named_meshes(head, rigged=False):
        upward = piece.uv * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)  # OBJ has v up
        mesh = trimesh.Trimesh(
            (piece.vertices + piece.origin) * np.float32(scale),
            piece.faces,
            vertex_normals=piece.normals,
            visual=TextureVisuals(uv=upward, material=material),
            # trimesh would merge vertices, and with them the seams of the texture.
            process=False,
        )
        scene.add_geometry(mesh, geom_name=piece.name, node_name=piece.name)
    text, beside = export_obj(
        scene,
        include_normals=True,
        return_texture=True,
        write_texture=False,
        mtl_name=f"{name}.mtl",
        header="portrait3d",
    )
    return {path.with_name(file): content for file, content in beside.items()} | {path: text.encode()}


def _encode_ply(head: HeadMesh, scale: float) -> bytes:
    import trimesh
    from trimesh.exchange.ply import export_ply

    placed = place(head)
    mesh = trimesh.Trimesh(
        placed.vertices * np.float32(scale),
        head.faces,
        vertex_normals=placed.normals,
        vertex_colors=head.colors,
        vertex_attributes={"part": head.part, "piece": head.piece},
        process=False,
    )
    return export_ply(mesh, vertex_normal=True)
