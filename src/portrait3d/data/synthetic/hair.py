"""Hair as sheets of strands that run over the skull and hang from it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from portrait3d.data.synthetic.drawn_hair import Hair
from portrait3d.data.synthetic.hair_mesh import HairMesh, as_mesh, merge
from portrait3d.data.synthetic.knots import buns, tail
from portrait3d.data.synthetic.scalp import CENTRE, COLUMNS, ROWS, WIDEST, ScalpMap, sample
from portrait3d.data.synthetic.torso import AXIS, Torso
from portrait3d.geometry.pixels import smoothstep

ON_SKULL, HANGING = 32, 24
"""Points of a strand on the skull and below it."""
LONGEST_GAP = 16.0
"""Strands further apart than this (mm) are no sheet: a parting, or the opening for the face."""
BROW = -40.0
"""y of the brows on the mean head, mm."""
LEAVE = -28.0
"""y at which hanging hair leaves the mean skull, mm."""


def grow(
    hair: Hair, scalp: ScalpMap, vertices: Float[np.ndarray, "V 3"], torso: Torso, shares: Sequence[float]
) -> list[HairMesh]:
    """Sheets at shares of the hair's thickness (1 is the outside), closed where hanging hair opens for the
    face; none for the bald."""
    if hair.style.bald:
        return []
    rng = np.random.default_rng(hair.seed)
    skin = scalp.points(vertices)
    normals = grid_normals(skin)
    thickness = thickness_map(hair, scalp, rng)
    start, azimuth, polar, falling = strand_paths(hair, scalp)
    maps = np.concatenate([skin, normals, thickness[..., None], scalp.inside[..., None]], axis=-1)
    skin_points, outward, depth, inside = np.split(sample(maps, azimuth, polar), [3, 6, 7], axis=-1)
    if hair.style.fringe is not None:
        depth = np.where((inside < 5) & ~falling[:, None, None], np.maximum(depth, 5.0), depth)
    sheets, layers = [], []
    for share in shares:
        again = np.random.default_rng(hair.seed + 1)
        points = skin_points + outward * (share * depth)
        if falling.any():
            points = np.concatenate([points, hang(hair, points, falling, torso, again)], axis=1)
        points = points + waves(hair, points, falling, again)
        layers.append(points)
        sheets.append(as_mesh(points, start, LONGEST_GAP if falling.any() else np.inf))
    if hair.style.bun:
        sheets[0] = merge([sheets[0], *buns(hair, skin, normals)])
    if hair.style.tail:
        sheets[0] = merge([sheets[0], tail(hair, skin, normals, rng)])
    sheets = [
        replace(sheet, depth=np.full(len(sheet.vertices), 1 - share))
        for sheet, share in zip(sheets, shares, strict=True)
    ]
    return sheets + rims(np.stack(layers), start, falling, shares)


def rims(
    layers: Float[np.ndarray, "S N K 3"], root: np.ndarray, falling: np.ndarray, shares: Sequence[float]
) -> list[HairMesh]:
    """Walls between the sheets along hanging strands that the next one is far from: hair is a volume, and
    between its front edge and the cheek nothing behind the head shows."""
    apart = np.linalg.norm(layers[0] - np.roll(layers[0], -1, axis=0), axis=-1).max(axis=1) > LONGEST_GAP
    ends = np.flatnonzero((apart | np.roll(apart, 1)) & falling)
    walls = [as_mesh(layers[:, k], root[k] + np.arange(len(shares)) / 30) for k in ends]
    inner = np.repeat(1 - np.asarray(shares), layers.shape[2])
    return [replace(wall, depth=inner) for wall in walls]


def thickness_map(hair: Hair, scalp: ScalpMap, rng: np.random.Generator) -> Float[np.ndarray, "COLUMNS ROWS"]:
    """Thickness of the hair over the scalp map, mm."""
    azimuth = np.arange(COLUMNS)[:, None] / COLUMNS * 2 * np.pi
    polar = np.linspace(0, WIDEST, ROWS)[None]
    down = np.clip(polar / np.radians(80), 0, 1)
    front, back = np.clip(np.cos(azimuth), 0, 1), np.clip(-np.cos(azimuth), 0, 1)
    around = hair.get("front") * front**1.5 + hair.get("back") * back**1.5
    around = around + hair.get("side") * (1 - front**1.5 - back**1.5)
    thickness = hair.get("top") * (1 - down) + around * down
    ridge = (
        np.exp(-(((polar - np.radians(52)) / 0.3) ** 2)) * np.exp(-((np.sin(azimuth) / 0.55) ** 2)) * front
    )
    thickness = thickness + hair.get("lift") * ridge
    clumps = periodic_noise(rng, (7, 4)) + 0.5 * periodic_noise(rng, (25, 6))
    clumps = clumps * np.clip(polar / np.radians(25), 0, 1)  # all strands meet at the crown
    thickness = thickness * np.clip(1 + hair.get("clumps") * clumps, 0.4, 1.8)
    edge = smoothstep(hair.inside(scalp) / hair.get("taper", 1.0))
    if "hang" in hair.values:
        edge = np.maximum(edge, (scalp.height > -70) * 1.0)
    return hair.get("edge") + np.maximum(thickness - hair.get("edge"), 0) * edge


def strand_paths(hair: Hair, scalp: ScalpMap) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth at the root [N], azimuths and polar angles on the skull [N, K], and which strands hang [N]."""
    count = COLUMNS
    root = (np.arange(count) + 0.5) / count * 2 * np.pi - np.pi
    share = np.linspace(0, 1, ON_SKULL)[None]
    fringe = np.radians(hair.get("fringe_width")) if "fringe" in hair.values else 0.0
    is_fringe = np.abs(root) < fringe
    hanging = "hang" in hair.values
    azimuth = np.repeat(root[:, None], ON_SKULL, axis=1)
    if hanging:
        part = np.radians(hair.get("part"))
        swing = np.interp(share, [0, 0.35, 0.6, 0.85, 1], [0, 0.03, 0.25, 0.75, 1])
        opening = np.radians(hair.get("opening"))
        right = np.maximum(part, fringe) * (1 - swing) + opening * swing
        left = np.minimum(part, -fringe) * (1 - swing) - opening * swing
        on_right = (root > part)[:, None]
        first = np.where(on_right, max(part, fringe), min(part, -fringe))
        # How far a strand lies from the parting (0) to the back (1): roots keep their order as the parting
        # opens.
        far = (root[:, None] - first) / (np.where(on_right, np.pi, -np.pi) - first)
        moved = np.where(on_right, right + (np.pi - right) * far, left + (-np.pi - left) * far)
        azimuth = np.where(is_fringe[:, None], azimuth, moved)
    ends = {
        "hairline": smooth_around(first_crossing(hair.inside(scalp) + 1.0), hair.get("side") / 6),
        "fringe": first_crossing(BROW - hair.get("fringe") - scalp.height),
        "leave": first_crossing(LEAVE - scalp.height),
    }
    start = np.full(count, np.radians(hair.get("crown")))
    end = np.where(
        is_fringe[:, None],
        sample_column(ends["fringe"], azimuth),
        sample_column(ends["leave" if hanging else "hairline"], azimuth),
    )
    polar = start[:, None] + (end - start[:, None]).clip(1e-3) * share
    return root, azimuth, polar, ~is_fringe & hanging


