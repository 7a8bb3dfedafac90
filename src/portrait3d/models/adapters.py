"""Other linear models of faces on the head model's vertices: the Basel Face Model 2009 and FLAME.

Their meshes have neither the texture coordinates nor the named expressions, teeth and tongue that the rest of
the package needs, and Basel's ends at the ears. So the bundled head takes on their mean, their modes of shape
and, from Basel, of colour, and keeps everything else. docs/models/adapters.md says which files are read.
"""

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int8, Int64
from scipy.io import loadmat
from scipy.spatial import cKDTree

from portrait3d.errors import WeightsError
from portrait3d.geometry.binding import bind
from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.mesh import Binding
from portrait3d.geometry.similarity import Similarity
from portrait3d.geometry.skin import normals
from portrait3d.geometry.topology import Topology
from portrait3d.models.coefficients import LENGTHS
from portrait3d.models.head_model import ARRAYS, HeadModel
from portrait3d.weights import read_arrays

FLIP = np.array([1.0, -1.0, -1.0])
"""From y up and z toward the viewer, in Basel's files as in FLAME's, to the head model's axes."""
BASEL_TO_MM, FLAME_TO_MM = 1e-3, 1e3
BASEL = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
"""The arrays of Basel's file that are read: means, modes of unit length, their deviations, triangles."""
INNER = slice(17, 68)
"""The 51 landmarks that are places of the skin, not the outline of a view."""
LANDMARK_NOISE, MODE_NOISE, COLOUR_NOISE = 2.0, 5.0, 0.2
"""What the bundled modes may miss a landmark, a mode (mm) and a colour by. Neighbouring vertices err alike,
so the last two stand for many: about 25 that miss by 1 mm, or by 0.04."""
STIFFNESS = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.1, 0.1)
"""How alike neighbouring vertices move in each round of the registration, from nearly rigid to soft."""
FARTHEST, ALIKE = 15.0, 0.5
"""Places further apart than this (mm), or whose normals' cosine is less, aren't the same."""
REACH = (3.0, 8.0)
"""Distance (mm) from the other model's vertices up to which it is known there, and from which it isn't."""
HANGING = (30.0, 90.0)
"""The same for what eyes, teeth and tongue take over from the skin next to them."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """A face or a head as somebody else's file describes it, in the head model's axes, mm."""

    mean: Float[np.ndarray, "N 3"]
    shapes: Float[np.ndarray, "K N 3"]
    """What one standard deviation of each mode adds, mm."""
    faces: Int64[np.ndarray, "F 3"]
    """Triangles, outward."""
    landmarks: Float[np.ndarray, "51 3"]
    """Landmarks 18 to 68 of iBUG's on the mean face, mm."""
    colour_mean: Float[np.ndarray, "N 3"] | None = None
    """RGB in [0, 1]; None if the file has none."""
    colours: Float[np.ndarray, "C N 3"] | None = None
    """What one standard deviation of each mode adds."""

    @classmethod
    def read_basel(cls, path: Path, landmarks: Path) -> "LinearModel":
        """The Basel Face Model 2009 from `01_MorphableModel.mat`.

        Args:
            path: The file, as the University of Basel gives it out.
            landmarks: Text with the vertices, counted from 1, of the 68 landmarks: `Landmarks68_BFM.anl`.

        Raises `FileNotFoundError`, and `WeightsError` for what has another layout.
        """
        table = _matlab(path)
        mean = table["shapeMU"].reshape(-1, 3)
        count, faces = len(mean), table["tl"].astype(np.int64) - 1
        shapes, colours = (
            (table[f"{kind}PC"] * table[f"{kind}EV"].ravel()).T.reshape(-1, count, 3).astype(np.float32)
            for kind in ("shape", "tex")
        )
        chosen = _vertex_numbers(landmarks, count)
        return cls(
            mean=mean * BASEL_TO_MM * FLIP,
            shapes=shapes * np.float32(BASEL_TO_MM) * FLIP.astype(np.float32),
            faces=_outward(mean * FLIP, faces),
            landmarks=mean[chosen] * BASEL_TO_MM * FLIP,
            colour_mean=table["texMU"].reshape(-1, 3) / 255,
            colours=colours / np.float32(255),
        )

    @classmethod
    def read_flame(cls, path: Path) -> "LinearModel":
        """FLAME from an npz file, made of its pickle as docs/models/adapters.md shows.

        It has FLAME's arrays `v_template`, `shapedirs` (those of shape alone) and `f`, and `landmarks` in
        FLAME's frame. Raises `FileNotFoundError`, and `WeightsError` for what has another layout.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; docs/models/adapters.md says how to make it.")
        layout = {
            "v_template": ("f", "N 3"),
            "shapedirs": ("f", "N 3 K"),
            "f": ("iu", "F 3"),
            "landmarks": ("f", "51 3"),
        }
        table = read_arrays(path, layout)
        mean, faces = table["v_template"].astype(float) * FLAME_TO_MM * FLIP, table["f"].astype(np.int64)
        _check_numbers(path, "f", faces, len(mean))
        shapes = table["shapedirs"].transpose(2, 0, 1) * FLAME_TO_MM * FLIP
        return cls(
            mean=mean,
            shapes=shapes.astype(np.float32),
            faces=_outward(mean, faces),
            landmarks=table["landmarks"].astype(float) * FLAME_TO_MM * FLIP,
        )

    def moved(self, motion: Similarity) -> "LinearModel":
        """The same in another frame and size."""
        turn = (motion.scale * motion.rotation).astype(np.float32)
        return replace(
            self,
            mean=motion.apply(self.mean),
            shapes=self.shapes @ turn.T,
            landmarks=motion.apply(self.landmarks),
        )


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedModel:
    """The bundled head with another model's mean and modes."""

    arrays: dict[str, np.ndarray]
    """An asset as `HeadModel.load` reads it."""
    known: Float[np.ndarray, " V"]
    """1 where the other model says what a vertex does, 0 where the bundled one completes it."""
    scale: float
    """The other model's size over the bundled head's, which the adapted one keeps: depth networks know it."""
    error: float
    """Mean distance (mm) between the two means where both are known, along the normals."""


