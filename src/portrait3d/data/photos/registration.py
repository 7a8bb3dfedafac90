"""How a head moved in a clip: two frames registered on the face's pixels, and all frames made to agree.

Poses fitted to landmarks are a few degrees and millimetres off, which costs more than any wrong depth of hair
when frames are compared. The face's own pixels tell more, but not while the face moves in itself: a raised
brow looks like a nod. So its points move with the fitted expression, those that expressions move count less,
and every frame gets one pose that agrees with all pairs that it is part of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.sparse import lil_matrix
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from portrait3d.data.people.model_views import HeadInCrop, HeadView, SkinModel, render_model_views

ROUNDS = 15
"""Of Gauss-Newton steps, at most: they end when nothing moves by 0.001 radians or mm."""
FACE_BOUNDARY = 6
"""Pixels of the face's boundary that take no part: what lies beside them moves otherwise."""
LEAST_PIXELS = 150
"""A face of fewer pixels isn't registered."""
COARSEST = 3.0
"""Brightness that varies over more pixels than this is shading, which stays with the light."""
OUTLYING = 6.0
"""Differences in detail (0 to 255) from which a face's pixel counts less: eyes and mouth move."""
STIFF = 0.3
"""Skin that a coefficient of the expression moves by this (mm, root mean square) counts half."""
EXPRESSED = 2.0
"""Skin that the two frames' expressions move apart by this (mm) counts half."""
LARGEST = 12.0
"""Differences in detail count as this at most where the noise is measured."""
PULL = np.array([2200.0, 2200.0, 2200.0, 0.08, 0.08, 0.2])
"""What leaving the fitted motion by a radian or by a millimetre along x, y and z costs, in pixels of noise.

Where the face moves in itself, much remains unexplained, and the fitted motion counts more.
"""
PAIR_ERROR = np.array([0.01, 0.01, 0.01, 1.0, 1.0, 5.0])
"""Error of a registered motion: turn about each axis (radians), place of the face's centre (mm)."""
FIT_ERROR = np.array([0.05, 0.05, 0.05, 10.0, 10.0, 30.0])
"""The same of a pose fitted to landmarks."""
CERTAIN = 3.0
"""A pair tells something if its motions there and back leave less than this turn, degrees."""

Motion = tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]
"""Rotation and translation (mm) that take the head from one frame's camera to the other's."""


def register_clip(
    views: Sequence[HeadView], pairs: Sequence[tuple[int, int]], skin: SkinModel
) -> tuple[list[HeadView], list[tuple[int, int]]]:
    """The frames of one clip in poses that agree with the pictures of pairs, and which pairs are certain.

    Certain are those whose motions there and back undo each other; the others tell nothing.

    Args:
        views: The frames, in one camera and with one identity.
        pairs: Positions in `views`.
        skin: The model that was fitted to the frames.
    """
    centre = face_centre(skin, views[0].head)
    motions: dict[tuple[int, int], Motion] = {}
    certain = []
    for a, b in pairs:
        there, back = register(views[a], views[b], skin), register(views[b], views[a], skin)
        if there is not None and back is not None and undone(there, back) < CERTAIN:
            motions |= {(a, b): there, (b, a): back}
            certain.append((a, b))
    heads = agree([view.head for view in views], motions, centre)
    posed = [
        replace(view, head=head, face_depth=render_model_views(skin, head).face)
        for view, head in zip(views, heads, strict=True)
    ]
    return posed, certain


def undone(there: Motion, back: Motion) -> float:
    """The turn (degrees) that is left after a motion there and another one back."""
    return float(np.degrees(Rotation.from_matrix(back[0] @ there[0]).magnitude()))


def face_centre(skin: SkinModel, head: HeadInCrop) -> Float[np.ndarray, "3"]:
    """The middle of the fitted face in the model frame, mm."""
    return head.vertices[skin.face_mask > 0.5].mean(axis=0)


