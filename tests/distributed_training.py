"""A tiny training for torchrun: `torchrun --nproc-per-node N distributed_training.py OUT SIZE [STEP]`.

Every process writes its weights, the step it stopped at and how many threads of torch's group it still has to
OUT/process-RANK.safetensors. With a STEP, the second process is killed there, once.
"""

import os
import signal
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


def train(out: Path, size: int, killed_at: int | None = None) -> TrainingLoop:
    """Learn against a discriminator; two evaluations in vain end the training, long before its limit."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    judge = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizers: dict[str, torch.optim.Optimizer] = {
        "net": torch.optim.AdamW(net.parameters(), lr=0.05),
        "judge": torch.optim.Adam(judge.parameters(), lr=0.05),
    }
    config = LoopConfig(
        out=out,
        steps=100,
        patience=2,
        evaluate_minutes=0.0,
        checkpoint_minutes=0.0,
        log_steps=1,
        device="cpu",
        decay=1e-9,
    )
    loop = TrainingLoop(
        config, {"net": net, "judge": judge}, optimizers, averaged="net", evaluate=lambda _: {"score": 1.0}
    )
    for step, (x, y) in zip(loop, loop.batches(Numbers(), size), strict=False):
        first_start = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if step == killed_at and loop.workers.rank == 1 and first_start:
            (out / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        found = loop.parallel["net"](x)
        judge.requires_grad_(False)
        total = (found - y).square().mean() + 0.1 * (judge(found) - 1).square().mean()
        loop.update("net", total)
        judge.requires_grad_(True)
        # Several passes before one step, as in the refinement stage.
        judged = [loop.parallel["judge"](values) for values in (found.detach(), y, 0.5 * y)]
        doubt = judged[0].square().mean() + (judged[1] - 1).square().mean() + judged[2].square().mean()
        loop.update("judge", doubt)
        loop.log({"total": total, "judge": doubt})
    return loop


if __name__ == "__main__":
    directory, size, *killed_at = sys.argv[1:]
    finished = train(Path(directory), int(size), *map(int, killed_at))
    modules = nn.ModuleDict(finished.modules)
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    threads = sum("gloo" in name for name in names)
    state = {**modules.state_dict(), "step": torch.tensor(finished.step), "threads": torch.tensor(threads)}
    save_file(state, Path(directory) / f"process-{finished.workers.rank}.safetensors")
