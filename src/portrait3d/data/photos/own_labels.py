"""What photos show, as the package's own parsing network reads it: labels that anything may be trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.whole_files import whole_file
from portrait3d.models.head_parsing import ParsingExperts, parse_head
from portrait3d.preprocessing.alignment import crop_from_landmarks


@torch.inference_mode()
def read_classes(parsing: ParsingExperts, photo: LabelledPhoto) -> UInt8[np.ndarray, "H W"]:
    """The class of every pixel, the head crop placed by the photo's landmarks."""
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks)).head_crop()
    return parse_head(parsing, photo.pixels(), crop).labels


@dataclass(frozen=True, slots=True)
class OwnLabels:
    """Classes of photos, each read once and kept as a PNG, as reading takes long."""

    directory: Path
    parsing: ParsingExperts

    def __call__(self, photo: LabelledPhoto) -> UInt8[np.ndarray, "H W"]:
        """The class of every pixel of a photo."""
        path = self.directory / photo.folder / f"{photo.name}.png"
        if not path.is_file():
            with whole_file(path) as file:
                Image.fromarray(read_classes(self.parsing, photo)).save(file, format="PNG")
        with Image.open(path) as image:
            return np.array(image)
