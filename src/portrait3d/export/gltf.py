"""Binary glTF 2.0: textured meshes with morph targets in one file."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped

FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5121, 5123, 5125
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
"""OpenGL's numbers, by which glTF names kinds of values and of buffers."""
SKELETON = "Armature"
"""Name of the node that holds the bones."""
PNG, WEBP, WEBP_EXTENSION = "image/png", "image/webp", "EXT_texture_webp"
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071
"""OpenGL's numbers of filters and of what lies beyond a texture's border."""
GLTF_FROM_CAMERA = np.array([1.0, -1.0, -1.0], np.float32)
"""OpenCV's axes (y down, z away) to glTF's (y up, z toward the viewer): half a turn about x."""
ADULT_SIZE = 1.09
"""An adult's size over the head model's, in which everybody has one size.

Fits to photos of 1,842 adults have the middles of their eyeballs 58.1 mm apart, adults their pupils 63.4 mm
(Dodgson, Variation and extrema of human interpupillary distance, Proc. SPIE 5291, 2004). A photo doesn't tell
size, so everybody's is that of an adult.
"""
METRES = 0.001 * ADULT_SIZE
"""Of one of the head model's millimetres: files have an adult's true size."""
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
    texture: int = 0
    """Which of the textures it shows: the first is opaque, the alpha of others fades them out."""
    tangents: Float[np.ndarray, "V 4"] | None = None
    """The normal map's axes, see `vertex_tangents`; None for a mesh that has no normal map."""
    bones: Float[np.ndarray, "V J"] | None = None
    """How far the vertices follow each bone of the scene's skeleton, up to four of them; rows sum to 1."""

    def scaled(self, factor: float) -> "GltfMesh":
        """The mesh larger or smaller, about the scene's origin."""
        same = np.float32(factor)
        targets = {name: moves * same for name, moves in self.targets.items()}
        origin, vertices = self.origin * same, self.vertices * same
        return replace(self, origin=origin, vertices=vertices, targets=targets)


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """A bone of a skeleton: a place that turns, with axes like the scene's."""

    name: str
    place: Float[np.ndarray, "3"]
    """In the scene, metres."""
    parent: int | None
    """Number of an earlier bone; None for the first."""

    def scaled(self, factor: float) -> "Bone":
        """The bone of a skeleton that is larger or smaller, about the scene's origin."""
        return replace(self, place=self.place * factor)


def glb_bytes(
    meshes: Sequence[GltfMesh],
    textures: Sequence[bytes],
    *,
    lit: bool = False,
    bones: Sequence[Bone] = (),
    dense: bool = False,
    extensions: Mapping[str, Any] | None = None,
    normal_map: bytes | None = None,
) -> bytes:
    """Meshes as GLB; the first one's node is the parent of the others'.

    `textures` are contents of PNG or WebP files: the one that meshes share and, if some fade, theirs, which
    has alpha and a material of its own, which is blended.

    With `bones`, all meshes are bound to them and lie side by side, as skinned meshes should: their nodes'
    places count for nothing. A mesh that is called like a bone has `Mesh` added to its node's name.

    Names of morph targets stand in `mesh.extras.targetNames`, where Blender, three.js and Unity look for
    them; all weights are 0. Targets that move few vertices are stored sparse, unless `dense`.

    The material is unlit (KHR_materials_unlit), because a photo brings its own light along; viewers without
    that extension fall back to a matte surface. With `lit` it is that matte surface everywhere.

    `normal_map` is the content of a PNG file, for meshes that have tangents and share the first texture.

    `extensions` are those of the whole document, by name: nodes of meshes come first, in their order, then
    the skeleton's and those of the bones.
    """
    buffer = _Buffer(dense=dense)
    documents = [_mesh(buffer, mesh) for mesh in meshes]
    images = [_image(buffer, content) for content in [*textures, *([normal_map] if normal_map else [])]]
    nodes, roots = _skinned_nodes(meshes, bones) if bones else (_nodes(meshes), [0])
    names = [meshes[0].name, *(mesh.name for mesh in meshes if mesh.texture)]
    document = {
        "asset": {"version": "2.0", "generator": _generator()},
        "scene": 0,
        "scenes": [{"nodes": roots}],
        "nodes": nodes,
        "meshes": documents,
        "materials": [_material(name, number, lit) for number, name in enumerate(names)],
        "textures": [_texture(number, image["mimeType"]) for number, image in enumerate(images)],
        "samplers": [
            {
                "magFilter": LINEAR,
                "minFilter": LINEAR_MIPMAP_LINEAR,
                "wrapS": CLAMP_TO_EDGE,
                "wrapT": CLAMP_TO_EDGE,
            }
        ],
        "images": images,
        **({"skins": [_skin(buffer, bones, len(meshes))]} if bones else {}),
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
    }
    if normal_map:
        document["materials"][0]["normalTexture"] = {"index": len(textures)}
    buffer.fill_sparse()
    document["buffers"] = [{"byteLength": len(buffer.content)}]
    if any(image["mimeType"] == WEBP for image in images):
        document["extensionsRequired"] = [WEBP_EXTENSION]
    if extensions:
        document["extensions"] = dict(extensions)
    used = [
        *([] if lit else ["KHR_materials_unlit"]),
        *document.get("extensionsRequired", []),
        *(extensions or {}),
    ]
    if used:
        document["extensionsUsed"] = used
    text = json.dumps(document, separators=(",", ":")).encode()
    # Chunks are multiples of four bytes: JSON is filled up with spaces.
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(buffer.content), b"BIN\0") + buffer.content
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _image(buffer: "_Buffer", content: bytes) -> dict[str, Any]:
    """A picture's part of the document."""
    return {"bufferView": buffer.view(content), "mimeType": PNG if content.startswith(b"\x89PNG") else WEBP}


