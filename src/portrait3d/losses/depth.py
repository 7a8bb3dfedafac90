"""The losses of stage 2, hair and ear depth: Eq. 4 to 9 of the paper and those of known depth, one value per
sample.

Depths are millimetres. Sums over a region are divided by its area, so that close-ups do not weigh more.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def region_mean(values: Float[Tensor, "B C H W"], region: Bool[Tensor, "B 1 H W"]) -> Float[Tensor, " B"]:
    """Sum over channels, mean over the pixels of the region; 0 where it is empty."""
    # Chosen, not multiplied: 0 times an infinite or undefined value outside the region would be NaN.
    total = torch.where(region, values, torch.zeros_like(values)).flatten(1).sum(dim=1)
    return total / region.flatten(1).sum(dim=1).clamp_min(1)


def color_loss(
    warped: Float[Tensor, "B 3 H W"], target: Float[Tensor, "B 3 H W"], region: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Brightness constancy between the moved view and the real one, Eq. 4.

    `region` is where the moved surface is seen in the other view. Called for both directions.
    """
    return region_mean((warped - target).abs(), region)


def gradient_loss(
    warped: Float[Tensor, "B 3 H W"], target: Float[Tensor, "B 3 H W"], region: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Constancy of image gradients between the moved view and the real one, Eq. 5.

    Forward differences along x and y, wherever both pixels lie in the region; less touched by changing light
    than `color_loss`.
    """
    # Gradients are linear: those of the difference are the difference of those.
    difference = warped - target
    along_x = region_mean((difference[..., :, 1:] - difference[..., :, :-1]).abs(), _both(region, 3))
    along_y = region_mean((difference[..., 1:, :] - difference[..., :-1, :]).abs(), _both(region, 2))
    return along_x + along_y


def rest_smoothness_loss(
    depth: Float[Tensor, "B 1 H W"], rest: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Second-order smoothness of depth over the head without its face, Eq. 6.

    The l1 norm of the Laplacian over the pixels of `rest` (H in the paper) whose four neighbours lie in it.
    """
    return _mean_laplacian(depth, rest)


def head_smoothness_loss(
    depth: Float[Tensor, "B 1 H W"], head: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Second-order smoothness of depth over the whole head, so that face and hair join smoothly, Eq. 8.

    The l1 norm of the Laplacian over the pixels of `head` (S in the paper) whose four neighbours lie in it.
    """
    return _mean_laplacian(depth, head)


def face_depth_loss(
    depth: Float[Tensor, "B 1 H W"],
    face_depth: Float[Tensor, "B 1 H W"],
    uncovered_face: Bool[Tensor, "B 1 H W"],
) -> Float[Tensor, " B"]:
    """Predicted depth of the face against the rendered face's, Eq. 7.

    Over the face minus the hair that covers it. `face_depth` may be infinite elsewhere.
    """
    # Infinite where nothing is drawn: replaced before the difference, or its gradient would be NaN.
    known = torch.where(uncovered_face, face_depth, torch.zeros_like(face_depth))
    return region_mean((depth - known).abs(), uncovered_face)


def layer_order_loss(
    depth: Float[Tensor, "B 1 H W"],
    face_depth: Float[Tensor, "B 1 H W"],
    hair_before_face: Bool[Tensor, "B 1 H W"],
) -> Float[Tensor, " B"]:
    """Hair in front of the face must be nearer than the face, Eq. 9.

    Over the pixels of hair where the rendered face lies: by how many mm it is farther, 0 where it is nearer.
    """
    known = torch.where(hair_before_face, face_depth, torch.zeros_like(face_depth))
    return region_mean((depth - known).clamp_min(0), hair_before_face)


def supervised_depth_loss(
    depth: Float[Tensor, "B 1 H W"], truth: Float[Tensor, "B 1 H W"], trust: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Weighted l1 distance to a known depth, for drawn heads.

    A deviation from the paper, which has real pairs alone. `truth` may be anything where `trust` is 0.
    """
    known = trust > 0
    error = (depth - torch.where(known, truth, torch.zeros_like(truth))).abs()
    total = torch.where(known, trust * error, torch.zeros_like(error)).flatten(1).sum(dim=1)
    return total / trust.flatten(1).sum(dim=1).clamp_min(1)


def depth_edge_loss(
    depth: Float[Tensor, "B 1 H W"],
    truth: Float[Tensor, "B 1 H W"],
    trust: Float[Tensor, "B 1 H W"],
    scales: tuple[int, ...] = (1, 2, 4),
) -> Float[Tensor, " B"]:
    """Steps of depth against those of a known depth, so that layers end sharply and surfaces stay even.

    The l1 distance between differences of pixels that lie 1, 2 and 4 px apart along x and y, a mean over the
    pairs that are both trusted (weighted by the lower trust), added up over axes and distances; as the
    gradient matching of Li and Snavely, "MegaDepth", CVPR 2018. A deviation from the paper, as
    `supervised_depth_loss` is. `truth` may be anything where `trust` is 0.
    """
    # Without trust the error is 0, whatever the truth holds there; its weight is 0 as well.
    error = depth - torch.where(trust > 0, truth, depth.detach())
    result = torch.zeros_like(error[:, 0, 0, 0])
    # Transposed, steps along y are steps along x.
    for turned in (False, True):
        values, weights = (part.mT if turned else part for part in (error, trust))
        for step in scales:
            change = (values[..., step:] - values[..., :-step]).abs()
            weight = torch.minimum(weights[..., step:], weights[..., :-step])
            result = result + (weight * change).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1)
    return result


def laplace_loss(
    error: Float[Tensor, "B 1 H W"], scale: Float[Tensor, "B 1 H W"], region: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """How badly a Laplace distribution's scale fits absolute errors (both mm): its negative log-likelihood.

    The errors are taken as they are: being unsure is no way out of learning.
    """
    # |e| / b + log b is least at b = |e|: the scale learns the expected error.
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


def _both(region: Bool[Tensor, "B 1 H W"], axis: int) -> Tensor:
    """Pairs of neighbours along an axis that both lie in the region."""
    size = region.shape[axis]
    return region.narrow(axis, 1, size - 1) & region.narrow(axis, 0, size - 1)


def _mean_laplacian(depth: Tensor, region: Tensor) -> Float[Tensor, " B"]:
    # The five-point stencil; at the border of the region it would mix head and background.
    middle = depth[..., 1:-1, 1:-1]
    around = depth[..., :-2, 1:-1] + depth[..., 2:, 1:-1] + depth[..., 1:-1, :-2] + depth[..., 1:-1, 2:]
    inner = region[..., 1:-1, 1:-1] & region[..., :-2, 1:-1] & region[..., 2:, 1:-1]
    inner = inner & region[..., 1:-1, :-2] & region[..., 1:-1, 2:]
    return region_mean((around - 4 * middle).abs(), inner)
