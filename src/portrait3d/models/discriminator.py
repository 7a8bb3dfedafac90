"""The discriminator of the refinement stage: are these patches of a real photo?"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Discriminator(nn.Module):
    """PatchGAN discriminators on a pyramid of the picture (pix2pixHD: Wang et al., CVPR 2018).

    They see the picture alone, for turned heads have no original to be compared with. Scores are free
    numbers, drawn to 1 for real and 0 for generated patches (least squares, without a sigmoid).

    Args:
        filters: Channels of the first layer, doubled by each further one; 64 in pix2pixHD.
        layers: Strided layers of each discriminator: 3 make patches of 70 px.
        scales: Discriminators; each further one sees the picture at half the size.
    """

    def __init__(self, filters: int = 64, layers: int = 3, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patch_discriminator(filters, layers) for _ in range(scales))

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B 1 _ _"]]:
        """One map of scores per scale, finest first; the picture is RGB in [0, 1]."""
        x, scores = 2 * image - 1, []
        for i, discriminator in enumerate(self.scales):
            if i:
                # Padding does not count, or the border of the coarser picture would be greyer.
                x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            scores.append(discriminator(x))
        return scores


def _patch_discriminator(filters: int, layers: int) -> nn.Sequential:
    modules: list[nn.Module] = [nn.Conv2d(3, filters, 4, 2, 2), nn.LeakyReLU(0.2)]
    given = filters
    for i in range(1, layers + 1):
        wanted = min(filters << i, 512)
        modules += [
            nn.Conv2d(given, wanted, 4, 2 if i < layers else 1, 2),
            nn.InstanceNorm2d(wanted),
            nn.LeakyReLU(0.2),
        ]
        given = wanted
    modules.append(nn.Conv2d(given, 1, 4, padding=2))
    return nn.Sequential(*modules)
