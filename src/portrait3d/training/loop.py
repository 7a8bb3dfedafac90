"""The training loop of every stage: device, precision, schedule, averaging, checkpoints and logs, no task.

A stage owns its networks, optimisers and losses and reads from top to bottom:

    loop = TrainingLoop(config.loop, {"net": net}, {"net": optimizer}, averaged="net", evaluate=score)
    for _, batch in zip(loop, loop.batches(samples, config.batch)):
        with loop.autocast():
            losses = loss(net, batch)
        loop.update("net", losses["total"])
        loop.log(losses)

Started again with the same output directory, it goes on from its last checkpoint exactly: every sample is a
function of its number alone, and everything else that changes is in the checkpoint.
"""

import dataclasses
import itertools
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """How long, where and how often; the same for every stage."""

    out: Path
    """Directory of the run: checkpoint.pt, best.safetensors, config.json, log.jsonl."""
    minutes: float | None = None
    """Stop after this much training time, all starts together (--minutes)."""
    steps: int | None = None
    """Stop after this many steps (--steps)."""
    device: str = "auto"
    """A torch device; auto takes CUDA where there is one."""
    precision: str = "float32"
    """float32 or bfloat16 (autocast); on CPUs without AMX float32 is faster below about 160 px."""
    seed: int = 0
    warmup_steps: int = 60
    """Steps in which the learning rate rises from 0."""
    decay: float = 0.35
    """Last part of the training in which the learning rate falls to 0."""
    average: float = 0.998
    """Decay of the weight average at full length; shorter in the beginning."""
    gradient_norm: float = 5.0
    """Gradients are clipped to this norm."""
    checkpoint_minutes: float = 3.0
    evaluate_minutes: float = 10.0
    log_steps: int = 20
    """Losses are averaged over this many steps for the log."""
    tensorboard: bool = False
    """Write TensorBoard files too (--tensorboard)."""

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ValueError("Training needs a limit: --minutes or --steps.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"--precision is float32 or bfloat16, got {self.precision!r}.")
        for name in ("minutes", "steps"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"--{name} must be positive, got {value}.")


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
        name = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        self.config, self.device = config, torch.device(name)
        self.modules = {name: module.to(self.device) for name, module in modules.items()}
        self.optimizers, self.evaluate = dict(optimizers), evaluate
        self.averaged_name = averaged
        self.averaged = deepcopy(self.modules[averaged]).requires_grad_(False).eval()
        self.step, self.seconds, self.best = 0, 0.0, float("-inf")
        self._losses: dict[str, list[Tensor]] = {}
        self._saved = self._evaluated = 0.0
        random.seed(config.seed)
        torch.manual_seed(config.seed)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
        config.out.mkdir(parents=True, exist_ok=True)
        self._check_settings(settings)
        if (config.out / "checkpoint.pt").is_file():
            self.restore()
        self._board = None
        if config.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(config.out), purge_step=self.step)

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1: the nearer of the two limits."""
        steps, minutes = self.config.steps, self.config.minutes
        return min(
            1.0, max(self.step / steps if steps else 0.0, self.seconds / 60 / minutes if minutes else 0.0)
        )

    def __iter__(self) -> Iterator[int]:
        while self.progress < 1:
            began = time.perf_counter()
            self._set_rates()
            for module in self.modules.values():
                module.train()
            yield self.step
            self._average()
            self.step += 1
            self.seconds += time.perf_counter() - began
            done = self.progress >= 1
            if self.step % self.config.log_steps == 0 or done:
                self._write_losses()
            if self.evaluate and (done or self.seconds - self._evaluated > 60 * self.config.evaluate_minutes):
                self._evaluate()
            if done or self.seconds - self._saved > 60 * self.config.checkpoint_minutes:
                self.save()

    def batches(self, samples: Dataset, size: int, workers: int = 0) -> Iterator[Any]:
        """Batches from the current step on, on the device; step k holds the size samples from k size on.

        `samples[i]` must depend on i alone, so that a resumed run sees what an uninterrupted one would.
        """
        numbers = (list(range(k * size, (k + 1) * size)) for k in itertools.count(self.step))
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
        if not torch.isfinite(loss):
            raise FloatingPointError(f"The loss became {loss.item()} at step {self.step}.")
        self.optimizers[optimizer].zero_grad(set_to_none=True)
        loss.backward()
        groups = self.optimizers[optimizer].param_groups
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], self.config.gradient_norm)
        self.optimizers[optimizer].step()

    def log(self, losses: Mapping[str, Tensor]) -> None:
        """Remember scalars for the log."""
        for name, value in losses.items():
            self._losses.setdefault(name, []).append(value.detach().float().mean())

    def save(self) -> None:
        """Write the checkpoint; an interruption leaves the previous one."""
        state = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "averaged": self.averaged.state_dict(),
            "random": {"python": random.getstate(), "torch": torch.get_rng_state()},
            "losses": self._losses,
            "counters": {"step": self.step, "seconds": self.seconds, "best": self.best},
        }
        if self.device.type == "cuda":
            state["random"]["cuda"] = torch.cuda.get_rng_state_all()
        path = self.config.out / "checkpoint.pt"
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
        self._saved = self.seconds

    def restore(self) -> None:
        """Go back to the last checkpoint of the output directory."""
        state = torch.load(self.config.out / "checkpoint.pt", map_location="cpu", weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.averaged.load_state_dict(state["averaged"])
        random.setstate(state["random"]["python"])
        torch.set_rng_state(state["random"]["torch"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        self._losses = self.to_device(state["losses"])
        self.step, self.seconds, self.best = (state["counters"][key] for key in ("step", "seconds", "best"))
        self._saved = self._evaluated = self.seconds
        self._forget_log_after(self.step)
        logger.info("Continuing %s at step %d", self.config.out, self.step)

    def _set_rates(self) -> None:
        warmup = min(1.0, (self.step + 1) / max(self.config.warmup_steps, 1))
        factor = warmup * min(1.0, (1 - self.progress) / max(self.config.decay, 1e-9))
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.config.average, (self.step + 1) / (self.step + 10))
        current = self.modules[self.averaged_name].state_dict()
        for name, mean in self.averaged.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(current[name], 1 - keep)
            else:
                mean.copy_(current[name])

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        began = time.perf_counter()
        scores = self.evaluate(self.averaged)
        self._write({"evaluation": scores, "took": round(time.perf_counter() - began, 1)})
        if scores["score"] > self.best:
            self.best = scores["score"]
            path = self.config.out / "best.safetensors"
            state = {name: value.contiguous().cpu() for name, value in self.averaged.state_dict().items()}
            save_file(state, path.with_suffix(".part"), {"step": str(self.step), "score": str(self.best)})
            os.replace(path.with_suffix(".part"), path)
        self._evaluated = self.seconds

    def _write_losses(self) -> None:
        means = {name: float(torch.stack(values).mean()) for name, values in self._losses.items()}
        self._losses = {}
        rate = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        self._write({"losses": means, "rate": rate})

    def _write(self, entry: dict[str, Any]) -> None:
        line = {"step": self.step, "minutes": round(self.seconds / 60, 3), **entry}
        with (self.config.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        logger.info("%s", json.dumps(line))
        if self._board is not None:
            for group in ("losses", "evaluation"):
                for name, value in entry.get(group, {}).items():
                    self._board.add_scalar(f"{group}/{name}", value, self.step)

    def _forget_log_after(self, step: int) -> None:
        path = self.config.out / "log.jsonl"
        if path.is_file():
            lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
            path.write_text("".join(line + "\n" for line in lines))

    def _check_settings(self, settings: Any) -> None:
        """Save the resolved configuration, or compare it with that of the run to be continued."""
        wanted = json.loads(json.dumps(_plain(settings)))
        path = self.config.out / "config.json"
        if (self.config.out / "checkpoint.pt").is_file() and path.is_file():
            known = json.loads(path.read_text())["settings"]
            if isinstance(known, dict) and isinstance(wanted, dict):
                changed = [key for key in wanted if key != "loop" and known.get(key) != wanted[key]]
                if changed:
                    names = ", ".join(changed)
                    raise ValueError(f"{path.parent} was started with another {names}; choose another --out.")
        record = {
            "settings": wanted,
            "loop": _plain(self.config),
            "commit": current_commit(),
            "torch": torch.__version__,
            "command": sys.argv,
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


def current_commit() -> str | None:
    """The commit of the source tree that this runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _plain(value: Any) -> Any:
    """Dataclasses and paths as JSON can hold them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
