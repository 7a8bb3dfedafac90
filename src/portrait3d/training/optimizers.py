"""Optimisers that several stages share."""

import torch
from torch import nn


def slow_encoder(
    net: nn.Module, encoder_rate: float, decoder_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW with a rate of its own for a network's `encoder`, which starts from ImageNet."""
    encoder = list(net.get_submodule("encoder").parameters())
    known = {id(parameter) for parameter in encoder}
    decoder = [parameter for parameter in net.parameters() if id(parameter) not in known]
    return torch.optim.AdamW(
        [{"params": encoder, "lr": encoder_rate}, {"params": decoder, "lr": decoder_rate}],
        weight_decay=weight_decay,
    )
