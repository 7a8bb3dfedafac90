"""A head as the files hold it: placed, cut into its named pieces, with ARKit's morph targets."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from portrait3d.export.gltf import GLTF_FROM_CAMERA, METRES, SHORTEST_MOVE, GltfMesh
from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPiece, SeeThrough, coinciding, welded_normals
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.geometry.tangents import vertex_tangents
from portrait3d.models.expressions import PHOTO, arkit_basis
from portrait3d.models.visemes import viseme_moves

PIECE_NAMES = {
    HeadPiece.SURFACE: "Head",
    HeadPiece.LEFT_EYE: "EyeRight",
    HeadPiece.RIGHT_EYE: "EyeLeft",
    HeadPiece.TEETH: "Teeth",
    HeadPiece.TONGUE: "Tongue",
    HeadPiece.MOUTH_CAVITY: "MouthCavity",
    HeadPiece.HAIR: "Hair",
}
"""Names in files. Left and right in them are the person's own, as in ARKit's names: the eye on the left side
of the picture is the right one."""


"""Name of the node that holds the head's hair sheet."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacedHead:
    """A head's geometry in metres, y up, the face along +z, the pivot of the head in the origin."""

    vertices: Float[np.ndarray, "V 3"]
    normals: Float[np.ndarray, "V 3"]


def place(head: HeadMesh) -> PlacedHead:
    """Take the head's pose out and change to the files' axes and unit."""
    vertices = _upright(head.vertices, head.camera_from_head)
    normals = smooth_normals(vertices, head.faces, coinciding(vertices))
    return PlacedHead((vertices * METRES).astype(np.float32), normals)


def _upright(vertices: Float[np.ndarray, "V 3"], pose: Pose) -> Float[np.ndarray, "V 3"]:
    """Vertices in the files' axes and place, but in mm, in which the smallest triangles have an area."""
    rotation, translation = pose.rotation.double().numpy(), pose.translation.double().numpy()
    return ((vertices - translation) @ rotation - HEAD_PIVOT) * GLTF_FROM_CAMERA


def smooth_normals(
    vertices: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"], same: Int64[np.ndarray, " V"]
) -> Float[np.ndarray, "V 3"]:
    """`welded_normals` as files hold them: vertices of no triangle get (0, 0, 1)."""
    normals = welded_normals(vertices, faces, same)
    normals[~normals.any(axis=1)] = (0.0, 0.0, 1.0)
    return normals.astype(np.float32)


def named_meshes(
    head: HeadMesh, *, rigged: bool = True, turns: bool = False, visemes: bool = False, tangents: bool = False
) -> list[GltfMesh]:
    """The head's pieces, the surface first; if `rigged`, with the morph targets that its binding gives.

    The surface has all of ARKit's 52 targets and those of `extra_moves`, other pieces those that move them;
    with `turns` also what they do to the normals. Eyes lie in nodes at the eyeballs' centres, so that they
    can be turned. `tangents` are what a normal map needs.
    """
    placed = place(head)
    axes = vertex_tangents(placed.vertices, placed.normals, head.uv, head.faces) if tangents else None
    targets = morph_targets(head.binding, extra_moves(head, visemes=visemes)) if rigged else {}
    turned = normal_targets(head, targets) if turns else {}
    meshes = []
    for piece, name in PIECE_NAMES.items():
        chosen = head.piece == piece
        faces = head.faces[chosen[head.faces[:, 0]]]
        if not len(faces):
            continue
        vertices, origin = placed.vertices[chosen], np.zeros(3, np.float32)
        if piece in (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE):
            # Eyes turn about their node's origin.
            origin = sphere_centre(vertices).astype(np.float32)
        own = {target: moves[chosen] for target, moves in targets.items()}
        if piece != HeadPiece.SURFACE:
            own = _moving(own)
        meshes.append(
            GltfMesh(
                name=name,
                origin=origin,
                vertices=vertices - origin,
                faces=(np.cumsum(chosen) - 1)[faces],
                normals=placed.normals[chosen],
                uv=head.uv[chosen],
                targets=own,
                turns={target: turned[target][chosen] for target in own if turned},
                tangents=None if axes is None else axes[chosen],
            )
        )
    return meshes