def relative(a: HeadInCrop, b: HeadInCrop) -> Motion:
    """The motion of the head between two frames, by their poses."""
    rotation = b.rotation @ a.rotation.T
    return rotation, b.translation - rotation @ a.translation


def register(a: HeadView, b: HeadView, skin: SkinModel) -> Motion | None:
    """The motion that explains the details of the face best, from the fitted one (Lucas and Kanade).

    Contrast may change by a factor and an offset; pixels that change otherwise count less. None if too little
    of the face is seen.
    """
    face = ndimage.binary_erosion(a.bare_face, iterations=FACE_BOUNDARY)
    if face.sum() < LEAST_PIXELS:
        return None
    seen = lifted(np.where(face, a.face_depth, 1.0), a.head.focal)[face]
    shift, stiffness = expression_change(a.head, b.head, seen, skin)
    points = seen + shift
    fitted = rotation, translation = relative(a.head, b.head)
    middle = points.mean(axis=0)
    own, other = detail(a), detail(b)
    # Slopes of the other picture; by the chain rule they become derivatives by a turn about the face's middle
    # and by a shift.
    slope_y, slope_x = np.gradient(other)
    told, focal = own[face], b.head.focal
    damping = np.array([1e4, 1e4, 1e4, 0.1, 0.1, 0.1, 1e-3, 1e-3])
    for _ in range(ROUNDS):
        moved = points @ rotation.T + translation
        at = projected(moved, focal, len(other))
        along = [focal / moved[:, 2] * sampled(slope, at) for slope in (slope_x, slope_y)]
        by_shift = np.stack(
            [*along, -(along[0] * moved[:, 0] + along[1] * moved[:, 1]) / moved[:, 2]], axis=1
        )
        centre = rotation @ middle + translation
        by_turn = np.cross(moved - centre, by_shift)
        light = np.stack([-(told - told.mean()) / 50, -np.ones_like(told)], axis=1)
        jacobian, residual = np.concatenate([by_turn, by_shift, light], axis=1), sampled(other, at) - told
        left = np.concatenate([*difference((rotation, translation), fitted, middle), [0.0, 0.0]])
        noise = (stiffness * np.minimum(residual**2, LARGEST**2)).sum() / stiffness.sum()
        pull = np.append(noise * PULL, [0.0, 0.0])
        weight, step = stiffness, np.zeros(8)
        # Iteratively reweighted: once as it is, once without what that leaves unexplained.
        for _ in range(2):
            weighted = jacobian * weight[:, None]
            normal = weighted.T @ jacobian + np.diag(damping + pull)
            step = np.linalg.solve(normal, -weighted.T @ residual - pull * left)
            weight = stiffness / np.maximum(1, np.abs(residual + jacobian @ step) / OUTLYING)
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        rotation, translation = turn @ rotation, turn @ (translation - centre) + centre + step[3:6]
        if np.abs(step[:6]).max() < 1e-3:
            break
    return rotation, translation


