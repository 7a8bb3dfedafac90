"""How well holes in real photos are repaired, next to filling them smoothly and to biharmonic inpainting."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from portrait3d.data.photos import LabelledPhoto
from portrait3d.data.refinement_samples import DamagedPhotos
from portrait3d.losses.perceptual import EfficientNetFeatures, perceptual_loss

Repair = Callable[[Float[Tensor, "B 3 S S"], Float[Tensor, "B 1 S S"]], Float[Tensor, "B 3 S S"]]
SEED = 1_000_003
"""Of the damage that is scored; training draws other damage."""


def keep_rough_fill(
    image: Float[Tensor, "B 3 S S"], holes: Float[Tensor, "B 1 S S"]
) -> Float[Tensor, "B 3 S S"]:
    """No refinement: the smooth fill that the network starts from."""
    return image


def inpaint_biharmonically(
    image: Float[Tensor, "B 3 S S"], holes: Float[Tensor, "B 1 S S"]
) -> Float[Tensor, "B 3 S S"]:
    """scikit-image's biharmonic inpainting."""
    from skimage.restoration import inpaint_biharmonic

    filled = [
        inpaint_biharmonic(one.permute(1, 2, 0).double().numpy(), hole[0].numpy() > 0.5, channel_axis=-1)
        for one, hole in zip(image, holes, strict=True)
    ]
    return torch.from_numpy(np.stack(filled)).permute(0, 3, 1, 2).float().clamp(0, 1)


@torch.no_grad()
def score_repairs(
    repair: Repair, samples: Iterable[dict[str, Tensor]], features: nn.Module
) -> dict[str, float]:
    """Mean scores of a way to repair damaged photos.

    `psnr` (dB) is taken over the holes of each picture; `features` is the distance of Eq. 13 between the
    original and the original with repaired holes, as a part of that of the rough fill (less is better);
    `seams` is the part of the damage outside holes that remains, l1 over all pictures.
    """
    psnr, distances, seams = [], [], []
    for sample in samples:
        image, holes, original, inside = (
            sample[name][None] for name in ("image", "holes", "original", "inside")
        )
        repaired = repair(image, holes).clamp(0, 1)
        error = (repaired - original).square().mean(1, keepdim=True)
        psnr.append(-10 * float(torch.log10((error * holes).sum() / holes.sum() + 1e-8)))
        pasted = torch.cat([torch.where(holes > 0.5, picture, original) for picture in (repaired, image)])
        wanted, found = features(original), features(pasted)
        distances.append([float(perceptual_loss([f[k : k + 1] for f in found], wanted)) for k in (0, 1)])
        known = (1 - holes) * inside
        seams.append([float(((picture - original).abs() * known).sum()) for picture in (repaired, image)])
    distance, seam = np.sum(distances, axis=0), np.sum(seams, axis=0)
    return {
        "psnr": float(np.mean(psnr)),
        "features": float(distance[0] / distance[1]),
        "seams": float(seam[0] / seam[1]),
    }


def held_out_damage(photos: Sequence[LabelledPhoto], count: int) -> list[dict[str, Tensor]]:
    """Up to `count` damaged head crops, spread over the photos; always the same for the same photos."""
    chosen = photos[:: max(1, len(photos) // count)][:count]
    samples = DamagedPhotos(chosen, seed=SEED, augment=False)
    drawn = [samples[i] for i in range(len(chosen))]
    return [sample for sample in drawn if float(sample["holes"].sum()) > 50]


def compare_repairs(
    net: nn.Module, photos: Sequence[LabelledPhoto], count: int = 40
) -> dict[str, dict[str, float]]:
    """Scores of the network and of both baselines on held-out photos."""
    samples, features = held_out_damage(photos, count), EfficientNetFeatures()
    return {
        "rough fill": score_repairs(keep_rough_fill, samples, features),
        "biharmonic": score_repairs(inpaint_biharmonically, samples, features),
        "network": score_repairs(net, samples, features),
    }


@torch.no_grad()
def draw_repairs(path: Path, net: Repair, samples: Sequence[dict[str, Tensor]]) -> None:
    """Draw rows of input, output and original (where there is one)."""
    rows = []
    for sample in samples:
        image, holes = sample["image"], sample["holes"]
        shown = [torch.lerp(image, torch.tensor([0.0, 1.0, 0.0])[:, None, None], 0.35 * holes), image]
        shown.append(net(image[None], holes[None])[0].clamp(0, 1))
        if "original" in sample:
            shown.append(sample["original"])
        rows.append(torch.cat(shown, dim=2))
    sheet = torch.cat(rows, dim=1)
    Image.fromarray((sheet * 255).round().byte().permute(1, 2, 0).contiguous().numpy()).save(path)
