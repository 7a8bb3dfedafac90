"""Two pictures to try the page with, so that nobody has to upload a photo first."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from portrait3d.export.images import save_image


@dataclass(frozen=True, slots=True)
class Example:
    """A picture that is ready."""

    label: str
    path: Path


def write_examples(directory: Path) -> list[Example]:
    """Write the pictures to a directory: scikit-image's astronaut, and a synthetic head, nobody's."""
    from skimage.data import astronaut

    photographed = save_image(astronaut(), directory / "astronaut.jpg")
    drawn = directory / "drawn-head.jpg"
    drawn.write_bytes(files("portrait3d.app").joinpath("drawn_head.jpg").read_bytes())
    return [Example("Astronaut (photo)", photographed), Example("Nobody (drawn)", drawn)]
