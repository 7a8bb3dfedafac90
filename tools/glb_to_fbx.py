"""Turn a head's GLB into an FBX with Blender, and read it back:

    blender --background --python-exit-code 1 --python tools/glb_to_fbx.py -- head.glb head.fbx

Names, morph targets, bones and the texture are kept; prints what the FBX holds. Takes any Blender from 3.4 on
(Debian: `apt-get install blender python3-numpy`) and heads with `--rig bones` or without.
"""

import json
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np

if "bool" not in vars(np):
    np.bool = bool  # Blender 3.4's importer uses this name, which newer numpys have dropped


def main() -> None:
    """Convert the file; Blender ends with 1 if something is lost on the way."""
    glb, fbx = (Path(name).resolve() for name in sys.argv[sys.argv.index("--") + 1 :])
    empty_scene()
    bpy.ops.import_scene.gltf(filepath=str(glb), guess_original_bind_pose=False)
    before = contents()
    with tempfile.TemporaryDirectory() as folder:
        for material in bpy.data.materials:
            show_texture(material, Path(folder))
        bpy.ops.export_scene.fbx(
            filepath=str(fbx),
            object_types={"ARMATURE", "MESH", "EMPTY"},
            use_mesh_modifiers=False,  # they would drop the shape keys
            add_leaf_bones=False,
            path_mode="COPY",
            embed_textures=True,
        )
    empty_scene()
    bpy.ops.import_scene.fbx(filepath=str(fbx))
    after = contents()
    counts = {name: len(keys) for name, keys in after["shape_keys"].items()}
    print("FBX", json.dumps({"shape_keys": counts, "bones": after["bones"], "pictures": after["pictures"]}))
    for part, wanted in before.items():
        if after[part] != wanted:
            raise SystemExit(f"The FBX has other {part}: {after[part]} instead of {wanted}.")


def show_texture(material: bpy.types.Material, folder: Path) -> None:
    """Make a material one whose texture FBX can hold: a matte surface with a file's colour and alpha."""
    nodes = material.node_tree.nodes
    image = next(node.image for node in nodes if node.type == "TEX_IMAGE")
    image.filepath_raw, image.file_format = str(folder / f"{material.name}.png"), "PNG"
    image.save()
    nodes.clear()
    texture, surface = nodes.new("ShaderNodeTexImage"), nodes.new("ShaderNodeBsdfPrincipled")
    texture.image = image
    surface.inputs["Roughness"].default_value = 1.0
    link = material.node_tree.links.new
    link(texture.outputs["Color"], surface.inputs["Base Color"])
    if material.blend_method == "BLEND":
        link(texture.outputs["Alpha"], surface.inputs["Alpha"])
    link(surface.outputs["BSDF"], nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])


def empty_scene() -> None:
    """A scene with nothing in it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)


def contents() -> dict:
    """Shape keys by mesh, bones, and the sizes of the pictures."""
    meshes = {item.name: item.data.shape_keys for item in bpy.data.objects if item.type == "MESH"}
    return {
        "shape_keys": {
            name: [block.name for block in keys.key_blocks[1:]] if keys else []
            for name, keys in meshes.items()
        },
        "bones": sorted(
            bone.name for item in bpy.data.objects if item.type == "ARMATURE" for bone in item.data.bones
        ),
        "pictures": sorted({tuple(image.size) for image in bpy.data.images}),  # FBX names alpha apart
    }


main()
