"""Turn the Basel Face Model 2009 or FLAME into a head model that `HeadModel.load` reads.

    python tools/adapt_head_model.py basel 01_MorphableModel.mat Landmarks68_BFM.anl -o mine.npz
    python tools/adapt_head_model.py flame flame.npz -o mine.npz

docs/models/adapters.md says where the files come from, how `flame.npz` is made, and what the outcome is good
for.
"""

import argparse
from pathlib import Path

import numpy as np

from portrait3d.models.adapters import LinearModel, adapt


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    basel = kinds.add_parser("basel", help="the Basel Face Model 2009")
    basel.add_argument("model", type=Path, help="01_MorphableModel.mat")
    basel.add_argument("landmarks", type=Path, help="Landmarks68_BFM.anl")
    flame = kinds.add_parser("flame", help="FLAME")
    flame.add_argument("model", type=Path, help="an npz file made of the pickle")
    for kind in (basel, flame):
        kind.add_argument("-o", "--out", type=Path, required=True, help="where to write")
    given = parser.parse_args()
    if given.kind == "basel":
        source = LinearModel.read_basel(given.model, given.landmarks)
    else:
        source = LinearModel.read_flame(given.model)
    adapted = adapt(source)
    with given.out.open("xb") as file:
        np.savez_compressed(file, **adapted.arrays)  # pyright: ignore[reportArgumentType]
    print(
        f"{given.out}: {(adapted.known > 0.5).mean():.0%} of the vertices as in {given.model}, means "
        f"{adapted.error:.2f} mm apart, made smaller by {adapted.scale:.3f}"
    )


if __name__ == "__main__":
    main()