def first_crossing(inside: Float[np.ndarray, "COLUMNS ROWS"]) -> Float[np.ndarray, " COLUMNS"]:
    """The polar angle at which each column leaves the region for good on its way down."""
    start = inside.shape[1] // 4
    out = inside[:, start:] < 0
    row = start + np.where(out.any(1), out.argmax(1), out.shape[1] - 1)
    here, before = inside[np.arange(COLUMNS), row], inside[np.arange(COLUMNS), row - 1]
    share = np.clip(before / np.maximum(before - here, 1e-6), 0, 1)
    return (row - 1 + share) / (ROWS - 1) * WIDEST


def smooth_around(values: Float[np.ndarray, " COLUMNS"], sigma: float) -> Float[np.ndarray, " COLUMNS"]:
    """A value per azimuth, blurred by `sigma` columns: thick hair has no sharp corners at the ears."""
    return ndimage.gaussian_filter1d(values, max(sigma, 0.5), mode="wrap")


def sample_column(values: Float[np.ndarray, " COLUMNS"], azimuth: np.ndarray) -> np.ndarray:
    """Linear interpolation of a value per azimuth, periodic."""
    x = azimuth / (2 * np.pi) * COLUMNS
    left = np.floor(x).astype(int)
    return values[left % COLUMNS] * (1 - x + left) + values[(left + 1) % COLUMNS] * (x - left)


