"""Training samples for the earrings network: ears of people without earrings, most with drawn ones."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.accessories.faces import AccessorySamples, BareFace, misplaced
from portrait3d.data.parsing.samples import recolor
from portrait3d.data.synthetic.earrings import SUNK, Earring, draw_earring
from portrait3d.geometry.pixels import smoothstep
from portrait3d.models.earrings import BAND, HIGH, REACH, SIZE, lobe_crop, lobes
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import Crop

WORN = 0.6
"""Share of the samples with an earring."""
BEHIND_HAIR = 0.5
"""Share of the earrings that hair lies before, as far as there is any; others are worn over it."""
MISSED = 7.0
"""How far (mm) a fitted lobe may lie from the ear's own."""
PARTED = 6.0
"""How far (mm) from the lobe the hair's edge may lie that covers one side of an ear."""
COVERED = 0.3
"""Share of hair beside the face from which an ear counts as under hair,"""
UNDER_HAIR = 0.35
"""and the share of samples that show such ears, as far as there are any: few people without earrings do."""
USUAL = 0.5
"""Mean brightness of a photo whose light is usual."""


class EarringSamples(AccessorySamples):
    """Ears, most of them with earrings.

    A sample is `(picture [3, 128, 96], cover [1, 128, 96])`: RGB in [0, 1], and how much of each pixel is an
    earring. Right ears are mirrored.
    """

    def __init__(
        self, faces: Sequence[BareFace], head: HeadModel, *, seed: int = 0, still: bool = False
    ) -> None:
        super().__init__(faces, head, seed=seed, still=still)
        # Ears, by the number of their face and their side.
        ears = [(number, side) for number in range(len(faces)) for side in (0, 1)]
        self.covered = [] if still else [ear for ear in ears if self._hair_beside(*ear) > COVERED]

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng((self.seed, number))
        if self.covered and random.random() < UNDER_HAIR:
            number, right = self.covered[int(random.integers(len(self.covered)))]
        else:
            number, right = self.chosen(number, random), int(random.integers(2))
        face = self.faces[number]
        vertices, lobe, crop = self._ear(face, right)
        if not self.still:
            crop = misplaced(crop, random)
        picture, cover = crop.extract(face.pixels), torch.zeros(1, SIZE, SIZE)
        if random.random() < WORN:
            *hung, away = face.screen(lobe[None], crop)[0].tolist()
            millimetre = SIZE / REACH
            x, y = hung + random.normal(0, MISSED, 2) * millimetre
            drawn = draw_earring(
                Earring.draw(random),
                (SIZE, SIZE),
                (x, y),
                millimetre,
                random,
                side=(-1, 1)[right],
                squeeze=random.uniform(0.5, 1),
                # As sharp as the photo, whose pixels may be larger than the crop's.
                blur=max(0.35, 0.5 * SIZE / crop.side) * random.uniform(0.7, 1.4),
            )
            hidden = face.depth(self.head, vertices, crop) < away - SUNK
            drawn = drawn.behind(hidden.astype(np.float32))
            if random.random() < BEHIND_HAIR:
                before = np.clip(2 * crop.extract(face.hair[..., None])[0].numpy() - 0.5, 0, 1)
                drawn = drawn.behind(before * _one_side((x, y), millimetre, random))
            light = np.clip(float(picture.mean()) / USUAL, 0.4, 1.3) * random.uniform(0.8, 1.2)
            picture = torch.from_numpy(drawn.lit(light).over(picture.numpy()))
            cover = torch.from_numpy(drawn.cover)[None]
        if right:
            picture, cover = picture.flip(-1), cover.flip(-1)
        if not self.still:
            picture = recolor(picture, random)
        return picture[..., BAND].float(), cover[..., BAND].float()

    def _ear(self, face: BareFace, side: int) -> tuple[Float[Tensor, "V 3"], Float[Tensor, "3"], Crop]:
        """The fitted head, one of its lobes, both in the model's frame (mm), and the crop around that."""
        vertices = face.vertices(self.head)
        lobe = lobes(self.head, vertices)[side]
        return vertices, lobe, lobe_crop(face.crop, face.pose.apply(lobe[None])[0])

    def _hair_beside(self, number: int, side: int) -> float:
        """How much of what lies beside the face, at a lobe and below, is hair."""
        _, _, crop = self._ear(self.faces[number], side)
        hair = crop.extract(self.faces[number].hair[..., None])[0, round(HIGH * SIZE) :]
        return float((hair if side == 0 else hair.flip(-1))[:, SIZE // 4 : SIZE // 2].mean())


def _one_side(
    lobe: tuple[float, float], millimetre: float, random: np.random.Generator
) -> Float[np.ndarray, "s s"]:
    """1 on one side of a random line near the lobe, 0 on the other, soft between."""
    angle = random.uniform(0, 2 * np.pi)
    row, column = np.ogrid[:SIZE, :SIZE]
    aside = (column + 0.5 - lobe[0]) * np.cos(angle) + (row + 0.5 - lobe[1]) * np.sin(angle)
    across = aside / millimetre
    return smoothstep(0.5 + across / 4 + random.normal(0, PARTED) / 4)
