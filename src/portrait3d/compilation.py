"""Compiling loops over pixels and points to machine code."""

import inspect
import logging
from collections.abc import Callable
from typing import Any

import numba

logger = logging.getLogger(__name__)


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop over numpy arrays with numba, without the GIL and with results that repeat exactly.

    The machine code is kept on disk where numba finds a folder that it may write to, and compiled anew in
    every process elsewhere. Division by zero gives infinities as in numpy. No fused or reordered floating
    point arithmetic: the torch versions of the same loops must give the same numbers.
    """
    # A type checker's import hook may have wrapped the function; numba needs the loop itself.
    loop = inspect.unwrap(function)
    jit: Any = numba.njit
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
    try:
        return jit(loop, cache=True, **options)
    except (
        RuntimeError
    ) as error:  # raised where neither the package's folder nor the user's cache is writable
        logger.debug("No cache for %s: %s", loop.__name__, error)
        return jit(loop, cache=False, **options)