def see_through_meshes(head: HeadMesh, *, visemes: bool = False) -> list[GltfMesh]:
    """What of a head is seen through, each with a texture of its own, after the head's."""
    extra = extra_moves(head, visemes=visemes)
    layers = enumerate(head.see_through.items(), 1)
    return [_see_through(head, name, layer, number, extra) for number, (name, layer) in layers]


def _see_through(
    head: HeadMesh, name: str, layer: SeeThrough, texture: int, extra: Mapping[str, Float[np.ndarray, "M 3"]]
) -> GltfMesh:
    """A layer with the morph targets that move it."""
    vertices = _upright(layer.vertices, head.camera_from_head)
    return GltfMesh(
        name=name,
        origin=np.zeros(3, np.float32),
        vertices=(vertices * METRES).astype(np.float32),
        faces=layer.faces,
        normals=smooth_normals(vertices, layer.faces, np.arange(len(vertices))),
        uv=layer.uv,
        targets=_moving(morph_targets(layer.binding, extra)),
        texture=texture,
    )


def _moving(targets: dict[str, Float[np.ndarray, "V 3"]]) -> dict[str, Float[np.ndarray, "V 3"]]:
    """The targets that move something."""
    return {name: moves for name, moves in targets.items() if np.abs(moves).max() >= SHORTEST_MOVE}


def extra_moves(head: HeadMesh, *, visemes: bool = False) -> dict[str, Float[np.ndarray, "M 3"]]:
    """Displacements of the head model (its frame, mm) that a head has as targets beyond ARKit's, by name."""
    moves = viseme_moves() if visemes else {}
    if head.is_neutral and head.expression is not None:
        moves[PHOTO] = head.expression
    return moves


def morph_targets(
    binding: Binding | None, extra: Mapping[str, Float[np.ndarray, "M 3"]] | None = None
) -> dict[str, Float[np.ndarray, "V 3"]]:
    """What each of ARKit's 52 blendshapes adds to vertices as files hold them; nothing without binding.

    `extra` are further displacements of the head model by name (its frame, mm).
    """
    if binding is None:
        return {}
    names, basis = arkit_basis()
    more = {} if extra is None else extra
    moves = np.stack([*basis, *more.values()], axis=1)
    moves = binding.apply(moves) * (GLTF_FROM_CAMERA * np.float32(METRES))
    return {name: moves[:, number] for number, name in enumerate([*names, *more])}


def normal_targets(
    head: HeadMesh, targets: dict[str, Float[np.ndarray, "V 3"]]
) -> dict[str, Float[np.ndarray, "V 3"]]:
    """What morph targets at full strength add to the normals of `place`."""
    rest = _upright(head.vertices, head.camera_from_head)
    same = coinciding(rest)
    before = smooth_normals(rest, head.faces, same)
    return {
        name: smooth_normals(rest + moves / METRES, head.faces, same) - before
        for name, moves in targets.items()
    }


def eye_distance(head: HeadMesh) -> float:
    """Distance of the eyeballs' centres in files, mm; `ValueError` for a head that lacks an eye."""
    centres = [
        sphere_centre(head.vertices[head.piece == eye])
        for eye in (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE)
        if (head.piece == eye).any()
    ]
    if len(centres) < 2:
        raise ValueError("This head has not two eyes whose distance could be measured.")
    return float(np.linalg.norm(centres[0] - centres[1])) * 1000 * METRES


def sphere_centre(points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "3"]:
    """Centre of the sphere nearest to points on a part of it (least squares, algebraic)."""
    middle = points.mean(axis=0).astype(np.float64)
    local = points - middle
    # |p - c|^2 = r^2 is linear in c and r^2 - |c|^2: 2 p c + (r^2 - |c|^2) = |p|^2.
    rows = np.concatenate([2 * local, np.ones((len(local), 1))], axis=1)
    solution = np.linalg.lstsq(rows, (local**2).sum(axis=1), rcond=None)[0]
    return middle + solution[:3]
