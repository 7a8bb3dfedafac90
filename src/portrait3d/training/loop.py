"""The training loop of every stage: device, precision, schedule, averaging, checkpoints and logs, no task.

A stage owns its networks, optimisers and losses and reads from top to bottom:

    loop = TrainingLoop(config.loop, {"net": net}, {"net": optimizer}, averaged="net", evaluate=score)
    for _, batch in zip(loop, loop.batches(samples, config.batch)):
        with loop.autocast():
            losses = loss(loop.parallel["net"], batch)
        loop.update("net", losses["total"])
        loop.log(losses)

Started again with the same output directory, it goes on from its last checkpoint exactly: every sample is a
function of its number alone, and everything else that changes is in the checkpoint. Started by torchrun,
every process sees other samples and the gradients are averaged (`training.distributed`): losses must then be
computed by the modules in `parallel`, whose weights are those of `modules`.
"""

import itertools
import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from portrait3d.training.distributed import Workers
from portrait3d.training.limits import LoopConfig
from portrait3d.training.records import RunRecord
from portrait3d.weights import Checkpoint

logger = logging.getLogger(__name__)


class TrainingLoop:
    """Iterates over step numbers and does everything between two steps.

    Args:
        config: Limits, schedule and output directory.
        modules: Everything that learns, by name; moved to the device here.
        optimizers: By name, over parameters of the modules.
        averaged: Name of the module whose moving average is evaluated and released.
        evaluate: Scores the average; the entry "score" decides which weights are kept as the best.
        settings: The stage's whole configuration, saved with the run; a run that was started with another one
            (limits and the like apart) is not continued.
    """

    def __init__(
        self,
        config: LoopConfig,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        *,
        averaged: str,
        evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
        settings: Any = None,
    ) -> None:
        self.workers = Workers.join(config.device)
        self.config, self.device = config, self.workers.device(config.device)
        self.modules = {name: module.to(self.device) for name, module in modules.items()}
        self.optimizers, self.evaluate = dict(optimizers), evaluate
        self.averaged_name = averaged
        self.averaged = deepcopy(self.modules[averaged]).requires_grad_(False).eval()
        self.step, self.seconds, self.best, self.in_vain = 0, 0.0, float("-inf"), 0
        self._losses: dict[str, list[Tensor]] = {}
        self._saved = self._evaluated = 0.0
        self._seed(config.seed + self.workers.rank)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                # The schedule multiplies this one; it is saved with the optimiser.
                group.setdefault("initial_lr", group["lr"])
        self.record: RunRecord | None = None
        # The first process refuses other settings before any other process reads the checkpoint.
        with self.workers.first_alone():
            if self.workers.first:
                self.record = RunRecord(config.out, settings, config, tensorboard=config.tensorboard)
        if (config.out / "checkpoint.pt").is_file():
            self.restore()
        # The same modules, for losses: in several processes their gradients are averaged.
        self.parallel = {name: self.workers.parallel(module) for name, module in self.modules.items()}

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1: the nearer of the two limits."""
        steps, minutes = self.config.steps, self.config.minutes
        return min(
            1.0, max(self.step / steps if steps else 0.0, self.seconds / 60 / minutes if minutes else 0.0)
        )

    @property
    def exhausted(self) -> bool:
        """Whether evaluations have not become better for as long as the patience lasts."""
        return self.config.patience is not None and self.in_vain >= self.config.patience

    @property
    def turn(self) -> int:
        """Number of this process's next batch among those of all processes; the step, for a single one."""
        return self.step * self.workers.count + self.workers.rank

    def __iter__(self) -> Iterator[int]:
        while self.progress < 1 and not self.exhausted:
            began = time.perf_counter()
            self._set_rates()
            for module in self.modules.values():
                module.train()
            # The caller's step happens here; evaluating and saving, below, are no training time.
            yield self.step
            self._average()
            self.step += 1
            self.seconds += time.perf_counter() - began
            # One clock for all: processes that stopped at different steps would wait for each other's
            # gradients.
            self.seconds = self.workers.agree(self.seconds, self.device)
            done = self.progress >= 1
            if self.step % self.config.log_steps == 0 or done:
                self._write_losses()
            if self.evaluate and (done or self.seconds - self._evaluated > 60 * self.config.evaluate_minutes):
                self._evaluate()
                done = done or self.exhausted
            if done or self.seconds - self._saved > 60 * self.config.checkpoint_minutes:
                self.save()
        self.parallel = self.modules
        self.workers.leave()

    def batches(self, samples: Dataset, size: int, workers: int = 0) -> Iterator[Any]:
        """Batches from the current turn on, on the device; turn k holds the size samples from k size on.

        `samples[i]` must depend on i alone, so that a resumed run sees what an uninterrupted one would.
        """
        turns = itertools.count(self.turn, self.workers.count)
        numbers = (list(range(k * size, (k + 1) * size)) for k in turns)
        # A generator of its own: a new loader must not draw from the global one, whose state is restored.
        loader = DataLoader(
            samples,
            batch_sampler=numbers,  # pyright: ignore[reportArgumentType]
            num_workers=workers,
            generator=torch.Generator(),
        )
        return (self.to_device(batch) for batch in loader)

    def to_device(self, batch: Any) -> Any:
        """Move every tensor of a (nested) batch to the device."""
        if isinstance(batch, Tensor):
            return batch.to(self.device, non_blocking=True)
        if isinstance(batch, Mapping):
            return {key: self.to_device(value) for key, value in batch.items()}
        if isinstance(batch, list | tuple):
            return type(batch)(self.to_device(value) for value in batch)
        return batch

    def autocast(self) -> AbstractContextManager:
        """The context in which losses are computed."""
        enabled = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def update(self, optimizer: str, loss: Tensor) -> None:
        """One step of one optimiser down the gradient of a scalar."""
        # Before the step: one NaN would spread to all weights and to their average.
        if not torch.isfinite(loss):
            raise FloatingPointError(f"The loss became {loss.item()} at step {self.step}.")
        self.optimizers[optimizer].zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizers[optimizer].param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.config.gradient_norm)
        self.optimizers[optimizer].step()

    def log(self, losses: Mapping[str, Tensor]) -> None:
        """Remember scalars for the log."""
        for name, value in losses.items():
            # Left on the device: reading a number would wait for it in every step.
            self._losses.setdefault(name, []).append(value.detach().float().mean())

    def save(self) -> None:
        """Write the checkpoint; an interruption leaves the previous one."""
        self._saved = self.seconds
        if not self.workers.first:
            return
        state = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "averaged": self.averaged.state_dict(),
            "random": {"python": random.getstate(), "torch": torch.get_rng_state()},
            "losses": self._losses,
            "counters": {
                "step": self.step,
                "seconds": self.seconds,
                "best": self.best,
                "in_vain": self.in_vain,
            },
        }
        if self.device.type == "cuda":
            state["random"]["cuda"] = torch.cuda.get_rng_state_all()
        path = self.config.out / "checkpoint.pt"
        # Written beside and moved, which either happens or does not.
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def restore(self) -> None:
        """Go back to the last checkpoint of the output directory; `WeightsError` where it can't be used."""
        checkpoint = Checkpoint.read(self.config.out / "checkpoint.pt")
        for name, module in self.modules.items():
            checkpoint.fill(module, "modules", name)
        for name, optimizer in self.optimizers.items():
            checkpoint.give(partial(_restore_optimizer, optimizer), "optimizers", name)
        checkpoint.fill(self.averaged, "averaged")
        checkpoint.give(self._restore_counters, "counters")
        if self.workers.first:
            checkpoint.give(random.setstate, "random", "python")
            checkpoint.give(torch.set_rng_state, "random", "torch")
            if self.device.type == "cuda":
                checkpoint.give(torch.cuda.set_rng_state_all, "random", "cuda")
        else:
            # Only the first process's random state is saved; the others go on from a seed of this step.
            self._seed(self.config.seed + self.workers.rank + self.workers.count * self.step)
        checkpoint.give(self._restore_losses, "losses")
        self._saved = self._evaluated = self.seconds
        if self.record is not None:
            self.record.forget_after(self.step)
        logger.info("Continuing %s at step %d", self.config.out, self.step)

    def _restore_counters(self, counters: Mapping[str, Any]) -> None:
        self.step, self.in_vain = int(counters["step"]), int(counters.get("in_vain", 0))
        self.seconds, self.best = float(counters["seconds"]), float(counters["best"])
        if not (self.step >= 0 and 0 <= self.seconds < math.inf and self.best < math.inf):
            raise ValueError(f"step {self.step}, seconds {self.seconds}, best {self.best}")

    def _restore_losses(self, losses: Mapping[str, list[Tensor]]) -> None:
        self._losses = self.to_device(losses)
        for values in self._losses.values():
            torch.stack(values).mean()  # as they are logged

    def _set_rates(self) -> None:
        # A linear rise, a plateau, and a linear fall to 0 at the nearer limit.
        warmup = min(1.0, (self.step + 1) / max(self.config.warmup_steps, 1))
        factor = warmup * min(1.0, (1 - self.progress) / max(self.config.decay, 1e-9))
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    @torch.no_grad()
    def _average(self) -> None:
        # A shorter memory in the beginning (as TensorFlow's moving averages have): the random start must not
        # linger.
        keep = min(self.config.average, (self.step + 1) / (self.step + 10))
        current = self.modules[self.averaged_name].state_dict()
        for name, mean in self.averaged.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(current[name], 1 - keep)
            else:
                # Counters, such as the batches that a norm has seen.
                mean.copy_(current[name])

    def _evaluate(self) -> None:
        """Score the average, in the first process; the others wait for what it says about going on."""
        self._evaluated = self.seconds
        if self.evaluate is not None and self.workers.first:
            began = time.perf_counter()
            scores = self.evaluate(self.averaged)
            self._write({"evaluation": scores, "took": round(time.perf_counter() - began, 1)})
            self.in_vain += 1
            if scores["score"] > self.best:
                self.best, self.in_vain = scores["score"], 0
                self._keep_best()
        self.in_vain = int(self.workers.agree(self.in_vain, self.device))

    def _keep_best(self) -> None:
        path = self.config.out / "best.safetensors"
        state = {name: value.contiguous().cpu() for name, value in self.averaged.state_dict().items()}
        save_file(state, path.with_suffix(".part"), {"step": str(self.step), "score": str(self.best)})
        os.replace(path.with_suffix(".part"), path)

    def _write_losses(self) -> None:
        means = {name: float(torch.stack(values).mean()) for name, values in self._losses.items()}
        self._losses = {}
        rate = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        self._write({"losses": means, "rate": rate})

    def _write(self, entry: dict[str, Any]) -> None:
        if self.record is not None:
            self.record.write({"step": self.step, "minutes": round(self.seconds / 60, 3), **entry})

    def _seed(self, seed: int) -> None:
        random.seed(seed)
        torch.manual_seed(seed)


def _restore_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Take over a state; `ValueError` if what it keeps of a parameter doesn't fit it or isn't finite."""
    # load_state_dict takes whatever it is given, so what came of it is checked.
    fresh = [dict(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape not in (parameter.shape, ()):
                shapes = f"{tuple(value.shape)} for a parameter of {tuple(parameter.shape)}"
                raise ValueError(f"{name} has the shape {shapes}.")
            if not torch.isfinite(torch.as_tensor(value)).all():
                raise ValueError(f"{name} has values that aren't finite.")
    for group, known in zip(optimizer.param_groups, fresh, strict=True):
        for name in known:
            if isinstance(known[name], float) and not math.isfinite(group[name]):
                raise ValueError(f"{name} is {group[name]}.")
