"""The head model laid on artist-made heads in three dimensions, which tells their pose and shape exactly.

No picture is involved: identity, size and place explain the avatar's surface, its eyes and the corners of its
mouth (Gauss-Newton over nearest points, as in Amberg et al., CVPR 2007); expressions are what the avatar's
morph targets do to the skin. What an avatar is drawn with is then known in the head model's own terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import lsq_linear
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from torch import Tensor

from portrait3d.data.people.avatars import EYEBALL, Avatar
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.similarity import Similarity
from portrait3d.models.earrings import lobes
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import IDENTITIES
from portrait3d.parsing_classes import ParsingClass

ROUNDS, RIGID_ROUNDS = 24, 8
"""How often neighbours are looked up again; the first rounds move the mean head alone."""
WIDE_ROUNDS, WIDE, NARROW = 6, 3.0, 1.0
"""Distances (mm) beyond which a neighbour counts less, in the first rounds and in the others."""
FARTHEST = 15.0
"""Neighbours further away than this (mm) aren't the same place."""
ALIKE = 0.5
"""Least cosine between the normals of neighbours."""
NOISE = 6.7
"""mm; what a single neighbour is believed to be off by. It stands for about 20 that err alike by 1.5 mm."""
EAR, PLACE = 0.3, 60.0
"""Weights of a neighbour on an ear, and of the eyes' and the mouth's places, beside one on the face."""
NAPE = 60.0
"""Skin of the class face that lies deeper than this (mm, avatar's frame) is nape, of bald heads."""
CLEAR_OF_FEATURES = 0.1
"""Lips and lids (masks of the head model) have no neighbours: their edges are found by the places instead."""
EXPRESSION_SIGMA, EXPRESSION_NOISE = 0.5, 1.0
"""Prior of an expression coefficient, and how far (mm) a single vertex may be off."""
GAZE = "eyeLook"
"""How the names of expressions begin that turn the eyes, which morph targets of lids don't."""
FIRST_SCALE, FIRST_PLACE = 1.08, (0.0, 19.3, -45.2)
"""Where the mean head lies in an avatar's frame, about."""
NORMAL_REACH = 6.0
"""mm that a right angle between normals counts for where skin is matched with skin: lips nearly touch."""
ARKIT = 52
"""Expressions with natural bounds, 0 and 1: the first ones."""
NEIGHBOURS = 6
"""Vertices of the head model that move a vertex of the avatar."""


@dataclass(frozen=True, slots=True, eq=False)
class AvatarFit:
    """The head model on one avatar at rest."""

    identity: Float[np.ndarray, "80"]
    avatar_from_model: Similarity
    """Its scale is the avatar's size over the head model's."""
    anchors: Int64[np.ndarray, " S"]
    """For each of the vertices `skin` the avatar's vertex at the same place."""
    skin: Int64[np.ndarray, " S"]
    """Vertices of the head model: those of the face."""
    error: float
    """Mean distance between the two faces along the normals, mm of the avatar."""

    def expression(self, head: HeadModel, rest: Avatar, expressed: Avatar) -> Float[np.ndarray, "64"]:
        """The expression that moves the head model's skin as the avatar's has moved from rest."""
        motion = self.avatar_from_model
        moved = (expressed.vertices[self.anchors] - rest.vertices[self.anchors]).astype(float)
        wanted = moved @ motion.rotation / motion.scale
        if not wanted.any():
            return np.zeros(len(head.expression_basis))
        basis = head.expression_basis[:, self.skin].flatten(1).numpy().astype(float)
        count = len(basis)
        low, high = np.full(count, -np.inf), np.full(count, np.inf)
        low[:ARKIT], high[:ARKIT] = 0.0, 1.0
        high[[name.startswith(GAZE) for name in head.expression_names]] = 1e-6
        # Least squares with a root of the normal matrix: 64 rows instead of thousands.
        root = np.linalg.cholesky(
            basis @ basis.T + np.eye(count) * (EXPRESSION_NOISE / EXPRESSION_SIGMA) ** 2
        )
        found = lsq_linear(
            root.T, np.linalg.solve(root, basis @ wanted.ravel()), bounds=(low, high), method="bvls"
        )
        return found.x

    def landmarks(self, head: HeadModel) -> Float[np.ndarray, "68 3"]:
        """The landmarks of the avatar at rest, in its frame, mm."""
        return self.avatar_from_model.apply(head.landmarks(self._shape(head)[None])[0].double().numpy())

    def lobes(self, head: HeadModel) -> Float[np.ndarray, "2 3"]:
        """The picture's left and right ear lobe, alike."""
        return self.avatar_from_model.apply(lobes(head, self._shape(head)).double().numpy())

    def _shape(self, head: HeadModel) -> Float[Tensor, "M 3"]:
        """The head model's vertices in its own frame."""
        return head.mean + torch.tensordot(torch.from_numpy(self.identity).float(), head.identity_basis, 1)

    def in_model_frame(self, avatar: Avatar) -> Avatar:
        """The avatar in the head model's frame and size, mm."""
        motion = self.avatar_from_model
        vertices = (avatar.vertices - motion.translation) @ motion.rotation / motion.scale
        return replace(avatar, vertices=vertices.astype(np.float32), morphs={})


