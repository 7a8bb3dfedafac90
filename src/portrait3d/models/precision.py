"""Arithmetic of networks where half the digits are enough."""

from functools import cache

import torch


def fast_convolutions() -> torch.autocast:
    """Convolutions in bfloat16 with sums in float32 on CPUs that have instructions for it; as ever on others.

    They take about half the time. The same machine gives the same numbers, others may round otherwise.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16())


@cache
def _has_bfloat16() -> bool:
    # Without the instructions torch computes the same more slowly than float32. Old releases of torch do not
    # tell.
    told = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))
