"""Training samples for the glasses network: photos of people without glasses, most with drawn ones."""

import numpy as np
import torch
from torch import Tensor

from portrait3d.data.accessories.faces import AccessorySamples, misplaced
from portrait3d.data.parsing.samples import recolor
from portrait3d.data.synthetic.glasses import Glasses, wear
from portrait3d.models.glasses import BAND, SIZE, eye_crop

WORN = 0.7
"""Share of the samples with glasses."""
BEHIND_HAIR = 0.8
"""Share of the glasses that hair lies before; others are worn over it."""


class GlassesSamples(AccessorySamples):
    """Faces, most of them with glasses.

    A sample is `(picture [3, 128, 256], cover [1, 128, 256])`: RGB in [0, 1], and how much of each pixel is
    frame or a lens that hides the eyes.
    """

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng((self.seed, number))
        face = self.faces[self.chosen(number, random)]
        vertices = face.vertices(self.head)
        landmarks = self.head.landmarks(vertices[None])[0]
        crop = eye_crop(face.crop, face.crop.photo_from_crop(face.screen(landmarks, face.crop)[:, :2]))
        if not self.still:
            crop = misplaced(crop, random)
        picture, cover = crop.extract(face.pixels), torch.zeros(1, SIZE, SIZE)
        if random.random() < WORN:
            glasses = Glasses.draw(random)

            def screen(points: np.ndarray) -> np.ndarray:
                return face.screen(torch.from_numpy(points).float(), crop).double().numpy()

            depth = face.depth(self.head, vertices, crop)
            worn = wear(glasses, landmarks.double().numpy(), screen, depth, random)
            if random.random() < BEHIND_HAIR:
                before = crop.extract(face.hair[..., None])[0].numpy()
                worn = worn.behind(np.clip(2 * before - 0.5, 0, 1))
            picture = torch.from_numpy(worn.over(picture.numpy()))
            cover = torch.from_numpy(worn.cover)[None]
        if random.random() < 0.5:
            picture, cover = picture.flip(-1), cover.flip(-1)
        if not self.still:
            picture = recolor(picture, random)
        return picture[:, BAND].float(), cover[:, BAND].float()
