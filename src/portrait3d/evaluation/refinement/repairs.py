"""How well holes in real photos are repaired, beside filling them smoothly and biharmonic inpainting."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from skimage.metrics import structural_similarity
from skimage.restoration import inpaint_biharmonic
from torch import Tensor, nn

from portrait3d.data.photos.labelled import LabelledPhoto, evenly
from portrait3d.data.refinement.samples import DamagedPhotos, Labels
from portrait3d.geometry.pictures import as_bytes
from portrait3d.losses.perceptual import perceptual_loss

Repair = Callable[
    [Float[Tensor, "B 3 S S"], Float[Tensor, "B 1 S S"], Float[Tensor, "B 9 S S"]], Float[Tensor, "B 3 S S"]
]
"""From picture, holes and guide to a repaired picture."""
SEED = 1_000_003
"""Of the damage that is scored; training draws other damage."""
FEWEST_PIXELS = 50
"""Damaged photos with smaller holes are not scored."""


@dataclass(frozen=True, slots=True)
class RepairScores:
    """Means over damaged photos, of what a way to repair them puts into the holes."""

    psnr: float
    """Over the pixels of the holes, dB."""
    ssim: float
    """Mean of the map of structural similarity (scikit-image) over the pixels of the holes."""
    features: float
    """Distance of Eq. 13 between the original and the original with repaired holes."""
    seams: float
    """Part of the damage outside holes that remains, l1 over all pictures."""


@dataclass(frozen=True, slots=True)
class RepairRow:
    """The scores of one method."""

    method: str
    photos: int
    psnr: float
    ssim: float
    features: float
    to_biharmonic: float
    """`features` over those of biharmonic inpainting."""
    seams: float


def keep_rough_fill(
    image: Float[Tensor, "B 3 S S"], holes: Float[Tensor, "B 1 S S"], guide: Float[Tensor, "B 9 S S"]
) -> Float[Tensor, "B 3 S S"]:
    """No refinement: the smooth fill that the network starts from."""
    return image


def inpaint_biharmonically(
    image: Float[Tensor, "B 3 S S"], holes: Float[Tensor, "B 1 S S"], guide: Float[Tensor, "B 9 S S"]
) -> Float[Tensor, "B 3 S S"]:
    """scikit-image's biharmonic inpainting."""
    filled = [
        inpaint_biharmonic(one.permute(1, 2, 0).double().numpy(), hole[0].numpy() > 0.5, channel_axis=-1)
        for one, hole in zip(image, holes, strict=True)
    ]
    return torch.from_numpy(np.stack(filled)).permute(0, 3, 1, 2).float().clamp(0, 1)


def score_repairs(net: Repair, samples: Sequence[dict[str, Tensor]], features: nn.Module) -> list[RepairRow]:
    """A row for the network, for biharmonic inpainting and for no refinement."""
    methods = {"refined": net, "biharmonic": inpaint_biharmonically, "not refined": keep_rough_fill}
    scores = {name: score_repair(repair, samples, features) for name, repair in methods.items()}
    base = scores["biharmonic"].features
    return [
        RepairRow(name, len(samples), s.psnr, s.ssim, s.features, s.features / base, s.seams)
        for name, s in scores.items()
    ]


@torch.no_grad()
def score_repair(repair: Repair, samples: Iterable[dict[str, Tensor]], features: nn.Module) -> RepairScores:
    """Scores of one way to repair damaged photos."""
    psnr, ssim, distances, seams = [], [], [], []
    for sample in samples:
        image, holes, guide, original, inside = (
            sample[name][None] for name in ("image", "holes", "guide", "original", "inside")
        )
        repaired = repair(image, holes, guide).clamp(0, 1)
        error = (repaired - original).square().mean(1, keepdim=True)
        psnr.append(-10 * float(torch.log10((error * holes).sum() / holes.sum() + 1e-8)))
        pasted = torch.where(holes > 0.5, repaired, original)
        ssim.append(similarity_in_holes(pasted[0], original[0], holes[0]))
        distances.append(float(perceptual_loss(features(pasted), features(original))))
        known = (1 - holes) * inside
        seams.append([float(((picture - original).abs() * known).sum()) for picture in (repaired, image)])
    seam = np.sum(seams, axis=0)
    means = (float(np.mean(values)) for values in (psnr, ssim, distances))
    return RepairScores(*means, seams=float(seam[0] / max(seam[1], 1e-9)))


def similarity_in_holes(
    picture: Float[Tensor, "3 S S"], original: Float[Tensor, "3 S S"], holes: Float[Tensor, "1 S S"]
) -> float:
    """Structural similarity (Wang et al. 2004) of the windows around the pixels of holes, mean over RGB."""
    found = structural_similarity(
        picture.numpy(), original.numpy(), channel_axis=0, data_range=1.0, full=True
    )[1]
    return float(np.asarray(found)[:, holes[0].numpy() > 0.5].mean())


def held_out_damage(photos: Sequence[LabelledPhoto], labels: Labels, count: int) -> list[dict[str, Tensor]]:
    """Up to `count` damaged head crops, spread over the photos; a photo's damage is always the same."""
    chosen = evenly(photos, count)
    samples = DamagedPhotos(chosen, labels, seed=SEED, augment=False)
    drawn = [samples[i] for i in range(len(chosen))]
    return [sample for sample in drawn if float(sample["holes"].sum()) > FEWEST_PIXELS]


@torch.no_grad()
def draw_repairs(net: Repair, samples: Sequence[dict[str, Tensor]]) -> UInt8[np.ndarray, "H W 3"]:
    """Rows of damaged photos: holes in green, not refined, biharmonic, refined, the original."""
    rows = []
    for sample in samples:
        image, holes, original = sample["image"], sample["holes"], sample["original"]
        green = torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand_as(image)
        given = [sample[name][None] for name in ("image", "holes", "guide")]
        repaired = [method(*given)[0] for method in (inpaint_biharmonically, net)]
        rows.append(torch.cat([torch.lerp(image, green, 0.35 * holes), image, *repaired, original], dim=2))
    sheet = torch.cat(rows, dim=1).clamp(0, 1)
    return as_bytes(sheet)
