"""Drawing a portrait that moves, frame by frame."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from portrait3d import arguments
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.threads import limit_this_thread
from portrait3d.reposing import Reposer, reduced

WORKERS = 2
"""Frames that are drawn at the same time."""


def draw_frames(
    model: Portrait3D,
    portrait: Portrait,
    poses: Sequence[HeadAngles],
    expressions: Float[np.ndarray, "T 64"] | None,
    size: int,
    workers: int = WORKERS,
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The photo in a sequence of absolute poses, at most `size` pixels wide and high; `workers` at once.

    `expressions`, a row for every pose, are added to the photo's own expression coefficients. Raises
    `TypeError` or `ValueError` for arguments of another kind or shape, before the first frame is drawn.
    """
    arguments.instance(model, Portrait3D, "model")
    arguments.instance(portrait, Portrait, "portrait")
    for index, pose in enumerate(arguments.instance(poses, Sequence, "poses")):
        arguments.instance(pose, HeadAngles, f"poses[{index}]").check(f"poses[{index}]")
    if expressions is not None:
        modes = len(model.head_model.expression_basis)
        arguments.numbers_of(expressions, "expressions", len(poses), modes)
    # A generator of its own: in this one the arguments would be checked with the first frame only.
    size = arguments.whole_number(size, "size", 2)
    return _drawn(model, portrait, poses, expressions, size, arguments.whole_number(workers, "workers", 1))


def _drawn(
    model: Portrait3D,
    portrait: Portrait,
    poses: Sequence[HeadAngles],
    expressions: Float[np.ndarray, "T 64"] | None,
    size: int,
    workers: int,
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames of `draw_frames`, a few at the same time."""
    small = reduced(portrait, size / max(portrait.photo.pixels.shape[:2]))
    reposer = Reposer(small, model.head_model)

    def draw(index: int) -> UInt8[np.ndarray, "H W 3"]:
        expression = None if expressions is None else expressions[index]
        return model.draw_pose(reposer, poses[index], expression)

    # A frame's layers are small: threads of torch's own would mostly wait for each other. As many for a frame
    # whatever the number of workers, or pictures would round otherwise.
    threads = max(1, torch.get_num_threads() // WORKERS)
    with ThreadPoolExecutor(workers, initializer=limit_this_thread, initargs=(threads,)) as pool:
        waiting = deque()
        try:
            for index in range(len(poses)):
                waiting.append(pool.submit(draw, index))
                # A few frames ahead of whoever takes them, and no more: memory must not grow with the film.
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for job in waiting:
                job.cancel()


def beside(
    left: Iterator[UInt8[np.ndarray, "H W 3"]], right: Iterator[UInt8[np.ndarray, "h w 3"]]
) -> Iterator[UInt8[np.ndarray, "H V 3"]]:
    """Two films side by side, the right one reduced to the left one's height."""
    for one, other in zip(left, right, strict=True):
        height = len(one)
        width = max(1, round(other.shape[1] * height / len(other)))
        resized = Image.fromarray(other).resize((width, height), Image.Resampling.LANCZOS)
        yield np.concatenate([one, np.asarray(resized)], axis=1)