def adapt(source: LinearModel) -> AdaptedModel:
    """Carry another model over to the bundled head's vertices (seconds for files of Basel's size)."""
    arrays = read_arrays(resources.files("portrait3d") / "assets" / "head_model.npz", ARRAYS)
    head = HeadModel(arrays)
    mean, mirror = head.mean.numpy().astype(float), head.mirror.numpy()
    marks = head.landmarks(head.mean[None])[0, INNER].double().numpy()
    motion = Similarity.between(source.landmarks, marks)
    near = source.moved(motion)
    placed, apart = _register(head, near)
    carrier = _Carrier.of(head, placed, near)

    shapes = head.identity_basis.numpy().astype(float)
    shift = carrier.completed((placed - mean)[None], shapes, MODE_NOISE, hanging=True)
    mean = mean + (shift + shift[:, mirror] * [-1, 1, 1])[0] / 2
    modes = _without_motion(carrier.carried(near.shapes), mean, carrier.known)
    modes = carrier.completed(modes, shapes, MODE_NOISE, hanging=True)
    basis, parity = _principal(modes, modes[:, mirror] * [-1, 1, 1], carrier.known)
    arrays |= {"mean": mean.astype(np.float32), "identity_basis": basis, "identity_parity": parity}
    if near.colour_mean is not None and near.colours is not None:
        tones, old = head.albedo_basis.numpy().astype(float), head.albedo_mean.numpy()
        change = carrier.carried(near.colour_mean[None]) - old
        shift = carrier.completed(change, tones, COLOUR_NOISE, hanging=False)
        modes = carrier.completed(carrier.carried(near.colours), tones, COLOUR_NOISE, hanging=False)
        basis, parity = _principal(modes, modes[:, mirror], carrier.known)
        arrays |= {"albedo_mean": old + (shift + shift[:, mirror])[0] / 2, "albedo_basis": basis}
        arrays |= {"albedo_scale": np.ones(len(basis), np.float32), "albedo_parity": parity}
    return AdaptedModel(arrays, carrier.known, 1 / motion.scale, apart)


def _register(head: HeadModel, near: LinearModel) -> tuple[Float[np.ndarray, "V 3"], float]:
    # The bundled mean laid on the other one: first what the landmarks tell of its identity, then iterated
    # closest points with displacements that become less and less smooth (Amberg et al., CVPR 2007).
    mean, faces = head.mean.numpy().astype(float), head.skin_faces.numpy()
    basis = head.landmarks(head.identity_basis)[:, INNER].flatten(1).double().numpy()
    marks = head.landmarks(head.mean[None])[0, INNER].double().numpy()
    weight = _ridge(basis, (near.landmarks - marks).ravel()[None], LANDMARK_NOISE)
    placed = mean + np.tensordot(weight[0], head.identity_basis.double().numpy(), 1)

    skin, other = np.unique(faces), _largest_piece(near)
    tree, outward = cKDTree(near.mean[other]), normals(near.mean, near.faces)[other]
    distance = np.zeros(0)
    for stiffness in STIFFNESS:
        own = normals(placed, faces)[skin]
        gap, nearest = tree.query(placed[skin])
        normal = outward[nearest]
        alike = ((own * normal).sum(axis=1) > ALIKE) & (gap < FARTHEST)
        apart = ((near.mean[other][nearest] - placed[skin]) * normal).sum(axis=1)
        # Along the normal alone: a nearest point says nothing of where along the surface a place belongs.
        wanted, sure = np.zeros_like(mean), np.zeros(len(mean))
        wanted[skin], sure[skin] = apart[:, None] * normal, alike
        placed[skin] += diffuse(faces, wanted, sure, stiffness)[skin]
        distance = np.abs(apart[alike])
    return placed, float(distance.mean()) if len(distance) else np.inf


