"""Work on several cores at once: torch and compiled loops let other threads run."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def side_by_side(work: Callable[..., Result], *items: Iterable[Any]) -> list[Result]:
    """What `map` gives, each call in a thread of its own, the first in this one.

    Torch's own threads are shared out among the calls meanwhile, or they would get into each other's way. The
    threads start anew every time, since waiting ones would not survive a fork.
    """
    calls = list(zip(*items, strict=True))
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // len(calls)))
    try:
        with ThreadPoolExecutor(max(1, len(calls) - 1)) as pool:
            others = [pool.submit(work, *call) for call in calls[1:]]
            return [work(*calls[0]), *(other.result() for other in others)]
    finally:
        torch.set_num_threads(threads)
