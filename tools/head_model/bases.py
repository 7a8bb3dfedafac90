"""Mean, identity and expression bases: alignment, mirror-closed principal components, ARKit blendshapes."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from .anny_data import PARTS, HeadTemplate
from .identities import sample_weights

IDENTITY_MODES = 80
ARKIT = 52
EXTRA_EXPRESSIONS = 12
FLIP_X = np.array([-1, 1, 1], np.float32)
MILLIMETRES = np.array([100, -100, -100], np.float32)
"""From MakeHuman's frame (decimetres, y up, z toward the viewer) to ours (mm, y down, z away)."""


@dataclass(frozen=True, slots=True)
class Bases:
    """Linear head model in mm, in this project's frame; mirroring a mode gives the mode or its negative."""

    mean: np.ndarray
    """Float32 [V, 3], symmetric."""
    identity: np.ndarray
    """Float32 [80, V, 3], unit variance each, by falling variance."""
    identity_parity: np.ndarray
    """Int8 [80], +1 for a symmetric mode, -1 for one that changes sign in the mirror."""
    expression: np.ndarray
    """Float32 [64, V, 3]: 52 ARKit blendshapes at full strength, then 12 modes of older expression units."""
    expression_names: list[str]
    expression_mirror: np.ndarray
    """Int64 [64], the expression on the other side."""
    expression_parity: np.ndarray
    """Int8 [64], -1 where the mirrored expression also changes sign."""
    explained: float
    """Share of the (weighted) variance of the sampled identities that the modes hold."""


def build_bases(template: HeadTemplate, masks: dict[str, np.ndarray], count: int, seed: int) -> Bases:
    """Sample `count` identities and their mirror images, align them, and take principal components."""
    weights = sample_weights(template, count, np.random.default_rng(seed))
    used = np.flatnonzero(weights.any(0))
    targets = np.stack([template.dense(n).ravel() for n in np.array(list(template.targets))[used]])
    heads = weights[:, used] @ targets
    heads = (heads + template.vertices.astype(np.float32).ravel()).reshape(count, -1, 3)
    area = vertex_areas(heads[:200].mean(0), template)
    jaw = np.percentile(heads[:200].mean(0)[masks["face"] > 0.5, 1], 2)
    above = heads[:200].mean(0)[:, 1] > jaw
    mean = align(heads, area * (0.15 + masks["face"]) * above, template.mirror)
    skin = np.isin(np.arange(len(mean)), template.quads[template.quad_parts == 0])
    centre = mean[skin & above].mean(0) * [0, 1, 1]
    importance = area * (0.1 + masks["face"] + 0.15 * masks["ears"]) * np.where(above, 1, 0.15) + 1e-9
    identity, parity, explained = principal_modes(heads - mean, importance, template.mirror)
    expression, names = build_expressions(template, area * (0.02 + masks["face"]))
    right = template.vertices[:, 0] > 0.01
    identity = with_fixed_signs(identity, right)
    expression[ARKIT:] = with_fixed_signs(expression[ARKIT:], right)
    swap, sign = expression_symmetry(expression, names, template.mirror)
    return Bases(
        mean=((mean - centre) * MILLIMETRES).astype(np.float32),
        identity=identity * MILLIMETRES,
        identity_parity=parity,
        expression=expression * MILLIMETRES,
        expression_names=names,
        expression_mirror=swap,
        expression_parity=sign,
        explained=explained,
    )


