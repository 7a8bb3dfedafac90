"""Import GLBs into Blender, print what it sees as JSON, and render each from the front with expressions.

Run inside Blender: `blender --background --python-exit-code 1 --python blender_import.py -- OUT POSE GLB...`;
POSE is JSON: the weights of morph targets in the second picture.
"""

import json
import math
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Vector

if "bool" not in vars(np):
    np.bool = (
        bool  # Blender 3.4's importer uses this name, which the numpy beside it in Debian 12 has dropped
    )

TURNS = {"Head": (0, 0.4, 0), "Jaw": (0.2, 0, 0), "LeftEye": (0, 0.3, 0)}
"""How the bones of a head with a skeleton are turned in the second picture: radians about the file's axes."""


def main() -> None:
    """Read every file into an empty scene; one line `IMPORTED [...]` at the end."""
    out, pose, *files = sys.argv[sys.argv.index("--") + 1 :]
    reports = [look(Path(file), Path(out), json.loads(pose)) for file in files]
    print("IMPORTED", json.dumps(reports))


def look(file: Path, out: Path, pose: dict[str, float]) -> dict:
    """Objects of one file with their shape keys, after a still has been rendered."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(file))
    objects = [item for item in bpy.data.objects if item.type == "MESH"]
    report = {item.name: shape_keys(item.data) for item in objects}
    render(objects, out / f"{file.stem}_blender.png")
    for item in objects:
        for block in item.data.shape_keys.key_blocks[1:] if item.data.shape_keys else ():
            block.value = pose.get(block.name, 0.0)
    bones = [bone for item in bpy.data.objects if item.type == "ARMATURE" for bone in item.pose.bones]
    for bone in bones:
        turn(bone, TURNS.get(bone.name, (0, 0, 0)))
    render(objects, out / f"{file.stem}_blender_expression.png")
    return {"meshes": report, "bones": [bone.name for bone in bones]}


def turn(bone: bpy.types.PoseBone, angles: tuple[float, float, float]) -> None:
    """Turn a bone about the file's axes (x right, y up, z to the front), which are its rest's in the file."""
    x, y, z = angles
    rest = bone.bone.matrix_local.to_3x3()
    wanted = Euler((x, -z, y)).to_matrix()  # Blender's axes: y to the back, z up
    bone.rotation_mode = "QUATERNION"
    bone.rotation_quaternion = (rest.inverted() @ wanted @ rest).to_quaternion()


def shape_keys(mesh: bpy.types.Mesh) -> dict:
    """How far each shape key moves a vertex at most, metres."""
    if not mesh.shape_keys:
        return {}
    basis, *blocks = mesh.shape_keys.key_blocks
    rest = places(basis)
    return {block.name: float(np.linalg.norm(places(block) - rest, axis=1).max()) for block in blocks}


def places(block: bpy.types.ShapeKey) -> np.ndarray:
    """Where a shape key puts the vertices [V, 3]."""
    flat = np.empty(3 * len(block.data), np.float32)
    block.data.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def render(objects: list, path: Path) -> None:
    """A picture from a little beside the front, by Cycles, which needs no display."""
    scene = bpy.context.scene
    corners = [item.matrix_world @ Vector(corner) for item in objects for corner in item.bound_box]
    low, high = (Vector(pick(c[k] for c in corners) for k in range(3)) for pick in (min, max))
    middle, radius = (low + high) / 2, (high - low).length / 2
    if scene.camera is None:
        scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        scene.collection.objects.link(scene.camera)
        scene.world = bpy.data.worlds.new("World")
        scene.world.color = (0.6, 0.6, 0.6)
    angle = math.radians(25)
    away = Vector((math.sin(angle), -math.cos(angle), 0.1)) * radius * 2.4
    scene.camera.location = middle + away
    scene.camera.rotation_euler = (-away).to_track_quat("-Z", "Y").to_euler()
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 8
    scene.cycles.use_denoising = False
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x = scene.render.resolution_y = 400
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


main()
