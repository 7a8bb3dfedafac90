"""Table 1 by one command, on synthetic heads in the layout of the Biwi Kinect database."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from biwi_layout import write_recording
from portrait3d.evaluation.depth.heads import draw_head


@pytest.mark.slow
def test_table_1_is_printed_for_every_method(tmp_path: Path) -> None:
    write_recording(tmp_path / "01", [draw_head(0)])
    write_recording(tmp_path / "02", [draw_head(4)])
    command = [sys.executable, "-m", "portrait3d", "evaluate", "depth", "--biwi", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 0, done.stderr
    rows = {row["method"]: row for row in json.loads(done.stdout)["biwi"]}
    assert next(iter(rows)) == "network"
    assert {row["recordings"] for row in rows.values()} == {2}
    network, constant = rows["network"], rows["constant"]
    assert network["face"] < 4
    assert network["elsewhere"] < constant["elsewhere"], "a plane is worse than the network"
    assert min(network["face"], network["elsewhere"]) < network["all"]
    assert network["all"] < max(network["face"], network["elsewhere"])
    assert network["elsewhere"] < network["elsewhere_in_frame"] + 0.5, "aligning everything hides errors"
