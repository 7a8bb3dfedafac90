"""What decoding a file must come to: a picture or a refusal, soon, in little memory, without a word."""

import io
import logging
import os
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from portrait3d.errors import InvalidImageError
from portrait3d.memory import peak_memory
from portrait3d.preprocessing.image import PhotoSource, decode_photo

MAX_SECONDS = 20.0
"""Processor time that a file may take."""
MAX_BYTES = 1_200_000_000
"""Memory that the process may have held at its peak."""


class Judge:
    """Decodes files and keeps account of what came of them.

    While it is entered, all that is printed goes to a file of its own, also from libraries that write to the
    process's stdout and stderr themselves.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        """Processor time of the costliest file, seconds."""
        self._warnings: list[str] = []

    @property
    def peak(self) -> int:
        """Memory that the process held at its peak, bytes; 0 where the system doesn't tell."""
        return peak_memory() or 0

    def __enter__(self) -> "Judge":
        self._printed = tempfile.TemporaryFile()
        self._kept = [os.dup(1), os.dup(2)]
        for stream in (1, 2):
            os.dup2(self._printed.fileno(), stream)
        warnings.showwarning = self._note_warning
        warnings.simplefilter("always")
        # The package's own lines about what it ignores are meant; they go here, not to stderr.
        logging.getLogger("portrait3d").addHandler(logging.NullHandler())
        return self

    def __exit__(self, *_: object) -> None:
        for stream, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, stream)
            os.close(kept)
        self._printed.close()

    def _note_warning(self, message: Warning | str, *_: Any, **__: Any) -> None:
        self._warnings.append(str(message))

    def fault(self, content: bytes, way: int) -> str | None:
        """What is wrong with how a file is decoded, None if nothing; `way` chooses how it is passed."""
        self._warnings.clear()
        before = self._printed.seek(0, os.SEEK_END)
        started = time.process_time()
        try:
            outcome, fault = _decoded(content, way)
        except Exception as error:  # a tool that looks for any
            outcome, fault = "error", f"{type(error).__name__}: {error}"
        seconds = time.process_time() - started
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, seconds)
        self._printed.seek(before)
        if printed := self._printed.read():
            fault = fault or f"printed {printed[:200]!r}"
        if self._warnings:
            fault = fault or f"warned {self._warnings[0]!r}"
        if seconds > MAX_SECONDS:
            fault = fault or f"took {seconds:.1f} s"
        if self.peak > MAX_BYTES:
            fault = fault or f"took {self.peak / 1e9:.2f} GB"
        return fault


def _decoded(content: bytes, way: int) -> tuple[str, str | None]:
    """What came of a file, as `picture` or `refused`, and what is wrong with that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        sources: tuple[PhotoSource, ...] = (content, io.BytesIO(content), path)
        if way % len(sources) == 2:
            path.write_bytes(content)
        try:
            pixels = decode_photo(sources[way % len(sources)]).pixels
        except InvalidImageError as error:
            return "refused", None if _is_one_line(str(error)) else f"says {str(error)!r}"
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        return "picture", f"gave {pixels.dtype} of shape {pixels.shape}"
    return "picture", None if pixels.flags.c_contiguous else "gave rows that lie apart"


def _is_one_line(text: str) -> bool:
    return 10 < len(text) < 600 and "\n" not in text
