"""Binary glTF 2.0: one textured mesh in one file."""

import json
import struct
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped

FLOAT, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5123, 5125
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071


def glb_bytes(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    normals: Float[np.ndarray, "V 3"],
    uv: Float[np.ndarray, "V 2"],
    texture_png: bytes,
    *,
    name: str = "head",
) -> bytes:
    """A mesh as GLB. Metres, y up, the face along +z; uv (0, 0) is the texture's top left corner.

    The material is unlit (KHR_materials_unlit), because a photo brings its own light along; viewers without
    that extension fall back to a matte surface.
    """
    buffer = _Buffer()
    short = len(vertices) < 65535
    attributes = {
        "POSITION": buffer.accessor(vertices.astype("<f4"), FLOAT, "VEC3", VERTEX_BUFFER, bounds=True),
        "NORMAL": buffer.accessor(normals.astype("<f4"), FLOAT, "VEC3", VERTEX_BUFFER),
        "TEXCOORD_0": buffer.accessor(uv.astype("<f4"), FLOAT, "VEC2", VERTEX_BUFFER),
    }
    indices = faces.astype("<u2" if short else "<u4").reshape(-1)
    indices_accessor = buffer.accessor(
        indices, UNSIGNED_SHORT if short else UNSIGNED_INT, "SCALAR", INDEX_BUFFER
    )
    image_view = buffer.view(texture_png)
    material = {
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicFactor": 0.0,
            "roughnessFactor": 1.0,
        },
        "extensions": {"KHR_materials_unlit": {}},
        "doubleSided": True,
    }
    document = {
        "asset": {"version": "2.0", "generator": _generator()},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [
            {
                "name": name,
                "primitives": [{"attributes": attributes, "indices": indices_accessor, "material": 0}],
            }
        ],
        "materials": [material],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [
            {
                "magFilter": LINEAR,
                "minFilter": LINEAR_MIPMAP_LINEAR,
                "wrapS": CLAMP_TO_EDGE,
                "wrapT": CLAMP_TO_EDGE,
            }
        ],
        "images": [{"bufferView": image_view, "mimeType": "image/png"}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.content)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(buffer.content), b"BIN\0") + buffer.content
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


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
        self,
        values: Shaped[np.ndarray, "N *components"],
        component: int,
        kind: str,
        target: int,
        *,
        bounds: bool = False,
    ) -> int:
        """Append an array; returns the accessor's index. Positions must tell their bounds."""
        accessor: dict[str, Any] = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": component,
            "count": len(values),
            "type": kind,
        }
        if bounds:
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _generator() -> str:
    try:
        return f"portrait3d {version('portrait3d')}"
    except PackageNotFoundError:  # run from a source tree
        return "portrait3d"
