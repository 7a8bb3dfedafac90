"""Files for other programs: meshes, pictures, a web page, and everything about one portrait at once."""

import importlib
from typing import TYPE_CHECKING, Any

from portrait3d.export.images import save_image
from portrait3d.export.meshes import export_mesh

if TYPE_CHECKING:
    from portrait3d.export.reconstruction import save_reconstruction

__all__ = ["export_mesh", "save_image", "save_reconstruction"]


def __getattr__(name: str) -> Any:
    """Import what needs the whole pipeline on first use, so that exporting a mesh doesn't."""
    if name == "save_reconstruction":
        return importlib.import_module("portrait3d.export.reconstruction").save_reconstruction
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