def align(heads: np.ndarray, weights: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Align heads [N, V, 3] in place by similarities to their symmetric mean, which it returns."""
    mean = symmetric(heads[:200].mean(0), mirror)
    share = (weights / weights.sum()).astype(np.float32)
    for _ in range(3):
        target = mean - share @ mean
        for head in heads:
            head -= share @ head
            u, s, vt = np.linalg.svd((target * share[:, None]).T @ head)
            sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))], np.float32)
            scale = (s * sign).sum() / (share @ (head**2).sum(1))
            head[:] = scale * head @ (u * sign @ vt).T + share @ mean
        mean = symmetric(heads.mean(0), mirror)
    return mean


def symmetric(vertices: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Mean of a shape and its mirror image, [..., V, 3]."""
    return (vertices + vertices[..., mirror, :] * FLIP_X) / 2


def principal_modes(
    offsets: np.ndarray, importance: np.ndarray, mirror: np.ndarray, flip: np.ndarray = FLIP_X
) -> tuple[np.ndarray, np.ndarray, float]:
    """Unit-variance modes [80, V, 3] of the samples and their mirror images, parities [80], explained share.

    With the mirror images added, the covariance falls apart into symmetric and antisymmetric shapes. `flip`
    is what the mirror does to a vertex's three values.
    """
    root = np.sqrt(importance / importance.sum()).astype(np.float32)
    modes, variances, parities, total = [], [], [], 0.0
    for parity in (1, -1):
        half = (offsets + parity * offsets[:, mirror] * flip) / 2
        flat = (half * root[:, None]).reshape(len(half), -1)
        gram = (flat @ flat.T).astype(np.float64) / len(half)
        total += np.trace(gram)
        last = len(gram) - 1
        variance, vectors = scipy.linalg.eigh(gram, subset_by_index=(last - IDENTITY_MODES + 1, last))
        modes.append(np.tensordot(vectors.T.astype(np.float32), half, 1) / np.sqrt(len(half)))
        variances.append(variance)
        parities.append(np.full(IDENTITY_MODES, parity, np.int8))
    variance = np.concatenate(variances)
    order = np.argsort(-variance)[:IDENTITY_MODES]
    chosen = np.concatenate(modes)[order].astype(np.float32)
    return chosen, np.concatenate(parities)[order], float(variance[order].sum() / total)


def with_fixed_signs(modes: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Modes [K, V, 3] whose largest displacement on one side (the other may tie with it) is positive."""
    flat = modes[:, right].reshape(len(modes), -1)
    return modes * np.sign(flat[np.arange(len(flat)), np.abs(flat).argmax(1)])[:, None, None]


def build_expressions(template: HeadTemplate, importance: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """ARKit blendshapes, made exactly symmetric, then what MakeHuman's older units add, in decimetres."""
    names = [name for name in template.targets if name.startswith("arkit/")]
    arkit = np.stack([template.dense(name) for name in names])
    names = [name.removeprefix("arkit/") for name in names]
    arkit = (arkit + (arkit[[names.index(other_side(n)) for n in names]])[:, template.mirror] * FLIP_X) / 2
    units = sorted({n.split("/")[-1] for n in template.targets if n.startswith("expression/units/")})
    folders = [f"expression/units/{ancestry}" for ancestry in ("african", "asian", "caucasian")]
    older = np.stack([np.mean([template.dense(f"{folder}/{u}") for folder in folders], 0) for u in units])
    older = np.concatenate([symmetric(older, template.mirror), older - symmetric(older, template.mirror)])
    root = np.sqrt(importance)[:, None]
    known, wanted = (arkit * root).reshape(len(arkit), -1), (older * root).reshape(len(older), -1)
    combination = np.linalg.lstsq(known.T, wanted.T, rcond=1e-3)[0].T
    u, _, _ = np.linalg.svd(wanted - combination @ known, full_matrices=False)
    rest = older - np.tensordot(combination, arkit, 1)
    extra = np.tensordot(u[:, :EXTRA_EXPRESSIONS].T, rest, 1)
    # Symmetric and antisymmetric rests are orthogonal, so every mode is one or the other up to rounding.
    even = symmetric(extra, template.mirror)
    odd = extra - even
    extra = np.where(((even**2).sum((1, 2)) > (odd**2).sum((1, 2)))[:, None, None], even, odd)
    names += [f"unit{i}" for i in range(len(extra))]
    return np.concatenate([arkit, extra]).astype(np.float32), names


def other_side(name: str) -> str:
    """The name of an expression on the other side of the face."""
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else name


def expression_symmetry(
    expression: np.ndarray, names: list[str], mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each expression the one on the other side, int64 [K], and the sign it takes there, int8 [K]."""
    swap = np.array([names.index(other_side(name)) for name in names])
    mirrored = expression[:, mirror] * FLIP_X
    sign = np.sign((mirrored * expression[swap]).sum((1, 2))).astype(np.int8)
    return swap, sign


def vertex_areas(vertices: np.ndarray, template: HeadTemplate) -> np.ndarray:
    """Skin area around each vertex, float [V]; 0 off the skin."""
    quads = template.quads[template.quad_parts == list(PARTS).index("skin")]
    area = np.zeros(len(vertices))
    for corners in ((0, 1, 2), (0, 2, 3)):
        a, b, c = (vertices[quads[:, k]] for k in corners)
        third = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
        for k in corners:
            area += np.bincount(quads[:, k], third, minlength=len(vertices))
    return (area + area[template.mirror]) / 2
