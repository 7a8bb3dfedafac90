"""Tasks on a Ray cluster, which survive the processes and machines they run on."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from portrait3d.cli.workers import DiedError
from portrait3d.errors import MissingPackageError

MISSING = "A cluster needs Ray: pip install 'portrait3d[ray]'"
RETRIES = 5
"""How often a task is begun anew when its process or machine dies; one that kills every process must end."""
MEMORY = 1_200_000_000
"""Bytes that a task may need; Ray starts no more tasks on a machine than fit into it."""
QUEUE = 4
"""Tasks handed to Ray for each of its processors: enough that none waits, and that a cluster which grows on
demand sees the demand; few enough that a million photos don't lie in its memory."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to the cluster at `HOST:PORT`, or to the one that this machine belongs to ("auto").

    Raises `MissingPackageError` without Ray, `ConnectionError` if there is no cluster.
    """
    # Nothing is reported to Ray's makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingPackageError(MISSING) from None
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def work_on_cluster(tasks: Iterable[Sequence[Any]], work: Callable[..., Any]) -> Iterator[tuple[int, Any]]:
    """Spread tasks over the cluster; yields a task's number and what `work` returned, in any order.

    `work` runs in processes that go on from task to task, so what it keeps in its module is kept. When a
    process or a machine dies, its tasks are begun anew elsewhere: `work` must be able to find half of its
    work done. A `DiedError` is yielded for one that `RETRIES` don't help; what `work` raises is raised here.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    # Ray has no limit on tasks of a process (max_calls) but for those on GPUs.
    remote = ray.remote(num_cpus=1, memory=MEMORY, max_retries=RETRIES)(work)
    waiting = enumerate(tasks)
    running: dict[Any, int] = {}
    while True:
        # Counted anew each time: machines come and go.
        room = QUEUE * max(1, int(ray.cluster_resources().get("CPU", 1))) - len(running)
        for number, arguments in islice(waiting, max(0, room)):
            running[remote.remote(*arguments)] = number
        if not running:
            return
        (done,), _ = ray.wait(list(running))
        try:
            content = ray.get(done)
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            content = DiedError(f"its process died {RETRIES + 1} times ({type(error).__name__})")
        yield running.pop(done), content
