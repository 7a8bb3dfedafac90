"""A GLB read back: are its numbers, names and offsets what glTF and this project promise?"""

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from portrait3d.export.gltf import WEBP_EXTENSION
from portrait3d.models.expressions import ARKIT_COUNT, arkit_basis

TYPES = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
"""OpenGL's numbers of kinds of values, in numpy's words: glTF is little-endian."""
SILENCE = "viseme_sil"
"""The target that moves nothing: players look for it by its name."""
COLUMNS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True, slots=True, eq=False)
class Glb:
    """A GLB's two chunks."""

    document: dict[str, Any]
    binary: bytes

    @classmethod
    def read(cls, content: bytes) -> "Glb":
        """Take a file apart; `ValueError` if it isn't a JSON chunk and a binary chunk of the right sizes."""
        if len(content) < 28 or content[:4] != b"glTF":
            raise ValueError("This is no GLB: it doesn't begin with 'glTF'.")
        version, length, size, kind = struct.unpack_from("<III4s", content, 4)
        if version != 2 or length != len(content) or kind != b"JSON" or size % 4:
            raise ValueError(
                f"A broken GLB header: {version=}, {length=} of {len(content)}, {kind=}, {size=}."
            )
        start = 20 + size
        binary_size, binary_kind = struct.unpack_from("<I4s", content, start)
        if binary_kind != b"BIN\0" or start + 8 + binary_size != len(content) or binary_size % 4:
            raise ValueError(f"A broken binary chunk: {binary_kind!r} of {binary_size} bytes.")
        return cls(json.loads(content[20:start]), content[start + 8 :])

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view; `ValueError` if it leaves the buffer or isn't aligned."""
        view = self.document["bufferViews"][index]
        start, length = view.get("byteOffset", 0), view["byteLength"]
        if start % 4 or start + length > len(self.binary):
            raise ValueError(f"bufferViews[{index}] from {start}, {length} bytes, of {len(self.binary)}.")
        return self.binary[start : start + length]

    def array(self, index: int) -> Shaped[np.ndarray, "N C"]:
        """The values of an accessor, sparse ones filled in; `ValueError` if a part is too short."""
        accessor = self.document["accessors"][index]
        shape = (accessor["count"], COLUMNS[accessor["type"]])
        if "bufferView" in accessor:
            content = self.view(accessor["bufferView"])
            if "sparse" in accessor:  # they share zeros that are enough for the largest
                content = content[: 4 * shape[0] * shape[1]]
            values = _exactly(content, accessor["componentType"], shape).copy()
        else:
            values = np.zeros(shape, TYPES[accessor["componentType"]])
        if sparse := accessor.get("sparse"):
            kind = sparse["indices"]["componentType"]
            where = _exactly(self.view(sparse["indices"]["bufferView"]), kind, (sparse["count"], 1))[:, 0]
            if (np.diff(where.astype(np.int64)) <= 0).any() or where[-1] >= len(values):
                raise ValueError(
                    f"accessors[{index}]: sparse indices must rise and stay below {len(values)}."
                )
            new = self.view(sparse["values"]["bufferView"])
            values[where] = _exactly(new, accessor["componentType"], (sparse["count"], shape[1]))
        return values


def glb_problems(content: bytes, *, rigged: bool = True) -> list[str]:
    """What is wrong with a head's GLB, one line each; none if all is well.

    If `rigged`, the mesh `Head` must have ARKit's 52 blendshapes by name, before any others, and each must
    move something.
    """
    try:
        glb = Glb.read(content)
        problems = [*_structure(glb)]
    except (ValueError, KeyError, IndexError) as error:
        return [f"{type(error).__name__}: {error}"]
    heads = [mesh for mesh in glb.document["meshes"] if mesh["name"] == "Head"]
    names = heads[0].get("extras", {}).get("targetNames", []) if heads else []
    if not heads:
        problems.append("there is no mesh 'Head'")
    elif rigged and tuple(names[:ARKIT_COUNT]) != arkit_basis()[0]:
        problems.append(f"'Head' has {len(names)} morph targets, not ARKit's 52")
    elif rigged and (still := set(names) - _moving(glb) - {SILENCE}):
        problems.append(f"morph targets that move nothing: {', '.join(sorted(still))}")
    return problems


def _moving(glb: Glb) -> set[str]:
    """Names of the morph targets that move a vertex of some mesh by a tenth of a millimetre."""
    moving = set()
    for mesh in glb.document["meshes"]:
        names, targets = (
            mesh.get("extras", {}).get("targetNames", []),
            mesh["primitives"][0].get("targets", []),
        )
        for name, target in zip(names, targets, strict=True):
            if np.abs(glb.array(target["POSITION"])).max() > 1e-4:
                moving.add(name)
    return moving


