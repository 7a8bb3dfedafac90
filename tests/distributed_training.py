"""A tiny training for torchrun: `torchrun --nproc-per-node N distributed_training.py OUT SIZE`.

Every process writes its weights and the step it stopped at to OUT/process-RANK.safetensors.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from portrait3d.training.loop import LoopConfig, TrainingLoop


class Numbers(Dataset):
    """Sample i depends on i alone."""

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(3, generator=torch.Generator().manual_seed(i))
        return x, x.sum()[None]


def train(out: Path, size: int) -> TrainingLoop:
    """Two evaluations in vain end the training, long before its limit."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    unused = nn.Parameter(torch.ones(2))
    net.register_parameter("unused", unused)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    config = LoopConfig(out=out, steps=100, patience=2, evaluate_minutes=0.0, device="cpu", decay=1e-9)
    loop = TrainingLoop(
        config, {"net": net}, {"net": optimizer}, averaged="net", evaluate=lambda _: {"score": 1.0}
    )
    for _, (x, y) in zip(loop, loop.batches(Numbers(), size), strict=False):
        loop.update("net", (loop.modules["net"](x) - y).square().mean())
    return loop


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    finished = train(directory, int(sys.argv[2]))
    state = {**finished.modules["net"].state_dict(), "step": torch.tensor(finished.step)}
    save_file(state, directory / f"process-{finished.workers.rank}.safetensors")
