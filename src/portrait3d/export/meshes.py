"""The head as GLB, OBJ with its material and texture, or PLY with vertex colours."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from portrait3d import arguments
from portrait3d.export.files import write_together
from portrait3d.export.gltf import glb_bytes
from portrait3d.export.images import encode_image
from portrait3d.export.rig import named_meshes, place, sheet_mesh
from portrait3d.export.skeleton import skinned
from portrait3d.geometry.mesh import HeadMesh
from portrait3d.names import in_one_line


def export_mesh(
    head: HeadMesh,
    path: str | os.PathLike[str],
    *,
    lit: bool = False,
    visemes: bool = False,
    bones: bool = False,
    scale: float = 1.0,
) -> Path:
    """Write a head as `.glb`, `.obj` (with `.mtl` and `.png` beside it) or `.ply`; returns the path.

    Files are in metres with y up, the face along +z and the point that heads turn about in the origin: the
    head's pose is taken out. `lit`, `visemes` and `bones` are for GLB alone, see `encode_glb`, and so is the
    hair sheet: how an OBJ or a PLY is to be seen through, every program reads differently.
    `scale` makes the head larger or smaller.

    Raises `ValueError` for any other ending.
    """
    path = Path(path)
    write_together(mesh_files(head, path, lit=lit, visemes=visemes, bones=bones, scale=scale))
    return path


def mesh_files(
    head: HeadMesh,
    path: Path,
    *,
    lit: bool = False,
    visemes: bool = False,
    bones: bool = False,
    scale: float = 1.0,
) -> dict[Path, bytes]:
    """The content of every file that `export_mesh` would write."""
    arguments.number(scale, "scale", *arguments.SCALES)
    suffix = path.suffix.lower()
    if suffix == ".glb":
        return {path: encode_glb(head, lit=lit, visemes=visemes, bones=bones, scale=scale)}
    if suffix == ".obj":
        return _encode_obj(head, path, scale)
    if suffix == ".ply":
        return {path: _encode_ply(head, scale)}
    raise ValueError(f"A head is exported to .glb, .obj or .ply, got {str(path)!r}.")


def encode_glb(
    head: HeadMesh,
    *,
    lit: bool = False,
    visemes: bool = False,
    bones: bool = False,
    scale: float = 1.0,
) -> bytes:
    """The head as the content of a GLB file with its pieces as nodes and, if it is bound, morph targets.

    The texture is inside as PNG. Its colours hold the photo's light, so the material shows them as they are;
    with `lit` it is a matte surface that takes the light of the scene, and targets turn the normals too.
    The hair sheet is a node of its own, whose texture has alpha. With `visemes` there are 20 more targets:
    the 15 visemes of Oculus and `models.visemes.SUMS`. With `bones` everything is bound to a skeleton, see
    `skeleton.skinned`, whose errors it raises. `scale` makes all of it larger or smaller, bones too.
    """
    arguments.instance(head, HeadMesh, "head")
    arguments.truth_value(lit, "lit")
    arguments.truth_value(visemes, "visemes")
    arguments.truth_value(bones, "bones")
    arguments.number(scale, "scale", *arguments.SCALES)
    meshes, texture = named_meshes(head, turns=lit, visemes=visemes), encode_image(head.texture)
    fading = None
    if (hair := head.hair_sheet) is not None:
        meshes.append(sheet_mesh(head, hair, visemes=visemes))
        fading = encode_image(hair.texture)
    skeleton = []
    if bones:
        meshes, skeleton = skinned(meshes)
    if scale != 1:
        meshes, skeleton = [mesh.scaled(scale) for mesh in meshes], [bone.scaled(scale) for bone in skeleton]
    return glb_bytes(meshes, texture, fading, lit=lit, bones=skeleton)


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
