"""Which functions the time of the pipeline's stages goes to."""

import cProfile
import pstats
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

RUNS = 3
"""Of every stage, after one that warms up."""
OWN, WITHIN = 0.03, 0.1
"""Share of a stage's time from which a function is listed: in itself, and with all that it calls."""
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class FunctionTime:
    """What one function takes in a run of one stage."""

    stage: str
    function: str
    """`module.function` for the package's own; the library's name or file before it for others."""
    calls: float
    """In one run."""
    own: float
    """Seconds in one run, without what it calls; compiled loops count as a part of what calls them."""
    within: float
    """Seconds in one run, with all that it calls."""


def profiled(stages: Mapping[str, Callable[[], Any]]) -> tuple[FunctionTime, ...]:
    """Where the stages' time goes: functions of the package, and any that take long themselves.

    Everything runs in one thread, since a profiler sees no other; profiling takes time itself, above all
    where functions are many and short.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return tuple(row for name, stage in stages.items() for row in _functions(name, stage))
    finally:
        torch.set_num_threads(threads)


def _functions(name: str, stage: Callable[[], Any]) -> list[FunctionTime]:
    stage()
    profile = cProfile.Profile()
    for _ in range(RUNS):
        profile.runcall(stage)
    table: Any = pstats.Stats(profile)
    whole = table.total_tt
    found = [
        FunctionTime(name, _named(place), calls / RUNS, own / RUNS, within / RUNS)
        for place, (calls, _, own, within, _) in table.stats.items()
        if own > OWN * whole
        or (within > WITHIN * whole and PACKAGE in Path(place[0]).parents and place[2][0] != "<")
    ]
    return sorted(found, key=lambda row: -row.own)


def _named(place: tuple[str, int, str]) -> str:
    """A function of a profile as one reads it."""
    file, _, function = place
    if file == "~":  # of C: "<built-in method torch.conv2d>"
        return function.strip("<>").removeprefix("built-in method ")
    path = Path(file)
    inner = path.relative_to(PACKAGE) if PACKAGE in path.parents else Path(path.parent.name, path.name)
    return ".".join((*inner.with_suffix("").parts, function))