def reshaped(
    avatar: Avatar, head: HeadModel, identity: Float[np.ndarray, "80"], change: Float[np.ndarray, "80"]
) -> Avatar:
    """An avatar in the head model's frame that has become another person, by a change of its identity.

    Every vertex moves as the nearest ones of the head model do, so that hair and clothes follow the skin.
    """
    basis = head.identity_basis.flatten(1).numpy()
    before = (head.mean.numpy().ravel() + identity.astype(np.float32) @ basis).reshape(-1, 3)
    shift = (change.astype(np.float32) @ basis).reshape(-1, 3)
    distance, nearest = cKDTree(before).query(avatar.vertices, NEIGHBOURS)
    weight = 1 / (distance + 1.0)
    weight /= weight.sum(axis=1, keepdims=True)
    moved = avatar.vertices + (shift[nearest] * weight[..., None]).sum(axis=1)
    return replace(avatar, vertices=moved.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    # A weighted mean of the head model's vertices that should lie at a point, along some axes.
    vertices: Int64[np.ndarray, " N"]
    point: Float[np.ndarray, "3"]
    axes: tuple[int, ...]


class _Surface:
    """Some of an avatar's vertices with their normals, to look neighbours up in."""

    def __init__(self, avatar: Avatar, classes: Sequence[int], deepest: float = np.inf) -> None:
        used = np.unique(avatar.faces[np.isin(avatar.face_class, classes)])
        used = used[avatar.vertices[used, 2] <= deepest]
        self.index = used
        self.points, self.normals = avatar.vertices[used].astype(float), avatar.normals[used].astype(float)
        self.tree = cKDTree(self.points) if len(used) else None

    def rows(
        self, points: Float[np.ndarray, "N 3"], normals: Float[np.ndarray, "N 3"], width: float
    ) -> tuple[
        Int64[np.ndarray, " K"], Float[np.ndarray, "K 3"], Float[np.ndarray, " K"], Float[np.ndarray, " K"]
    ]:
        """Which points have a neighbour, its normal, the distance along it (mm), and its weight."""
        if self.tree is None:
            none = np.zeros(0)
            return none.astype(np.int64), np.zeros((0, 3)), none, none
        distance, nearest = self.tree.query(points)
        same = ((normals * self.normals[nearest]).sum(axis=1) > ALIKE) & (distance < FARTHEST)
        kept = np.flatnonzero(same)
        normal = self.normals[nearest[kept]]
        apart = ((self.points[nearest[kept]] - points[kept]) * normal).sum(axis=1)
        return kept, normal, apart, 1 / np.maximum(1, np.abs(apart) / width)


def fit_avatar(avatar: Avatar, head: HeadModel) -> AvatarFit:
    """Lay the head model on an avatar at rest (about 3 s on one core).

    `ValueError` if the avatar has no eyes to begin with.
    """
    places = [*_eyes(avatar, head), *_mouth(avatar, head)]
    masks = {name: getattr(head, f"{name}_mask").numpy() for name in ("face", "ears", "lips", "lids")}
    plain = (masks["lips"] < CLEAR_OF_FEATURES) & (masks["lids"] < CLEAR_OF_FEATURES)
    parts = [
        (np.flatnonzero((masks["face"] > 0.5) & plain), _Surface(avatar, [ParsingClass.FACE], NAPE), 1.0),
        (
            np.flatnonzero(masks["ears"] > 0.5),
            _Surface(avatar, [ParsingClass.LEFT_EAR, ParsingClass.RIGHT_EAR]),
            EAR,
        ),
    ]
    mean, basis = head.mean.numpy().astype(float), head.identity_basis.numpy().astype(float)
    identity = np.zeros(IDENTITIES)
    motion = Similarity(FIRST_SCALE, np.eye(3), np.array(FIRST_PLACE))
    for number in range(ROUNDS):
        shape = mean + np.tensordot(identity, basis, 1)
        points = motion.apply(shape)
        normals = _normals(head, points)
        width = WIDE if number < WIDE_ROUNDS else NARROW
        rows = []
        for index, surface, weight in parts:
            kept, along, apart, share = surface.rows(points[index], normals[index], width)
            change = basis[:, index[kept]]
            rows.append(_equations(motion, points[index[kept]], change, along, apart, weight * share))
        for place in places:
            moved = points[place.vertices].mean(axis=0)
            change = basis[:, place.vertices].mean(axis=1)[:, None]
            axes = np.eye(3)[list(place.axes)]
            along = (place.point - moved)[list(place.axes)]
            rows.append(
                _equations(
                    motion,
                    moved.repeat(1)[None].repeat(len(axes), 0),
                    change.repeat(len(axes), 1),
                    axes,
                    along,
                    np.full(len(axes), PLACE),
                )
            )
        jacobian, residual = (np.concatenate(part) for part in zip(*rows, strict=True))
        # Place and size first: identities would bend to make up for a wrong pose.
        free = 7 if number < RIGID_ROUNDS else 7 + IDENTITIES
        step = _solve(jacobian[:, :free], residual, identity)
        motion = _moved(motion, step[:7])
        identity[: free - 7] += step[7:]
    skin = np.flatnonzero(masks["face"] > 0.5)
    points = motion.apply(mean + np.tensordot(identity, basis, 1))
    normals = _normals(head, points)
    _, _, apart, _ = parts[0][1].rows(points[parts[0][0]], normals[parts[0][0]], NARROW)
    return AvatarFit(
        identity=identity,
        avatar_from_model=motion,
        anchors=_anchors(avatar, points[skin], normals[skin]),
        skin=skin,
        error=float(np.abs(apart).mean()) if len(apart) else np.inf,
    )


def _equations(
    motion: Similarity,
    points: Float[np.ndarray, "K 3"],
    change: Float[np.ndarray, "80 K 3"],
    normals: Float[np.ndarray, "K 3"],
    apart: Float[np.ndarray, " K"],
    weight: Float[np.ndarray, " K"],
) -> tuple[Float[np.ndarray, "K 87"], Float[np.ndarray, " K"]]:
    # Weighted rows for turn, shift, growth and identity: how far points move along normals.
    # A small turn moves a point by turn x arm; its part along the normal is turn . (arm x normal).
    arm = points - motion.translation
    by_identity = motion.scale * np.einsum("mkc,kc->km", change @ motion.rotation.T, normals)
    growth = (arm * normals).sum(axis=1)[:, None]
    jacobian = np.concatenate([np.cross(arm, normals), normals, growth, by_identity], axis=1)
    root = np.sqrt(weight) / NOISE
    return jacobian * root[:, None], apart * root


def _solve(
    jacobian: Float[np.ndarray, "N D"], residual: Float[np.ndarray, " N"], identity: Float[np.ndarray, "80"]
) -> Float[np.ndarray, " D"]:
    # One step toward the maximum a posteriori: identities are standard normal, the motion is free.
    hessian, gradient = jacobian.T @ jacobian, jacobian.T @ residual
    free = len(gradient) - 7
    hessian[7:, 7:] += np.eye(free)
    gradient[7:] -= identity[:free]
    return np.linalg.solve(hessian + 1e-9 * np.eye(len(gradient)), gradient)


def _moved(motion: Similarity, step: Float[np.ndarray, "7"]) -> Similarity:
    return Similarity(
        motion.scale * float(np.exp(step[6])),
        Rotation.from_rotvec(step[:3]).as_matrix() @ motion.rotation,
        motion.translation + step[3:6],
    )


def _normals(head: HeadModel, points: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    return vertex_normals(torch.from_numpy(points)[None], head.skin_faces)[0].numpy()


def _eyes(avatar: Avatar, head: HeadModel) -> list[_Place]:
    # The eyes' middles across and down, and how far forward they reach.
    shown = np.unique(avatar.faces[avatar.face_class == EYEBALL])
    points = avatar.vertices[shown].astype(float)
    places = []
    # Names of parts are the person's own: the left eye lies on the picture's right.
    for side, name in ((-1, "right_eyeball"), (1, "left_eyeball")):
        eye = points[side * points[:, 0] > 0]
        if not len(eye):
            raise ValueError(f"{avatar.name} lacks an eye.")
        ball = np.flatnonzero((head.part_of_vertex == head.part_names.index(name)).numpy())
        front = ball[head.mean[ball, 2].argmin()][None]
        middle, foremost = eye.mean(axis=0), eye[eye[:, 2].argmin()]
        places += [_Place(ball, middle, (0, 1)), _Place(front, foremost, (2,))]
    return places


def _mouth(avatar: Avatar, head: HeadModel) -> list[_Place]:
    # The corners of the mouth: the ends of the line where skin meets the mouth's inside.
    skin, inside = (
        avatar.vertices[np.unique(avatar.faces[avatar.face_class == kind])]
        for kind in (ParsingClass.FACE, ParsingClass.INNER_MOUTH)
    )
    if not len(inside):
        return []
    rim = inside[cKDTree(skin).query(inside)[0] < 0.01].astype(float)
    if not len(rim):
        return []
    parts = (head.part_names.index(name) for name in ("skin", "mouth_cavity"))
    used = [head.faces[head.face_part == part].unique() for part in parts]
    line = np.intersect1d(*(index.numpy() for index in used))
    across = head.mean[line, 0].numpy()
    return [
        _Place(line[pick(across)][None], rim[pick(rim[:, 0])], (0, 1, 2)) for pick in (np.argmin, np.argmax)
    ]


def _anchors(
    avatar: Avatar, points: Float[np.ndarray, "S 3"], normals: Float[np.ndarray, "S 3"]
) -> Int64[np.ndarray, " S"]:
    # Nearest skin that faces the same way: the lips' surfaces lie close together, their normals don't.
    surface = _Surface(avatar, [ParsingClass.FACE], NAPE)
    there = np.concatenate([surface.points, NORMAL_REACH * surface.normals], axis=1)
    here = np.concatenate([points, NORMAL_REACH * normals], axis=1)
    return surface.index[cKDTree(there).query(here)[1]]
