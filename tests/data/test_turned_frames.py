"""Frames turned into others: placing the real frame, what is known of it, and preparing."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from portrait3d.data.photos.labelled import ClipPair, LabelledPhoto, evenly
from portrait3d.data.refinement import turned_frames
from portrait3d.data.refinement.stored_turns import StoredTurns
from portrait3d.data.refinement.turned_frames import (
    TurnedFrame,
    carry_crop,
    prepare_frames,
    spread_pairs,
    wanted_picture,
)
from portrait3d.errors import NoFaceError
from portrait3d.preprocessing.alignment import Crop
from portrait3d.reposing.drawing import Window
from portrait3d.reposing.reposer import CoarseTurn

SIZE = 64


def frame(name: str, clip: str) -> LabelledPhoto:
    """A frame that is only a name."""
    return LabelledPhoto(
        name, "clips", Path(), "p", "train", "mit", 8, 8, 0, 0, 0, np.zeros((68, 3)), np.zeros(4), clip
    )


def pairs() -> list[ClipPair]:
    """Two clips: x with three first frames of two pairs each, y with one of one."""
    names = {k: frame(f"x{k}", "x") for k in range(9)}
    found = [ClipPair(names[k], names[j], 0.1, 1.0) for k in range(3) for j in (k + 3, k + 6)]
    return [*found, ClipPair(frame("y0", "y"), frame("y1", "y"), 0.1, 1.0)]


def turned(image: torch.Tensor, holes: torch.Tensor, real: torch.Tensor) -> TurnedFrame:
    guide = torch.zeros(9, SIZE, SIZE)
    turn = CoarseTurn(image, holes, image, holes, Window(0, 0, SIZE, SIZE), False, guide)
    return TurnedFrame(turn, real, torch.ones(1, SIZE, SIZE))


def test_a_carried_crop_shows_the_same_landmarks_in_the_same_places() -> None:
    crop = Crop((70.0, 50.0), 80.0, 0.2, SIZE)
    points = np.random.default_rng(0).uniform(20, 90, (68, 2))
    others = 1.4 * points @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + np.array([5.0, -9.0])
    carried = carry_crop(crop, points, others)
    here, there = (c.crop_from_photo(torch.from_numpy(p)) for c, p in ((crop, points), (carried, others)))
    torch.testing.assert_close(here, there, atol=1e-3, rtol=0)


def test_holes_take_the_real_frame_in_the_light_of_the_turn() -> None:
    y, x = torch.meshgrid(torch.linspace(0.2, 0.7, SIZE), torch.linspace(0.2, 0.7, SIZE), indexing="ij")
    truth, holes = torch.stack([x, y, (x + y) / 2]), torch.zeros(1, SIZE, SIZE)
    holes[0, 20:32, 24:40] = 1
    image = torch.where(holes > 0, torch.tensor(0.0), truth)
    wanted, known = wanted_picture(turned(image, holes, truth - 0.1))
    torch.testing.assert_close(wanted, truth, atol=0.01, rtol=0)
    assert float(known.min()) == 1


def test_holes_around_which_the_pictures_differ_are_unknown() -> None:
    image, holes = torch.full((3, SIZE, SIZE), 0.5), torch.zeros(1, SIZE, SIZE)
    holes[0, 8:16, 8:16] = holes[0, 44:52, 44:52] = 1
    real = image.clone()
    real[:, 32::2, 32:] = 0.9  # stripes that the turn doesn't have, around the second hole
    wanted, known = wanted_picture(turned(image, holes, real))
    assert float(known[0, 8:16, 8:16].min()) == 1
    assert float(known[0, 44:52, 44:52].max()) == 0
    assert float(known[0, 60, 60]) == 1  # not in a hole: the turn itself
    torch.testing.assert_close(wanted[:, 60, 60], image[:, 60, 60])


def test_first_frames_are_spread_over_clips_and_seconds_over_theirs() -> None:
    found = spread_pairs(pairs(), 4, 1)
    assert [(first.name, [s.name for s in seconds]) for first, seconds in found] == [
        ("x0", ["x3"]),
        ("x2", ["x5"]),
        ("y0", ["y1"]),
    ]
    assert [len(seconds) for _, seconds in spread_pairs(pairs(), 100, 5)] == [2, 2, 2, 1]
    assert spread_pairs([], 4, 1) == []
    assert evenly(list(range(10)), 3) == [0, 4, 9]


@dataclass
class Model:
    """Finds a face in every frame but those of a clip."""

    without: str = "y"
    head_model = None

    def reconstruct(self, name: str) -> str:
        if name.startswith(self.without):
            raise NoFaceError(f"No face found in {name}.")
        return name


@pytest.fixture
def _without_geometry(monkeypatch: pytest.MonkeyPatch) -> None:
    def turn_into(model: Model, portrait: str, reposer: object, second: LabelledPhoto) -> TurnedFrame:
        image, holes = torch.full((3, SIZE, SIZE), 0.5), torch.zeros(1, SIZE, SIZE)
        holes[0, 20:30, 20:30] = 1
        agrees = second.name != "x6"
        real = image if agrees else (torch.arange(SIZE) % 2).float().expand(3, SIZE, SIZE)
        return turned(image, holes, real)

    monkeypatch.setattr(turned_frames, "turn_into", turn_into)
    monkeypatch.setattr(LabelledPhoto, "pixels", lambda self: self.name)


@pytest.mark.usefixtures("_without_geometry")
def test_frames_that_agree_are_stored_and_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reposer = SimpleNamespace(photo_crop=torch.zeros(3, SIZE, SIZE))
    monkeypatch.setattr(turned_frames, "Reposer", lambda portrait, head_model: reposer)
    unchecked = inspect.unwrap(prepare_frames)  # stand-ins would not pass the type check
    assert unchecked(Model(), pairs(), tmp_path, frames=8, turns=2) == 5
    assert (tmp_path / "x0-x3.npz").is_file()
    assert not (tmp_path / "x0-x6.npz").exists()
    assert not list(tmp_path.glob("y*"))
    assert len(StoredTurns(tmp_path).paths) == 5
    assert unchecked(Model(without="x"), pairs(), tmp_path, frames=8, turns=2) == 6