def hang(
    hair: Hair, points: np.ndarray, falling: np.ndarray, torso: Torso, rng: np.random.Generator
) -> Float[np.ndarray, "N HANGING 3"]:
    """The strands' way down from the skull; those that do not hang stay at their last point."""
    last = points[:, -1]
    offset = last[:, [0, 2]] - CENTRE[[0, 2]]
    radius, angle = np.hypot(*offset.T), np.arctan2(offset[:, 0], -offset[:, 1])
    count = len(points)
    ragged = 1 + 0.04 * np.interp(np.arange(count) / count * 32, np.arange(33), rng.standard_normal(33))
    length = np.maximum((hair.get("hang") - last[:, 1]) * ragged, 5) * falling
    share = np.linspace(0, 1, HANGING + 1)[1:]
    y = last[:, 1, None] + length[:, None] * share
    low = smoothstep((y - 60) / 90)
    # Below the chin hair falls before or behind the shoulders.
    before = np.abs(angle) < np.radians(96)
    target = np.sign(angle) * np.where(
        before, np.abs(angle) - np.radians(14), np.maximum(np.abs(angle), np.radians(124))
    )
    angle = angle[:, None] + (target - angle)[:, None] * low
    r = radius[:, None] + hair.get("flare") * np.clip((y - LEAVE) / 120, 0, 1) ** 1.3
    r = r - 0.12 * np.clip(-np.cos(angle), 0, 1) * np.clip(y - 20, 0, 90)
    hanging = np.stack([CENTRE[0] + r * np.sin(angle), y, CENTRE[2] - r * np.cos(angle)], axis=-1)
    # Hair lies on shoulders and chest, before or behind them.
    reach = torso.reach(hanging[..., 0], y + 8) + 6 * (y > 90)
    surface = AXIS[1] + np.where(before[:, None], -reach, reach)
    ahead, behind = np.minimum(hanging[..., 2], surface), np.maximum(hanging[..., 2], surface)
    hanging[..., 2] = np.where(reach > 6, np.where(before[:, None], ahead, behind), hanging[..., 2])
    return np.where(falling[:, None, None], hanging, last[:, None])


def waves(hair: Hair, points: np.ndarray, falling: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Waves that grow along hanging strands, curls everywhere."""
    count, length = points.shape[:2]
    column, row = np.arange(count)[:, None], np.arange(length)[None]
    moved = np.zeros_like(points)
    if hair.get("wave"):
        along = np.clip((row - 0.6 * ON_SKULL) / ON_SKULL, 0, 1) * falling[:, None]
        phase = np.interp(
            np.arange(count) / count * 24 % 24, np.arange(25), np.cumsum(rng.normal(0, 0.7, 25))
        )
        angle = row * rng.uniform(0.42, 0.6) + phase[:, None]
        outward = points - np.array([0, 1, 0]) * points - CENTRE * [1, 0, 1]
        outward = outward / np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-6)
        moved += outward * (hair.get("wave") * along * np.sin(angle))[..., None]
        aside = np.stack([-outward[..., 2], 0 * along, outward[..., 0]], axis=-1)
        moved += aside * (0.8 * hair.get("wave") * along * np.cos(angle))[..., None]
    if hair.get("curl"):
        for axis in range(3):
            bumps = rng.uniform(0.25, 0.5) * column + rng.uniform(0.6, 1.0) * row
            bumps = np.sin(bumps + rng.uniform(0, 6)) + np.sin(0.37 * column - 0.8 * row + rng.uniform(0, 6))
            moved[..., axis] += 0.5 * hair.get("curl") * bumps * np.clip(row / 8, 0, 1)
    return moved


def grid_normals(points: Float[np.ndarray, "COLUMNS ROWS 3"]) -> Float[np.ndarray, "COLUMNS ROWS 3"]:
    """Smooth unit normals of the scalp map's surface, outward."""
    # Columns are periodic, rows are not.
    around = np.roll(points, -2, axis=0) - np.roll(points, 2, axis=0)
    down = np.gradient(points, axis=1)
    normal = np.cross(down, around)
    normal[:, :3] = normal[:, 3].mean(axis=0)
    for _ in range(3):
        normal = normal + np.roll(normal, 1, axis=0) + np.roll(normal, -1, axis=0)
        padded = np.pad(normal, ((0, 0), (1, 1), (0, 0)), mode="edge")
        normal = normal + padded[:, 2:] + padded[:, :-2]
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return normal


def periodic_noise(rng: np.random.Generator, cells: tuple[int, int]) -> Float[np.ndarray, "COLUMNS ROWS"]:
    """Smooth noise over the scalp map with unit deviation: `cells` bumps around and down."""
    coarse = rng.standard_normal((cells[0], cells[1] + 1))
    x, y = np.arange(COLUMNS) / COLUMNS * cells[0], np.linspace(0, cells[1] - 1e-6, ROWS)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (3 * f * f - 2 * f**3 for f in (x - left, y - top))
    right = (left + 1) % cells[0]
    rows = coarse[left % cells[0]] * (1 - fx)[:, None] + coarse[right] * fx[:, None]
    return (rows[:, top] * (1 - fy) + rows[:, top + 1] * fy) * 1.6
