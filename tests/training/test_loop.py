"""The training loop: limits, schedule, averaging, checkpoints and logs."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from portrait3d.errors import WeightsError
from portrait3d.training.loop import LoopConfig, TrainingLoop


class Numbers(Dataset):
    """Sample i depends on i alone."""

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(3, generator=torch.Generator().manual_seed(i))
        return x, x.sum()[None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A stage's configuration."""

    loop: LoopConfig
    width: int = 8


def make_loop(config: LoopConfig, width: int = 8, evaluate=None) -> TrainingLoop:
    torch.manual_seed(1)
    # Dropout and normalisation: random numbers and buffers must survive an interruption too.
    net = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    settings = Settings(loop=config, width=width)
    return TrainingLoop(
        config, {"net": net}, {"net": optimizer}, averaged="net", evaluate=evaluate, settings=settings
    )


def train(loop: TrainingLoop, until: int | None = None) -> None:
    for step, (x, y) in zip(loop, loop.batches(Numbers(), 4), strict=False):
        loss = (loop.modules["net"](x) - y).square().mean()
        loop.update("net", loss)
        loop.log({"total": loss})
        if until is not None and step + 1 == until:
            break


def log_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    config = LoopConfig(out=tmp_path / "whole", steps=12, warmup_steps=3, log_steps=5, checkpoint_minutes=0.0)
    whole = make_loop(config)
    train(whole)
    parts = replace(config, out=tmp_path / "parts")
    # Leaving the loop early is an interruption between two checkpoints: step 8 is lost and done again.
    train(make_loop(parts), until=8)
    resumed = make_loop(parts)
    assert resumed.step == 7
    train(resumed)
    for a, b in ((whole.modules["net"], resumed.modules["net"]), (whole.averaged, resumed.averaged)):
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name]), name
    entries = [[(e["step"], e["losses"], e["rate"]) for e in log_of(c.out)] for c in (config, parts)]
    assert entries[0] == entries[1]


