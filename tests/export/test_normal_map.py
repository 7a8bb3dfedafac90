"""A normal map gives few triangles the light of many."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from portrait3d.export.glb_check import Glb, glb_problems
from portrait3d.export.gltf import GLTF_FROM_CAMERA
from portrait3d.export.meshes import encode_glb
from portrait3d.export.normal_map import FLAT, bake_normals
from portrait3d.geometry.mesh import HeadMesh, HeadPart

WAVE, HEIGHT = 12.0, 1.2
"""Length and height of the waves, mm."""
SIDE = 96.0
"""Of the wavy square, mm."""


def wavy(steps: int, *, mirrored: bool = False) -> HeadMesh:
    """A square with waves along x that looks at the camera, of `steps` times `steps` fields."""
    rows, columns = np.mgrid[: steps + 1, : steps + 1]
    x, y = (columns / steps - 0.5).ravel() * SIDE, (rows / steps - 0.5).ravel() * SIDE
    z = HEIGHT * np.sin(2 * np.pi * x / WAVE)
    first = (np.arange(steps)[:, None] * (steps + 1) + np.arange(steps)).ravel()
    right, below = first + 1, first + steps + 1
    faces = np.concatenate([np.stack(t, 1) for t in ((first, below, right), (right, below, below + 1))])
    u = 0.5 + (-1 if mirrored else 1) * x / (SIDE * 1.1)
    return HeadMesh(
        vertices=np.stack([x, y, z], axis=1).astype(np.float32),
        faces=faces[:, ::-1].astype(np.int64) if is_inward(x, y, z, faces[0]) else faces.astype(np.int64),
        part=np.full(len(x), HeadPart.FACE, np.uint8),
        uv=np.stack([u, 0.5 + y / (SIDE * 1.1)], axis=1).astype(np.float32),
        texture=np.full((1024, 1024, 3), 150, np.uint8),
    )


def is_inward(x: np.ndarray, y: np.ndarray, z: np.ndarray, face: np.ndarray) -> bool:
    """Whether a triangle looks away from the camera."""
    a, b, c = np.stack([x, y, z], axis=1)[face]
    return bool(np.cross(b - a, c - a)[2] > 0)


def normals_of(points: np.ndarray) -> np.ndarray:
    """The waves' normals in the file's axes at points of the file, mm."""
    slope = HEIGHT * 2 * np.pi / WAVE * np.cos(2 * np.pi * points[:, 0] / WAVE)
    toward = np.stack([slope, np.zeros(len(slope)), -np.ones(len(slope))], axis=1)
    return toward / np.linalg.norm(toward, axis=1, keepdims=True) * GLTF_FROM_CAMERA


def degrees(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_program_that_reads_the_file_sees_the_fine_heads_normals(mirrored: bool) -> None:
    fine, coarse = wavy(192, mirrored=mirrored), wavy(4, mirrored=mirrored)
    content = encode_glb(replace(coarse, normal_map=bake_normals(fine, coarse)), lit=True)
    assert glb_problems(content, rigged=False) == []
    glb = Glb.read(content)
    (primitive,) = glb.document["meshes"][0]["primitives"]
    arrays = {name: glb.array(index) for name, index in primitive["attributes"].items()}
    corners = glb.array(primitive["indices"]).reshape(-1, 3)
    share = np.random.default_rng(0).dirichlet((2.0, 2.0, 2.0), (40, len(corners)))

    def inside(name: str) -> np.ndarray:
        """An attribute at places inside the triangles, as a rasteriser hands it to the shader."""
        return np.einsum("ktc,tcd->ktd", share, arrays[name][corners]).reshape(-1, arrays[name].shape[1])

    material = glb.document["materials"][primitive["material"]]
    image = glb.document["images"][glb.document["textures"][material["normalTexture"]["index"]]["source"]]
    picture = np.array(Image.open(io.BytesIO(glb.view(image["bufferView"]))))
    uv, normal, tangent = inside("TEXCOORD_0"), inside("NORMAL"), inside("TANGENT")
    column, row = (uv * len(picture)).astype(int).T
    x, y, z = (picture[row, column] / 255.0 * 2 - 1).T
    # glTF 2.0, 3.7.2.1 and 3.9.3
    bitangent = np.cross(normal, tangent[:, :3]) * tangent[:, 3:]
    lit = tangent[:, :3] * x[:, None] + bitangent * y[:, None] + normal * z[:, None]
    at = uv.copy()
    at[:, 0] = (uv[:, 0] - 0.5) * SIDE * 1.1 * (-1 if mirrored else 1)
    wanted = normals_of(at)
    assert np.percentile(degrees(lit, wanted), 95) < 3
    assert np.median(degrees(normal, wanted)) > 15


def test_only_files_that_take_light_hold_the_map() -> None:
    coarse = wavy(4)
    mapped = replace(coarse, normal_map=bake_normals(wavy(16), coarse))
    assert encode_glb(mapped) == encode_glb(coarse)
    assert b"normalTexture" in encode_glb(mapped, lit=True)
    assert b"normalTexture" not in encode_glb(coarse, lit=True)


def test_beside_the_texture_and_without_a_difference_the_map_is_flat() -> None:
    head = wavy(16)
    same = bake_normals(head, head).astype(int)
    assert same.shape == (512, 512, 3)
    assert np.abs(same - FLAT).max() <= 1
    assert (bake_normals(wavy(64), head)[0, 0] == FLAT).all()
