"""The frames of a film of one portrait, drawn in this process or shared out among several."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from portrait3d.cli.workers import in_turn

if TYPE_CHECKING:
    import numpy as np

    from portrait3d.pipeline import Portrait3D
    from portrait3d.portrait import HeadAngles, Portrait


class View(StrEnum):
    """What a turntable shows."""

    PHOTO = "photo"
    HEAD = "head"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class Film:
    """What is drawn of a portrait."""

    poses: "Sequence[HeadAngles]"
    expressions: "np.ndarray | None" = None
    """A row for every pose, or none."""
    view: View = View.PHOTO
    size: int
    """Pixels of the longest side."""

    def frames(
        self, model: "Portrait3D", portrait: "Portrait", chosen: range, workers: int
    ) -> "Iterator[np.ndarray]":
        """The chosen frames, `workers` at the same time."""
        from portrait3d.video.animation import beside, draw_frames
        from portrait3d.video.turntable import head_views

        poses = [self.poses[k] for k in chosen]
        expressions = None if self.expressions is None else self.expressions[list(chosen)]
        turned = draw_frames(model, portrait, poses, expressions, self.size, workers)
        round_ = head_views(portrait, len(self.poses), self.size, chosen)
        if self.view == View.BOTH:
            return beside(turned, round_)
        return round_ if self.view == View.HEAD else turned


def draw(
    model: "Portrait3D", portrait: "Portrait", film: Film, *, jobs: int, models: Path | None
) -> "Iterator[np.ndarray]":
    """All frames of a film, in order and the same for every number of processes.

    Of several, each draws every so many-th frame and waits until it has been taken: memory does not grow
    with the film. They get the portrait itself, and each as many of torch's threads as this process has, for
    another number would round otherwise. `models` is the directory that `model` was loaded from.
    """
    from portrait3d.video.animation import WORKERS

    if jobs == 1:
        return film.frames(model, portrait, range(len(film.poses)), WORKERS)
    return _drawn_in_processes(portrait, film, min(jobs, len(film.poses)), models)


def _drawn_in_processes(
    portrait: "Portrait", film: Film, jobs: int, models: Path | None
) -> "Iterator[np.ndarray]":
    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = portrait.save(Path(folder) / "portrait.npz")
        tasks = [(path, film, range(k, len(film.poses), jobs)) for k in range(jobs)]
        yield from in_turn(tasks, partial(_start, models, torch.get_num_threads()), _draw)


_model: "Portrait3D | None" = None
"""The pipeline of a process that draws."""


def _start(models: Path | None, threads: int) -> None:
    """Load the networks into this process."""
    global _model
    import torch

    from portrait3d.pipeline import Portrait3D

    torch.set_num_threads(threads)
    _model = Portrait3D.from_pretrained(models)


def _draw(portrait: Path, film: Film, chosen: range) -> "Iterator[np.ndarray]":
    from portrait3d.portrait import Portrait

    assert _model is not None
    return film.frames(_model, Portrait.load(portrait, _model.head_model), chosen, 1)
