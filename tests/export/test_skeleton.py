"""A head's skeleton: bones where people turn, and vertices that follow them as flesh does."""

from dataclasses import replace

import numpy as np
import pytest

from portrait3d.export.glb_check import Glb, glb_problems
from portrait3d.export.meshes import encode_glb
from portrait3d.export.skeleton import Hinge, Joint
from portrait3d.geometry.mesh import HeadMesh, HeadPiece
from synthetic_head import synthetic_portrait


@pytest.fixture(scope="module")
def boned(model_head: HeadMesh) -> Glb:
    return Glb.read(encode_glb(model_head, bones=True))


@pytest.fixture(scope="module")
def plain(model_head: HeadMesh) -> Glb:
    return Glb.read(encode_glb(model_head))


def mesh(glb: Glb, name: str) -> dict:
    return next(mesh for mesh in glb.document["meshes"] if mesh["name"] == name)


def attribute(glb: Glb, name: str, kind: str) -> np.ndarray:
    return glb.array(mesh(glb, name)["primitives"][0]["attributes"][kind])


def target(glb: Glb, name: str, wanted: str) -> np.ndarray:
    found = mesh(glb, name)
    number = found["extras"]["targetNames"].index(wanted)
    return glb.array(found["primitives"][0]["targets"][number]["POSITION"])


def places(glb: Glb) -> dict[str, np.ndarray]:
    """Where every node lies in the scene."""
    found: dict[str, np.ndarray] = {}

    def walk(number: int, at: np.ndarray) -> None:
        node = glb.document["nodes"][number]
        found[node["name"]] = at + node.get("translation", [0, 0, 0])
        for child in node.get("children", []):
            walk(child, found[node["name"]])

    for root in glb.document["scenes"][0]["nodes"]:
        walk(root, np.zeros(3))
    return found


def about(axis: int, angle: float) -> np.ndarray:
    """The matrix of a turn about x, y or z, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    one, other = [(1, 2), (2, 0), (0, 1)][axis]
    turn = np.eye(3)
    turn[[one, other], [one, other]] = cosine
    turn[one, other], turn[other, one] = -sine, sine
    return turn


def posed(glb: Glb, name: str, bone: str, turn: np.ndarray) -> np.ndarray:
    """A mesh's vertices with one bone turned, by linear blend skinning as viewers do it."""
    skin = glb.document["skins"][0]
    to_bone = glb.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    below = {bone}
    for node in glb.document["nodes"]:  # parents come first
        if node["name"] in below:
            below |= {glb.document["nodes"][child]["name"] for child in node.get("children", [])}
    at, matrices = places(glb), []
    for number, joint in enumerate(skin["joints"]):
        own = glb.document["nodes"][joint]["name"]
        world = np.eye(4)
        world[:3, 3] = at[own]
        if own in below:
            world[:3, :3], world[:3, 3] = turn, at[bone] + turn @ (at[own] - at[bone])
        matrices.append(world @ to_bone[number])
    points = np.c_[attribute(glb, name, "POSITION"), np.ones(len(attribute(glb, name, "POSITION")))]
    joints, weights = attribute(glb, name, "JOINTS_0"), attribute(glb, name, "WEIGHTS_0")
    blended = np.einsum("vk,vkij->vij", weights, np.array(matrices)[joints])
    return np.einsum("vij,vj->vi", blended, points)[:, :3]


def test_bones_are_named_as_players_know_them(boned: Glb) -> None:
    joints = [boned.document["nodes"][joint]["name"] for joint in boned.document["skins"][0]["joints"]]
    assert joints == ["Neck", "Head", "LeftEye", "RightEye", "Jaw", "Tongue"]
    assert len(joints) == len(Joint)
    names = [node["name"] for node in boned.document["nodes"]]
    assert {"Armature", "HeadMesh", "TongueMesh", "EyeLeft"} <= set(names)


def test_a_head_with_bones_has_no_problems_and_all_targets(
    boned: Glb, plain: Glb, model_head: HeadMesh
) -> None:
    assert glb_problems(encode_glb(model_head, bones=True, visemes=True, lit=True)) == []
    for one, other in zip(boned.document["meshes"], plain.document["meshes"], strict=True):
        assert one["extras"] == other["extras"]
    assert np.array_equal(target(boned, "Head", "jawOpen"), target(plain, "Head", "jawOpen"))


def test_bones_at_rest_leave_the_head_as_it_is(boned: Glb, plain: Glb) -> None:
    at = places(plain)
    for name in ("Head", "Teeth", "EyeLeft"):
        still = posed(boned, name, "Neck", np.eye(3))
        assert np.allclose(still, attribute(plain, name, "POSITION") + at[name], atol=1e-6)


def test_eyes_turn_about_their_centres(boned: Glb, plain: Glb) -> None:
    at, centre = places(boned), places(plain)
    for side in ("Left", "Right"):
        assert np.allclose(at[f"{side}Eye"], centre[f"Eye{side}"], atol=1e-6)
        moved = posed(boned, f"Eye{side}", f"{side}Eye", about(1, 0.4))
        before = attribute(boned, f"Eye{side}", "POSITION") - at[f"{side}Eye"]
        assert np.allclose(moved - at[f"{side}Eye"], before @ about(1, 0.4).T, atol=1e-6)
    other = posed(boned, "EyeLeft", "RightEye", about(1, 0.4))
    assert np.allclose(other, attribute(boned, "EyeLeft", "POSITION"), atol=1e-6)


