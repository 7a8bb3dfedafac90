"""The head as GLB, OBJ with its material and texture, or PLY with vertex colours."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from portrait3d.export.files import write_together
from portrait3d.export.gltf import glb_bytes
from portrait3d.export.images import encode_image
from portrait3d.geometry.mesh import HeadMesh, vertex_normals

GLTF_FROM_CAMERA = np.array([1.0, -1.0, -1.0], np.float32)
"""OpenCV's axes (y down, z away) to glTF's (y up, z toward the viewer): half a turn about x."""
METRES = 0.001


@dataclass(frozen=True, slots=True)
class _Placed:
    """A head's geometry as the files hold it: metres, y up, the face along +z, centred on the origin."""

    vertices: Float[np.ndarray, "V 3"]
    normals: Float[np.ndarray, "V 3"]


def export_mesh(head: HeadMesh, path: str | Path) -> Path:
    """Write a head as `.glb`, `.obj` (with `.mtl` and `.png` beside it) or `.ply`; returns the path.

    Files are in metres with y up, the face along +z and the middle of the bounding box in the origin: the
    head's pose is taken out. Raises `ValueError` for any other ending.
    """
    path = Path(path)
    write_together(mesh_files(head, path))
    return path


def mesh_files(head: HeadMesh, path: Path) -> dict[Path, bytes]:
    """The content of every file that `export_mesh` would write."""
    suffix = path.suffix.lower()
    if suffix == ".glb":
        return {path: encode_glb(head)}
    if suffix == ".obj":
        return _encode_obj(head, path)
    if suffix == ".ply":
        return {path: _encode_ply(head)}
    raise ValueError(f"A head is exported to .glb, .obj or .ply, got {str(path)!r}.")


def encode_glb(head: HeadMesh) -> bytes:
    """The head as the content of a GLB file, its texture as PNG inside."""
    placed = _place(head)
    return glb_bytes(placed.vertices, head.faces, placed.normals, head.uv, encode_image(head.texture))


def _place(head: HeadMesh) -> _Placed:
    rotation = head.camera_from_head.rotation.numpy()
    vertices = (head.vertices @ rotation * GLTF_FROM_CAMERA).astype(np.float64)
    vertices -= (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    # Before the change to metres, in which the smallest triangles would count as having no area.
    normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(head.faces)).numpy()
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1), (0.0, 0.0, 1.0))
    return _Placed((vertices * METRES).astype(np.float32), normals.astype(np.float32))


def _encode_obj(head: HeadMesh, path: Path) -> dict[Path, bytes]:
    import trimesh
    from trimesh.exchange.obj import export_obj
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import SimpleMaterial

    placed = _place(head)
    name = "_".join(path.stem.split())  # readers of OBJ end a name at the first space
    image = Image.open(io.BytesIO(encode_image(head.texture)))
    white, black = [255, 255, 255, 255], [0, 0, 0, 255]
    material = SimpleMaterial(image, white, white, black, name=name)
    upward = head.uv * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)  # OBJ has v up
    visual = TextureVisuals(uv=upward, material=material)
    mesh = trimesh.Trimesh(
        placed.vertices, head.faces, vertex_normals=placed.normals, visual=visual, process=False
    )
    text, beside = export_obj(
        mesh,
        include_normals=True,
        return_texture=True,
        write_texture=False,
        mtl_name=f"{name}.mtl",
        header="portrait3d",
    )
    return {path.with_name(file): content for file, content in beside.items()} | {path: text.encode()}


def _encode_ply(head: HeadMesh) -> bytes:
    import trimesh
    from trimesh.exchange.ply import export_ply

    placed = _place(head)
    mesh = trimesh.Trimesh(
        placed.vertices,
        head.faces,
        vertex_normals=placed.normals,
        vertex_colors=head.colors,
        vertex_attributes={"part": head.part},
        process=False,
    )
    return export_ply(mesh, vertex_normal=True)