def difference(
    motion: Motion, other: Motion, point: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """The turn (radians) from `other` to `motion`, and how far apart (mm) they take a point."""
    turn = Rotation.from_matrix(motion[0] @ other[0].T).as_rotvec()
    return turn, (motion[0] @ point + motion[1]) - (other[0] @ point + other[1])


def expression_change(
    a: HeadInCrop, b: HeadInCrop, points: Float[np.ndarray, "N 3"], skin: SkinModel
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
    """How the fitted expressions move points of the face between two frames, and how stiff the skin is there.

    Points and shifts in the camera of `a`, mm; stiffness is 1 where no expression moves the skin, else less.
    """
    face = skin.face_mask > 0.05
    distance, index = cKDTree(a.vertices[face]).query((points - a.translation) @ a.rotation, k=4)
    weight = 1 / (distance + 1e-3)
    weight /= weight.sum(axis=1, keepdims=True)
    shift = ((b.vertices - a.vertices)[face][index] * weight[..., None]).sum(axis=1) @ a.rotation.T
    mobility = np.sqrt((skin.expression[:, face] ** 2).sum(axis=-1).mean(axis=0))[index[:, 0]]
    apart = np.linalg.norm(shift, axis=1)
    return shift, 1 / (1 + (mobility / STIFF) ** 2) / (1 + (apart / EXPRESSED) ** 2)


def agree(
    heads: Sequence[HeadInCrop],
    motions: Mapping[tuple[int, int], Motion],
    centre: Float[np.ndarray, "3"],
) -> list[HeadInCrop]:
    """Poses that agree best with motions between frames, and with the fitted poses where those leave it open.

    `motions[a, b]` leads from frame `a` to frame `b`; `centre` is the point (model frame, mm) whose place
    counts. Motions that contradict the others count less.
    """
    if not motions:
        return list(heads)
    first, second = np.array(list(motions)).T
    turn, shift = (np.stack(part) for part in zip(*motions.values(), strict=True))
    fitted = np.stack([head.rotation for head in heads])
    places = np.stack([head.rotation @ centre + head.translation for head in heads])

    def poses(change: Float[np.ndarray, " X"]) -> tuple[np.ndarray, np.ndarray]:
        change = change.reshape(-1, 6)
        return Rotation.from_rotvec(change[:, :3]).as_matrix() @ fitted, places + change[:, 3:]

    def residuals(change: Float[np.ndarray, " X"]) -> Float[np.ndarray, " R"]:
        rotation, place = poses(change)
        told = turn @ rotation[first]
        by_turn = Rotation.from_matrix(rotation[second] @ told.transpose(0, 2, 1)).as_rotvec()
        by_place = place[second] - (turn @ place[first][..., None])[..., 0] - shift
        pairs = np.concatenate([by_turn, by_place], axis=1) / PAIR_ERROR
        return np.concatenate([pairs.ravel(), (change.reshape(-1, 6) / FIT_ERROR).ravel()])

    # Which residuals depend on which frames: finite differences then take a few evaluations, not six a frame.
    touches = lil_matrix((6 * (len(motions) + len(heads)), 6 * len(heads)), dtype=int)
    for row, frames in enumerate([*motions, *((k,) for k in range(len(heads)))]):
        for frame in frames:
            touches[6 * row : 6 * row + 6, 6 * frame : 6 * frame + 6] = 1
    start = np.zeros(6 * len(heads))
    found = least_squares(residuals, start, loss="soft_l1", jac_sparsity=touches, max_nfev=30)
    rotation, place = poses(found.x)
    translation = place - rotation @ centre
    return [replace(head, rotation=rotation[k], translation=translation[k]) for k, head in enumerate(heads)]


def detail(view: HeadView) -> Float[np.ndarray, "S S"]:
    """Brightness (0 to 255) without its slow changes."""
    grey = view.image.astype(float).mean(axis=-1)
    return ndimage.gaussian_filter(grey, 1.0) - ndimage.gaussian_filter(grey, COARSEST)


def lifted(depth: Float[np.ndarray, "S S"], focal: float) -> Float[np.ndarray, "S S 3"]:
    """Points (mm) of a crop's pixels."""
    size = len(depth)
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return np.stack([x / focal, y / focal, np.ones_like(depth)], axis=-1) * depth[..., None]


def projected(points: Float[np.ndarray, "*s 3"], focal: float, size: int) -> Float[np.ndarray, "*s 2"]:
    """Pixels of a crop at which points are seen."""
    return focal * points[..., :2] / points[..., 2:] + size / 2


def sampled(image: Float[np.ndarray, "H W"], at: Float[np.ndarray, "*s 2"]) -> Float[np.ndarray, "*s"]:
    """Bilinear values at pixel coordinates."""
    return ndimage.map_coordinates(image, [at[..., 1] - 0.5, at[..., 0] - 0.5], order=1, mode="nearest")
