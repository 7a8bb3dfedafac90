"""Draw what trainings with something left out make of the portrait that scikit-image ships.

    python tools/draw_ablations.py heads OUT.jpg NAME=RUN/models ...
    python tools/draw_ablations.py turns OUT.jpg NAME=RUN/models ...

`heads` shows the head from three sides, shaded, for each directory of weights (Figure 2 of the paper),
`turns` the photo turned to both sides near the outline (Figure 3). A directory that lacks a network leaves it
at the bundled one.
"""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from skimage.data import astronaut

from portrait3d import Portrait3D
from portrait3d.export import save_image
from portrait3d.export.overview import close_up, side_view
from portrait3d.export.portrait_rows import closer
from portrait3d.export.sheets import contact_sheet

SIDES = (0.0, 35.0, 70.0)
"""Yaws that heads are shown from, degrees."""
TURNS = (-25.0, 25.0)
"""Yaws that the photo is turned to, degrees."""
CELL = 300
"""Pixels of a panel's side."""


def panels(kind: str, model: Portrait3D) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """A row of the sheet."""
    portrait = model.reconstruct(astronaut())
    if kind == "heads":
        return [side_view(portrait, yaw, "clay") for yaw in SIDES]
    return [closer(close_up(portrait, model.repose(portrait, yaw=yaw))) for yaw in TURNS]


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("heads", "turns"))
    parser.add_argument("out", type=Path)
    parser.add_argument("weights", nargs="+", help="NAME=DIRECTORY")
    arguments = parser.parse_args()
    columns = []
    for entry in arguments.weights:
        name, _, directory = entry.partition("=")
        row = panels(arguments.kind, Portrait3D.from_pretrained(directory or None))
        columns.append([(name if i == 0 else "", panel) for i, panel in enumerate(row)])
    labels, images = zip(*(entry for row in zip(*columns, strict=True) for entry in row), strict=True)
    save_image(contact_sheet(images, len(columns), labels, cell=(CELL, CELL)), arguments.out)


if __name__ == "__main__":
    main()
