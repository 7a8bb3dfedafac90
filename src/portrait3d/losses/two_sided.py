"""What the two-sided depth network is taught besides depth: how sure it is, and where hair lies behind."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.losses.depth import region_mean


def laplace_loss(
    error: Float[Tensor, "B 1 H W"], scale: Float[Tensor, "B 1 H W"], region: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """How badly a Laplace distribution's scale fits absolute errors (both mm): its negative log-likelihood.

    The errors are taken as they are: being unsure is no way out of learning.
    """
    return region_mean(error.detach().abs() / scale + scale.log(), region)


def hair_behind_loss(
    logit: Float[Tensor, "B 1 H W"], is_hair: Bool[Tensor, "B 1 H W"], region: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Binary cross-entropy of "the last surface is hair" where that is known."""
    entropy = F.binary_cross_entropy_with_logits(logit, is_hair.to(logit), reduction="none")
    return region_mean(entropy, region)


def last_surface(
    truth: Float[Tensor, "B 1 H W"], far: Float[Tensor, "B 1 H W"], head: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, "B 1 H W"]:
    """The back that can be learned: the true one (mm), but not before the fitted head's own (layer order)."""
    return torch.where(head, torch.maximum(truth, far), truth)
