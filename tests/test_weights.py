"""Files of torch's own format: their tables are read, their code is not run."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from portrait3d.errors import WeightsError
from portrait3d.weights import Checkpoint


class Harmful:
    """Unpickled, it runs a program that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("new_format", [True, False])
def test_the_code_in_a_checkpoint_is_not_run(new_format: bool, tmp_path: Path) -> None:
    path, made = tmp_path / "checkpoint.pt", tmp_path / "made"
    state = {"modules": Harmful(made)}
    torch.save(state, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(
        WeightsError,
        match=r"checkpoint\.pt is no checkpoint that is safe to read: .*weights_only|Weights only",
    ):
        Checkpoint.read(path)
    assert not made.exists()
    path.write_bytes(pickle.dumps(state))
    with pytest.raises(WeightsError, match=r"checkpoint\.pt is no checkpoint"):
        Checkpoint.read(path)
    assert not made.exists()
    pickle.loads(pickle.dumps(state))  # the code works
    assert made.exists()


@pytest.mark.parametrize("length", [0, 3, 100, -30])
def test_a_checkpoint_that_ends_too_early_is_refused(length: int, tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save({"modules": torch.ones(1000)}, stream)
    (tmp_path / "checkpoint.pt").write_bytes(stream.getvalue()[:length])
    with pytest.raises(WeightsError, match=r"checkpoint\.pt is no checkpoint") as caught:
        Checkpoint.read(tmp_path / "checkpoint.pt")
    assert "\n" not in str(caught.value)


def test_what_is_no_table_and_what_is_missing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(torch.ones(2), path)
    with pytest.raises(WeightsError, match=r"checkpoint\.pt holds tensor.*expected a table"):
        Checkpoint.read(path)
    with pytest.raises(WeightsError, match=r"none\.pt is missing"):
        Checkpoint.read(tmp_path / "none.pt")
    torch.save({"net": {"weight": torch.eye(3).to_sparse()}}, path)
    with pytest.raises(WeightsError, match=r"net\.weight in .*checkpoint\.pt is tensor.*, expected a tensor"):
        Checkpoint.read(path).tensor("net", "weight")


def test_a_compressed_archive_is_refused_unread(tmp_path: Path) -> None:
    path, small = tmp_path / "checkpoint.pt", tmp_path / "small.pt"
    torch.save({"modules": torch.zeros(10_000_000)}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
    assert small.stat().st_size < 100_000
    with pytest.raises(
        WeightsError, match=r"small\.pt is no checkpoint that is safe to read: it is compressed"
    ):
        Checkpoint.read(small)
