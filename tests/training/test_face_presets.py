"""Both presets of the face network train: the small one alone, the paper's in two processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from recognition_network import write_network
from tiny_photos import photo_folder

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TINY = {
    "working_size": 64,
    "batch": 2,
    "turned_share": 0,
    "synthetic_share": 0.5,
    "synthetic_count": 2,
    "synthetic_validation": 2,
    "avatars": "false",
    "loss.rendered_from": 0,
    "loss.rendered_size": 64,
    "loop.device": "cpu",
}


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "processes"), [("small", 1), ("paper", 2)])
def test_a_preset_trains_and_leaves_a_network_to_use(preset: str, processes: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    data, out = photo_folder(tmp_path / "data", HeadModel.load()), tmp_path / "run"
    settings = {**TINY, "recognition": write_network(tmp_path / "recognition.onnx")}
    if preset == "small":
        settings["start"] = tmp_path / "start.safetensors"
        save_file(FaceNet(64).state_dict(), settings["start"])
    command = ["train", "face", "--config", str(CONFIGS / f"face-{preset}.toml"), "--steps", "2", "--json"]
    command += ["--data", str(data), "--out", str(out), "--threads", "1"]
    command += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    arguments = [*(launcher if processes > 1 else []), "-m", "portrait3d", *command]
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    losses = entries[0]["losses"]
    assert {"photometric", "identity", "landmarks", "flatness", "regularizer"} <= set(losses)
    assert (out / "models" / "face" / "model.safetensors").is_file()
    encoder = json.loads((out / "models" / "face" / "config.json").read_text())["settings"]["encoder"]
    assert encoder == {"small": "efficientnet-lite0", "paper": "resnet50"}[preset]
