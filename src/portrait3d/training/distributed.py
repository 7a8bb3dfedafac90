"""Training in several processes (torchrun): torch averages gradients, the first process writes and scores."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(hours=3)
"""How long processes wait for the first one, which prepares data and evaluates."""


@dataclass(frozen=True, slots=True)
class Workers:
    """This process among those that train together; a single process is the first of one."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Number on this machine: the GPU to use."""

    @classmethod
    def join(cls, device: str = "auto") -> "Workers":
        """The processes that torchrun started, by its environment variables; this one alone without them."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        if not dist.is_initialized():
            dist.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))

    @property
    def first(self) -> bool:
        """Whether this process writes, evaluates and logs."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of a name; "auto" is CUDA where there is one, each process taking its own GPU."""
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and self.count > 1:
            torch.cuda.set_device(self.local_rank)
            return torch.device("cuda", self.local_rank)
        return torch.device(name)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process go ahead, for work whose result the others find on the disk."""
        if not self.first:
            self._wait()
        yield
        if self.first:
            self._wait()

    def agree(self, value: float, device: torch.device) -> float:
        """The first process's number, in every process."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=device)
        dist.broadcast(shared, 0)
        return shared.item()

    def parallel(self, module: nn.Module) -> nn.Module:
        """A module whose forward and backward passes are one in all processes: gradients are averaged.

        It starts from the first process's weights, whose running statistics hold in training too. Every
        parameter must count in every loss. A single process has the module itself.
        """
        return module if self.count == 1 else DistributedDataParallel(module)

    def leave(self) -> None:
        """Part from the other processes, when all are done; what `parallel` returned must be gone by then.

        Otherwise threads of the group live on, and one that still holds a tensor when Python ends aborts the
        process: torchrun would take the training for a failed one (pytorch issue 190489).
        """
        if self.count > 1:
            dist.destroy_process_group()

    def _wait(self) -> None:
        if self.count > 1:
            dist.barrier()
