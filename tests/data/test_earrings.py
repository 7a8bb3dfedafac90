"""Drawn earrings, and what the earrings network learns from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drawn_earrings import BLUE, DROP
from portrait3d.data.accessories.earrings import EarringSamples
from portrait3d.data.accessories.faces import BareFace
from portrait3d.data.synthetic.earrings import DrawnEarring, Earring, Material, Piece, draw_earring
from portrait3d.geometry.pose import Pose
from portrait3d.models.earrings import BAND, SIZE
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import FACE_SIZE, Crop


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


def drawn(earring: Earring, **changes) -> DrawnEarring:
    """An earring at 2 pixels a millimetre, whose lobe lies at (30, 20)."""
    settings = {"lobe": (30.0, 20.0), "millimetre": 2.0, "rng": np.random.default_rng(0)} | changes
    return draw_earring(earring, (80, 60), **settings)


def test_a_piece_has_its_size_place_and_colour() -> None:
    one = drawn(DROP)
    row, column = np.nonzero(one.cover > 0.5)
    assert np.ptp(column) + 1 == pytest.approx(20, abs=1)
    assert np.ptp(row) + 1 == pytest.approx(40, abs=1)
    assert (column.mean(), row.mean()) == pytest.approx((29.5, 35.5), abs=0.6)
    colour = one.colour[:, one.cover > 0.9].mean(axis=1)
    assert colour[2] > 3 * colour[1] > 3 * colour[0]
    assert one.over(np.ones((3, 80, 60), np.float32))[:, 0, 0].tolist() == [1, 1, 1]


def test_rings_are_hollow_and_pass_behind_the_lobe() -> None:
    ring = Earring((Piece((0.0, 10.0), (8.0, 12.0), 2.0, 1.5, 0, 0.0, BLUE),), 0.0, 0.0)
    whole = drawn(ring).cover
    assert whole[40, 30] < 0.1
    assert whole.max() > 0.9
    behind = drawn(replace(ring, behind=6.0)).cover
    # The face lies to the right of the picture's left ear, to the left of the right one.
    assert behind[:30, 32:].sum() < 0.05 * whole[:30, 32:].sum()
    assert np.allclose(behind[:30, :28], whole[:30, :28], atol=0.05)
    assert np.allclose(behind[36:], whole[36:], atol=0.05)
    assert np.allclose(drawn(replace(ring, behind=6.0), side=1).cover, behind[:, ::-1], atol=0.05)


def test_squeezed_earrings_are_narrower() -> None:
    assert drawn(DROP, squeeze=0.5).cover.sum() == pytest.approx(0.5 * drawn(DROP).cover.sum(), rel=0.05)


def test_surroundings_highlights_and_facets_are_seen() -> None:
    def spread(material: Material) -> float:
        one = drawn(replace(DROP, pieces=(replace(DROP.pieces[0], material=material),)))
        return float(one.colour[:, one.cover > 0.99].std(axis=1).mean())

    plain = spread(BLUE)
    for change in ({"metal": 1.0}, {"gloss": 1.0}, {"facets": 2.0}):
        assert spread(replace(BLUE, **change)) > 1.1 * plain


def test_shadows_darken_what_is_behind() -> None:
    grey = np.full((3, 80, 60), 0.5, np.float32)
    plain = drawn(DROP)
    beside = plain.cover < 0.01
    assert np.abs(plain.over(grey)[:, beside] - 0.5).max() < 0.02
    assert drawn(replace(DROP, shadow=0.5)).over(grey)[:, beside].min() < 0.45


def test_what_lies_before_hides_and_light_brightens() -> None:
    one, half = drawn(DROP), np.repeat(np.linspace(0, 1, 60)[None], 80, 0)
    assert np.allclose(one.behind(half).cover, one.cover * (1 - half))
    assert np.allclose(one.lit(0.5).colour, 0.5 * one.colour)


def test_random_earrings_are_seen_and_differ() -> None:
    covers = [drawn(Earring.draw(np.random.default_rng(seed))).cover for seed in range(40)]
    assert min(float(cover.sum()) for cover in covers) > 5
    assert len({round(float(cover.sum()), 3) for cover in covers}) == 40


@pytest.fixture
def face() -> BareFace:
    """A grey face."""
    return BareFace(
        np.full((300, 300, 3), 128, np.uint8),
        np.zeros((300, 300), np.uint8),
        Crop((150.0, 150.0), 240.0, 0.0, FACE_SIZE),
        torch.zeros(144),
        Pose(torch.eye(3), torch.tensor([0.0, 0.0, 1050.0])),
    )


def test_samples_depend_on_their_number_alone(face: BareFace, head: HeadModel) -> None:
    samples, again = (EarringSamples([face], head, seed=3) for _ in range(2))
    for number in (0, 7):
        picture, cover = samples[number]
        assert picture.shape == (3, SIZE, BAND.stop - BAND.start)
        assert cover.shape == (1, *picture.shape[1:])
        assert all(
            torch.equal(one, other) for one, other in zip((picture, cover), again[number], strict=True)
        )
    assert not torch.equal(samples[0][0], samples[7][0])


def test_covered_pixels_are_those_that_changed(face: BareFace, head: HeadModel) -> None:
    samples = EarringSamples([face], head, seed=0, still=True)
    covers = [samples[number][1] for number in range(40)]
    assert 12 < sum(bool(cover.any()) for cover in covers) < 36
    for number in range(10):
        picture, cover = samples[number]
        changed = (picture - 128 / 255).abs().amax(0) > 0.005
        covered = cover[0] > 0.9
        assert not covered.any() or changed[covered].float().mean() > 0.8


def test_hair_and_head_hide_earrings(face: BareFace, head: HeadModel) -> None:
    hairy = replace(face, hair=np.full_like(face.hair, 255))
    bare, left = (
        np.array([float(EarringSamples([one], head, still=True)[number][1].sum()) for number in range(40)])
        for one in (face, hairy)
    )
    shares = left[bare > 0] / bare[bare > 0]
    assert (shares > 0.99).sum() > 5
    assert (shares < 0.1).any()
    # Some are hidden in part.
    assert ((shares > 0.1) & (shares < 0.9)).sum() > 2
    # A head that looks far aside hides one of its lobes.
    angles = torch.tensor(1.2), torch.tensor(0.0), torch.tensor(0.0)
    aside = replace(face, pose=Pose.from_euler(*angles, face.pose.translation))
    covers = [EarringSamples([aside], head, still=True)[number][1] for number in range(40)]
    assert sum(float(cover.sum()) for cover in covers) < 0.8 * bare.sum()


def test_many_samples_show_ears_under_hair(face: BareFace, head: HeadModel) -> None:
    hairy = replace(face, hair=np.full_like(face.hair, 255), pixels=np.full_like(face.pixels, 255))
    faces = [hairy, *[face] * 19]
    brightness = [float(EarringSamples(faces, head)[number][0].mean()) for number in range(40)]
    assert 8 < sum(value > 0.65 for value in brightness) < 30
    # For evaluation everybody comes once.
    still = EarringSamples(faces, head, still=True)
    assert [bool(still[number][0].mean() > 0.8) for number in range(20)] == [True] + [False] * 19