def test_the_head_turns_and_the_neck_lags(boned: Glb) -> None:
    at = attribute(boned, "Head", "POSITION")
    moved = posed(boned, "Head", "Head", about(1, 0.5))
    whole = at @ about(1, 0.5).T  # the bone lies in the origin
    face = at[:, 1] > 0
    assert np.abs(moved - whole)[face].max() < 1e-5
    lowest = np.argmin(at[:, 1])
    assert np.linalg.norm(moved - at, axis=1)[lowest] < 0.85 * np.linalg.norm(whole - at, axis=1)[lowest]
    assert np.allclose(posed(boned, "Head", "Neck", about(1, 0.5))[lowest, 1], at[lowest, 1], atol=1e-6)
    for name in ("Teeth", "Tongue", "EyeLeft", "MouthCavity"):
        inner = attribute(boned, name, "POSITION") @ about(1, 0.5).T
        assert np.allclose(posed(boned, name, "Head", about(1, 0.5)), inner, atol=1e-5)


def test_the_jaw_bone_opens_the_mouth_as_jaw_open_does(boned: Glb) -> None:
    at, open_ = attribute(boned, "Teeth", "POSITION"), target(boned, "Teeth", "jawOpen")
    length = np.linalg.norm(open_, axis=1)
    lower, upper = length > length.max() / 2, length < 1e-4
    hinge = Hinge.of(at[lower], open_[lower])
    assert 0.2 < hinge.angle < 0.7
    assert np.allclose(places(boned)["Jaw"], [0, hinge.y, hinge.z], atol=1e-6)
    moved = posed(boned, "Teeth", "Jaw", about(0, hinge.angle)) - at
    assert np.abs(moved - open_)[lower].max() < 2e-3
    assert upper.sum() > 50
    assert np.abs(moved)[upper].max() < 1e-5
    skin, wanted = attribute(boned, "Head", "POSITION"), target(boned, "Head", "jawOpen")
    moved = posed(boned, "Head", "Jaw", about(0, hinge.angle)) - skin
    assert np.linalg.norm(moved - wanted, axis=1).max() < 0.35 * np.linalg.norm(wanted, axis=1).max()
    assert np.abs(moved[skin[:, 1] > 0.09]).max() < 1e-3  # eyes and all above


def test_a_hinge_is_found_again() -> None:
    hinge = Hinge(0.02, -0.03, 0.4)
    points = np.random.default_rng(0).normal((0, -0.05, 0.06), 0.02, (50, 3))
    found = Hinge.of(points, hinge.moves(points))
    assert [found.y, found.z, found.angle] == pytest.approx([0.02, -0.03, 0.4])
    assert found.share(points, 0.5 * hinge.moves(points)) == pytest.approx(0.5)


def test_hanging_hair_lags_and_the_crown_does_not() -> None:
    head = synthetic_portrait(style="long").head
    glb = Glb.read(encode_glb(head, bones=True))
    assert glb_problems(encode_glb(head, bones=True)) == []
    for name in ("Hair", "HairSheet"):
        at, weights = attribute(glb, name, "POSITION"), attribute(glb, name, "WEIGHTS_0")
        neck = np.where(attribute(glb, name, "JOINTS_0") == Joint.NECK, weights, 0).sum(axis=1)
        assert neck[at[:, 1] > 0.05].max() < 0.01
        assert neck[at[:, 1] < at[:, 1].min() + 0.01].min() > 0.2


def test_what_lacks_parts_or_cannot_move_gets_no_skeleton(model_head: HeadMesh) -> None:
    teeth = model_head.piece[model_head.faces[:, 0]] == HeadPiece.TEETH
    with pytest.raises(ValueError, match="has no Teeth"):
        encode_glb(model_head.kept(~teeth), bones=True)
    with pytest.raises(ValueError, match="has no jawOpen"):
        encode_glb(replace(model_head, binding=None), bones=True)


@pytest.mark.parametrize(
    ("name", "problem"), [("WEIGHTS_0", "weights of bones sum to"), ("JOINTS_0", "bound to bone 255 of 6")]
)
def test_the_check_finds_broken_weights(model_head: HeadMesh, name: str, problem: str) -> None:
    content = encode_glb(model_head, bones=True)
    glb = Glb.read(content)
    accessor = glb.document["accessors"][mesh(glb, "Head")["primitives"][0]["attributes"][name]]
    view = glb.document["bufferViews"][accessor["bufferView"]]
    at = len(content) - len(glb.binary) + view["byteOffset"]
    wrong = np.float32(0.25).tobytes() if name == "WEIGHTS_0" else b"\xff\xff\xff\xff"
    (found,) = glb_problems(content[:at] + wrong + content[at + len(wrong) :])
    assert problem in found
