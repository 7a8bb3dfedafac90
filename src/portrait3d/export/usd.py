"""Universal Scene Description: a head as `.usdz`, or as `.usd` with its textures beside it."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from portrait3d.errors import MissingPackageError
from portrait3d.export.gltf import SHORTEST_MOVE, SMALLEST_TURN, Bone, GltfMesh, influences

ROOT = "Portrait"
"""Name of the prim that holds everything."""
MISSING = "Files of Universal Scene Description need usd-core: pip install 'portrait3d[usd]'."


def usd_files(
    meshes: Sequence[GltfMesh],
    bones: Sequence[Bone],
    textures: Sequence[bytes],
    path: Path,
    *,
    lit: bool = False,
) -> dict[Path, bytes]:
    """Meshes as the content of a `.usdz`, or of a `.usd` and of its textures beside it.

    A head is a `SkelRoot` in metres, y up: USD plays blend shapes through skeletons alone, so one without
    `bones` gets a single joint. Morph targets are blend shapes under their names, which the animation
    `Expressions` holds with weight 0 each. `textures` are contents of PNG files: the one that meshes share
    and, if some fade, theirs. Without `lit` surfaces glow in the texture's colours and take no light.

    Raises `MissingPackageError` where usd-core is not installed.
    """
    try:
        from pxr import Sdf, UsdUtils
    except ModuleNotFoundError:
        raise MissingPackageError(MISSING) from None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stem = "head" if path.suffix.lower() == ".usdz" else path.stem
        kinds = [f"_{mesh.name.removesuffix('Sheet').lower()}" for mesh in meshes if mesh.texture]
        pictures = [folder / f"{stem}{kind}.png" for kind in ("", *kinds)]
        for picture, content in zip(pictures, textures, strict=True):
            picture.write_bytes(content)
        layer = folder / f"{stem}.usdc"
        _write_stage(layer, meshes, bones, [f"./{picture.name}" for picture in pictures], lit=lit)
        if path.suffix.lower() == ".usdz":
            package = folder / "package.usdz"
            if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(package)):
                raise RuntimeError(f"usd-core could not pack {path.name}.")
            return {path: package.read_bytes()}
        beside = {path.with_name(picture.name): picture.read_bytes() for picture in pictures}
        return beside | {path: layer.read_bytes()}


def _write_stage(
    file: Path, meshes: Sequence[GltfMesh], bones: Sequence[Bone], textures: Sequence[str], *, lit: bool
) -> None:
    """Write a scene as a binary layer; `textures` are paths relative to it."""
    from pxr import Kind, Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.CreateNew(str(file))
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    root = UsdSkel.Root.Define(stage, f"/{ROOT}")
    Usd.ModelAPI(root).SetKind(Kind.Tokens.component)
    stage.SetDefaultPrim(root.GetPrim())
    names = list(dict.fromkeys(name for mesh in meshes for name in mesh.targets))
    skeleton = _skeleton(stage, bones, names)
    owners = ["Head", *(mesh.name for mesh in meshes if mesh.texture)]
    materials = [
        _material(stage, name, texture, lit=lit) for name, texture in zip(owners, textures, strict=True)
    ]
    for mesh in meshes:
        _mesh(stage, mesh, skeleton, materials[mesh.texture])
    stage.GetRootLayer().Save()


def _skeleton(stage: Any, bones: Sequence[Bone], names: Sequence[str]) -> Any:
    """The skeleton, and the animation with the weights of all blend shapes."""
    from pxr import Gf, UsdSkel, Vt

    bones = bones or [Bone("Head", np.zeros(3), None)]
    paths: list[str] = []
    for bone in bones:
        paths.append(bone.name if bone.parent is None else f"{paths[bone.parent]}/{bone.name}")
    starts = [np.zeros(3) if bone.parent is None else bones[bone.parent].place for bone in bones]
    skeleton = UsdSkel.Skeleton.Define(stage, f"/{ROOT}/Skeleton")
    skeleton.CreateJointsAttr(paths)
    skeleton.CreateJointNamesAttr([bone.name for bone in bones])
    # Bind transforms are those of the scene, rest transforms those of the parent bone.
    at = [Gf.Matrix4d().SetTranslate(Gf.Vec3d(*map(float, bone.place))) for bone in bones]
    skeleton.CreateBindTransformsAttr(Vt.Matrix4dArray(at))
    rest = [Gf.Vec3d(*map(float, bone.place - start)) for bone, start in zip(bones, starts, strict=True)]
    skeleton.CreateRestTransformsAttr(Vt.Matrix4dArray([Gf.Matrix4d().SetTranslate(v) for v in rest]))
    if names:
        animation = UsdSkel.Animation.Define(stage, f"/{ROOT}/Expressions")
        animation.CreateBlendShapesAttr(names)
        animation.CreateBlendShapeWeightsAttr(Vt.FloatArray(len(names), 0.0))
        binding = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
        binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    return skeleton


def _material(stage: Any, name: str, texture: str, *, lit: bool) -> Any:
    """A surface that shows a texture; the alpha of all but the head's fades them out."""
    from pxr import Sdf, UsdShade

    material = UsdShade.Material.Define(stage, f"/{ROOT}/Materials/{name}")
    place = material.GetPath()
    reader = UsdShade.Shader.Define(stage, place.AppendChild("Coordinates"))
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    picture = UsdShade.Shader.Define(stage, place.AppendChild("Texture"))
    picture.CreateIdAttr("UsdUVTexture")
    picture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(texture)
    picture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    for axis in ("wrapS", "wrapT"):
        picture.CreateInput(axis, Sdf.ValueTypeNames.Token).Set("clamp")
    coordinates = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    picture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(coordinates)
    colour = picture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    surface = UsdShade.Shader.Define(stage, place.AppendChild("Surface"))
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(1.0)
    if lit:
        surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(colour)
    else:  # the photo brings its own light along
        surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set((0.0, 0.0, 0.0))
        surface.CreateInput("emissiveColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(colour)
    if name != "Head":
        alpha = picture.CreateOutput("a", Sdf.ValueTypeNames.Float)
        surface.CreateInput("opacity", Sdf.ValueTypeNames.Float).ConnectToSource(alpha)
    out = surface.CreateOutput("surface", Sdf.ValueTypeNames.Token)
    material.CreateSurfaceOutput().ConnectToSource(out)
    return material


def _mesh(stage: Any, mesh: GltfMesh, skeleton: Any, material: Any) -> None:
    """A mesh with its blend shapes, bound to skeleton and material."""
    from pxr import Sdf, UsdGeom, UsdShade, UsdSkel, Vt

    prim = UsdGeom.Mesh.Define(stage, f"/{ROOT}/{mesh.name}")
    points = (mesh.vertices + mesh.origin).astype(np.float32)
    prim.CreatePointsAttr(_vectors(points))
    prim.CreateExtentAttr(_vectors(np.stack([points.min(axis=0), points.max(axis=0)])))
    prim.CreateFaceVertexCountsAttr(Vt.IntArray(len(mesh.faces), 3))
    prim.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(mesh.faces.astype(np.int32).ravel()))
    prim.CreateNormalsAttr(_vectors(mesh.normals))
    prim.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    prim.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    prim.CreateDoubleSidedAttr(True)
    upward = mesh.uv * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)  # USD has v up
    places = UsdGeom.PrimvarsAPI(prim).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
    )
    places.Set(Vt.Vec2fArray.FromNumpy(upward.astype(np.float32)))
    UsdShade.MaterialBindingAPI.Apply(prim.GetPrim()).Bind(material)
    binding = UsdSkel.BindingAPI.Apply(prim.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    weights = np.ones((len(points), 1)) if mesh.bones is None else mesh.bones
    joints, shares = influences(weights)
    count = joints.shape[1]
    binding.CreateJointIndicesPrimvar(False, count).Set(
        Vt.IntArray.FromNumpy(joints.astype(np.int32).ravel())
    )
    binding.CreateJointWeightsPrimvar(False, count).Set(Vt.FloatArray.FromNumpy(shares.ravel()))
    if mesh.targets:
        shapes = [_blend_shape(stage, prim, name, moves, mesh.turns) for name, moves in mesh.targets.items()]
        binding.CreateBlendShapesAttr(list(mesh.targets))
        binding.CreateBlendShapeTargetsRel().SetTargets([shape.GetPath() for shape in shapes])


def _blend_shape(
    stage: Any,
    prim: Any,
    name: str,
    moves: Float[np.ndarray, "V 3"],
    turns: Mapping[str, Float[np.ndarray, "V 3"]],
) -> Any:
    """A morph target, with the vertices that it moves or whose normals it turns alone."""
    from pxr import UsdSkel, Vt

    shape = UsdSkel.BlendShape.Define(stage, prim.GetPath().AppendChild(name))
    changed = (np.abs(moves) >= SHORTEST_MOVE).any(axis=1)
    turn = turns.get(name)
    if turn is not None:
        changed |= (np.abs(turn) >= SMALLEST_TURN).any(axis=1)
    moved = np.flatnonzero(changed)
    shape.CreateOffsetsAttr(_vectors(moves[moved]))
    shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(moved.astype(np.int32)))
    if turn is not None:
        shape.CreateNormalOffsetsAttr(_vectors(turn[moved]))
    return shape


def _vectors(values: Float[np.ndarray, "N 3"]) -> Any:
    """An array as USD holds it."""
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, np.float32))
