"""How time grows with photos, faces, pixels, poses and processes, as numbers and as a drawing."""

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from portrait3d.evaluation.benchmark import YAWS, clocked
from portrait3d.pipeline import Portrait3D

AMOUNTS = (1, 2, 4)
"""Photos, faces and poses."""
SIDES = (512, 1024, 2048)
"""Longer sides of one photo, pixels."""
CELL = 512
"""Side that each face's part of a group photo has, pixels."""
PHOTOS_EACH = 4
"""Photos for each process."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What so many of something take."""

    of: str
    amount: float
    seconds: float
    """Median."""


def measure_growth(
    photo: UInt8[np.ndarray, "H W 3"], models: Path | None = None, runs: int = 5, most_processes: int = 0
) -> tuple[Growth, ...]:
    """Times for growing amounts of everything, of one photo of one person; the rounds take turns.

    `most_processes` is 0 for as many as there are processors.
    """
    model = Portrait3D.from_pretrained(models)
    tasks = growing_tasks(model, photo)
    rounds = [{key: clocked(task) for key, task in tasks.items()} for _ in range(runs + 1)]
    # The first round warms up.
    grown = [
        Growth(of, amount, statistics.median(each[of, amount] for each in rounds[1:])) for of, amount in tasks
    ]
    counts = range(1, (most_processes or os.cpu_count() or 1) + 1)
    shared = [Growth("processes", count, seconds_in_processes(photo, models, count)) for count in counts]
    return (*grown, *shared)


def growing_tasks(
    model: Portrait3D, photo: UInt8[np.ndarray, "H W 3"]
) -> dict[tuple[str, float], Callable[[], Any]]:
    """What is timed, by name and amount."""
    portrait = model.reconstruct(photo)
    group = {count: group_photo(photo, count) for count in AMOUNTS}
    sizes = {side: resized(photo, side) for side in SIDES}

    def reconstruct(count: int) -> None:
        for _ in range(count):
            _ = model.reconstruct(photo).head

    def turn(count: int) -> None:
        for yaw in YAWS[:count]:
            model.repose(portrait, yaw=yaw)

    tasks: dict[tuple[str, float], Callable[[], Any]] = {}
    for count in AMOUNTS:
        tasks["photos", count] = lambda count=count: reconstruct(count)
        tasks["faces in a photo", count] = lambda count=count: model.reconstruct_all(group[count])
        tasks["further poses", count] = lambda count=count: turn(count)
    for picture in sizes.values():
        megapixels = picture.shape[0] * picture.shape[1] / 1e6
        tasks["megapixels", megapixels] = lambda picture=picture: model.reconstruct(picture).head
    return dict(sorted(tasks.items()))


def group_photo(photo: UInt8[np.ndarray, "H W 3"], count: int) -> UInt8[np.ndarray, "S S 3"]:
    """A grey square with a photo in some of its four corners: as many faces on as many pixels."""
    picture = np.full((2 * CELL, 2 * CELL, 3), 128, np.uint8)
    small = resized(photo, CELL)
    for k in range(count):
        top, left = CELL * (k // 2), CELL * (k % 2)
        picture[top : top + len(small), left : left + small.shape[1]] = small
    return picture


def resized(photo: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "h w 3"]:
    """A photo with a longer side of so many pixels."""
    scale = side / max(photo.shape[:2])
    height, width = (round(length * scale) for length in photo.shape[:2])
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS))


_model: Portrait3D | None = None
"""The pipeline of a process that is timed."""


def seconds_in_processes(photo: UInt8[np.ndarray, "H W 3"], models: Path | None, count: int) -> float:
    """Seconds a photo when so many processes work at the same time, after their networks are loaded."""
    threads = max(1, (os.cpu_count() or 1) // count)
    with get_context("spawn").Pool(count, _start, (models, threads)) as pool:
        pool.map(_reconstruct, [photo] * count, chunksize=1)
        started = time.perf_counter()
        pool.map(_reconstruct, [photo] * (PHOTOS_EACH * count), chunksize=1)
        return (time.perf_counter() - started) / (PHOTOS_EACH * count)


def _start(models: Path | None, threads: int) -> None:
    global _model
    torch.set_num_threads(threads)
    _model = Portrait3D.from_pretrained(models)


def _reconstruct(photo: UInt8[np.ndarray, "H W 3"]) -> int:
    assert _model is not None
    return len(_model.reconstruct(photo).head.vertices)


def exponent(rows: Sequence[Growth]) -> float:
    """The power of the amount that time grows with: the slope of a line through the logarithms; 1 is linear.

    NaN for less than two amounts.
    """
    if len(rows) < 2:
        return math.nan
    x, y = np.log([[row.amount, row.seconds] for row in rows]).T
    return float(np.polyfit(x, y, 1)[0])


def by_kind(rows: Sequence[Growth]) -> dict[str, list[Growth]]:
    """The rows of everything that grows, by its name."""
    kinds = dict.fromkeys(row.of for row in rows)
    return {kind: [row for row in rows if row.of == kind] for kind in kinds}


PANEL, GAP, INK, LINE = 190, 36, "#28282c", "#3b6ea5"
"""Side of a panel of the drawing and room about it, pixels; colours."""


def drawing(rows: Sequence[Growth]) -> str:
    """SVG: a panel for everything that grows, both axes from 0; the dashed line is the first amount's rate.

    Of processes, photos a second.
    """
    panels = [_panel(kind, some, k) for k, (kind, some) in enumerate(by_kind(rows).items())]
    width, height = len(panels) * (PANEL + GAP) + GAP, PANEL + 2 * GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="11" fill="{INK}">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(panels)}</svg>\n'
    )


def _panel(kind: str, rows: Sequence[Growth], number: int) -> str:
    if kind == "processes":
        title, rows = "photos a second / processes", [replace(row, seconds=1 / row.seconds) for row in rows]
    else:
        title = f"seconds / {kind}"
    first = rows[0].seconds / rows[0].amount
    right = max(row.amount for row in rows)
    top = max([first * right, *(row.seconds for row in rows)])
    left, bottom = GAP + number * (PANEL + GAP), GAP + PANEL

    def at(amount: float, value: float) -> str:
        return f"{left + PANEL * amount / right:.1f},{bottom - PANEL * value / top:.1f}"

    points = [at(row.amount, row.seconds) for row in rows]
    dots = "".join(
        '<circle cx="{}" cy="{}" r="3" fill="{}"/>'.format(*point.split(","), LINE) for point in points
    )
    return (
        f'<text x="{left}" y="{GAP - 12}">{escape(title)}</text>'
        f'<path d="M{left},{GAP} V{bottom} H{left + PANEL}" fill="none" stroke="{INK}"/>'
        f'<path d="M{at(0, 0)} L{at(right, first * right)}" stroke="#999" stroke-dasharray="4 3"/>'
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{LINE}" stroke-width="2"/>{dots}'
        f'<text x="{left + PANEL}" y="{bottom + 14}" text-anchor="end">{right:g}</text>'
        f'<text x="{left - 4}" y="{GAP + 8}" text-anchor="end">{top:.2g}</text>'
    )