def _structure(glb: Glb) -> Iterator[str]:
    """Problems of a file taken by itself."""
    document = glb.document
    if document["buffers"] != [{"byteLength": len(glb.binary)}]:
        yield f"the buffer's length is {document['buffers']}, not {len(glb.binary)}"
    for index, accessor in enumerate(document["accessors"]):
        values = glb.array(index)
        if not np.isfinite(values).all():
            yield f"accessors[{index}] holds numbers that are not finite"
        for bound, found in (("min", values.min(axis=0)), ("max", values.max(axis=0))):
            if bound in accessor and not np.array_equal(np.array(accessor[bound], np.float32), found):
                yield f"accessors[{index}].{bound} is {accessor[bound]}, the values' is {found.tolist()}"
    nodes = [node["name"] for node in document["nodes"]]
    if len(set(nodes)) < len(nodes):
        yield f"nodes share names: {nodes}"
    for mesh in document["meshes"]:
        yield from (f"{mesh['name']}: {problem}" for problem in _mesh(glb, mesh))
    for image in document["images"]:
        Image.open(io.BytesIO(glb.view(image["bufferView"]))).verify()
    for material in document["materials"]:
        texture = document["textures"][material["pbrMetallicRoughness"]["baseColorTexture"]["index"]]
        source = texture.get("extensions", {}).get(WEBP_EXTENSION, texture)["source"]
        mode = Image.open(io.BytesIO(glb.view(document["images"][source]["bufferView"]))).mode
        if (mode == "RGBA") != (material.get("alphaMode") == "BLEND"):
            yield f"{material['name']}: an {mode} texture in a material of mode {material.get('alphaMode')}"
    extended = [*document["materials"], *document["textures"], document]
    used = {name for part in extended for name in part.get("extensions", {})}
    if used != set(document.get("extensionsUsed", [])):
        yield f"materials and textures use {used}, extensionsUsed says {document.get('extensionsUsed')}"


def _mesh(glb: Glb, mesh: dict[str, Any]) -> Iterator[str]:
    """Problems of one mesh."""
    (primitive,) = mesh["primitives"]
    count = glb.document["accessors"][primitive["attributes"]["POSITION"]]["count"]
    targets = primitive.get("targets", [])
    indices = [*primitive["attributes"].values(), *(index for target in targets for index in target.values())]
    for index in indices:
        if (found := glb.document["accessors"][index]["count"]) != count:
            yield f"accessors[{index}] has {found} entries for {count} vertices"
    corners = glb.array(primitive["indices"])
    if corners.max() >= count or len(corners) % 3:
        yield f"{len(corners)} indices up to {corners.max()} for {count} vertices"
    lengths = np.linalg.norm(glb.array(primitive["attributes"]["NORMAL"]), axis=1)
    if np.abs(lengths - 1).max() > 1e-3:
        yield f"normals have lengths from {lengths.min():.3f} to {lengths.max():.3f}"
    if "WEIGHTS_0" in primitive["attributes"]:
        yield from _influences(glb, primitive["attributes"])
    names, weights = mesh.get("extras", {}).get("targetNames", []), mesh.get("weights", [])
    if not len(names) == len(set(names)) == len(weights) == len(targets):
        yield f"{len(targets)} morph targets with {len(names)} names and {len(weights)} weights"


def _influences(glb: Glb, attributes: dict[str, int]) -> Iterator[str]:
    """Problems of the weights that bind a mesh to the bones."""
    joints, weights = glb.array(attributes["JOINTS_0"]), glb.array(attributes["WEIGHTS_0"])
    if joints.max() >= (count := len(glb.document["skins"][0]["joints"])):
        yield f"bound to bone {joints.max()} of {count}"
    if weights.min() < 0 or np.abs(weights.sum(axis=1) - 1).max() > 1e-5:
        yield f"weights of bones sum to {weights.sum(axis=1).min():.3f} to {weights.sum(axis=1).max():.3f}"


def _exactly(data: bytes, component: int, shape: tuple[int, int]) -> np.ndarray:
    """Bytes as an array of a shape that they must fill."""
    kind = np.dtype(TYPES[component])
    if len(data) != shape[0] * shape[1] * kind.itemsize:
        raise ValueError(f"{len(data)} bytes can't hold {shape[0]} x {shape[1]} values of type {kind}.")
    return np.frombuffer(data, kind).reshape(shape)
