"""A head in Universal Scene Description: opened, posed and judged by USD's own code."""

import sys
from pathlib import Path

import numpy as np
import pytest

from portrait3d.errors import MissingPackageError
from portrait3d.export.meshes import scene_of
from portrait3d.export.options import MeshOptions
from portrait3d.geometry.mesh import HeadMesh

pxr = pytest.importorskip("pxr")

from pxr import Gf, Usd, UsdGeom, UsdShade, UsdSkel, UsdValidation  # noqa: E402


def points(stage: Usd.Stage, name: str) -> np.ndarray:
    return np.array(UsdGeom.Mesh(stage.GetPrimAtPath(f"/Portrait/{name}")).GetPointsAttr().Get())


def posed(stage: Usd.Stage, weights: dict[str, float], turns: dict[str, Gf.Quatf] | None = None) -> None:
    """Set weights of blend shapes and rotations of joints, and let USD move the meshes."""
    skeleton = UsdSkel.Skeleton(stage.GetPrimAtPath("/Portrait/Skeleton"))
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/Portrait/Expressions"))
    names = animation.GetBlendShapesAttr().Get()
    animation.GetBlendShapeWeightsAttr().Set([weights.get(name, 0.0) for name in names])
    rest = skeleton.GetRestTransformsAttr().Get()
    animation.CreateJointsAttr(skeleton.GetJointsAttr().Get())
    own = [(turns or {}).get(name, Gf.Quatf(1)) for name in skeleton.GetJointNamesAttr().Get()]
    animation.CreateRotationsAttr(own)
    animation.CreateTranslationsAttr([Gf.Vec3f(matrix.ExtractTranslation()) for matrix in rest])
    animation.CreateScalesAttr([Gf.Vec3h(1)] * len(rest))
    assert UsdSkel.BakeSkinning(UsdSkel.Root(stage.GetPrimAtPath("/Portrait")), Gf.Interval(0, 0))


def baked(stage: Usd.Stage, name: str) -> np.ndarray:
    return np.array(UsdGeom.Mesh(stage.GetPrimAtPath(f"/Portrait/{name}")).GetPointsAttr().Get(0))


@pytest.mark.parametrize(("name", "bones"), [("head.usdz", False), ("head.usdz", True), ("head.usd", True)])
def test_usd_finds_no_fault(model_head: HeadMesh, tmp_path: Path, name: str, bones: bool) -> None:
    path = model_head.export(tmp_path / name, bones=bones, visemes=True, lit=bones)
    stage = Usd.Stage.Open(str(path))
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 20
    found = UsdValidation.ValidationContext(validators).Validate(stage)
    assert [error.GetErrorAsString() for error in found] == []
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert UsdGeom.GetStageUpAxis(stage) == "Y"


def test_a_head_in_usd_is_the_one_of_the_other_files(model_head: HeadMesh, tmp_path: Path) -> None:
    stage = Usd.Stage.Open(str(model_head.export(tmp_path / "head.usdz")))
    meshes, _ = scene_of(model_head, MeshOptions())
    for mesh in meshes:
        assert np.allclose(points(stage, mesh.name), mesh.vertices + mesh.origin, atol=1e-6)
        prim = UsdGeom.Mesh(stage.GetPrimAtPath(f"/Portrait/{mesh.name}"))
        corners = np.array(prim.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
        assert np.array_equal(corners, mesh.faces)
        st = np.array(UsdGeom.PrimvarsAPI(prim).GetPrimvar("st").Get())
        assert np.allclose(st * [1, -1] + [0, 1], mesh.uv, atol=1e-6)


def test_weights_move_vertices_as_the_targets_of_a_glb(model_head: HeadMesh, tmp_path: Path) -> None:
    stage = Usd.Stage.Open(str(model_head.export(tmp_path / "head.usdz")))
    posed(stage, {"jawOpen": 1.0, "eyeBlinkLeft": 0.5})
    meshes, _ = scene_of(model_head, MeshOptions())
    for mesh in meshes:
        still = np.zeros_like(mesh.vertices)
        moves = mesh.targets.get("jawOpen", still) + 0.5 * mesh.targets.get("eyeBlinkLeft", still)
        if not np.any(moves):
            continue
        assert np.abs(baked(stage, mesh.name) - mesh.vertices - mesh.origin - moves).max() < 3e-5


def test_bones_turn_what_follows_them(model_head: HeadMesh, tmp_path: Path) -> None:
    stage = Usd.Stage.Open(str(model_head.export(tmp_path / "head.usdz", bones=True)))
    before = points(stage, "EyeLeft")
    posed(stage, {}, {"LeftEye": Gf.Quatf(Gf.Rotation(Gf.Vec3d(0, 1, 0), 30).GetQuat())})
    centre = next(mesh for mesh in scene_of(model_head, MeshOptions())[0] if mesh.name == "EyeLeft").origin
    cosine, sine = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    assert np.allclose(baked(stage, "EyeLeft"), (before - centre) @ turn.T + centre, atol=1e-5)


def test_the_texture_is_inside_and_glows_unless_the_scene_has_light(
    model_head: HeadMesh, tmp_path: Path
) -> None:
    for lit, wanted in ((False, "emissiveColor"), (True, "diffuseColor")):
        stage = Usd.Stage.Open(str(model_head.export(tmp_path / f"{wanted}.usdz", lit=lit)))
        surface = UsdShade.Shader(stage.GetPrimAtPath("/Portrait/Materials/Head/Surface"))
        source = surface.GetInput(wanted).GetConnectedSources()[0][0].source
        file = UsdShade.Shader(source.GetPrim()).GetInput("file").Get()
        assert file.resolvedPath.endswith(".usdz[head.png]")


def test_a_usd_has_its_texture_beside_it(model_head: HeadMesh, tmp_path: Path) -> None:
    model_head.export(tmp_path / "one.usd")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "one.usd"]


def test_where_usd_is_missing_the_error_names_the_extra(
    model_head: HeadMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'portrait3d\[usd\]'"):
        model_head.export(tmp_path / "head.usdz")
