"""GLB, OBJ and PLY files, read back."""

import io
import json
import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from portrait3d.export import export_mesh
from portrait3d.export.gltf import ADULT_SIZE
from portrait3d.export.meshes import encode_glb
from portrait3d.geometry.mesh import HeadMesh
from portrait3d.geometry.pose import Pose

NOSE_METRES = 0.11 * ADULT_SIZE
"""The spike reaches 110 mm from the ball's middle, which is the origin."""


def read_glb(content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """The JSON part and the arrays of the one mesh, by struct alone."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    json_length, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    document = json.loads(content[20 : 20 + json_length])
    binary_length, kind = struct.unpack_from("<I4s", content, 20 + json_length)
    assert kind == b"BIN\0"
    assert 28 + json_length + binary_length == len(content)
    assert json_length % 4 == binary_length % 4 == 0
    binary = content[28 + json_length :]
    assert document["buffers"] == [{"byteLength": len(binary)}]

    def array(index: int) -> np.ndarray:
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
        columns = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
        assert view["byteOffset"] % 4 == 0
        assert view["byteLength"] == accessor["count"] * columns * np.dtype(kind).itemsize
        values = np.frombuffer(binary, kind, accessor["count"] * columns, view["byteOffset"])
        return values.reshape(-1, columns)

    primitive = document["meshes"][0]["primitives"][0]
    arrays = {name: array(index) for name, index in primitive["attributes"].items()}
    arrays["indices"] = array(primitive["indices"]).reshape(-1, 3)
    image = document["bufferViews"][document["images"][0]["bufferView"]]
    png = binary[image["byteOffset"] : image["byteOffset"] + image["byteLength"]]
    arrays["texture"] = np.array(Image.open(io.BytesIO(png)))
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    assert np.allclose(position["min"], arrays["POSITION"].min(axis=0), atol=0)
    assert np.allclose(position["max"], arrays["POSITION"].max(axis=0), atol=0)
    return document, arrays


def turned(head: HeadMesh, yaw: float, pitch: float) -> tuple[HeadMesh, Pose]:
    """The head in another pose, with that pose."""
    angles = [torch.tensor(math.radians(angle)) for angle in (yaw, pitch, 0.0)]
    pose = Pose.from_euler(angles[0], angles[1], angles[2], torch.tensor([50.0, 0.0, 900.0]))
    moved = replace(head, vertices=pose.apply(torch.from_numpy(head.vertices)).numpy())
    return moved, pose @ head.camera_from_head


def test_glb_is_in_metres_with_y_up_and_the_face_along_z(head: HeadMesh) -> None:
    _, arrays = read_glb(encode_glb(head))
    position = arrays["POSITION"]
    assert np.ptp(position, axis=0) == pytest.approx(ADULT_SIZE * np.array([0.16, 0.16, 0.19]), rel=0.02)
    assert (position.min(axis=0) + position.max(axis=0))[:2] == pytest.approx([0, 0], abs=1e-6)
    nose = position[np.argmax(position[:, 2])]
    assert nose == pytest.approx([0, 0, NOSE_METRES], abs=1e-3)
    top = np.argmax(position[:, 1])
    assert head.vertices[top, 1] == head.vertices[:, 1].min()
    left = np.argmin(position[:, 0])
    assert head.colors[left].tolist() == [200, 30, 40]


def test_triangles_and_normals_of_a_glb_point_outward(head: HeadMesh) -> None:
    _, arrays = read_glb(encode_glb(head))
    position, faces = arrays["POSITION"].astype(float), arrays["indices"].astype(np.int64)
    assert (faces == head.faces).all()
    corners = position[faces]
    out = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((out * corners.mean(axis=1)).sum(axis=1) > 0).all()
    normals = arrays["NORMAL"]
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    used = np.unique(faces)
    assert ((normals * position)[used].sum(axis=1) > 0).mean() > 0.95


def test_a_glb_keeps_texture_and_coordinates(head: HeadMesh) -> None:
    document, arrays = read_glb(encode_glb(head))
    assert (arrays["TEXCOORD_0"] == head.uv).all()
    assert (arrays["texture"] == head.texture).all()
    assert document["asset"]["version"] == "2.0"
    assert document["extensionsUsed"] == ["KHR_materials_unlit"]


def test_vertices_beyond_sixteen_bits_get_longer_indices(head: HeadMesh) -> None:
    copies = 70_000 // len(head.vertices) + 1
    large = HeadMesh(
        np.tile(head.vertices, (copies, 1)),
        np.concatenate([head.faces + number * len(head.vertices) for number in range(copies)]),
        np.tile(head.part, copies),
        np.tile(head.uv, (copies, 1)),
        head.texture,
    )
    _, arrays = read_glb(encode_glb(large))
    assert arrays["indices"].dtype == np.uint32
    assert (arrays["indices"] == large.faces).all()


def test_vertices_of_tiny_triangles_or_of_none_get_a_unit_normal(head: HeadMesh) -> None:
    vertices = np.concatenate([head.vertices, head.vertices[:1] + np.eye(3, dtype=np.float32) * 2e-4])
    number = len(head.vertices)
    odd = HeadMesh(
        vertices,
        np.concatenate([head.faces[:10], [[number, number + 1, number + 2]]]),
        np.zeros(number + 3, np.uint8),
        np.zeros((number + 3, 2), np.float32),
        head.texture,
    )
    _, arrays = read_glb(encode_glb(odd))
    assert np.allclose(np.linalg.norm(arrays["NORMAL"], axis=1), 1, atol=1e-5)


def test_a_known_pose_is_taken_out(head: HeadMesh) -> None:
    posed, pose = turned(head, 35, -20)
    _, wanted = read_glb(encode_glb(head))
    _, found = read_glb(encode_glb(replace(posed, camera_from_head=pose)))
    assert np.allclose(found["POSITION"], wanted["POSITION"], atol=1e-6)
    _, unturned = read_glb(encode_glb(posed))
    tip = np.argmax(wanted["POSITION"][:, 2])
    nose = unturned["POSITION"][tip] - np.delete(unturned["POSITION"], tip, axis=0).mean(axis=0)
    assert nose[0] > 0.03  # yaw > 0 looks to the picture's right
    assert nose[1] < -0.02  # pitch < 0 looks down


@pytest.mark.parametrize("name", ["head.glb", "head.obj", "head.ply", "HEAD.GLB"])
def test_trimesh_reads_every_format_back(tmp_path: Path, head: HeadMesh, name: str) -> None:
    path = export_mesh(head, tmp_path / name)
    assert path == tmp_path / name
    kind = path.suffix.lower()[1:]
    loaded = trimesh.load_scene(path, file_type=kind, process=False, maintain_order=True)
    (mesh,) = loaded.geometry.values()
    _, wanted = read_glb(encode_glb(head))
    assert np.allclose(mesh.vertices, wanted["POSITION"], atol=1e-6)
    assert (mesh.faces == head.faces).all()
    assert mesh.vertices[:, 2].max() == pytest.approx(NOSE_METRES, abs=1e-3)
    if kind == "ply":
        assert (mesh.visual.vertex_colors[:, :3] == head.colors).all()
        assert (mesh.metadata["_ply_raw"]["vertex"]["data"]["part"].ravel() == head.part).all()
        return
    assert np.allclose(mesh.visual.uv, head.uv * [1, -1] + [0, 1], atol=1e-6)
    material = mesh.visual.material
    image = material.baseColorTexture if kind == "glb" else material.image
    assert (np.array(image.convert("RGB")) == head.texture).all()


def test_an_obj_names_its_own_material_and_texture(tmp_path: Path, head: HeadMesh) -> None:
    path = head.export(tmp_path / "deep" / "my head.obj")
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["my head.obj", "my_head.mtl", "my_head.png"]
    lines = path.read_text().splitlines()
    assert "mtllib my_head.mtl" in lines
    assert "usemtl my_head" in lines
    assert "map_Kd my_head.png" in (path.parent / "my_head.mtl").read_text().splitlines()
    assert "http" not in path.read_text()


@pytest.mark.parametrize("name", ["head.stl", "head", "head.glb.zip"])
def test_another_ending_is_refused(tmp_path: Path, head: HeadMesh, name: str) -> None:
    with pytest.raises(ValueError, match=r"\.glb, .*\.obj, \.ply, got"):
        head.export(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["head.glb", "head.obj", "head.ply"])
def test_the_same_head_gives_the_same_bytes(tmp_path: Path, head: HeadMesh, name: str) -> None:
    first, second = head.export(tmp_path / "a" / name), head.export(tmp_path / "b" / name)
    assert first.read_bytes() == second.read_bytes()


def test_every_file_holds_all_pieces_by_name(tmp_path: Path, model_head: HeadMesh) -> None:
    names = ["Head", "EyeRight", "EyeLeft", "Teeth", "Tongue", "MouthCavity"]
    text = model_head.export(tmp_path / "head.obj").read_text().splitlines()
    assert [line[2:] for line in text if line.startswith("o ")] == names
    assert sum(line.startswith("f ") for line in text) == len(model_head.faces)
    assert {line for line in text if line.startswith("usemtl")} == {"usemtl head"}
    scene = trimesh.load_scene(model_head.export(tmp_path / "head.glb"))
    assert list(scene.geometry) == names
    ply = trimesh.load_mesh(model_head.export(tmp_path / "head.ply"), process=False)
    assert len(ply.faces) == len(model_head.faces)
    assert (ply.metadata["_ply_raw"]["vertex"]["data"]["piece"].ravel() == model_head.piece).all()


def test_all_formats_put_the_head_in_the_same_place(tmp_path: Path, model_head: HeadMesh) -> None:
    bounds = [
        trimesh.load_scene(model_head.export(tmp_path / f"head.{kind}")).bounds
        for kind in ("glb", "obj", "ply")
    ]
    assert np.allclose(bounds[0], bounds[1], atol=1e-6)
    assert np.allclose(bounds[0], bounds[2], atol=1e-6)