@pytest.mark.parametrize(
    ("names", "value", "complaint"),
    [
        (["averaged"], None, "lacks averaged"),
        (["modules"], 3, r"lacks modules\.net"),
        (
            ["modules", "net", "0.weight"],
            torch.ones(8, 4),
            r"0\.weight in modules\.net of .* has the shape \(8, 4\)",
        ),
        (
            ["modules", "net", "0.weight"],
            torch.full((8, 3), torch.nan),
            r"0\.weight in modules\.net .*finite",
        ),
        (
            ["modules", "net", "0.weight"],
            torch.ones(8, 3, dtype=torch.complex64),
            "stored as torch.complex64",
        ),
        (
            ["modules", "net", "0.weight"],
            "text",
            r"modules\.net\.0\.weight in .* is 'text', expected a tensor",
        ),
        (
            ["optimizers", "net", "state", 0, "exp_avg"],
            torch.ones(2),
            r"optimizers\.net .*exp_avg has the shape",
        ),
        (
            ["optimizers", "net", "state", 0, "exp_avg"],
            torch.full((8, 3), torch.inf),
            r"optimizers\.net .*finite",
        ),
        (["optimizers", "net", "param_groups"], [], r"optimizers\.net in .* can't be used"),
        (["optimizers", "net", "param_groups", 0, "initial_lr"], float("nan"), "initial_lr is nan"),
        (["counters", "step"], "many", r"counters in .* can't be used: invalid literal"),
        (["counters", "seconds"], float("nan"), r"counters in .* can't be used: .*seconds nan"),
        (["random", "python"], (1, 2), r"random\.python in .* can't be used"),
        (["random", "torch"], torch.ones(3), r"random\.torch in .* can't be used"),
        (["losses"], {"total": [torch.ones(2), torch.ones(3)]}, r"losses in .* can't be used"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_named_by_file_and_entry(
    names: list[str | int], value: object, complaint: str, tmp_path: Path
) -> None:
    config = LoopConfig(out=tmp_path, steps=9, checkpoint_minutes=0.0)
    train(make_loop(config), until=3)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    *tables, last = names
    table = state
    for name in tables:
        table = table[name]
    if value is None:
        del table[last]
    else:
        table[last] = value
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match=complaint) as caught:
        make_loop(config)
    assert str(tmp_path / "checkpoint.pt") in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"settings": 1, "loop": {}}', "[" * 100_000])
def test_a_broken_record_of_a_run_is_named(text: str, tmp_path: Path) -> None:
    config = LoopConfig(out=tmp_path, steps=2)
    train(make_loop(config))
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json is no (JSON file|record of a training run)"):
        make_loop(config)


def test_the_log_of_lost_steps_is_dropped(tmp_path: Path) -> None:
    config = LoopConfig(out=tmp_path, steps=9, log_steps=1, checkpoint_minutes=1e9)
    loop = make_loop(config)
    train(loop, until=4)
    loop.save()
    train(loop, until=7)
    train(make_loop(config))
    assert [entry["step"] for entry in log_of(tmp_path)] == list(range(1, 10))


def test_the_rate_rises_then_stays_then_falls_to_nothing(tmp_path: Path) -> None:
    config = LoopConfig(out=tmp_path, steps=20, warmup_steps=4, decay=0.5, log_steps=1)
    train(make_loop(config))
    rates = [entry["rate"] for entry in log_of(tmp_path)]
    assert rates[:4] == pytest.approx([0.0125, 0.025, 0.0375, 0.05])
    assert rates[3:11] == pytest.approx([0.05] * 8)
    assert rates[-1] == pytest.approx(0.05 * 0.1)


def test_time_ends_a_run(tmp_path: Path) -> None:
    loop = make_loop(LoopConfig(out=tmp_path, minutes=0.002))
    train(loop)
    assert loop.progress == 1
    assert loop.seconds >= 0.12


def first_weight(net: nn.Module) -> torch.Tensor:
    return next(net.parameters()).detach()


def test_the_average_lags_behind_the_weights(tmp_path: Path) -> None:
    loop = make_loop(LoopConfig(out=tmp_path, steps=30))
    start = first_weight(loop.averaged).clone()
    train(loop)
    end = first_weight(loop.modules["net"])
    moved, mean = (end - start).norm(), (first_weight(loop.averaged) - start).norm()
    assert 0.2 * moved < mean < moved
    assert not loop.averaged.training


def test_the_best_average_is_kept_and_the_score_logged(tmp_path: Path) -> None:
    seen = []

    def evaluate(average: nn.Module) -> dict[str, float]:
        seen.append({name: value.clone() for name, value in average.state_dict().items()})
        return {"score": -abs(len(seen) - 2.0)}

    train(make_loop(LoopConfig(out=tmp_path, steps=4, evaluate_minutes=0.0), evaluate=evaluate))
    best = load_file(tmp_path / "best.safetensors")
    assert all(torch.equal(best[name], value) for name, value in seen[1].items())
    scores = [entry["evaluation"]["score"] for entry in log_of(tmp_path) if "evaluation" in entry]
    assert scores == [-1, 0, -1, -2]


def test_a_run_ends_when_evaluations_do_not_get_better_and_stays_ended(tmp_path: Path) -> None:
    scores = iter([1.0, 2.0, 1.5, 2.0, 9.0])
    config = LoopConfig(out=tmp_path, steps=20, evaluate_minutes=0.0, patience=2)
    loop = make_loop(config, evaluate=lambda _: {"score": next(scores)})
    train(loop)
    assert loop.step == 4
    assert loop.exhausted
    again = make_loop(config, evaluate=lambda _: {"score": next(scores)})
    train(again)
    assert again.step == 4


def test_a_run_is_not_continued_with_another_configuration(tmp_path: Path) -> None:
    config = LoopConfig(out=tmp_path, steps=2)
    train(make_loop(config))
    with pytest.raises(ValueError, match="another width"):
        make_loop(config, width=4)
    longer = make_loop(replace(config, steps=3))
    assert longer.step == 2


def test_the_configuration_and_the_versions_are_written_down(tmp_path: Path) -> None:
    make_loop(LoopConfig(out=tmp_path, steps=2))
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["settings"]["width"] == 8
    assert record["loop"]["steps"] == 2
    assert record["torch"] == torch.__version__


def test_two_optimisers_take_their_own_steps(tmp_path: Path) -> None:
    nets = {name: nn.Linear(1, 1) for name in ("generator", "discriminator")}
    optimizers = {name: torch.optim.SGD(net.parameters(), lr=0.1) for name, net in nets.items()}
    loop = TrainingLoop(LoopConfig(out=tmp_path, steps=1), nets, optimizers, averaged="generator")
    before = nets["discriminator"].weight.clone()
    for _ in loop:
        loss = nets["discriminator"](nets["generator"](torch.ones(1, 1))).square().sum()
        loop.update("generator", loss)
    assert torch.equal(nets["discriminator"].weight, before)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    loop = make_loop(LoopConfig(out=tmp_path, steps=2))
    with pytest.raises(FloatingPointError, match="step 0"):
        loop.update("net", torch.tensor(float("nan"), requires_grad=True))


def test_bad_limits_name_their_flag(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--minutes or --steps"):
        LoopConfig(out=tmp_path)
    with pytest.raises(ValueError, match="--steps must be positive"):
        LoopConfig(out=tmp_path, steps=0)
    with pytest.raises(ValueError, match="at least 1 evaluation, got 0"):
        LoopConfig(out=tmp_path, steps=1, patience=0)
    with pytest.raises(ValueError, match="'half'"):
        LoopConfig(out=tmp_path, steps=1, precision="half")


def test_tensorboard_files_are_written_when_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(make_loop(LoopConfig(out=tmp_path, steps=2, tensorboard=True)))
    assert list(tmp_path.glob("events.out.tfevents.*"))