@dataclass(frozen=True, slots=True, eq=False)
class _Carrier:
    # Takes values from another model's vertices to the head's, and completes what that model lacks.
    head: HeadModel
    binding: Binding
    known: Float[np.ndarray, " V"]
    hanging: Binding
    skin: Int64[np.ndarray, " S"]

    @classmethod
    def of(cls, head: HeadModel, placed: Float[np.ndarray, "V 3"], near: LinearModel) -> "_Carrier":
        off = (head.part_of_vertex != 0).numpy()
        skin, mean = np.flatnonzero(~off), head.mean.numpy().astype(float)
        binding = bind(placed, near.mean, _largest_piece(near), REACH)
        known = binding.weight.sum(axis=1).astype(float) * ~off
        # What is known on one side alone would make the symmetric half of a mode end in the middle.
        known = np.minimum(known, known[head.mirror.numpy()])
        return cls(head, binding, known, bind(mean[off], mean, skin, HANGING), skin)

    def carried(self, values: Float[np.ndarray, "K N C"]) -> Float[np.ndarray, "K V C"]:
        # Values where they are known, 0 elsewhere.
        found = np.moveaxis(self.binding.apply(np.moveaxis(values, 0, -1)), -1, 0)
        share = self.binding.weight.sum(axis=1)[:, None]
        return np.where(self.known[:, None] > 0, found / np.maximum(share, 1e-6), 0.0)

    def completed(
        self,
        values: Float[np.ndarray, "K V C"],
        basis: Float[np.ndarray, "M V C"],
        noise: float,
        *,
        hanging: bool,
    ) -> Float[np.ndarray, "K V C"]:
        # Where values aren't known, what the bundled modes make of the known ones (heads go with faces), and
        # what these can't explain, continued smoothly. Eyes, teeth and tongue take the latter from the skin
        # next to them, or go without.
        known = np.repeat(self.known, values.shape[-1])
        flat = basis.reshape(len(basis), -1)
        weight = _ridge(flat * np.sqrt(known), values.reshape(len(values), -1) * np.sqrt(known), noise)
        explained = (weight @ flat).reshape(values.shape)
        rest = np.where(self.known[:, None] > 0, values - explained, 0.0)
        columns = rest.transpose(1, 0, 2).reshape(rest.shape[1], -1)
        spread = diffuse(self.head.skin_faces.numpy(), columns, self.known)
        off = np.setdiff1d(np.arange(len(spread)), self.skin)
        spread[off] = self.hanging.apply(spread) if hanging else 0.0
        return explained + spread.reshape(rest.shape[1], len(rest), -1).transpose(1, 0, 2)


def _ridge(
    basis: Float[np.ndarray, "M D"], values: Float[np.ndarray, "K D"], noise: float
) -> Float[np.ndarray, "K M"]:
    # Coefficients (standard normal a priori) that explain values.
    gram = basis @ basis.T / noise**2 + np.eye(len(basis))
    return np.linalg.solve(gram, basis @ values.T / noise**2).T


def _without_motion(
    modes: Float[np.ndarray, "K V 3"], points: Float[np.ndarray, "V 3"], known: Float[np.ndarray, " V"]
) -> Float[np.ndarray, "K V 3"]:
    # A mode must not move, turn or enlarge the face, or shape and pose could not be told apart.
    arm = points - (points * known[:, None]).sum(axis=0) / known.sum()
    turns = [np.cross(axis, arm) for axis in np.eye(3)]
    shifts = [np.broadcast_to(axis, arm.shape) for axis in np.eye(3)]
    motions = np.stack([*turns, *shifts, arm]).reshape(7, -1)
    root = np.repeat(np.sqrt(known), 3)
    found = np.linalg.lstsq((motions * root).T, (modes.reshape(len(modes), -1) * root).T)[0]
    return modes - (found.T @ motions).reshape(modes.shape)