def _texture(image: int, kind: str) -> dict[str, Any]:
    """A texture's part of the document. WebP has no other picture to fall back to: that would undo its
    gain in size."""
    source: dict[str, Any] = {"source": image}
    return {"sampler": 0} | ({"extensions": {WEBP_EXTENSION: source}} if kind == WEBP else source)


def _nodes(meshes: Sequence[GltfMesh]) -> list[dict[str, Any]]:
    """A node for each mesh; the first is the others' parent."""
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
    return nodes


def _skinned_nodes(
    meshes: Sequence[GltfMesh], bones: Sequence[Bone]
) -> tuple[list[dict[str, Any]], list[int]]:
    """A node for each mesh, one for the skeleton and one for each bone; and which are roots."""
    taken = {bone.name for bone in bones}
    nodes: list[dict[str, Any]] = [
        {"name": f"{mesh.name}Mesh" if mesh.name in taken else mesh.name, "mesh": number, "skin": 0}
        for number, mesh in enumerate(meshes)
    ]
    first = len(nodes) + 1
    nodes.append({"name": SKELETON})
    for number, bone in enumerate(bones):
        parent = first - 1 if bone.parent is None else first + bone.parent
        start = np.zeros(3) if bone.parent is None else bones[bone.parent].place
        nodes.append({"name": bone.name, "translation": (bone.place - start).astype(float).tolist()})
        nodes[parent].setdefault("children", []).append(first + number)
    return nodes, list(range(first))


def _skin(buffer: "_Buffer", bones: Sequence[Bone], meshes: int) -> dict[str, Any]:
    """The part of the document that says where bones are at rest."""
    to_bone = np.tile(np.eye(4, dtype=np.float32), (len(bones), 1, 1))
    to_bone[:, 3, :3] = [-bone.place for bone in bones]  # glTF's matrices are stored by columns
    return {
        "inverseBindMatrices": buffer.accessor(to_bone.reshape(-1, 16), "MAT4", None),
        "skeleton": meshes,
        "joints": [meshes + 1 + number for number in range(len(bones))],
    }


def influences(weights: Float[np.ndarray, "V J"]) -> tuple[np.ndarray, np.ndarray]:
    """The four bones that count most for each vertex, or fewer, and their weights, which sum to 1."""
    most = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    share = np.take_along_axis(weights, most, axis=1)
    share = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.where(share > 0, most, 0).astype(np.uint8), share


def _material(name: str, texture: int, lit: bool) -> dict[str, Any]:
    """A material that shows a texture; the alpha of all but the first fades them out."""
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
        "material": mesh.texture,
    }
    if mesh.tangents is not None:
        primitive["attributes"]["TANGENT"] = buffer.accessor(mesh.tangents, "VEC4", VERTEX_BUFFER)
    if mesh.bones is not None:
        joints, share = influences(mesh.bones)
        primitive["attributes"]["JOINTS_0"] = buffer.accessor(joints, "VEC4", VERTEX_BUFFER)
        primitive["attributes"]["WEIGHTS_0"] = buffer.accessor(share, "VEC4", VERTEX_BUFFER)
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

    def __init__(self, *, dense: bool = False) -> None:
        self.content = bytearray()
        self.dense = dense
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
        self, values: Shaped[np.ndarray, "N ..."], kind: str, target: int | None, *, bounds: bool = False
    ) -> int:
        """Append an array; returns the accessor's index. Positions must tell their bounds."""
        # Bounds are taken of what is stored: validators compare them exactly.
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
        if self.dense or len(moved) * (12 + index_type.itemsize) >= moves.nbytes:
            return self.accessor(moves, "VEC3", VERTEX_BUFFER, bounds=True)
        # A sparse accessor must have at least one entry.
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

    def fill_sparse(self) -> None:
        """Append the zeros that sparse targets change, once for all of them; call it when all are there.

        glTF lets them be left out, but Godot 3 then takes the first view of the file for them.
        """
        sparse = [accessor for accessor in self.accessors if "sparse" in accessor]
        if not sparse:
            return
        length = 12 * max(accessor["count"] for accessor in sparse)
        zeros = self.view(bytes(length), VERTEX_BUFFER)
        self.views[zeros]["byteStride"] = 12  # a view of several accessors must say so
        for accessor in sparse:
            accessor["bufferView"] = zeros


def _index_type(count: int) -> str:
    """The shortest type that can number vertices; the largest number of a type has a meaning of its own."""
    return "<u2" if count < 65535 else "<u4"


def _as_stored(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind == "u" else values.astype("<f4")


def _component(values: np.ndarray) -> int:
    return {"|u1": UNSIGNED_BYTE, "<u2": UNSIGNED_SHORT, "<u4": UNSIGNED_INT, "<f4": FLOAT}[values.dtype.str]


def _generator() -> str:
    try:
        return f"portrait3d {version('portrait3d')}"
    except PackageNotFoundError:  # run from a source tree
        return "portrait3d"
