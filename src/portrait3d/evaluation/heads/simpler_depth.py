"""Depth networks that know less than the learned one: what is each of its surfaces worth?"""

import torch
from torch import Tensor, nn

from portrait3d.models.depth_net import DepthNet, Surfaces, head_region
from portrait3d.parsing_classes import HAIRY

THICKNESS = 15.0
"""Of hair about which nothing is learned, mm."""
HAIRLESS = 0.02
"""Share of hair in the parsed head up to which its back is taken for bald."""
CERTAIN = 9.0
"""Logit of what is taken for granted."""


class FittedDepth(nn.Module):
    """Nothing is learned: hair is `THICKNESS` all round the fitted head, carried on beyond its outline."""

    def __init__(self, net: DepthNet) -> None:
        super().__init__()
        self.size = net.size

    def forward(
        self, image: Tensor, labels: Tensor, near: Tensor, far: Tensor, head: Tensor, center: Tensor
    ) -> Surfaces:
        """As `DepthNet.forward`."""
        return _closed(labels, near - THICKNESS * hair_of(labels), far, THICKNESS)


class FrontDepth(nn.Module):
    """Only the front is learned: behind the head, hair is as thick as it is before it in the mean."""

    def __init__(self, net: DepthNet) -> None:
        super().__init__()
        self.net, self.size = net, net.size

    def forward(
        self, image: Tensor, labels: Tensor, near: Tensor, far: Tensor, head: Tensor, center: Tensor
    ) -> Surfaces:
        """As `DepthNet.forward`."""
        front = self.net(image, labels, near, far, head, center).front
        before = (near - front).clamp(min=0)[hair_of(labels)]
        return _closed(labels, front, far, float(before.mean()) if len(before) else 0.0)


SIMPLER = {"fitted": FittedDepth, "front": FrontDepth}
"""By the name that the command gives them."""


def hair_of(labels: Tensor) -> Tensor:
    """Where labels say hair or headwear."""
    return torch.isin(labels, labels.new_tensor(HAIRY))


def _closed(labels: Tensor, front: Tensor, far: Tensor, thickness: float) -> Surfaces:
    """Surfaces whose back is hair of one thickness all over the head, if the photo shows any hair."""
    region = head_region(labels[:, 0])
    hairy = region & (hair_of(labels).sum() > HAIRLESS * region.sum())
    back = torch.maximum(far + thickness * hairy, front)
    scale = torch.full_like(front, THICKNESS)
    return Surfaces(front, back, torch.where(hairy, CERTAIN, -CERTAIN), scale, scale)
