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
from portrait3d.geometry.pose import Pose

GLTF_FROM_CAMERA = np.array([1.0, -1.0, -1.0], np.float32)
"""OpenCV's axes (y down, z away) to glTF's (y up, z toward the viewer): half a turn about x."""
METRES = 0.001


@dataclass(frozen=True, slots=True)
class _Placed:
    """A head's geometry as the files hold it: metres, y up, the face along +z, centred on the origin."""

    vertices: Float[np.ndarray, "V 3"]
    normals: Float[np.ndarray, "V 3"]


def export_mesh(head: HeadMesh, path: str | Path, pose: Pose | None = None) -> Path:
    """Write a head as `.glb`, `.obj` (with `.mtl` and `.png` beside it) or `.ply`; returns the path.

    Files are in metres with y up, the face along +z and the middle of the bounding box in the origin. `pose`
    is the head's pose in the mesh's frame (`Portrait.camera_from_model`) and is taken out; without it, the
    camera is taken to be right in front of the face. Raises `ValueError` for any other ending.
    """
    path = Path(path)
    write_together(mesh_files(head, path, pose))
    return path


def mesh_files(head: HeadMesh, path: Path, pose: Pose | None = None) -> dict[Path, bytes]:
    """The content of every file that `export_mesh` would write."""
    suffix = path.suffix.lower()
    if suffix == ".glb":
        return {path: encode_glb(head, pose)}
    if suffix == ".obj":
        return _encode_obj(head, path, pose)
    if suffix == ".ply":
        return {path: _encode_ply(head, pose)}
    raise ValueError(f"A head is exported to .glb, .obj or .ply, got {str(path)!r}.")


def encode_glb(head: HeadMesh, pose: Pose | None = None) -> bytes:
    """The head as the content of a GLB file, its texture as PNG inside."""
    placed = _place(head, pose)
    return glb_bytes(placed.vertices, head.faces, placed.normals, head.uv, encode_image(head.texture))


def _place(head: HeadMesh, pose: Pose | None) -> _Placed:
    rotation = np.eye(3, dtype=np.float32) if pose is None else pose.rotation.detach().numpy()
    vertices = (head.vertices @ rotation * GLTF_FROM_CAMERA).astype(np.float64)
    vertices -= (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    # Before the change to metres, in which the smallest triangles would count as having no area.
    normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(head.faces)).numpy()
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1), (0.0, 0.0, 1.0))
    return _Placed((vertices * METRES).astype(np.float32), normals.astype(np.float32))


def _encode_obj(head: HeadMesh, path: Path, pose: Pose | None) -> dict[Path, bytes]:
    import trimesh
    from trimesh.exchange.obj import export_obj
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import SimpleMaterial

    placed = _place(head, pose)
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


def _encode_ply(head: HeadMesh, pose: Pose | None) -> bytes:
    import trimesh
    from trimesh.exchange.ply import export_ply

    placed = _place(head, pose)
    mesh = trimesh.Trimesh(
        placed.vertices,
        head.faces,
        vertex_normals=placed.normals,
        vertex_colors=head.colors,
        vertex_attributes={"part": head.part},
        process=False,
    )
    return export_ply(mesh, vertex_normal=True)
