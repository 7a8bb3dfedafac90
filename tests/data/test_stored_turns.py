"""Turns on disk, and samples of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.data.refinement.stored_turns import StoredTurn, StoredTurns, window_at_hole
from portrait3d.reposing import CoarseTurn
from portrait3d.reposing.regions import Window

SIZE = 32


def a_turn(guided: bool = True) -> CoarseTurn:
    image, holes = torch.rand(3, SIZE, SIZE), (torch.rand(1, SIZE, SIZE) > 0.8).float()
    guide = torch.rand(9, SIZE, SIZE) if guided else None
    return CoarseTurn(image, holes, image, holes, Window(0, 0, SIZE, SIZE), False, guide)


def test_turns_come_back_as_they_were_stored(tmp_path: Path) -> None:
    turn, photo, original = a_turn(), torch.rand(3, SIZE, SIZE), torch.rand(3, SIZE, SIZE)
    inside = torch.ones(1, SIZE, SIZE)
    inside[..., :5] = 0
    StoredTurn.of(turn, photo, original, inside).save(tmp_path / "t.npz")
    stored = StoredTurn.load(tmp_path / "t.npz")
    np.testing.assert_allclose(stored.photo.transpose(2, 0, 1) / 255, photo, atol=0.003)
    maps = stored.maps()
    assert set(maps) == {"image", "holes", "guide", "original", "inside"}
    assert turn.guide is not None
    wanted = {"image": turn.image, "guide": turn.guide, "original": original * inside}
    for name, value in wanted.items():
        torch.testing.assert_close(maps[name], value, atol=0.003, rtol=0)
    assert torch.equal(maps["holes"], turn.holes)
    assert torch.equal(maps["inside"], inside)


def test_turns_without_a_guide_are_not_stored() -> None:
    with pytest.raises(ValueError, match="guide"):
        StoredTurn.of(a_turn(guided=False), torch.rand(3, SIZE, SIZE))


def test_samples_depend_on_their_number_alone_and_hold_a_hole(tmp_path: Path) -> None:
    for name in "abc":
        StoredTurn.of(a_turn(), torch.rand(3, SIZE, SIZE)).save(tmp_path / f"{name}.npz")
    one, other = StoredTurns(tmp_path, size=16), StoredTurns(tmp_path, size=16)
    _ = one[3]
    sample = one[7]
    assert set(sample) == {"image", "holes", "guide"}
    assert {value.shape[-1] for value in sample.values()} == {16}
    assert all(torch.equal(value, other[7][name]) for name, value in sample.items())
    assert not torch.equal(sample["image"], one[8]["image"])
    assert StoredTurns(tmp_path, size=256)[0]["image"].shape == (3, SIZE, SIZE)


def test_windows_hold_a_hole() -> None:
    holes = torch.zeros(1, 96, 96)
    holes[0, 5, 90] = 1
    random = np.random.default_rng(0)
    for _ in range(10):
        window = window_at_hole({"holes": holes, "image": holes.expand(3, -1, -1)}, 32, random)
        assert window["image"].shape == (3, 32, 32)
        assert float(window["holes"].sum()) == 1


def test_a_directory_without_turns_and_files_of_something_else_say_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="prepare turns"):
        StoredTurns(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    for name in ("broken", "other"):
        with pytest.raises(ValueError, match=f"{name}.npz holds no coarse turn"):
            StoredTurn.load(tmp_path / f"{name}.npz")
