"""How well a landmark network repeats its own labels, by group: the floor under `evaluate face`.

python tools/repeat_landmarks.py DATA face_mesh_468.tflite [--repeats 12]

DATA is a folder of labelled photos (src/portrait3d/data/photos/labelled.py) whose labels are MediaPipe's
face mesh's. The network sees every validation photo again in crops that differ a little; printed is the NME
of the mean of these repeats against the label, and of single repeats against their mean. A face network can
hardly agree with the labels better than that. Needs ai-edge-litert, which nothing else here does.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from portrait3d.data.photos.groups import groups_of
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, LabelledPhoto, people_photos
from portrait3d.evaluation.face.predictions import extent, normalised_error
from portrait3d.preprocessing.alignment import Crop, crop_from_landmarks

SIDE = 192
"""Pixels of the network's input."""
MARGIN = 1.65
"""Side of its crops over the larger side of the landmarks' box: here repeats come nearest to the labels."""


def main() -> None:
    """Print one row for every group of people."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("network", type=Path, help="the face mesh, .tflite")
    parser.add_argument("--repeats", type=int, default=12)
    arguments = parser.parse_args()
    from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

    network = Interpreter(str(arguments.network), num_threads=2)
    network.allocate_tensors()
    random = np.random.default_rng(0)
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for photo in people_photos(arguments.data, split="val"):
        repeats = np.stack(
            [find_landmarks(network, photo, jittered(photo, random)) for _ in range(arguments.repeats)]
        )
        mean = repeats.mean(0, keepdims=True)
        off = float(normalised_error(mean, photo.landmarks[None])[0])
        spread = float(normalised_error(repeats, mean.repeat(len(repeats), 0)).mean())
        for group in groups_of(photo).items():
            rows.setdefault(group, []).append((off, spread))
    print(f"{'group':34}{'photos':>7}{'mean of repeats':>17}{'single repeat':>15}")
    for (by, group), values in sorted(rows.items()):
        off, spread = np.mean(values, axis=0)
        print(f"{by + ' ' + group:34}{len(values):7}{off:15.2f} %{spread:13.2f} %")


def jittered(photo: LabelledPhoto, random: np.random.Generator) -> Crop:
    """An upright crop around the face, shifted, scaled and turned a little."""
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks))
    low, high = photo.landmarks.min(0), photo.landmarks.max(0)
    shift = random.normal(0, 0.04, 2) * extent(photo.landmarks[None])[0]
    x, y = ((low + high) / 2 + shift).tolist()
    side = MARGIN * float((high - low).max()) * math.exp(random.normal(0, 0.06))
    return Crop((x, y), side, crop.angle + random.normal(0, 0.05), SIDE)


def find_landmarks(network: Any, photo: LabelledPhoto, crop: Crop) -> Float[np.ndarray, "68 2"]:
    """The 68 landmarks that the network sees in a crop, pixels of the photo."""
    picture = crop.extract(photo.pixels()).permute(1, 2, 0).numpy()
    network.set_tensor(network.get_input_details()[0]["index"], picture[None].astype(np.float32))
    network.invoke()
    outputs = [network.get_tensor(output["index"]) for output in network.get_output_details()]
    mesh = next(values for values in outputs if values.size == 3 * 468).reshape(468, 3)
    found = torch.from_numpy(mesh[LANDMARKS_OF_MESH, :2].astype(np.float32))
    # The network counts from the middle of the first pixel.
    return crop.photo_from_crop(found + 0.5).numpy()


if __name__ == "__main__":
    main()
