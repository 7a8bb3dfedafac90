"""How long every stage of the pipeline takes on this machine, and how much memory.

Machines differ by more than a factor of two, so times are also given in units of N: the time that the
networks' own passes take in one `reconstruct`, whatever it runs of them. On a photo of one face that is
CenterFace once, the face network on three crops (one pass places the crop anew, then crop and mirror image
together), every parsing network once, side by side (again in another framing where hair leaves the crop or
the face is small), and the depth network once.
"""

import copy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import nn

from portrait3d.evaluation.profiling import FunctionTime, profiled
from portrait3d.memory import peak_memory
from portrait3d.models.glasses import find_glasses
from portrait3d.models.head_parsing import parse_head
from portrait3d.pipeline import NETWORKS, Portrait3D
from portrait3d.preprocessing.alignment import crop_from_detection
from portrait3d.preprocessing.detection import FaceDetector
from portrait3d.preprocessing.image import Photo, decode_photo

YAWS = (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)
"""Poses that turning is measured with, degrees."""
TOGETHER = "N: passes of all networks but refinement"


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage took."""

    stage: str
    median: float
    """Seconds."""
    fastest: float
    """Seconds."""
    runs: int

    @classmethod
    def of(cls, stage: str, seconds: list[float]) -> "StageTime":
        """Of the times of some runs."""
        return cls(stage, statistics.median(seconds), min(seconds), len(seconds))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Times of every stage, after loading, and what starting costs."""

    width: int
    height: int
    """The photo's size, in pixels."""
    threads: int
    """Threads that torch uses."""
    stages: tuple[StageTime, ...]
    passes: float
    """N, seconds: median of the networks' own passes in one `reconstruct`, refinement not among them."""
    import_seconds: float
    """`import portrait3d` in a new process."""
    start_seconds: float
    """Importing everything and loading all weights in a new process."""
    peak_megabytes: float | None
    """Largest resident memory of this process so far; None where the system doesn't tell."""
    profile: tuple[FunctionTime, ...] = ()
    """Where the stages' time goes, if that was asked for."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One call of a network."""

    network: str
    crops: int
    seconds: float


def run_benchmark(
    photo: UInt8[np.ndarray, "H W 3"], models: Path | None = None, runs: int = 7, *, profile: bool = False
) -> Benchmark:
    """Measure every stage on one photo of one person, after a run that warms up.

    The stages take turns, so that whatever else the machine does meanwhile slows all of them.

    Args:
        photo: RGB.
        models: A directory with weights of one's own; by default the bundled ones are used.
        runs: Of every stage.
        profile: Whether the stages are run once more under a profiler, on one thread.
    """
    if runs < 1:
        raise ValueError(f"A benchmark needs runs >= 1, got {runs}.")
    model = Portrait3D.from_pretrained(models)
    place = "" if models is None else repr(str(models))
    start = f"import portrait3d; portrait3d.Portrait3D.from_pretrained({place})"
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "photo.jpg"
        Image.fromarray(photo).save(path, quality=92)
        stages = pipeline_stages(model, path, photo)
        times, networks = measure_stages(model, stages, runs)
        peak = peak_memory()
        functions = profiled(stages) if profile else ()
    return Benchmark(
        width=photo.shape[1],
        height=photo.shape[0],
        threads=torch.get_num_threads(),
        stages=(*times, *networks),
        passes=next(time.median for time in networks if time.stage == TOGETHER),
        import_seconds=seconds_of_new_process("import portrait3d"),
        start_seconds=seconds_of_new_process(start),
        peak_megabytes=None if peak is None else peak / 1e6,
        profile=functions,
    )


