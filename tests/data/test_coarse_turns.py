"""Preparing coarse turns of photos."""

import inspect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.data.refinement import coarse_turns
from portrait3d.data.refinement.coarse_turns import MAX_YAW, NOD, TURN, draw_target, prepare_turns
from portrait3d.data.refinement.stored_turns import StoredTurn, StoredTurns
from portrait3d.errors import NoFaceError
from portrait3d.portrait import HeadAngles
from portrait3d.reposing import CoarseTurn
from portrait3d.reposing.regions import Window


@dataclass
class Photo:
    """A photo that is only a name."""

    name: str

    def pixels(self) -> str:
        return self.name


class Model:
    """Finds a face in every photo but "empty", and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def reconstruct(self, pixels: str):
        self.asked.append(pixels)
        if pixels == "empty":
            raise NoFaceError("No face found in empty.")
        return self

    pose = HeadAngles(yaw=0.0, pitch=0.0, roll=0.0)
    head_model = None


class Reposer:
    """Turns grey pictures, brighter for larger yaw."""

    def __init__(self, portrait: Model, head_model: None) -> None:
        pass

    photo_crop = torch.zeros(3, 32, 32)

    def coarse_turn(self, target: HeadAngles, *, guided: bool) -> CoarseTurn:
        image, holes = torch.full((3, 32, 32), 0.5 + target.yaw / 100), torch.zeros(1, 32, 32)
        guide = torch.zeros(9, 32, 32) if guided else None
        return CoarseTurn(image, holes, image, holes, Window(0, 0, 32, 32), False, guide)


@pytest.fixture(autouse=True)
def _without_geometry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse_turns, "Reposer", Reposer)


def prepare(model: Model, names: str, directory: Path) -> int:
    photos = [Photo(name) for name in names.split()]
    unchecked = inspect.unwrap(prepare_turns)  # stand-ins would not pass the type check
    return unchecked(model, photos, directory, turns=2)  # pyright: ignore[reportArgumentType]


def test_every_photo_with_a_face_is_turned_and_can_be_read_again(tmp_path: Path) -> None:
    assert prepare(Model(), "a empty b", tmp_path / "turns") == 4
    assert len(StoredTurns(tmp_path / "turns", size=32).paths) == 4


def test_photos_that_are_turned_already_are_passed_over(tmp_path: Path) -> None:
    prepare(Model(), "a", tmp_path)
    again = Model()
    assert prepare(again, "a b", tmp_path) == 4
    assert again.asked == ["b"]


def test_turns_of_a_photo_do_not_depend_on_the_other_photos(tmp_path: Path) -> None:
    prepare(Model(), "a b", tmp_path / "both")
    prepare(Model(), "b", tmp_path / "one")
    both, one = (StoredTurn.load(tmp_path / folder / "b-1.npz") for folder in ("both", "one"))
    np.testing.assert_array_equal(both.image, one.image)


def test_targets_stay_within_their_limits() -> None:
    random, now = np.random.default_rng(0), HeadAngles(yaw=20.0, pitch=-5.0, roll=3.0)
    for _ in range(50):
        target = draw_target(now, random)
        assert abs(target.yaw) <= MAX_YAW
        assert abs(target.yaw - now.yaw) <= TURN
        assert abs(target.pitch - now.pitch) <= NOD
