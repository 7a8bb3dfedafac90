"""Loose hair in files: a node of its own with alpha in a GLB, left out of the others."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.export.glb_check import Glb, glb_problems
from portrait3d.export.meshes import encode_glb
from portrait3d.geometry.mesh import Binding, HeadMesh, SeeThrough
from portrait3d.models.expressions import expression_displacement


@pytest.fixture(scope="module")
def hairy_head(model_head: HeadMesh) -> HeadMesh:
    """A head whose first triangles have a see-through copy."""
    assert model_head.binding is not None
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[..., 0], picture[..., 3] = 90, np.arange(8) * 30
    faces = model_head.faces[:200]
    used, corners = np.unique(faces, return_inverse=True)
    hair = SeeThrough(
        model_head.vertices[used],
        corners.reshape(-1, 3).astype(np.int64),
        np.full((len(used), 2), 0.5, np.float32),
        picture,
        model_head.binding.chosen(used),
    )
    return replace(model_head, hair_sheet=hair)


def part(glb: Glb, name: str) -> dict:
    """The only primitive of a mesh."""
    return next(mesh for mesh in glb.document["meshes"] if mesh["name"] == name)["primitives"][0]


def test_hair_sheet_alone_is_blended(hairy_head: HeadMesh) -> None:
    for lit in (False, True):
        glb = Glb.read(encode_glb(hairy_head, lit=lit))
        modes = {mesh["name"]: mesh["primitives"][0]["material"] for mesh in glb.document["meshes"]}
        assert modes.pop("HairSheet") == 1
        assert set(modes.values()) == {0}
        opaque, blended = glb.document["materials"]
        assert "alphaMode" not in opaque
        assert blended["alphaMode"] == "BLEND"
        assert blended["doubleSided"]
        assert ("extensions" in blended) == (not lit)
        assert glb_problems(encode_glb(hairy_head, lit=lit)) == []


def test_glasses_are_a_mesh_with_a_texture_of_their_own(hairy_head: HeadMesh, tmp_path: Path) -> None:
    hair = hairy_head.hair_sheet
    assert hair is not None
    red = np.zeros((4, 6, 4), np.uint8)
    red[..., 0] = red[..., 3] = 200
    still = Binding.to_vertices(np.zeros(len(hair.vertices), np.int64), 0.0)
    glasses = replace(hair, texture=red, binding=still)
    for head, number in (
        (replace(hairy_head, glasses=glasses), 2),
        (with_glasses_alone(hairy_head, glasses), 1),
    ):
        content = encode_glb(head)
        glb = Glb.read(content)
        assert glb_problems(content) == []
        primitive = part(glb, "Glasses")
        assert primitive["material"] == number
        assert "targets" not in primitive
        assert glb.document["materials"][number]["alphaMode"] == "BLEND"
        image = Image.open(io.BytesIO(glb.view(glb.document["images"][number]["bufferView"])))
        assert np.array_equal(np.array(image), red)
        fewer = head.simplified(3)
        assert fewer.glasses is not None
        assert len(fewer.glasses.faces) <= len(glasses.faces)
    pytest.importorskip("pxr")
    replace(hairy_head, glasses=glasses).export(tmp_path / "head.usd")
    assert {path.name for path in tmp_path.iterdir()} == {
        "head.usd",
        "head.png",
        "head_hair.png",
        "head_glasses.png",
    }


def with_glasses_alone(head: HeadMesh, glasses: SeeThrough) -> HeadMesh:
    return replace(head, hair_sheet=None, glasses=glasses)


def test_the_heads_texture_stays_as_it_is_and_the_hairs_has_alpha(hairy_head: HeadMesh) -> None:
    glb = Glb.read(encode_glb(hairy_head))
    head, hair = (Image.open(io.BytesIO(glb.view(image["bufferView"]))) for image in glb.document["images"])
    assert hairy_head.hair_sheet is not None
    assert np.array_equal(np.array(head), hairy_head.texture)
    assert np.array_equal(np.array(hair), hairy_head.hair_sheet.texture)


def test_hair_sheet_lies_on_the_head_and_moves_with_it(hairy_head: HeadMesh) -> None:
    glb = Glb.read(encode_glb(hairy_head))
    moved = Glb.read(encode_glb(hairy_head.displaced(expression_displacement({"jawOpen": 1.0}))))
    own, later = part(glb, "HairSheet"), part(moved, "HairSheet")
    rest, after = (glb.array(own["attributes"]["POSITION"]), moved.array(later["attributes"]["POSITION"]))
    surface = glb.array(part(glb, "Head")["attributes"]["POSITION"])
    assert np.abs(rest[:, None] - surface[None, :3000]).max(axis=2).min(axis=1).min() < 1e-6
    names = next(m for m in glb.document["meshes"] if m["name"] == "HairSheet")["extras"]["targetNames"]
    open_jaw = glb.array(own["targets"][names.index("jawOpen")]["POSITION"])
    assert np.abs(open_jaw).max() > 1e-4
    assert np.allclose(rest + open_jaw, after, atol=2e-5)


def test_obj_and_ply_leave_hair_sheet_out(hairy_head: HeadMesh, tmp_path: Path) -> None:
    for kind in ("obj", "ply"):
        plain = replace(hairy_head, hair_sheet=None).export(tmp_path / f"plain.{kind}").read_bytes()
        with_hair = hairy_head.export(tmp_path / f"hairy.{kind}").read_bytes()
        assert with_hair.replace(b"hairy", b"plain") == plain


def test_alpha_in_an_opaque_material_is_reported(hairy_head: HeadMesh) -> None:
    content = encode_glb(hairy_head).replace(b'"alphaMode":"BLEND"', b'"alphaMode":"MASK" ')
    assert glb_problems(content) == ["HairSheet: an RGBA texture in a material of mode MASK"]


def test_webp_textures_keep_colours_and_alpha(hairy_head: HeadMesh) -> None:
    content = encode_glb(hairy_head, texture_format="webp")
    assert glb_problems(content) == []
    glb = Glb.read(content)
    assert glb.document["extensionsRequired"] == ["EXT_texture_webp"]
    assert hairy_head.hair_sheet is not None
    for number, wanted in enumerate((hairy_head.texture, hairy_head.hair_sheet.texture)):
        source = glb.document["textures"][number]["extensions"]["EXT_texture_webp"]["source"]
        image = glb.document["images"][source]
        assert image["mimeType"] == "image/webp"
        found = np.asarray(Image.open(io.BytesIO(glb.view(image["bufferView"]))))
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).mean() < 5
