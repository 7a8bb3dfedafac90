"""A skeleton for a head: where its bones are, and how far every vertex follows each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from jaxtyping import Float

from portrait3d.export.gltf import GLTF_FROM_CAMERA, METRES, Bone, GltfMesh
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.reposing.motion import share_of_turn


class Joint(IntEnum):
    """The bones' numbers, parents first."""

    NECK = 0
    HEAD = 1
    LEFT_EYE = 2
    RIGHT_EYE = 3
    JAW = 4
    TONGUE = 5


NAMES = {
    Joint.NECK: "Neck",
    Joint.HEAD: "Head",
    Joint.LEFT_EYE: "LeftEye",
    Joint.RIGHT_EYE: "RightEye",
    Joint.JAW: "Jaw",
    Joint.TONGUE: "Tongue",
}
"""As in Mixamo's and Ready Player Me's skeletons; left and right are the person's own."""
PARENTS: Mapping[Joint, Joint | None] = {
    Joint.NECK: None,
    Joint.HEAD: Joint.NECK,
    Joint.LEFT_EYE: Joint.HEAD,
    Joint.RIGHT_EYE: Joint.HEAD,
    Joint.JAW: Joint.HEAD,
    Joint.TONGUE: Joint.JAW,
}
EYES = {"EyeLeft": Joint.LEFT_EYE, "EyeRight": Joint.RIGHT_EYE}
"""Meshes that a bone turns as a whole."""
INSIDE = ("Teeth", "Tongue", "MouthCavity")
"""Meshes that follow the head wherever they lie."""


@dataclass(frozen=True, slots=True, eq=False)
class Hinge:
    """The axis that the jaw turns about, parallel to x, and how far it turns when it opens in full."""

    y: float
    z: float
    angle: float
    """Radians; > 0 turns y to z."""

    @classmethod
    def of(cls, points: Float[np.ndarray, "N 3"], moves: Float[np.ndarray, "N 3"]) -> "Hinge":
        """The turn about an axis parallel to x that moves points most nearly as told (least squares)."""
        before, after = points[:, 1:].astype(np.float64), (points + moves)[:, 1:].astype(np.float64)
        middle, moved = before.mean(axis=0), after.mean(axis=0)
        # The best rotation in the plane y, z (Kabsch in 2D), then its fixed point p = R p + t.
        a, b = (before - middle).T @ (after - moved)
        angle = float(np.arctan2(a[1] - b[0], a[0] + b[1]))
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        y, z = np.linalg.solve(np.eye(2) - turn, moved - turn @ middle)
        return cls(float(y), float(z), angle)

    def moves(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """How far the turn moves points."""
        y, z = points[:, 1] - self.y, points[:, 2] - self.z
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        across = np.zeros(len(points))
        return np.stack([across, y * cosine - z * sine - y, y * sine + z * cosine - z], axis=1)

    def share(
        self, points: Float[np.ndarray, "N 3"], moves: Float[np.ndarray, "N 3"]
    ) -> Float[np.ndarray, " N"]:
        """How far points that move so take part in the turn, 0 to 1."""
        whole = self.moves(points)
        return np.clip((moves * whole).sum(axis=1) / np.maximum((whole**2).sum(axis=1), 1e-12), 0, 1)


def skinned(meshes: Sequence[GltfMesh]) -> tuple[list[GltfMesh], list[Bone]]:
    """A head's meshes with weights, and its bones in the order of `Joint`.

    The jaw's axis is the one that its `jawOpen` turns the lower teeth about. Raises `ValueError` for heads
    that can't move or lack teeth, tongue or an eye.
    """
    named = {mesh.name: mesh for mesh in meshes}
    if missing := [name for name in ("Head", *EYES, "Teeth", "Tongue") if name not in named]:
        raise ValueError(f"A skeleton needs a whole head; this one has no {', '.join(missing)}.")
    if "jawOpen" not in named["Teeth"].targets:
        raise ValueError("A skeleton needs a head that can open its mouth; this one has no jawOpen.")
    hinge = jaw_hinge(named["Teeth"])
    places = joint_places(named, hinge)
    bones = [
        Bone(NAMES[joint], places[joint], None if (parent := PARENTS[joint]) is None else int(parent))
        for joint in Joint
    ]
    return [bound(mesh, hinge) for mesh in meshes], bones


def jaw_hinge(teeth: GltfMesh) -> Hinge:
    """The jaw's axis, from the teeth that `jawOpen` moves: the lower ones."""
    moves = teeth.targets["jawOpen"]
    length = np.linalg.norm(moves, axis=1)
    lower = length > length.max() / 2
    return Hinge.of((teeth.vertices + teeth.origin)[lower], moves[lower])


def joint_places(named: Mapping[str, GltfMesh], hinge: Hinge) -> dict[Joint, Float[np.ndarray, "3"]]:
    """Where the bones turn, metres."""
    skin, tongue = named["Head"], named["Tongue"]
    # Quantiles: the lowest ring of the neck, and the hindmost part of the tongue.
    below = skin.vertices[:, 1] < np.quantile(skin.vertices[:, 1], 0.02)
    neck = skin.vertices[below].mean(axis=0)
    root = tongue.vertices[tongue.vertices[:, 2] < np.quantile(tongue.vertices[:, 2], 0.1)].mean(axis=0)
    places = {
        Joint.NECK: np.array([0.0, neck[1], neck[2]]),
        Joint.HEAD: np.zeros(3),
        Joint.JAW: np.array([0.0, hinge.y, hinge.z]),
        Joint.TONGUE: np.array([0.0, root[1], root[2]]),
    }
    return places | {joint: named[name].origin.astype(np.float64) for name, joint in EYES.items()}


def bound(mesh: GltfMesh, hinge: Hinge) -> GltfMesh:
    """A mesh in the scene's frame, with the weights of the bones on its vertices."""
    vertices = (mesh.vertices + mesh.origin).astype(np.float32)
    weights = np.zeros((len(vertices), len(Joint)))
    if mesh.name in EYES:
        weights[:, EYES[mesh.name]] = 1
    else:
        # Back to the model's frame, in which the neck's share is defined.
        points = vertices / METRES * GLTF_FROM_CAMERA + HEAD_PIVOT
        turns = np.ones(len(points)) if mesh.name in INSIDE else share_of_turn(points)
        moves = mesh.targets.get("jawOpen", np.zeros_like(vertices))
        opens = hinge.share(vertices, moves)
        weights[:, Joint.NECK] = 1 - turns
        weights[:, Joint.HEAD] = turns * (1 - opens)
        weights[:, Joint.TONGUE if mesh.name == "Tongue" else Joint.JAW] = turns * opens
    return replace(mesh, origin=np.zeros(3, np.float32), vertices=vertices, bones=weights)
