"""Work in several processes that end when their parent does, however it ends."""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

GRACE = 2.0
"""Seconds in which a process that is told to end may remove its half-written files."""


class DiedError(ChildProcessError):
    """A process ended in the middle of its work."""


class Worker:
    """A process that works on one task at a time.

    Args:
        start: Called once in the new process, before any work.
        work: Called there with the arguments of each task; what it yields is sent back as it comes.
    """

    def __init__(self, start: Callable[[], None], work: Callable[..., Iterable[Any]]) -> None:
        # A forked process would inherit torch's and numba's threads in whatever state they are.
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, start, work), daemon=True)
        self.process.start()
        theirs.close()  # only the process has this end, so that its death closes the pipe
        self.task: int | None = None
        """Number of the task in work."""

    def give(self, number: int, arguments: Sequence[Any]) -> None:
        """Send a task."""
        self.task = number
        with suppress(OSError):  # of one that has died, which whoever listens to it will hear
            self.connection.send(arguments)

    def next(self) -> tuple[bool, Any]:
        """Whether the task is done, and if not, the next that was yielded for it; waits for it.

        Raises `DiedError` if the process has died, and what `start` raised.
        """
        try:
            done, content = self.connection.recv()
        except (EOFError, OSError):
            raise DiedError("a process died") from None
        if isinstance(content, StartError):
            raise content.reason
        return done, content


def work_in_processes(
    tasks: Sequence[Sequence[Any]],
    processes: int,
    start: Callable[[], None],
    work: Callable[..., Iterable[Any]],
) -> Iterator[tuple[int, Any]]:
    """Spread tasks over processes; yields a task's number and one thing that `work` yielded for it.

    A process that dies costs its own task, for which a `DiedError` is yielded; the others go on. When the
    caller stops early or is interrupted, all processes are ended. What `start` raises is raised here.
    """
    waiting = deque(enumerate(tasks))
    workers = [Worker(start, work) for _ in range(min(processes, len(tasks)))]
    try:
        for worker in workers:
            worker.give(*waiting.popleft())
        while workers:
            for worker in _with_news(workers):
                assert worker.task is not None
                try:
                    done, content = worker.next()
                except DiedError as error:
                    yield worker.task, error
                    _end([worker])
                    workers.remove(worker)
                    if waiting:
                        workers.append(Worker(start, work))
                        workers[-1].give(*waiting.popleft())
                    continue
                if not done:
                    yield worker.task, content
                elif waiting:
                    worker.give(*waiting.popleft())
                else:
                    _end([worker])
                    workers.remove(worker)
    finally:
        _end(workers)


def in_turn(
    tasks: Sequence[Sequence[Any]],
    start: Callable[[], None],
    work: Callable[..., Iterable[Any]],
) -> Iterator[Any]:
    """What `work` yields for tasks, each in a process of its own: the first of each, the second of each, ...

    A process waits until what it made is taken, so that no more than one thing of each is held. Raises
    `DiedError` if one dies, and what `start` raises. When the caller stops early, all processes are ended.
    """
    workers = [Worker(start, work) for _ in tasks]
    try:
        for number, (worker, task) in enumerate(zip(workers, tasks, strict=True)):
            worker.give(number, task)
        waiting = deque(workers)
        while waiting:
            worker = waiting.popleft()
            try:
                done, content = worker.next()
            except DiedError as error:
                raise DiedError(f"{error}, perhaps for lack of memory; try fewer --jobs.") from None
            if not done:
                yield content
                waiting.append(worker)
    finally:
        _end(workers)


class StartError(Exception):
    """A process could not begin.

    Args:
        reason: What its start raised.
    """

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


def _with_news(workers: list[Worker]) -> list[Worker]:
    """The workers that have sent something or have died; waits for the first."""
    ready = wait([worker.connection for worker in workers])
    return [worker for worker in workers if worker.connection in ready]


def _end(workers: Sequence[Worker]) -> None:
    """End processes: they may tidy up for a moment, then they are killed."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + GRACE
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        worker.process.kill()
        worker.process.join()
        worker.connection.close()


def _serve(connection: Connection, start: Callable[[], None], work: Callable[..., Iterable[Any]]) -> None:
    """The life of a worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        start()
    except Exception as error:
        connection.send((True, StartError(error)))
        return
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            return
        for content in work(*arguments):
            connection.send((False, content))
        connection.send((True, None))


def _end_with_parent() -> None:
    """Wait for the parent's end, also by SIGKILL: it closes a pipe that every process of a pool has."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
