"""Turns of drawn people, of which the exact picture is known."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.data.people.avatars import HELD_OUT, read_avatars
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.refinement import exact_turns
from portrait3d.data.refinement.exact_turns import (
    prepare_exact_turns,
    seen_pivot,
    turning_people,
    well_fitted,
)
from portrait3d.data.refinement.stored_turns import StoredTurn, StoredTurns
from portrait3d.data.refinement.turn_scenes import (
    LEAST_TURN,
    PITCH,
    SIDE,
    YAW,
    TurningAvatars,
    TurningHeads,
    TurnScene,
    draw_source,
    draw_target,
)
from portrait3d.data.synthetic import STYLES_TRAIN
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.errors import NoFaceError
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose
from portrait3d.models.head_model import HeadModel
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.reposing import CoarseTurn, Reposer
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.regions import Window
from synthetic_head import synthetic_portrait
from tiny_avatars import write_avatars


@pytest.fixture(scope="module")
def avatars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"A": "short crop", HELD_OUT[0]: "short crop"}
    return write_avatars(tmp_path_factory.mktemp("avatars"), names)


@pytest.fixture(scope="module", params=["avatars", "synthetic"])
def scene(request: pytest.FixtureRequest, avatars: Path) -> TurnScene:
    if request.param == "avatars":
        return TurningAvatars(0, read_avatars(avatars, ["A"]), draw_background).scene(1)
    return TurningHeads(0, {"buzz": STYLES_TRAIN["buzz"]}, draw_background).scene(0)


# People


def test_poses_stay_within_their_limits_and_apart() -> None:
    random = np.random.default_rng(0)
    for _ in range(100):
        source = draw_source(random)
        target = draw_target(source, random)
        assert max(abs(source.yaw), abs(target.yaw)) <= YAW
        assert max(abs(source.pitch), abs(target.pitch)) <= PITCH
        assert abs(target.yaw - source.yaw) >= LEAST_TURN


def test_a_turn_changes_the_head_and_leaves_light_and_background(scene: TurnScene) -> None:
    source = scene.source
    aside = scene.turned(replace(source, yaw=source.yaw + 25))
    same = scene.turned(source)
    np.testing.assert_array_equal(same, scene.picture)
    changed = np.abs(aside.astype(int) - scene.picture).max(axis=-1) > 8
    assert 0.02 < changed.mean() < 0.6
    assert not changed[:40, :40].any()
    assert not changed[-20:, SIDE // 2 - 60 : SIDE // 2 + 60].any()  # clothes


def test_heads_turn_about_the_pivot_that_is_given(scene: TurnScene) -> None:
    turns: list[Turn] = []
    watched = replace(scene, draw=lambda turn: (turns.append(turn), np.zeros((SIDE, SIDE, 3), np.uint8))[1])
    watched.turned(scene.source)
    own = scene.camera.project(torch.from_numpy(turns[0].pivot).float()[None])[0].numpy()
    watched.turned(scene.source, own + np.array([7, -4], np.float32))
    there = scene.camera.project(torch.from_numpy(turns[1].pivot).float()[None])[0].numpy()
    np.testing.assert_allclose(there - own, [7, -4], atol=0.01)
    assert turns[1].pivot[2] == pytest.approx(turns[0].pivot[2])


def test_heads_that_judge_turns_are_not_learned_from(avatars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_turns, "real_photos", lambda data, split: list[LabelledPhoto]())
    synthetic, drawn = turning_people(Path(), avatars)
    assert [people.source for people in (synthetic, drawn)] == ["synthetic", "avatars"]
    assert isinstance(drawn, TurningAvatars)
    assert [avatar.name for avatar in drawn.cast.avatars] == ["A"]
    assert [people.source for people in turning_people(Path(), None)] == ["synthetic"]
    for people in turning_people(Path(), avatars, size=384):
        assert isinstance(people, TurningAvatars | TurningHeads)
        assert people.side == 768, "the head crop is about half of the picture"


# Preparing


class People:
    """Pictures that are brighter for larger yaw, of nobody."""

    source = "nobody"

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def scene(self, index: int) -> TurnScene:
        self.drawn.append(index)
        camera = Camera(torch.tensor(600.0), torch.tensor([170.0, 160.0]), 320, 340)
        pose = Pose(torch.eye(3), torch.tensor([0.0, 0.0, 900.0]))

        def draw(turn: Turn) -> np.ndarray:
            return np.full((320, 340, 3), round(100 - 50 * float(turn.axis_angle[1])), np.uint8)

        return TurnScene(f"nobody_{index:05d}", camera, HeadAngles(0.0, 0.0, 0.0), pose, draw)


class Model(Portrait3D):
    """Makes the same portrait of everybody."""

    def __init__(self, quality: float | None = 1.0) -> None:
        self.quality, self.head_model = quality, HeadModel.load()
        self.portrait = synthetic_portrait()

    def reconstruct(self, photo: object, face: int = 0) -> Portrait:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.quality is None:
            raise NoFaceError("There is no face.")
        return replace(self.portrait, quality=self.quality)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[HeadAngles]:
    """The poses that a reposer without geometry is asked for."""
    found: list[HeadAngles] = []

    class Stub(Reposer):
        def __init__(self, portrait: Portrait, head_model: HeadModel, size: int) -> None:
            self.crop = portrait.head_crop.resized(size)

        @cached_property
        def photo_crop(self) -> torch.Tensor:
            return torch.zeros(3, self.crop.size, self.crop.size)

        def coarse_turn(self, target: HeadAngles, *_, guided: bool = False) -> CoarseTurn:
            found.append(target)
            image, holes, guide = (torch.zeros(count, self.crop.size, self.crop.size) for count in (3, 1, 9))
            return CoarseTurn(image, holes, image, holes, Window(0, 0, 8, 8), False, guide)

    monkeypatch.setattr(exact_turns, "Reposer", Stub)
    return found


def test_everybody_is_turned_and_the_true_picture_kept(tmp_path: Path, asked: list[HeadAngles]) -> None:
    model, people = Model(), People()
    assert prepare_exact_turns(model, people, tmp_path, people=2, turns=2) == 4
    yaw = model.portrait.pose.yaw
    for k, pose in enumerate(asked):
        stored = StoredTurn.load(tmp_path / f"nobody_{k // 2:05d}-{k % 2}.npz")
        assert stored.original is not None
        assert stored.inside is not None
        shown = stored.original[stored.inside[..., 0] > 0]
        assert int(shown.max()) == pytest.approx(100 + 50 * np.radians(pose.yaw - yaw), abs=3)
    assert {"original", "inside"} <= set(StoredTurns(tmp_path, size=32)[0])


def test_finer_turns_lie_beside_the_others(tmp_path: Path, asked: list[HeadAngles]) -> None:
    for size, count in ((256, 2), (512, 4), (512, 4)):
        assert prepare_exact_turns(Model(), People(), tmp_path, people=1, turns=2, size=size) == count
    assert len(asked) == 4
    fine = StoredTurn.load(tmp_path / "nobody_00000-1_512.npz")
    coarse = StoredTurn.load(tmp_path / "nobody_00000-1.npz")
    assert fine.original is not None
    assert coarse.original is not None
    assert fine.original.shape == (512, 512, 3)
    assert np.abs(fine.original[::2, ::2].astype(int) - coarse.original).mean() < 3
    seen = {StoredTurns(tmp_path, size=96)[k]["image"].shape for k in range(8)}
    assert seen == {(3, 96, 96)}


def test_an_interrupted_preparation_goes_on(tmp_path: Path, asked: list[HeadAngles]) -> None:
    prepare_exact_turns(Model(), People(), tmp_path, people=2, turns=2)
    (tmp_path / "nobody_00001-1.npz").unlink()
    again = People()
    assert prepare_exact_turns(Model(), again, tmp_path, people=3, turns=2) == 6
    assert again.drawn == [1, 2]
    first, second = asked[2:4], asked[4:6]
    assert first == second


def test_bad_fits_and_missing_faces_are_left_out(tmp_path: Path, asked: list[HeadAngles]) -> None:
    scene = People().scene(0)
    for quality in (0.3, None):
        assert well_fitted(Model(quality), scene) is None
        assert prepare_exact_turns(Model(quality), People(), tmp_path, people=1) == 0
    assert asked == []


def test_the_pivot_is_seen_in_the_neck() -> None:
    portrait = synthetic_portrait()
    x, y = seen_pivot(portrait)
    rows, columns = np.nonzero(np.isin(portrait.parsing, (1, 6)))
    assert columns.min() < x < columns.max()
    assert np.median(rows) < y < rows.max()
