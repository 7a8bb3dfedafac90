"""Depth networks that know less than the learned one: what is each of its surfaces worth?"""

import torch
from torch import Tensor, nn

from portrait3d.models.depth_net import DepthNet, Surfaces
from portrait3d.parsing_classes import HAIRY

THICKNESS = 15.0
"""Of hair about which nothing is learned, mm."""
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
        thickness = THICKNESS * _hair(labels)
        return _closed(labels, near - thickness, far + thickness)


class FrontDepth(nn.Module):
    """Only the front is learned: behind the head hair is as thick as before it."""

    def __init__(self, net: DepthNet) -> None:
        super().__init__()
        self.net, self.size = net, net.size

    def forward(
        self, image: Tensor, labels: Tensor, near: Tensor, far: Tensor, head: Tensor, center: Tensor
    ) -> Surfaces:
        """As `DepthNet.forward`."""
        front = self.net(image, labels, near, far, head, center).front
        return _closed(labels, front, far + (near - front).clamp(min=0) * _hair(labels))


SIMPLER = {"fitted": FittedDepth, "front": FrontDepth}
"""By the name that the command gives them."""


def _hair(labels: Tensor) -> Tensor:
    return torch.isin(labels, labels.new_tensor(HAIRY))


def _closed(labels: Tensor, front: Tensor, back: Tensor) -> Surfaces:
    """Surfaces whose back is hair wherever the photo shows hair."""
    hair_logit = torch.where(_hair(labels), CERTAIN, -CERTAIN)
    scale = torch.full_like(front, THICKNESS)
    return Surfaces(front, torch.maximum(back, front), hair_logit, scale, scale)