def pipeline_stages(
    model: Portrait3D, path: Path, pixels: UInt8[np.ndarray, "H W 3"]
) -> dict[str, Callable[[], Any]]:
    """What is measured, by name, in the pipeline's order; the last four are what a user waits for."""
    photo = Photo(pixels, path.name)
    detection = model.detector.detect(pixels, photo.name)[0]
    fit = model.fit_face(photo, detection)
    head_crop = fit.crop.head_crop()
    parsing = parse_head(model.parsing_net, pixels, head_crop)
    portrait = model.reconstruct(path)
    # Another pose in every run: nothing may be remembered from the last one.
    turns = iter(YAWS * 1000)
    # A model remembers the last portrait that it turned: this one shares the networks alone.
    other = copy.copy(model)
    return {
        "decode": lambda: decode_photo(path),
        "detect": lambda: model.detector.detect(pixels, photo.name),
        "align": lambda: crop_from_detection(detection).extract(pixels),
        "face, two passes": lambda: model.fit_face(photo, detection),
        "earrings": lambda: model.find_earrings(photo, fit),
        "parse": lambda: parse_head(model.parsing_net, pixels, head_crop),
        "glasses": lambda: find_glasses(model.glasses_net, pixels, fit.crop, fit.landmarks),
        "depth": lambda: model.lift_head(photo, fit, head_crop, parsing),
        "head": portrait.build_head,
        "reconstruct, all but the head": lambda: model.reconstruct(path),
        "reconstruct, with the head": lambda: model.reconstruct(path).head,
        "first turn of a head": lambda: other.repose(
            replace(portrait).with_head(portrait.head), yaw=next(turns)
        ),
        "another turn": lambda: model.repose(portrait, yaw=next(turns)),
    }


def measure_stages(
    model: Portrait3D, stages: Mapping[str, Callable[[], Any]], runs: int
) -> tuple[list[StageTime], list[StageTime]]:
    """Times of stages, and of the networks' passes meanwhile: of each for one crop, and N."""
    with forward_passes(model) as passes:
        seconds: dict[str, list[float]] = {name: [] for name in stages}
        seen: list[Pass] = []
        together: list[float] = []
        # The first run warms up: it compiles loops and loads what is loaded on first use.
        for run in range(runs + 1):
            for name, stage in stages.items():
                passes.clear()
                elapsed = clocked(stage)
                if run:
                    seconds[name].append(elapsed)
                    seen += passes
                    if name.startswith("reconstruct"):
                        together.append(sum(each.seconds for each in passes))
    networks = [
        StageTime.of(
            f"{name} network alone, one crop",
            [each.seconds / each.crops for each in seen if each.network == name],
        )
        for name in dict.fromkeys(each.network for each in seen)
    ]
    times = [StageTime.of(name, found) for name, found in seconds.items()]
    return times, [*networks, StageTime.of(TOGETHER, together)]


@contextmanager
def forward_passes(model: Portrait3D) -> Iterator[list[Pass]]:
    """The passes of a model's networks in the order in which they end; the detector's if it is ours."""
    nets: dict[str, nn.Module] = {name: getattr(model, f"{name}_net") for name in NETWORKS}
    if isinstance(model.detector, FaceDetector):
        nets = {"detector": model.detector.net} | nets
    passes: list[Pass] = []
    started: dict[str, float] = {}

    def begin(name: str) -> None:
        started[name] = time.perf_counter()

    def end(name: str, crops: int) -> None:
        passes.append(Pass(name, crops, time.perf_counter() - started[name]))

    hooks = []
    for name, net in nets.items():
        hooks.append(net.register_forward_pre_hook(lambda *_, name=name: begin(name)))
        # Pictures come as the leading axes have it: of parsing, for each head one for each network.
        hooks.append(
            net.register_forward_hook(
                lambda _, inputs, __, name=name: end(name, inputs[0].shape[:-3].numel())
            )
        )
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def clocked(stage: Callable[[], Any]) -> float:
    """Seconds that a stage takes."""
    started = time.perf_counter()
    stage()
    return time.perf_counter() - started


def seconds_of_new_process(statement: str) -> float:
    """Time of a statement in a new interpreter, without the interpreter's own start; median of 3."""
    code = f"import time; t = time.perf_counter()\n{statement}\nprint(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    return statistics.median(times)
