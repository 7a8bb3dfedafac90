"""Work on several cores at once: torch and compiled loops let other threads run.

torch keeps a number of threads for each thread that calls it, and gives a thread that starts the number that
was set last, by whichever thread. `limit_this_thread` changes one and leaves the other.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")

_setting = Lock()
"""Held while torch's number of threads is not what a starting thread should get."""


def side_by_side(work: Callable[..., Result], *items: Iterable[Any]) -> list[Result]:
    """What `map` gives, each call in a thread of its own, the first in this one; where torch has one thread
    alone, all of them in this one.

    Torch's own threads are shared out among the calls meanwhile, or they would get into each other's way;
    threads that don't take part keep theirs. The threads start anew every time, since waiting ones would not
    survive a fork.
    """
    calls = list(zip(*items, strict=True))
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(*call) for call in calls]
    share = max(1, threads // len(calls))
    limit_this_thread(share)
    try:
        with ThreadPoolExecutor(
            max(1, len(calls) - 1), initializer=limit_this_thread, initargs=(share,)
        ) as pool:
            others = [pool.submit(work, *call) for call in calls[1:]]
            return [work(*calls[0]), *(other.result() for other in others)]
    finally:
        limit_this_thread(threads)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What calls without arguments return, each in a thread of its own, as `side_by_side` has them."""
    return side_by_side(lambda call: call(), calls)


def limit_this_thread(threads: int) -> None:
    """Let torch use so many threads for what this thread asks of it; what threads get that start stays."""
    if torch.get_num_threads() == threads:
        return
    # set_num_threads also changes what threads get that start later, so a new thread puts that back.
    with _setting, ThreadPoolExecutor(1) as started:
        usual = started.submit(torch.get_num_threads).result()
        torch.set_num_threads(threads)
        started.submit(torch.set_num_threads, usual).result()
