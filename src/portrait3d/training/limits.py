"""How long, where and how often a training loop does things."""

from dataclasses import dataclass
from pathlib import Path


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
    """float32 or bfloat16 (autocast); a CPU gains by it if it knows avx512_bf16 or AMX."""
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
    patience: int | None = None
    """Stop after this many evaluations in a row without a better score; None trains to the limit."""
    log_steps: int = 20
    """Losses are averaged over this many steps for the log."""
    tensorboard: bool = False
    """Write TensorBoard files too (--tensorboard)."""

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ValueError("Training needs a limit: --minutes or --steps.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"loop.precision is float32 or bfloat16, got {self.precision!r}.")
        for name in ("minutes", "steps"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"--{name} must be positive, got {value}.")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1 evaluation, got {self.patience}.")
