"""Several processes learn what one does from the same samples, and only the first one writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from distributed_training import train
from portrait3d.models.depth_net import DepthNet
from portrait3d.models.discriminator import Discriminator
from portrait3d.models.face_net import FaceNet
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.training.distributed import Workers

SCRIPT = Path(__file__).resolve().parents[1] / "distributed_training.py"
# Without it, torchrun's store gives restarted processes the addresses of dead ones (pytorch issue 135712).
RESTARTABLE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "GLOO_SOCKET_IFNAME": "lo"}


def train_in_two(out: Path, size: int, *killed_at: int) -> None:
    """Run the tiny training in two processes, of which one may be killed at a step."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launcher += ["--max-restarts", str(len(killed_at)), "--monitor-interval", "0.1"]
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(out), str(size), *map(str, killed_at)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | RESTARTABLE,
    )
    assert done.returncode == 0, done.stderr
    # Of the killed process and of the other one, which misses it, torchrun names the one that it sees first.
    assert ("failed (exitcode:" in done.stderr) == bool(killed_at), done.stderr
    assert (out / "killed").exists() == bool(killed_at)


def logged(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a training in two processes."""
    out = tmp_path_factory.mktemp("two")
    train_in_two(out, 2)
    return out


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_twice_the_batch(two: Path, tmp_path: Path) -> None:
    alone = train(tmp_path, 4)
    states = [load_file(two / f"process-{rank}.safetensors") for rank in (0, 1)]
    for name, value in nn.ModuleDict(alone.modules).state_dict().items():
        torch.testing.assert_close(states[0][name], value)
        assert torch.equal(states[0][name], states[1][name])
    assert alone.step == 3


@pytest.mark.slow
def test_all_processes_stop_when_evaluations_do_not_get_better(two: Path) -> None:
    # The first evaluation is the best; the patience is two more.
    assert [int(load_file(two / f"process-{rank}.safetensors")["step"]) for rank in (0, 1)] == [3, 3]


def test_processes_part_when_they_are_done(two: Path) -> None:
    # A thread that still holds a tensor when Python ends aborts the process.
    assert [int(load_file(two / f"process-{rank}.safetensors")["threads"]) for rank in (0, 1)] == [0, 0]


@pytest.mark.slow
def test_the_first_process_alone_writes_the_log(two: Path) -> None:
    assert [entry["step"] for entry in logged(two) if "evaluation" in entry] == [1, 2, 3]


def test_a_training_goes_on_after_one_of_its_processes_was_killed(two: Path, tmp_path: Path) -> None:
    train_in_two(tmp_path, 2, 2)
    for rank in (0, 1):
        state = load_file(tmp_path / f"process-{rank}.safetensors")
        for name, value in load_file(two / f"process-{rank}.safetensors").items():
            assert torch.equal(state[name], value), name
    losses = [[entry["losses"] for entry in logged(out) if "losses" in entry] for out in (two, tmp_path)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("stage", ["face", "parsing", "depth", "light", "guided", "discriminator"])
def test_no_parameter_of_a_network_is_idle(stage: str) -> None:
    # Torch waits for the gradients of all parameters before it averages them.
    image, one, labels = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64), torch.ones(2, 1, 64, 64)
    surfaces = (labels.byte(), 900 + one, 1000 + one, labels.bool(), torch.full((2,), 950.0))
    networks: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
        "face": (FaceNet(64, 0.25), (image,)),
        "parsing": (ParsingNet(0.25, (8,) * 5), (image,)),
        "depth": (DepthNet((8, 12, 16, 16), 64), (image, *surfaces)),
        "light": (RefinementNet("light"), (image, one)),
        "guided": (RefinementNet("guided"), (image, one, torch.rand(2, 9, 64, 64))),
        "discriminator": (Discriminator(4), (image,)),
    }
    net, inputs = networks[stage]
    answer = net.train()(*inputs)
    answers = {
        "face": lambda: answer.coefficients.to_vector(),
        "depth": lambda: answer.front,
        "discriminator": lambda: torch.cat([scores.flatten() for scores in answer]),
    }
    answers.get(stage, lambda: answer)().square().sum().backward()
    assert [name for name, value in net.named_parameters() if value.grad is None] == []


def test_a_single_process_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    workers = Workers.join()
    assert workers.first
    assert workers == Workers(0, 1, 0)
    assert workers.agree(2.5, torch.device("cpu")) == 2.5
    net = nn.Linear(2, 1)
    assert workers.parallel(net) is net
    with workers.first_alone():
        pass
