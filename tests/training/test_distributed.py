"""Several processes learn what one does from the same samples, and only the first one writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distributed_training import train
from portrait3d.training.distributed import Workers

SCRIPT = Path(__file__).resolve().parents[1] / "distributed_training.py"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a training in two processes."""
    out = tmp_path_factory.mktemp("two")
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(SCRIPT),
        str(out),
        "2",
    ]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_twice_the_batch(two: Path, tmp_path: Path) -> None:
    alone = train(tmp_path, 4)
    states = [load_file(two / f"process-{rank}.safetensors") for rank in (0, 1)]
    for name, value in alone.modules["net"].state_dict().items():
        torch.testing.assert_close(states[0][name], value)
        assert torch.equal(states[0][name], states[1][name])
    assert alone.step == 3


@pytest.mark.slow
def test_all_processes_stop_when_evaluations_do_not_get_better(two: Path) -> None:
    # The first evaluation is the best; the patience is two more.
    assert [int(load_file(two / f"process-{rank}.safetensors")["step"]) for rank in (0, 1)] == [3, 3]


@pytest.mark.slow
def test_the_first_process_alone_writes_the_log(two: Path) -> None:
    entries = [json.loads(line) for line in (two / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if "evaluation" in entry] == [1, 2, 3]


def test_a_single_process_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    workers = Workers.join()
    assert workers.first
    assert workers == Workers(0, 1, 0)
    assert workers.agree(2.5, torch.device("cpu")) == 2.5
    parameter = torch.ones(2, requires_grad=True)
    workers.average_gradients([parameter])
    assert parameter.grad is None
    with workers.first_alone():
        pass
