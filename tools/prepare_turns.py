"""Turn the heads of training photos coarsely: the unpaired data of the refinement stage.

    python tools/prepare_turns.py DATA runs/turns --photos 300

About two seconds of one core a photo. Train with `turns = "runs/turns"` in the configuration then. Only
photos of the training split are used; an interrupted preparation goes on where it stopped.
"""

import argparse
from pathlib import Path

import numpy as np

from portrait3d import Portrait3D
from portrait3d.data.coarse_turns import prepare_turns
from portrait3d.data.photos import PhotoFolder


def main() -> None:
    """Read the arguments and prepare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="root of the labelled photos")
    parser.add_argument("directory", type=Path, help="gets one RGBA PNG per turn")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--turns", type=int, default=3, help="turns of each photo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, help="weights of your own; default: the bundled ones")
    arguments = parser.parse_args()
    photos = PhotoFolder(arguments.data, split="train", parsed=True)
    order = np.random.default_rng(arguments.seed).permutation(len(photos))[: arguments.photos]
    model = Portrait3D.from_pretrained(arguments.models)
    chosen = [photos[int(i)] for i in order]
    count = prepare_turns(model, chosen, arguments.directory, turns=arguments.turns, seed=arguments.seed)
    print(f"{arguments.directory} holds {count} coarse turns.")


if __name__ == "__main__":
    main()
