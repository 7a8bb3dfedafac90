"""How long every stage of the pipeline takes on this machine, and how much memory."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import nn

from portrait3d.memory import peak_memory
from portrait3d.models.head_parsing import parse_head
from portrait3d.pipeline import NETWORKS, Portrait3D
from portrait3d.preprocessing.alignment import crop_from_detection
from portrait3d.preprocessing.image import Photo, decode_photo

YAWS = (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)
"""Poses that turning is measured with, degrees."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage took."""

    stage: str
    median: float
    """Seconds."""
    fastest: float
    """Seconds."""
    runs: int


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Times of every stage, after loading, and what starting costs."""

    width: int
    height: int
    """The photo's size, in pixels."""
    threads: int
    """Threads that torch uses."""
    stages: tuple[StageTime, ...]
    import_seconds: float
    """`import portrait3d` in a new process."""
    start_seconds: float
    """Importing everything and loading all weights in a new process."""
    peak_megabytes: float | None
    """Largest resident memory of this process so far; None where the system doesn't tell."""


def run_benchmark(photo: UInt8[np.ndarray, "H W 3"], models: Path | None = None, runs: int = 7) -> Benchmark:
    """Measure every stage on one photo of one person, after a run that warms up.

    `models` is a directory with weights of one's own; by default the bundled ones are used.
    """
    if runs < 1:
        raise ValueError(f"A benchmark needs runs >= 1, got {runs}.")
    model = Portrait3D.from_pretrained(models)
    place = "" if models is None else repr(str(models))
    start = f"import portrait3d; portrait3d.Portrait3D.from_pretrained({place})"
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "photo.jpg"
        Image.fromarray(photo).save(path, quality=92)
        stages = tuple(
            measure(name, stage, runs) for name, stage in pipeline_stages(model, path, photo).items()
        )
        stages += measure_networks(model, path, runs)
    peak = peak_memory()
    return Benchmark(
        width=photo.shape[1],
        height=photo.shape[0],
        threads=torch.get_num_threads(),
        stages=stages,
        import_seconds=seconds_of_new_process("import portrait3d"),
        start_seconds=seconds_of_new_process(start),
        peak_megabytes=None if peak is None else peak / 1e6,
    )


def pipeline_stages(
    model: Portrait3D, path: Path, pixels: UInt8[np.ndarray, "H W 3"]
) -> dict[str, Callable[[], Any]]:
    """What is measured, by name, in the pipeline's order; the last three are what a user waits for."""
    photo = Photo(pixels, path.name)
    detection = model.detector.detect(pixels, photo.name)[0]
    fit = model.fit_face(photo, detection)
    head_crop = fit.crop.head_crop()
    parsing = parse_head(model.parsing_net, pixels, head_crop)
    portrait = model.reconstruct(path)
    # Another pose in every run: nothing may be remembered from the last one.
    turns = iter(YAWS * 1000)
    return {
        "decode": lambda: decode_photo(path),
        "detect": lambda: model.detector.detect(pixels, photo.name),
        "align": lambda: crop_from_detection(detection).extract(pixels),
        "face, two passes": lambda: model.fit_face(photo, detection),
        "parse": lambda: parse_head(model.parsing_net, pixels, head_crop),
        "depth": lambda: model.lift_head(photo, fit, head_crop, parsing),
        "reconstruct, all of the above": lambda: model.reconstruct(path),
        "head": portrait.build_head,
        "repose, a new portrait": lambda: model.repose(replace(portrait), yaw=next(turns)),
        "repose, another pose": lambda: model.repose(portrait, yaw=next(turns)),
    }


def measure_networks(model: Portrait3D, path: Path, runs: int) -> tuple[StageTime, ...]:
    """Time of every network's forward pass for one crop, taken while photos are reconstructed and turned."""
    seconds: dict[str, list[float]] = {name: [] for name in NETWORKS}
    started: dict[str, float] = {}

    def begin(name: str) -> None:
        started[name] = time.perf_counter()

    def end(name: str, crops: int) -> None:
        seconds[name].append((time.perf_counter() - started[name]) / crops)

    hooks = []
    for name in NETWORKS:
        net: nn.Module = getattr(model, f"{name}_net")
        hooks.append(net.register_forward_pre_hook(lambda *_, name=name: begin(name)))
        hooks.append(net.register_forward_hook(lambda _, inputs, __, name=name: end(name, len(inputs[0]))))
    try:
        for run in range(runs + 1):
            model.repose(model.reconstruct(path), yaw=YAWS[run % len(YAWS)])
            # The first run warms up: it compiles loops and loads what is loaded on first use.
            if run == 0:
                for times in seconds.values():
                    times.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(
        StageTime(f"{name} network alone, one crop", statistics.median(times), min(times), len(times))
        for name, times in seconds.items()
    )


def measure(name: str, stage: Callable[[], Any], runs: int) -> StageTime:
    """Run a stage once to warm up, then `runs` times against the clock."""
    seconds = []
    with torch.inference_mode():
        for _ in range(runs + 1):
            started = time.perf_counter()
            stage()
            seconds.append(time.perf_counter() - started)
    return StageTime(name, statistics.median(seconds[1:]), min(seconds[1:]), runs)


def seconds_of_new_process(statement: str) -> float:
    """Time of a statement in a new interpreter, without the interpreter's own start; median of 3."""
    code = f"import time; t = time.perf_counter()\n{statement}\nprint(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    return statistics.median(times)
