"""`evaluate depth` as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


def evaluate_depth(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "portrait3d", "evaluate", "depth", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})


@pytest.mark.slow
def test_a_head_is_measured_from_its_true_face_and_from_the_photo(tmp_path: Path) -> None:
    data, sheet = tmp_path / "data", tmp_path / "sheets" / "depth.png"
    data.mkdir()
    done = evaluate_depth("--data", data, "--limit", 1, "--sheet", sheet, "--cache", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)
    rows = {(row["given"], row["method"]): row for row in tables["heads"]}
    methods = ["network", "constant", "nearest face", "average head"]
    assert [method for given, method in rows if given == "true face"] == methods
    assert [method for given, method in rows if given == "photo"] == [*methods, "stitched head"]
    assert rows["true face", "nearest face"]["face"] < 0.5, "baselines keep the face that they are given"
    assert rows["true face", "network"]["rest_pixel"] < rows["true face", "constant"]["rest_pixel"]
    assert 0.8 < rows["photo", "network"]["coverage"] <= 1
    assert tables["styles"][0]["heads"] == 1
    assert {"region", "heads", *methods} == set(tables["regions"][0])
    with Image.open(sheet) as picture:
        assert picture.width == (2 + 2 * len(methods)) * picture.height


def test_without_anything_to_measure_on_it_is_a_usage_error() -> None:
    done = evaluate_depth()
    assert done.returncode == 2
    assert "--biwi" in done.stderr