def _principal(
    modes: Float[np.ndarray, "K V 3"], mirrored: Float[np.ndarray, "K V 3"], known: Float[np.ndarray, " V"]
) -> tuple[Float[np.ndarray, "80 V 3"], Int8[np.ndarray, "80"]]:
    # Principal components of people and their mirror images: those that are symmetric, and those that change
    # sign.
    halves, parity = [], []
    for sign in (1, -1):
        half = ((modes + sign * mirrored) / 2).reshape(len(modes), -1)
        # Their variances are those on the known part: elsewhere the bundled model speaks.
        known_half = half * np.repeat(np.sqrt(known), 3)
        _, turn = np.linalg.eigh(known_half @ known_half.T)
        halves.append(turn.T @ half)
        parity += [sign] * len(half)
    every = np.concatenate(halves)
    variance = (every**2 * np.repeat(known, 3)).sum(axis=1)
    count = LENGTHS["identity"]
    chosen = np.argsort(-variance)[:count]
    basis = np.zeros((count, every.shape[1]), np.float32)
    signs = np.ones(count, np.int8)
    basis[: len(chosen)], signs[: len(chosen)] = every[chosen], np.array(parity)[chosen]
    return basis.reshape(count, -1, 3), signs


def _largest_piece(model: LinearModel) -> Int64[np.ndarray, " M"]:
    # FLAME's eyeballs are pieces of their own, and lie right behind its lids.
    pieces = Topology(model.faces, len(model.mean)).pieces
    return np.flatnonzero(pieces == np.bincount(pieces).argmax())


def _outward(mean: Float[np.ndarray, "N 3"], faces: Int64[np.ndarray, "F 3"]) -> Int64[np.ndarray, "F 3"]:
    # The tip of the nose is what lies nearest to the viewer, who is at -z.
    tip = mean[:, 2].argmin()
    a, b, c = mean[faces[(faces == tip).any(axis=1)]].transpose(1, 0, 2)
    return faces if np.cross(b - a, c - a)[:, 2].sum() < 0 else faces[:, ::-1].copy()


def _matlab(path: Path) -> dict[str, np.ndarray]:
    # The arrays of Basel's file; scipy reads numbers alone from such files and runs nothing.
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; docs/models/adapters.md says where to ask for it.")
    try:
        table = loadmat(path, variable_names=BASEL)
    except Exception as error:  # scipy raises many kinds
        raise WeightsError(f"{path} is no Matlab file that can be read: {error}") from None
    for name in BASEL:
        array = table.get(name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or not array.size:
            raise WeightsError(f"{path}: {name} is missing or holds no numbers.")
        if not np.isfinite(array).all():
            raise WeightsError(f"{path}: {name} has values that aren't finite.")
    count = table["shapeMU"].size
    for kind in ("shape", "tex"):
        mean, modes, scale = (table[f"{kind}{part}"] for part in ("MU", "PC", "EV"))
        if count % 3 or mean.size != count or modes.shape != (count, scale.size):
            shapes = ", ".join(f"{kind}{part} {table[kind + part].shape}" for part in ("MU", "PC", "EV"))
            raise WeightsError(f"{path}: {shapes}, expected [3 N, 1], [3 N, K], [K, 1] with 3 N = {count}.")
    if table["tl"].ndim != 2 or table["tl"].shape[1] != 3:
        raise WeightsError(f"{path}: tl has the shape {table['tl'].shape}, expected [F, 3].")
    _check_numbers(path, "tl", table["tl"].astype(np.int64) - 1, count // 3)
    return {name: table[name] for name in BASEL}


def _vertex_numbers(path: Path, count: int) -> Int64[np.ndarray, "51"]:
    # Numbers from 1 on, one a line; the file begins with a comment in Matlab's style.
    try:
        numbers = np.loadtxt(path, dtype=np.int64, comments="%", ndmin=1) - 1
    except ValueError as error:
        raise WeightsError(f"{path} is no list of vertices: {error}") from None
    if numbers.shape != (68,):
        raise WeightsError(f"{path} holds {numbers.size} numbers, expected those of 68 vertices.")
    _check_numbers(path, "it", numbers, count)
    return numbers[INNER]


def _check_numbers(path: Path, name: str, numbers: Int64[np.ndarray, "..."], count: int) -> None:
    if not 0 <= numbers.min() <= numbers.max() < count:
        raise WeightsError(f"{path}: {name} has numbers beyond the {count} vertices.")
