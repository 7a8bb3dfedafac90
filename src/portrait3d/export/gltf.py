"""Binary glTF 2.0: textured meshes with morph targets in one file."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped

FLOAT, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5123, 5125
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071
SHORTEST_MOVE = 1e-5
"""Metres; what a morph target moves less than this, it leaves where it is."""
SMALLEST_TURN = 0.005
"""The same for the components of a normal."""


@dataclass(frozen=True, slots=True, eq=False)
class GltfMesh:
    """A mesh in a node of its own, in metres, y up."""

    name: str
    origin: Float[np.ndarray, "3"]
    """Where the node lies in the scene: the point that it turns about."""
    vertices: Float[np.ndarray, "V 3"]
    """Relative to the origin."""
    faces: Int64[np.ndarray, "F 3"]
    normals: Float[np.ndarray, "V 3"]
    uv: Float[np.ndarray, "V 2"]
    """(0, 0) is the texture's top left corner."""
    targets: Mapping[str, Float[np.ndarray, "V 3"]] = field(default_factory=dict)
    """Displacement of the vertices for each morph target."""
    turns: Mapping[str, Float[np.ndarray, "V 3"]] = field(default_factory=dict)
    """What is added to the normals, for the same targets or none."""
    fades: bool = False
    """Whether its colours come from the second texture, whose alpha fades them out."""


def glb_bytes(
    meshes: Sequence[GltfMesh], texture_png: bytes, fading_png: bytes | None = None, *, lit: bool = False
) -> bytes:
    """Meshes that share a texture as GLB; the first one's node is the parent of the others'.

    Meshes that fade have a texture with alpha and a material of their own, which is blended.

    Names of morph targets stand in `mesh.extras.targetNames`, where Blender, three.js and Unity look for
    them; all weights are 0. Targets that move few vertices are stored sparse.

    The material is unlit (KHR_materials_unlit), because a photo brings its own light along; viewers without
    that extension fall back to a matte surface. With `lit` it is that matte surface everywhere.
    """
    buffer = _Buffer()
    documents = [_mesh(buffer, mesh) for mesh in meshes]
    pictures = [png for png in (texture_png, fading_png) if png is not None]
    image_views = [buffer.view(png) for png in pictures]
    root = meshes[0].origin
    nodes: list[dict[str, Any]] = [
        {
            "name": mesh.name,
            "mesh": number,
            "translation": (mesh.origin - root if number else root).astype(float).tolist(),
        }
        for number, mesh in enumerate(meshes)
    ]
    if len(meshes) > 1:
        nodes[0]["children"] = list(range(1, len(meshes)))
    names = [meshes[0].name, *(mesh.name for mesh in meshes if mesh.fades)][: len(pictures)]
    document = {
        "asset": {"version": "2.0", "generator": _generator()},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "meshes": documents,
        "materials": [_material(name, number, lit) for number, name in enumerate(names)],
        "textures": [{"source": number, "sampler": 0} for number in range(len(pictures))],
        "samplers": [
            {
                "magFilter": LINEAR,
                "minFilter": LINEAR_MIPMAP_LINEAR,
                "wrapS": CLAMP_TO_EDGE,
                "wrapT": CLAMP_TO_EDGE,
            }
        ],
        "images": [{"bufferView": view, "mimeType": "image/png"} for view in image_views],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.content)}],
    }
    if not lit:
        document["extensionsUsed"] = ["KHR_materials_unlit"]
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(buffer.content), b"BIN\0") + buffer.content
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _material(name: str, texture: int, lit: bool) -> dict[str, Any]:
    """A material that shows a texture; the second one's alpha fades it out."""
    material: dict[str, Any] = {
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": texture},
            "metallicFactor": 0.0,
            "roughnessFactor": 1.0,
        },
        "doubleSided": True,
    }
    if texture:
        material["alphaMode"] = "BLEND"
    if not lit:
        material["extensions"] = {"KHR_materials_unlit": {}}
    return material


def _mesh(buffer: "_Buffer", mesh: GltfMesh) -> dict[str, Any]:
    """A mesh's part of the document."""
    primitive: dict[str, Any] = {
        "attributes": {
            "POSITION": buffer.accessor(mesh.vertices, "VEC3", VERTEX_BUFFER, bounds=True),
            "NORMAL": buffer.accessor(mesh.normals, "VEC3", VERTEX_BUFFER),
            "TEXCOORD_0": buffer.accessor(mesh.uv, "VEC2", VERTEX_BUFFER),
        },
        "indices": buffer.accessor(
            mesh.faces.reshape(-1).astype(_index_type(len(mesh.vertices))), "SCALAR", INDEX_BUFFER
        ),
        "material": int(mesh.fades),
    }
    document: dict[str, Any] = {"name": mesh.name, "primitives": [primitive]}
    if mesh.targets:
        primitive["targets"] = [
            {"POSITION": buffer.target(moves, SHORTEST_MOVE)}
            | ({"NORMAL": buffer.target(mesh.turns[name], SMALLEST_TURN)} if mesh.turns else {})
            for name, moves in mesh.targets.items()
        ]
        document["weights"] = [0.0] * len(mesh.targets)
        document["extras"] = {"targetNames": list(mesh.targets)}
    return document


class _Buffer:
    """The binary chunk with its views and accessors, filled in order; every view starts at four bytes."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes; returns the view's index."""
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.content += data + bytes(-len(data) % 4)
        self.views.append(view)
        return len(self.views) - 1

    def accessor(
        self, values: Shaped[np.ndarray, "N ..."], kind: str, target: int, *, bounds: bool = False
    ) -> int:
        """Append an array; returns the accessor's index. Positions must tell their bounds."""
        values = _as_stored(values)
        accessor: dict[str, Any] = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": _component(values),
            "count": len(values),
            "type": kind,
        }
        if bounds:
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def target(self, moves: Float[np.ndarray, "V 3"], smallest: float) -> int:
        """Append a morph target, only its moved vertices if that is shorter; returns the accessor's index."""
        moves = np.where((np.abs(moves) >= smallest).any(axis=1, keepdims=True), moves, 0).astype("<f4")
        moved = np.flatnonzero(moves.any(axis=1))
        index_type = np.dtype(_index_type(len(moves)))
        if len(moved) * (12 + index_type.itemsize) >= moves.nbytes:
            return self.accessor(moves, "VEC3", VERTEX_BUFFER, bounds=True)
        moved = (moved if len(moved) else np.zeros(1, np.int64)).astype(index_type)
        self.accessors.append(
            {
                "componentType": FLOAT,
                "count": len(moves),
                "type": "VEC3",
                "min": moves.min(axis=0).tolist(),
                "max": moves.max(axis=0).tolist(),
                "sparse": {
                    "count": len(moved),
                    "indices": {
                        "bufferView": self.view(moved.tobytes()),
                        "componentType": _component(moved),
                    },
                    "values": {"bufferView": self.view(moves[moved].tobytes())},
                },
            }
        )
        return len(self.accessors) - 1


def _index_type(count: int) -> str:
    """The shortest type that can number vertices; the largest number of a type has a meaning of its own."""
    return "<u2" if count < 65535 else "<u4"


def _as_stored(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind == "u" else values.astype("<f4")


def _component(values: np.ndarray) -> int:
    return {"<u2": UNSIGNED_SHORT, "<u4": UNSIGNED_INT, "<f4": FLOAT}[values.dtype.str]


def _generator() -> str:
    try:
        return f"portrait3d {version('portrait3d')}"
    except PackageNotFoundError:  # run from a source tree
        return "portrait3d"
