"""Reconstruct a 3D head from one photo and turn the head in the photo."""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

# OpenMP threads that spin while they wait slow small machines down by an order of magnitude. The setting only
# counts when it is made before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _use_one_thread() -> None:
    """Keep a forked process off OpenMP's threads.

    Only the thread that forks lives on in the child; torch would wait for the others for ever in its next
    parallel loop. numba's loops here are serial and safe.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)

if TYPE_CHECKING:
    from portrait3d.errors import InvalidImageError, NoFaceError, PoorFitWarning, WeightsError
    from portrait3d.pipeline import Portrait3D
    from portrait3d.portrait import Portrait

__version__ = "0.1.0"
__all__ = [
    "InvalidImageError",
    "NoFaceError",
    "PoorFitWarning",
    "Portrait",
    "Portrait3D",
    "WeightsError",
    "__version__",
]

_HOMES = {
    "InvalidImageError": "portrait3d.errors",
    "NoFaceError": "portrait3d.errors",
    "PoorFitWarning": "portrait3d.errors",
    "Portrait": "portrait3d.portrait",
    "Portrait3D": "portrait3d.pipeline",
    "WeightsError": "portrait3d.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import portrait3d` doesn't load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
