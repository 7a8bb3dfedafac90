"""Named pieces, pivots and ARKit's morph targets of a GLB, read back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from portrait3d.export.directions import view_direction
from portrait3d.export.glb_check import Glb, glb_problems
from portrait3d.export.gltf import ADULT_SIZE, METRES
from portrait3d.export.meshes import encode_glb
from portrait3d.export.rig import eye_distance, morph_targets, place, smooth_normals, sphere_centre
from portrait3d.geometry.mesh import HeadMesh, HeadPiece, coinciding
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.models.expressions import arkit_basis, expression_displacement
from portrait3d.models.head_model import HeadModel
from portrait3d.models.visemes import SUMS, VISEMES, viseme_moves
from synthetic_head import synthetic_portrait


@pytest.fixture(scope="module")
def glb(model_head: HeadMesh) -> Glb:
    return Glb.read(encode_glb(model_head))


def mesh(glb: Glb, name: str) -> dict:
    return next(mesh for mesh in glb.document["meshes"] if mesh["name"] == name)


def targets(glb: Glb, name: str) -> dict[str, np.ndarray]:
    """The morph targets of a mesh by their names."""
    found = mesh(glb, name)
    arrays = [glb.array(target["POSITION"]) for target in found["primitives"][0]["targets"]]
    return dict(zip(found["extras"]["targetNames"], arrays, strict=True))


def test_a_rigged_head_has_no_problems(model_head: HeadMesh) -> None:
    assert glb_problems(encode_glb(model_head)) == []
    assert glb_problems(encode_glb(model_head, lit=True)) == []


def test_the_head_has_arkits_targets_and_rests(glb: Glb) -> None:
    head = mesh(glb, "Head")
    assert head["extras"]["targetNames"] == list(arkit_basis()[0])
    assert head["weights"] == [0.0] * 52


def test_a_target_added_in_full_is_the_displaced_head(glb: Glb, model_head: HeadMesh) -> None:
    moved = place(model_head.displaced(expression_displacement({"jawOpen": 1.0})))
    for piece, name in ((HeadPiece.SURFACE, "Head"), (HeadPiece.TEETH, "Teeth")):
        position = glb.array(mesh(glb, name)["primitives"][0]["attributes"]["POSITION"])
        wanted = moved.vertices[model_head.piece == piece]
        assert np.allclose(position + targets(glb, name)["jawOpen"], wanted, atol=2e-5)
        assert np.abs(targets(glb, name)["jawOpen"]).max() > 0.01


def test_a_neutral_head_brings_the_photos_expression_back_by_a_target(model_head: HeadMesh) -> None:
    own = expression_displacement({"jawOpen": 0.3, "mouthSmileLeft": 0.4})
    grinning = replace(model_head.displaced(own), expression=own)
    glb = Glb.read(content := encode_glb(grinning.neutral()))
    assert glb_problems(content) == []
    assert mesh(glb, "Head")["extras"]["targetNames"] == [*arkit_basis()[0], "photo"]
    assert mesh(glb, "Head")["weights"] == [0.0] * 53
    for piece, name in ((HeadPiece.SURFACE, "Head"), (HeadPiece.TEETH, "Teeth")):
        position = glb.array(mesh(glb, name)["primitives"][0]["attributes"]["POSITION"])
        chosen = grinning.piece == piece
        assert np.allclose(position, place(model_head).vertices[chosen], atol=2e-5)
        wanted = place(grinning).vertices[chosen]
        assert np.allclose(position + targets(glb, name)["photo"], wanted, atol=2e-5)
    assert "photo" not in mesh(Glb.read(encode_glb(grinning)), "Head")["extras"]["targetNames"]


def test_visemes_are_sums_of_arkits_targets(model_head: HeadMesh) -> None:
    content = encode_glb(model_head, visemes=True)
    assert glb_problems(content) == []
    glb = Glb.read(content)
    names = mesh(glb, "Head")["extras"]["targetNames"]
    assert names == [*arkit_basis()[0], *VISEMES, *SUMS]
    assert len(VISEMES) == 15
    for name in ("Head", "Teeth", "Tongue"):
        found = targets(glb, name)
        still = np.zeros_like(next(iter(found.values())))
        for viseme, weights in (VISEMES | SUMS).items():
            wanted = sum((weight * found.get(own, still) for own, weight in weights.items()), still)
            assert np.abs(found.get(viseme, still) - wanted).max() < 1e-4


def test_lips_meet_in_the_visemes_that_need_it(model_head: HeadMesh) -> None:
    """Played one after the other: closed for p, open for a, round for o, wide for i."""
    glb = Glb.read(encode_glb(model_head, visemes=True))
    lips = HeadModel.load().landmarks(torch.from_numpy(viseme_shapes())).numpy()
    height = dict(zip(VISEMES, lips[:, 66, 1] - lips[:, 62, 1], strict=True))
    width = dict(zip(VISEMES, lips[:, 54, 0] - lips[:, 48, 0], strict=True))
    assert height["viseme_PP"] < height["viseme_sil"] < height["viseme_DD"] < height["viseme_aa"]
    assert height["viseme_aa"] == max(height.values())
    assert max(width["viseme_U"], width["viseme_O"]) < 0.9 * width["viseme_sil"]
    assert width["viseme_I"] > 1.1 * width["viseme_sil"]
    assert "viseme_TH" in targets(glb, "Tongue")
    assert "viseme_PP" not in targets(glb, "EyeLeft")


def viseme_shapes() -> np.ndarray:
    """The mean head under every viseme."""
    moves = viseme_moves()
    return np.stack([HeadModel.load().mean.numpy() + moves[name] for name in VISEMES])


def test_left_is_the_persons_left(glb: Glb) -> None:
    position = glb.array(mesh(glb, "Head")["primitives"][0]["attributes"]["POSITION"])
    found = targets(glb, "Head")
    for name in ("eyeBlink", "mouthSmile", "browDown"):
        for side, sign in (("Left", 1), ("Right", -1)):
            moves = np.linalg.norm(found[name + side], axis=1)
            # The face looks along +z with y up: the person's left is +x, the picture's right.
            assert sign * (moves @ position[:, 0]) / moves.sum() > 0.01
    nodes = {node["name"]: node for node in glb.document["nodes"]}
    assert nodes["EyeLeft"]["translation"][0] > 0.02
    assert nodes["EyeRight"]["translation"][0] < -0.02
    assert "eyeLookInLeft" in targets(glb, "EyeLeft")
    assert "eyeLookInLeft" not in targets(glb, "EyeRight")


def test_closing_lids_move_down_and_an_opening_jaw_too(glb: Glb) -> None:
    found = targets(glb, "Head")
    for name in ("eyeBlinkLeft", "jawOpen"):
        moves = found[name]
        assert moves[np.argmax(np.linalg.norm(moves, axis=1)), 1] < -0.005
    smile = found["mouthSmileLeft"]
    assert smile[np.argmax(np.linalg.norm(smile, axis=1)), 1] > 0.002


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("eyeLookOut", 0, 1), ("eyeLookIn", 0, -1), ("eyeLookUp", 1, 1), ("eyeLookDown", 1, -1)],
)
def test_eyes_look_where_the_name_says(glb: Glb, name: str, axis: int, sign: int) -> None:
    for side, outward in (("Left", 1), ("Right", -1)):
        position = glb.array(mesh(glb, f"Eye{side}")["primitives"][0]["attributes"]["POSITION"])
        pupil = targets(glb, f"Eye{side}")[name + side][np.argmax(position[:, 2])]
        assert pupil[axis] * sign * (outward if axis == 0 else 1) > 0.002


def test_eyes_turn_about_their_centres(glb: Glb) -> None:
    nodes = {node["name"]: node for node in glb.document["nodes"]}
    assert [glb.document["nodes"][child]["name"] for child in nodes["Head"]["children"]] == [
        *("EyeRight", "EyeLeft", "Teeth", "Tongue", "MouthCavity")
    ]
    for name in ("EyeLeft", "EyeRight"):
        position = glb.array(mesh(glb, name)["primitives"][0]["attributes"]["POSITION"])
        radius = np.linalg.norm(position, axis=1)
        assert radius.mean() == pytest.approx(0.012 * ADULT_SIZE, abs=0.004)
        assert radius.std() < 0.0015


def test_the_centre_of_a_piece_of_a_sphere_is_found() -> None:
    points = np.random.default_rng(0).standard_normal((200, 3))
    points = points[points[:, 2] > 0]
    points = 12 * points / np.linalg.norm(points, axis=1, keepdims=True) + [30, -20, 900]
    assert np.allclose(sphere_centre(points), [30, -20, 900], atol=1e-6)


def test_the_origin_is_the_pivot_of_the_head_whatever_its_pose(model_head: HeadMesh) -> None:
    model = HeadModel.load().mean.numpy()
    index = model_head.binding.index[:, 0] if model_head.binding else None
    wanted = (model[index] - HEAD_PIVOT) * [1, -1, -1] * METRES
    assert np.allclose(place(model_head).vertices, wanted, atol=1e-6)


def test_the_mean_heads_eyes_are_as_far_apart_as_an_adults(model_head: HeadMesh) -> None:
    left, right = (
        sphere_centre(place(model_head).vertices[model_head.piece == piece])
        for piece in (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE)
    )
    assert np.linalg.norm(left - right) == pytest.approx(0.063, abs=0.0015)


def test_a_seam_of_the_texture_does_not_show_in_the_light(model_head: HeadMesh) -> None:
    faces = model_head.faces.copy()
    cut = np.flatnonzero(model_head.piece == HeadPiece.SURFACE)[: len(faces) // 6]
    again = np.arange(len(model_head.vertices))
    again[cut] = len(again) + np.arange(len(cut))
    faces[::2] = again[faces[::2]]
    vertices = model_head.vertices.astype(float)
    doubled = np.concatenate([vertices, vertices[cut]])
    whole = smooth_normals(vertices, model_head.faces, coinciding(vertices))
    seamed = smooth_normals(doubled, faces, coinciding(doubled))
    assert np.allclose(seamed[: len(whole)], whole, atol=1e-6)
    assert np.allclose(seamed[len(whole) :], whole[cut], atol=1e-6)


def test_a_head_without_binding_has_no_targets(head: HeadMesh) -> None:
    content = encode_glb(head)
    assert glb_problems(content, rigged=False) == []
    assert "'Head' has 0 morph targets" in glb_problems(content)[0]
    (mesh,) = Glb.read(content).document["meshes"]
    assert "targets" not in mesh["primitives"][0]
    assert not {"weights", "extras"} & set(mesh)


def test_targets_that_move_little_are_sparse_and_say_the_same(glb: Glb, model_head: HeadMesh) -> None:
    found = mesh(glb, "Head")
    moves = morph_targets(model_head.binding)
    surface = model_head.piece == HeadPiece.SURFACE
    sparse = 0
    for name, target in zip(found["extras"]["targetNames"], found["primitives"][0]["targets"], strict=True):
        sparse += "sparse" in glb.document["accessors"][target["POSITION"]]
        assert np.allclose(glb.array(target["POSITION"]), moves[name][surface], atol=1.8e-5)
    assert sparse > 40


def test_a_lit_head_takes_the_scenes_light_and_turns_its_normals(model_head: HeadMesh) -> None:
    lit, unlit = Glb.read(encode_glb(model_head, lit=True)), Glb.read(encode_glb(model_head))
    assert unlit.document["extensionsUsed"] == ["KHR_materials_unlit"]
    assert "extensionsUsed" not in lit.document
    assert "extensions" not in lit.document["materials"][0]
    assert "NORMAL" not in mesh(unlit, "Head")["primitives"][0]["targets"][0]
    head = mesh(lit, "Head")
    number = head["extras"]["targetNames"].index("jawOpen")
    primitive = head["primitives"][0]
    rest = lit.array(primitive["attributes"]["NORMAL"])
    found = rest + lit.array(primitive["targets"][number]["NORMAL"])
    moved = place(model_head.displaced(expression_displacement({"jawOpen": 1.0}))).normals
    moved = moved[model_head.piece == HeadPiece.SURFACE]
    assert np.abs(found - moved).max() < 0.02
    assert np.abs(rest - moved).max() > 0.3


def broken(content: bytes, old: bytes, new: bytes) -> bytes:
    """The file with one place of its JSON changed to something as long."""
    assert content.count(old) >= 1
    assert len(old) == len(new)
    return content.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"targetNames":["browDownLeft"', b'"targetNames":["browDownLift"', "not ARKit's 52"),
        (b'"max":[0.', b'"max":[9.', "accessors[0].max"),
        (b'"weights":[0.0,', b'"weights":[0,0,', "53 weights"),
        (b"glTF", b"glTX", "no GLB"),
    ],
)
def test_the_check_finds_what_is_broken(model_head: HeadMesh, old: bytes, new: bytes, problem: str) -> None:
    (found,) = glb_problems(broken(encode_glb(model_head), old, new))
    assert problem in found


def test_a_cut_off_file_is_broken(model_head: HeadMesh) -> None:
    assert "broken GLB header" in glb_problems(encode_glb(model_head)[:-4])[0]


def test_a_target_without_effect_is_reported(model_head: HeadMesh) -> None:
    tongue = model_head.piece[model_head.faces[:, 0]] == HeadPiece.TONGUE
    (found,) = glb_problems(encode_glb(model_head.kept(~tongue)))
    assert found == "morph targets that move nothing: tongueOut"


def test_a_stitched_head_is_rigged_and_stays_closed_when_it_moves() -> None:
    head = synthetic_portrait().head
    assert glb_problems(encode_glb(head)) == []
    assert glb_problems(encode_glb(head.front_only())) == []
    same = coinciding(head.vertices.astype(float))
    for name, moves in morph_targets(head.binding).items():
        assert np.abs(moves - moves[same]).max() < 1e-5, f"{name} tears the texture's seams open"
    for weights in ({"jawOpen": 1.0}, {"eyeBlinkLeft": 1.0, "mouthSmileRight": 1.0}, {"cheekPuff": 1.0}):
        moved = view_direction(head.displaced(expression_displacement(weights)), 0, 0, 128)
        assert moved.gaps == 0, weights


@pytest.mark.parametrize("scale", [0.5, 1.1])
def test_a_scaled_head_is_larger_in_all_its_parts(model_head: HeadMesh, scale: float) -> None:
    content = encode_glb(model_head, bones=True, scale=scale)
    assert glb_problems(content) == []
    one, other = Glb.read(encode_glb(model_head, bones=True)), Glb.read(content)
    for name in ("Head", "EyeLeft"):
        attributes = mesh(one, name)["primitives"][0]["attributes"]
        for kind, factor in (("POSITION", scale), ("NORMAL", 1.0)):
            wanted = factor * one.array(attributes[kind])
            found = other.array(mesh(other, name)["primitives"][0]["attributes"][kind])
            assert np.allclose(found, wanted, atol=1e-6)
    # Moves of less than a hundredth of a millimetre are left out, before and after.
    assert np.allclose(targets(other, "Head")["jawOpen"], scale * targets(one, "Head")["jawOpen"], atol=3e-5)
    for own, new in zip(one.document["nodes"], other.document["nodes"], strict=True):
        wanted = scale * np.array(own.get("translation", [0, 0, 0]))
        assert np.allclose(new.get("translation", [0, 0, 0]), wanted)
    before, after = (glb.array(glb.document["skins"][0]["inverseBindMatrices"]) for glb in (one, other))
    assert np.allclose(scale * before[:, 12:15], after[:, 12:15])


def test_meshes_in_all_formats_take_the_same_scale(model_head: HeadMesh, tmp_path: Path) -> None:
    sizes = {}
    for scale in (1.0, 0.7):
        for suffix in (".glb", ".obj", ".ply"):
            file = model_head.export(tmp_path / f"head{suffix}", scale=scale)
            sizes[scale, suffix] = trimesh.load(file, process=False).extents.max()
    for suffix in (".glb", ".obj", ".ply"):
        assert sizes[0.7, suffix] == pytest.approx(0.7 * sizes[1.0, suffix], rel=1e-4)
        assert sizes[1.0, suffix] == pytest.approx(sizes[1.0, ".glb"], rel=1e-4)
    for wrong in (0.0, float("nan")):
        with pytest.raises(ValueError, match="scale must be"):
            model_head.export(tmp_path / "no.ply", scale=wrong)
    assert not (tmp_path / "no.ply").exists()


def test_the_distance_of_the_eyes_is_that_of_their_centres(model_head: HeadMesh, glb: Glb) -> None:
    nodes = {node["name"]: np.array(node["translation"]) for node in glb.document["nodes"]}
    wanted = 1000 * np.linalg.norm(nodes["EyeLeft"] - nodes["EyeRight"])
    assert eye_distance(model_head) == pytest.approx(wanted, abs=1e-3)
    assert 55 < wanted < 70
    with pytest.raises(ValueError, match="not two eyes"):
        eye_distance(model_head.kept(model_head.piece[model_head.faces[:, 0]] != HeadPiece.LEFT_EYE))


def test_sparse_targets_stand_on_zeros_that_programs_can_read(model_head: HeadMesh) -> None:
    glb = Glb.read(encode_glb(model_head))
    sparse = [accessor for accessor in glb.document["accessors"] if "sparse" in accessor]
    (zeros,) = {accessor["bufferView"] for accessor in sparse}
    assert glb.view(zeros) == bytes(12 * max(accessor["count"] for accessor in sparse))


def test_dense_targets_say_the_same_in_more_bytes(model_head: HeadMesh) -> None:
    content = encode_glb(model_head, dense_targets=True)
    sparse, dense = Glb.read(encode_glb(model_head)), Glb.read(content)
    assert glb_problems(content) == []
    assert not [accessor for accessor in dense.document["accessors"] if "sparse" in accessor]
    assert len(dense.binary) > 1.5 * len(sparse.binary)
    for name in ("jawOpen", "eyeBlinkLeft"):
        assert np.array_equal(targets(sparse, "Head")[name], targets(dense, "Head")[name])


def test_a_texture_format_that_does_not_exist_is_refused(model_head: HeadMesh) -> None:
    with pytest.raises(ValueError, match="texture_format must be png or webp, got 'ktx2'"):
        encode_glb(model_head, texture_format="ktx2")
