"""Turned photos of artist-made people beside photos of the same people who really turned."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from scipy import ndimage
from torch import nn

from drawn_earrings import DROP
from portrait3d.cli import portraits
from portrait3d.cli.refinement import refinement
from portrait3d.data.people.avatars import Avatar, AvatarView, read_avatars
from portrait3d.errors import InvalidImageError, NoFaceError
from portrait3d.evaluation.refinement import turn_report, turn_truth
from portrait3d.evaluation.refinement.flicker import score_flicker, second_difference
from portrait3d.evaluation.refinement.parts import exchanged, halves, parts_of, score_parts
from portrait3d.evaluation.refinement.turn_report import TurnReport, evaluate_turns
from portrait3d.evaluation.refinement.turn_scores import (
    TrueTurnRow,
    edge_band,
    gradient_energy,
    halo_band,
    heads_own,
    score_true_turns,
    score_turn,
    worn_difference,
)
from portrait3d.evaluation.refinement.turn_truth import (
    COARSE,
    FRONTAL,
    OTHER,
    PREVIOUS,
    REAL,
    REFINED,
    UNTURNED,
    Sitting,
    TrueTurn,
    turn_truly,
)
from portrait3d.export.images import save_image
from portrait3d.export.turn_rows import turns_sheet
from portrait3d.geometry.pictures import as_bytes
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import HEAD, ParsingClass
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.alignment import crop_from_landmarks
from portrait3d.preprocessing.image import decode_photo
from portrait3d.reposing import CoarseTurn, Reposer
from synthetic_head import synthetic_portrait
from tiny_avatars import write_avatars


class Planes(nn.Module):
    """The picture itself as its features."""

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_avatars(tmp_path_factory.mktemp("avatars"), {"A": "short crop"})


@pytest.fixture(scope="module")
def sitting(folder: Path) -> Sitting:
    """Somebody photographed at half the size."""
    return Sitting.of(read_avatars(folder)[0], HeadModel.load(), size=256)


VIEWS: dict[float, AvatarView] = {}
"""Drawn once, without anything worn."""


def view(sitting: Sitting, yaw: float = 0.0) -> AvatarView:
    if sitting.earrings is not None:
        return sitting.view(HeadAngles(yaw, 0.0, 0.0))
    if yaw not in VIEWS:
        VIEWS[yaw] = sitting.view(HeadAngles(yaw, 0.0, 0.0))
    return VIEWS[yaw]


def a_turn(sitting: Sitting, ours: np.ndarray | None = None, change: float = 20.0) -> TrueTurn:
    """A turn whose refined picture is the real view, or another one; landmarks are the true ones."""
    angles = replace(FRONTAL, yaw=change)
    source, real = view(sitting), view(sitting, change)
    pictures = {REFINED: as_bytes(real.picture) if ours is None else ours, REAL: as_bytes(real.picture)}
    pictures |= {COARSE: pictures[REFINED], UNTURNED: as_bytes(source.picture)}
    marks = {name: torch.from_numpy(sitting.landmarks(angles)).float() for name in pictures}
    marks[UNTURNED] = torch.from_numpy(sitting.landmarks(FRONTAL)).float()
    crop = crop_from_landmarks(marks[UNTURNED]).head_crop()
    person = {
        name: crop.extract_labels(shown.classes) > 0
        for name, shown in ((REFINED, real), (REAL, real), (COARSE, real), (UNTURNED, source))
    }
    worn = sitting.worn(FRONTAL, sitting.view(FRONTAL)) | sitting.worn(angles, sitting.view(angles))
    return TrueTurn(sitting, change, source, real, crop, pictures, marks, person, worn)


# The truth


def test_a_larger_photo_shows_the_same_and_is_compared_in_larger_crops(
    folder: Path, sitting: Sitting
) -> None:
    large = Sitting.of(read_avatars(folder)[0], HeadModel.load(), size=512)
    np.testing.assert_allclose(large.landmarks(FRONTAL), 2 * sitting.landmarks(FRONTAL), atol=1e-3)
    person = [np.isin(one.view(FRONTAL).classes, HEAD) for one in (large, sitting)]
    assert (person[0][::2, ::2] == person[1]).mean() > 0.99
    sides = []

    class Recorded(Planes):
        def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
            sides.append(image.shape[-1])
            return super().forward(image)

    score_turn(a_turn(sitting), Recorded(), None)
    assert set(sides) == {128}


def test_glasses_turn_with_the_head(folder: Path, sitting: Sitting) -> None:
    whole = Sitting.of(read_avatars(folder)[0], HeadModel.load(), glasses=True)
    assert whole.glasses is not None
    black = replace(whole.glasses, frame=np.zeros(3), second=None, gloss=0.0, opacity=0.0, strength=1.0)
    wearing = replace(sitting, glasses=replace(black, thickness=4.0, shadow=0.0, rimmed=(True, True)))
    for yaw in (0.0, 20.0):
        bare, worn = view(sitting, yaw), wearing.view(HeadAngles(yaw, 0.0, 0.0))
        changed = ((bare.picture - worn.picture).abs().amax(0) > 0.1).numpy()
        eyes = sitting.landmarks(HeadAngles(yaw, 0.0, 0.0))[36:48]
        row, column = np.nonzero(changed)
        assert changed.sum() > 100
        # Around the eyes, a little before them: they go further aside than the eyes.
        middle = np.array([np.ptp(column) / 2 + column.min(), np.median(row)])
        assert np.abs(middle - eyes.mean(axis=0)).max() < 14
        assert np.array_equal(bare.classes, worn.classes)


def test_earrings_turn_with_the_head(folder: Path, sitting: Sitting) -> None:
    assert Sitting.of(read_avatars(folder)[0], HeadModel.load(), earrings=True).earrings is not None
    wearing = replace(sitting, earrings=DROP)
    assert np.array_equal(wearing.bare.view(FRONTAL).picture, view(sitting).picture)
    assert not sitting.worn(FRONTAL, view(sitting)).any()
    for yaw, left in ((0.0, 2), (25.0, 1)):
        angles = HeadAngles(yaw, 0.0, 0.0)
        seen = wearing.worn(angles, wearing.view(angles))
        # Below the ears, at either side; the one that looks away is hidden.
        row, column = np.nonzero(ndimage.binary_opening(seen))
        marks = sitting.landmarks(angles)
        assert marks[2, 1] - 12 < row.mean() < marks[5, 1] + 12
        sides = [(column < marks[33, 0] - 10).sum(), (column > marks[33, 0] + 10).sum()]
        assert sum(side > 20 for side in sides) >= left


def test_what_is_worn_is_compared_where_it_is_seen(sitting: Sitting) -> None:
    turn = a_turn(replace(sitting, earrings=DROP))
    assert worn_difference(turn, REAL) == 0
    pictures = {**turn.pictures, REFINED: turn.pictures[REAL] ^ np.uint8(1)}
    assert worn_difference(replace(turn, pictures=pictures), REFINED) == pytest.approx(1)
    assert math.isnan(worn_difference(a_turn(sitting), REAL))


def test_only_the_person_differs_between_two_views_and_shoulders_stay(sitting: Sitting) -> None:
    front, aside = view(sitting), view(sitting, 20.0)
    beside = ndimage.binary_erosion((front.classes == 0) & (aside.classes == 0), iterations=2)
    assert (front.picture == aside.picture).numpy()[:, beside].all()
    shoulders = front.classes == ParsingClass.BODY
    shoulders[:-20] = False
    assert shoulders.sum() > 500
    assert (front.picture - aside.picture).abs().numpy()[:, shoulders].max() < 0.02
    assert (front.classes != aside.classes).mean() > 0.005


def test_landmarks_move_with_the_head(sitting: Sitting) -> None:
    front, aside = sitting.landmarks(FRONTAL), sitting.landmarks(HeadAngles(20.0, 0.0, 0.0))
    assert aside[30, 0] > front[30, 0] + 5  # to the picture's right
    face = view(sitting, 20.0).classes == ParsingClass.FACE
    column, row = aside[30].astype(int)
    assert face[row - 3 : row + 4, column - 3 : column + 4].any()


class Turner(Portrait3D):
    """Makes the same synthetic portrait of every photo and knows no better than the coarse turn."""

    def __init__(self, portrait: Portrait, faceless: bool = False) -> None:
        self.portrait, self.faceless, self.head_model = portrait, faceless, HeadModel.load()
        self._reposer = Reposer(portrait, self.head_model)

    def reconstruct(self, photo: object, face: int = 0) -> Portrait:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.faceless:
            raise NoFaceError("There is no face.")
        return self.portrait

    def reposer(self, portrait: Portrait) -> Reposer:
        return self._reposer

    def finish(self, reposer: Reposer, turn: CoarseTurn) -> np.ndarray:
        return reposer.composite(turn, 1 - turn.image)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Turner:
    marks = np.random.default_rng(0).uniform(100, 200, (68, 2)).astype(np.float32)
    monkeypatch.setattr(turn_truth, "read_landmarks", lambda model, pixels, near: near)
    return Turner(replace(synthetic_portrait(), landmarks=marks))


def test_photos_are_turned_by_the_true_change_and_every_picture_has_its_outline(
    model: Turner, sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    coarse_turn = model._reposer.coarse_turn

    def watched(pose: HeadAngles, *, guided: bool) -> CoarseTurn:
        asked.append(pose)
        return coarse_turn(pose, guided=guided)

    monkeypatch.setattr(model._reposer, "coarse_turn", watched)
    (turn,) = turn_truly(model, sitting, model.portrait, model, (15.0,))
    own = model.portrait.pose
    assert [pose.yaw - own.yaw for pose in asked] == pytest.approx([15.0, 15.0], abs=0.05)
    assert set(turn.pictures) == set(turn.figures) == {REFINED, PREVIOUS, COARSE, UNTURNED, REAL}
    assert (turn.pictures[UNTURNED] == model.portrait.photo.pixels).all()
    assert (turn.pictures[REFINED] != turn.pictures[COARSE]).any()
    head, drawn = turn.figures[REFINED], turn.figures[UNTURNED]
    assert 0.05 < head.mean() < 0.95
    assert 0.05 < drawn.mean() < 0.95
    assert turns_sheet([turn]).shape[1] > 5 * 384


def test_pictures_of_another_method_are_compared_too(model: Turner, sitting: Sitting, tmp_path: Path) -> None:
    with pytest.raises(InvalidImageError, match=r"A-15\.png"):
        list(turn_truly(model, sitting, model.portrait, changes=(-15.0,), others=tmp_path))
    photo = model.portrait.photo.pixels
    save_image(255 - photo, tmp_path / "A-15.png")
    (turn,) = turn_truly(model, sitting, model.portrait, changes=(-15.0,), others=tmp_path)
    assert (turn.pictures[OTHER] == 255 - photo).all()
    assert np.isnan(score_turn(turn, Planes(), None)[OTHER][-4:-2]).all(), "its outline is not known"
    save_image(photo[1:], tmp_path / "A-15.png")
    with pytest.raises(InvalidImageError, match=r"A-15\.png"):
        list(turn_truly(model, sitting, model.portrait, changes=(-15.0,), others=tmp_path))


def test_the_report_names_who_has_no_face(folder: Path, model: Turner) -> None:
    model.faceless = True
    report, turns, faceless = evaluate_turns(model, read_avatars(folder), Planes(), why=True)
    assert (turns, faceless) == ([], ["A"])
    assert report == TurnReport([], [], [])


# Scores


def test_the_real_view_itself_scores_best_and_the_photo_worse(sitting: Sitting) -> None:
    turn = a_turn(sitting)
    rows = {row.picture: row for row in score_true_turns([turn, turn], Planes(), None)}
    assert list(rows) == [REFINED, COARSE, UNTURNED, REAL]
    best, photo = rows[REFINED], rows[UNTURNED]
    assert (best.turns, best.degrees) == (2, 20.0)
    assert (best.features, best.nme) == pytest.approx((0, 0), abs=1e-4)
    assert (best.halo, best.outline, best.detail) == pytest.approx((1, 1, 1))
    assert photo.features > 0.01
    assert photo.nme > 1


def test_each_angle_has_rows_of_its_own(sitting: Sitting) -> None:
    rows = score_true_turns(
        [a_turn(sitting, change=change) for change in (-20.0, 20.0, 10.0)], Planes(), None
    )
    assert [(row.degrees, row.turns) for row in rows if row.picture == REFINED] == [(10.0, 1), (20.0, 2)]


def disc() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:128, :128] + 0.5
    distance = np.hypot(x - 64, y - 64)
    return distance, distance < 40


def test_a_blurred_head_has_little_detail(sitting: Sitting) -> None:
    real = a_turn(sitting).pictures[REAL]
    # The background is as sharp as before.
    blurred = ndimage.gaussian_filter(real, (2, 2, 0))
    head = np.isin(view(sitting, 20.0).classes, HEAD)[..., None]
    rows = score_true_turns([a_turn(sitting, np.where(head, blurred, real))], Planes(), None)
    found = {row.picture: row.detail for row in rows}
    assert found[REFINED] < 0.6
    assert found[REAL] == pytest.approx(1)


def test_a_halo_shows_beside_the_outline_and_blur_on_it() -> None:
    distance, figure = disc()
    plain = np.where(figure, 0.3, 0.6)
    pictures = plain, plain + 0.1 * (np.abs(distance - 45) < 2), ndimage.gaussian_filter(plain, 3.0)

    def energies(band: np.ndarray) -> list[float]:
        return [gradient_energy(torch.from_numpy(p)[None].expand(3, -1, -1).float(), band) for p in pictures]

    clear, halo, blurred = energies(halo_band(figure))
    assert halo > 10 * clear
    assert blurred > 10 * clear
    clear, halo, blurred = energies(edge_band(figure))
    assert halo == pytest.approx(clear, rel=0.2)
    assert blurred < 0.4 * clear


def test_the_bands_hug_the_outline() -> None:
    distance, figure = disc()
    halo, edge = halo_band(figure), edge_band(figure)
    assert not (halo & edge).any()
    assert (distance[halo].min(), distance[halo].max()) == pytest.approx((42, 48), abs=1)
    assert (distance[edge].min(), distance[edge].max()) == pytest.approx((38, 42), abs=1)


def test_outlines_count_above_the_chin_and_away_from_clothes(sitting: Sitting) -> None:
    turn = a_turn(sitting)
    counted, shown = heads_own(turn), turn.crop.extract_labels(turn.source.classes)
    rows = np.flatnonzero(counted.any(axis=1))
    chin = turn.crop.crop_from_photo(torch.from_numpy(turn.truth[8:9]).float())[0, 1]
    assert rows.max() < float(chin) + 1
    assert not (counted & (shown == ParsingClass.BODY)).any()
    assert (counted & (shown == ParsingClass.FACE)).sum() > 1000


# Where the difference lies


def test_parts_of_the_real_view_mend_what_is_wrong_in_them(sitting: Sitting) -> None:
    right = a_turn(sitting)
    classes = right.real.classes
    for part, label in (("face", ParsingClass.FACE), ("neck and clothes", ParsingClass.BODY)):
        wrong = right.pictures[REAL].copy()
        wrong[classes == label] //= 2
        rows = {row.real: row for row in score_parts([a_turn(sitting, wrong)], Planes(), None)}
        assert rows["nothing"].features > 0
        assert rows[part].features < 0.6 * rows["nothing"].features
    assert all(row.features < 1e-4 for row in score_parts([right], Planes(), None)[:-1])


def test_smooth_shading_is_taken_and_detail_left(sitting: Sitting) -> None:
    right = a_turn(sitting)
    ramp = np.linspace(0.6, 1.0, 256)[None, :, None]
    darker = (right.pictures[REAL] * ramp).round().astype(np.uint8)
    rows = {row.real: row for row in score_parts([a_turn(sitting, darker)], Planes(), None)}
    gained = rows["nothing"].features - rows["face, smooth shading"].features
    assert gained > 0.6 * (rows["nothing"].features - rows["face"].features)
    assert (
        rows["face, smooth shading"].features < rows["face, mean colours"].features < rows["nothing"].features
    )


def test_the_near_half_is_the_one_that_comes_into_view() -> None:
    face = np.ones((64, 64), bool)
    marks = torch.zeros(68, 2)
    marks[27], marks[8] = torch.tensor([32.0, 10.0]), torch.tensor([32.0, 60.0])
    found = halves(face, marks, 15.0)
    assert found["face, near half"][:, :30].all()  # looking to the right shows the picture's left cheek
    assert not found["face, near half"][:, 34:].any()
    assert (halves(face, marks, -15.0)["face, far half"] == found["face, near half"]).mean() > 0.95


def test_uncovered_is_background_where_the_photo_shows_a_head() -> None:
    source, real = np.zeros((2, 32, 32), np.uint8)
    source[10:20, 5:15], real[10:20, 10:20] = ParsingClass.HAIR, ParsingClass.HAIR
    source[25:], real[26:] = ParsingClass.BODY, ParsingClass.BODY
    uncovered = parts_of(real, source, torch.zeros(68, 2))["uncovered background"]
    assert uncovered.sum() == 50
    assert uncovered[10:20, 5:10].all()


def test_exchanged_pictures_have_the_real_part_in_place(sitting: Sitting) -> None:
    turn = a_turn(sitting, np.zeros_like(a_turn(sitting).pictures[REAL]))
    at = turn.found[REAL]
    crop = crop_from_landmarks(at).head_crop().resized(512)
    real = crop.extract(turn.pictures[REAL])
    found = exchanged(turn, crop, real, crop.crop_from_photo(at))
    face, _ = found["face"]
    middle = slice(crop.size // 2 - 20, crop.size // 2 + 20)
    torch.testing.assert_close(face[:, middle, middle], real[:, middle, middle])
    assert float(face[:, :40].max()) == 0
    assert float(found["nothing"][0].max()) == 0


# Flicker


def test_even_changes_do_not_flicker_and_jumps_do() -> None:
    head = np.zeros((8, 8), bool)
    head[2:6] = True
    steady = [np.full((3, 8, 8), 0.1 * k) for k in range(5)]
    jumping = [picture + 0.05 * (k % 2) for k, picture in enumerate(steady)]
    assert second_difference(steady, head) == pytest.approx(0)
    assert second_difference(jumping, head) == pytest.approx(0.1)
    outside = [np.where(head, 0.0, k % 2) + np.zeros((3, 8, 8)) for k in range(5)]
    assert second_difference(outside, head) == 0
    row = next(r for r in score_flicker([({REFINED: jumping, COARSE: steady, REAL: jumping}, head)]))
    assert (row.picture, row.relative, row.change) == (REFINED, pytest.approx(1), pytest.approx(25.5))
    assert score_flicker([]) == []


# The command


def test_the_command_turns_avatars_and_prints_every_table(
    folder: Path,
    sitting: Sitting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []
    row = TrueTurnRow(REFINED, 15.0, 4, float("nan"), 0.9, 1.2, 1.1, 0.8, 0.9, 9.0)

    def evaluate(model: object, avatars: list[Avatar], features: object, **options: object):
        asked.append(([avatar.name for avatar in avatars], options))
        return TurnReport([row], [], []), [a_turn(sitting)], ["B"]

    monkeypatch.setattr(portraits, "load_model", lambda models, quiet: models)
    monkeypatch.setattr(turn_report, "evaluate_turns", evaluate)
    monkeypatch.setattr("portrait3d.losses.perceptual.EfficientNetFeatures", Planes)
    asides: dict[str, Any] = {"previous": tmp_path, "others": tmp_path, "why": True}
    asides |= {"glasses": True, "earrings": True, "size": 640}
    refinement(avatars=folder, head=["A"], **asides, photos=tmp_path, json=True)
    assert (decode_photo(tmp_path / "A.png").pixels == a_turn(sitting).pictures[UNTURNED]).all()
    printed = capsys.readouterr()
    assert json.loads(printed.out)["turns"][0] | {"identity": None} == json.loads(printed.out)["turns"][0]
    assert "B: no face" in printed.err
    assert asked == [(["A"], {"recognition": None, **asides})]
    refinement(avatars=folder, head=["A"])
    assert "Is a turned photo like the real view?" in capsys.readouterr().out


def test_the_command_needs_photos_or_avatars(folder: Path) -> None:
    with pytest.raises(typer.BadParameter, match="--data or --avatars"):
        refinement()
    with pytest.raises(typer.BadParameter, match="--data or --avatars"):
        refinement(data=folder, avatars=folder)
