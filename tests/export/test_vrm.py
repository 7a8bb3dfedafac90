"""A head as an avatar of VRM 1.0: the bones that it requires, expressions, gaze, and a licence."""

import numpy as np
import pytest

from portrait3d.export.glb_check import Glb, glb_problems
from portrait3d.export.meshes import encode_glb, encode_vrm
from portrait3d.export.vrm import HEIGHT, PRESETS
from portrait3d.geometry.mesh import HeadMesh
from portrait3d.models.expressions import arkit_basis

LIMBS = ("UpperLeg", "LowerLeg", "Foot", "UpperArm", "LowerArm", "Hand")
REQUIRED = {"hips", "spine", "head", *(side + limb for side in ("left", "right") for limb in LIMBS)}
"""Bones without which a file is no VRM 1.0."""


@pytest.fixture(scope="module")
def vrm(model_head: HeadMesh) -> Glb:
    return Glb.read(encode_vrm(model_head, "Somebody", author="A. Photographer"))


def places(glb: Glb) -> dict[str, np.ndarray]:
    """Where the bones lie, by their names in VRM."""
    nodes = glb.document["nodes"]
    parent = {child: number for number, node in enumerate(nodes) for child in node.get("children", [])}

    def place(number: int) -> np.ndarray:
        above = place(parent[number]) if number in parent else np.zeros(3)
        return above + nodes[number].get("translation", [0, 0, 0])

    human = glb.document["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"]
    return {name: place(bone["node"]) for name, bone in human.items()}


def test_a_vrm_is_a_sound_glb_with_all_that_vrm_requires(vrm: Glb, model_head: HeadMesh) -> None:
    assert glb_problems(encode_vrm(model_head, "Somebody", visemes=True, lit=True)) == []
    known = vrm.document["extensions"]["VRMC_vrm"]
    assert known["specVersion"] == "1.0"
    assert {"name": "Somebody", "authors": ["A. Photographer"]}.items() <= known["meta"].items()
    assert set(known["humanoid"]["humanBones"]) >= REQUIRED
    assert set(known["expressions"]["preset"]) == set(PRESETS)
    assert tuple(known["expressions"]["custom"]) == arkit_basis()[0]


def test_the_body_stands_on_the_floor_with_its_arms_to_the_sides(vrm: Glb) -> None:
    at = places(vrm)
    order = ("leftFoot", "leftLowerLeg", "leftUpperLeg", "hips", "spine", "chest", "neck", "head", "leftEye")
    heights = [at[name][1] for name in order]
    assert 0 < heights[0] < 0.12
    assert heights == sorted(heights)
    assert at["head"] == pytest.approx([0, HEIGHT, 0], abs=1e-6)
    assert at["leftHand"][1] == at["leftUpperArm"][1]
    for name in REQUIRED:
        if name.startswith("left"):
            assert at[name] == pytest.approx(at["right" + name[4:]] * [-1, 1, 1])
            assert at[name][0] > 0  # the person's left is at +x


def test_the_head_is_the_glbs_lifted_onto_the_body(vrm: Glb, model_head: HeadMesh) -> None:
    plain = Glb.read(encode_glb(model_head, bones=True))
    up = np.array([0, HEIGHT, 0])
    for number, mesh in enumerate(plain.document["meshes"]):
        own = vrm.document["meshes"][number]["primitives"][0]["attributes"]
        its = mesh["primitives"][0]["attributes"]
        assert np.allclose(vrm.array(own["POSITION"]), plain.array(its["POSITION"]) + up, atol=1e-6)
        assert np.array_equal(followed(vrm, own), followed(plain, its))


def followed(glb: Glb, attributes: dict[str, int]) -> np.ndarray:
    """Names of the bones that a mesh's vertices follow most."""
    nodes, joints = glb.document["nodes"], glb.document["skins"][0]["joints"]
    names = np.array([nodes[joint]["name"] for joint in joints])
    return names[glb.array(attributes["JOINTS_0"])[:, 0]]


def test_a_larger_head_stands_on_a_larger_body(vrm: Glb, model_head: HeadMesh) -> None:
    child = places(Glb.read(encode_vrm(model_head, "Child", scale=0.8)))
    for name, place in places(vrm).items():
        assert child[name] == pytest.approx(0.8 * place, abs=1e-6)


def test_expressions_are_weights_of_arkits_targets_on_every_mesh(vrm: Glb) -> None:
    meshes, nodes = vrm.document["meshes"], vrm.document["nodes"]
    preset = vrm.document["extensions"]["VRMC_vrm"]["expressions"]["preset"]
    for name, weights in PRESETS.items():
        bound: dict[str, set[str]] = {}
        for bind in preset[name]["morphTargetBinds"]:
            mesh = meshes[nodes[bind["node"]]["mesh"]]
            target = mesh["extras"]["targetNames"][bind["index"]]
            assert bind["weight"] == weights[target]
            bound.setdefault(target, set()).add(mesh["name"])
        assert set(bound) == set(weights)
        for target, found in bound.items():
            assert found == {mesh["name"] for mesh in meshes if target in mesh["extras"]["targetNames"]}
    assert {"EyeLeft", "Head"} <= {
        meshes[nodes[bind["node"]]["mesh"]]["name"] for bind in preset["lookLeft"]["morphTargetBinds"]
    }
