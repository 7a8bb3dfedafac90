"""VRM 1.0: the head as an avatar, on the bones of a body that VRM asks for, with its expressions and gaze.

https://github.com/vrm-c/vrm-specification/tree/master/specification/VRMC_vrm-1.0
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from portrait3d.export.gltf import Bone, GltfMesh
from portrait3d.models.expressions import arkit_basis
from portrait3d.models.visemes import VISEMES, both

EXTENSION, LICENCE = "VRMC_vrm", "https://vrm.dev/licenses/1.0/"
HEIGHT = 1.49
"""Metres from the floor to the point that the head turns about, of somebody 1.70 m tall."""
LIMBS = (
    ("UpperLeg", "Hips", 0.09, 0.89),
    ("LowerLeg", "LeftUpperLeg", 0.09, 0.48),
    ("Foot", "LeftLowerLeg", 0.09, 0.08),
    ("UpperArm", "Chest", 0.17, 1.38),
    ("LowerArm", "LeftUpperArm", 0.44, 1.38),
    ("Hand", "LeftLowerArm", 0.68, 1.38),
)
"""The bones of the left side: name, parent, and place to the side and above the floor, metres."""
BODY: Mapping[str, tuple[str | None, tuple[float, float, float]]] = {
    "Hips": (None, (0.0, 0.93, 0.0)),
    "Spine": ("Hips", (0.0, 1.03, 0.0)),
    "Chest": ("Spine", (0.0, 1.18, 0.0)),
    **{f"Left{name}": (parent, (x, y, 0.0)) for name, parent, x, y in LIMBS},
    **{f"Right{name}": (parent.replace("Left", "Right"), (-x, y, 0.0)) for name, parent, x, y in LIMBS},
}
"""The bones of a body that VRM requires and a head lacks, arms to the sides: parent, and place in metres, the
floor at y = 0. Nothing is bound to them."""
PRESETS: Mapping[str, Mapping[str, float]] = {
    "happy": both(mouthSmile=0.8, cheekSquint=0.5, eyeSquint=0.2),
    "angry": both(browDown=0.9, noseSneer=0.4, mouthFrown=0.3, mouthPress=0.4, eyeSquint=0.3),
    "sad": {"browInnerUp": 0.9, "mouthShrugLower": 0.3, **both(mouthFrown=0.7)},
    "relaxed": both(mouthSmile=0.25, eyeBlink=0.2),
    "surprised": {"browInnerUp": 0.8, "jawOpen": 0.35, **both(browOuterUp=0.8, eyeWide=0.7)},
    **{
        name: VISEMES[f"viseme_{viseme}"]
        for name, viseme in (("aa", "aa"), ("ih", "I"), ("ou", "U"), ("ee", "E"), ("oh", "O"))
    },
    "blink": both(eyeBlink=1.0),
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
    "lookUp": both(eyeLookUp=1.0),
    "lookDown": both(eyeLookDown=1.0),
    "lookLeft": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "lookRight": {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0},
}
"""VRM's expressions in weights of ARKit's; left and right are the person's own in both."""
GAZE = {"inputMaxValue": 40.0, "outputScale": 25.0}
"""Degrees: eyes turn this far at most, when what they look at lies that far aside or further."""


def with_body(
    meshes: Sequence[GltfMesh], bones: Sequence[Bone], scale: float = 1.0
) -> tuple[list[GltfMesh], list[Bone]]:
    """A head with its bones (see `skeleton.skinned`), put on the bones of a body that stands on the floor.

    `scale` is by how much the head is larger than an adult's: so is the body.
    """
    numbers = {name: number for number, name in enumerate(BODY)}
    body = [
        Bone(name, scale * np.array(place), None if parent is None else numbers[parent])
        for name, (parent, place) in BODY.items()
    ]
    up = np.array([0.0, scale * HEIGHT, 0.0], np.float32)
    head = [
        Bone(bone.name, bone.place + up, numbers["Chest"] if bone.parent is None else bone.parent + len(body))
        for bone in bones
    ]
    lifted = [
        replace(mesh, vertices=mesh.vertices + up, bones=np.pad(mesh.bones, ((0, 0), (len(body), 0))))
        for mesh in meshes
        if mesh.bones is not None
    ]
    return lifted, [*body, *head]


def vrm_extension(
    meshes: Sequence[GltfMesh], bones: Sequence[Bone], name: str, author: str
) -> dict[str, Any]:
    """What VRM has to know about meshes and bones whose nodes are numbered as `glb_bytes` does.

    Its licence is the narrowest: only the author may wear the avatar, for no profit; nobody may change it.
    """
    first = len(meshes) + 1
    numbers = {bone.name: first + number for number, bone in enumerate(bones)}
    places = {bone.name: bone.place for bone in bones}
    middle = (places["LeftEye"] + places["RightEye"]) / 2 - places["Head"]
    human = {bone: bone[0].lower() + bone[1:] for bone in numbers if bone != "Tongue"}
    arkit = {name: {name: 1.0} for name in arkit_basis()[0]}
    return {
        "specVersion": "1.0",
        "meta": {
            "name": name,
            "authors": [author],
            "licenseUrl": LICENCE,
            "avatarPermission": "onlyAuthor",
            "commercialUsage": "personalNonProfit",
            "modification": "prohibited",
        },
        "humanoid": {"humanBones": {human[bone]: {"node": numbers[bone]} for bone in human}},
        "lookAt": {
            "type": "bone",
            "offsetFromHeadBone": middle.astype(float).tolist(),
            **{
                f"rangeMap{way}": GAZE
                for way in ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
            },
        },
        "expressions": {
            "preset": {name: _expression(meshes, weights) for name, weights in PRESETS.items()},
            "custom": {name: _expression(meshes, weights) for name, weights in arkit.items()},
        },
    }


def _expression(meshes: Sequence[GltfMesh], weights: Mapping[str, float]) -> dict[str, Any]:
    """An expression as weights of all meshes' morph targets."""
    binds = [
        {"node": node, "index": list(mesh.targets).index(target), "weight": weight}
        for node, mesh in enumerate(meshes)
        for target, weight in weights.items()
        if target in mesh.targets
    ]
    return {"morphTargetBinds": binds}
