"""Compiling loops over pixels and points to machine code."""

import gc
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba.core.compiler import Compiler

logger = logging.getLogger(__name__)


class _Apart(Compiler):
    """numba's compiler, told that a function's arrays share no memory: C's `restrict`.

    Without that promise a loop that reads one array at computed places and writes another can't use vector
    instructions.
    """

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        # Nothing calls these functions from C: one wrapper less to compile.
        self.state.flags.no_cfunc_wrapper = True
        return super().define_pipelines()

    def compile_extra(self, func: Any) -> Any:
        with _without_collector():
            return super().compile_extra(func)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Compiling makes so many objects that Python's collector of cycles would take a fifth of the time: it
    goes through everything that torch has loaded, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop over numpy arrays with numba, without the GIL and with results that repeat exactly.

    What it writes to must not overlap with anything else that it is given.
    The machine code is kept on disk where numba finds a folder that it may write to, and compiled anew in
    every process elsewhere. Division by zero gives infinities as in numpy. No fused or reordered floating
    point arithmetic: the torch versions of the same loops must give the same numbers.
    """
    # A type checker's import hook may have wrapped the function; numba needs the loop itself.
    loop = inspect.unwrap(function)
    jit: Any = numba.njit
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
    options["pipeline_class"] = _Apart
    try:
        return jit(loop, cache=True, **options)
    except (
        RuntimeError
    ) as error:  # raised where neither the package's folder nor the user's cache is writable
        logger.debug("No cache for %s: %s", loop.__name__, error)
        return jit(loop, cache=False, **options)
