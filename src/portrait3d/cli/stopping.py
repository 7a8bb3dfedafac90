"""Signals that end a command: it tidies up, says what it has done, and is gone within seconds."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What ends a command, and what that is called."""


class Stopped(KeyboardInterrupt):
    """Somebody wants the command to end; no `Exception`, so what goes on after errors lets it through."""

    def __init__(self, number: int) -> None:
        super().__init__(SIGNALS[signal.Signals(number)])
        self.code = 128 + number
        """The exit code by which shells know that a signal ended a program."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """The first of `SIGNALS` raises `Stopped` in the block; more of them don't disturb the tidying up."""
    if threading.current_thread() is not threading.main_thread():  # where Python has no signals
        yield
        return

    def stop(number: int, _frame: Any) -> None:
        for known in SIGNALS:
            signal.signal(known, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
