"""Files for other programs: meshes, pictures, a web page, and everything about one portrait at once."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portrait3d.export.images import save_image
    from portrait3d.export.meshes import export_mesh
    from portrait3d.export.reconstruction import save_reconstruction

__all__ = ["export_mesh", "save_image", "save_reconstruction"]

HOMES = {"export_mesh": "meshes", "save_image": "images", "save_reconstruction": "reconstruction"}
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    """Import on first use: writing a file needs no mesh, and exporting a mesh no pipeline."""
    if name in HOMES:
        return getattr(importlib.import_module(f"portrait3d.export.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
