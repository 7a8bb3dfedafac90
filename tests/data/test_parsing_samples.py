"""Training samples of the parsing network."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from portrait3d.data.parsing.headwear import OVAL
from portrait3d.data.parsing.label_sets import certain, exact_sets
from portrait3d.data.parsing.samples import (
    Augmentation,
    ParsingSamples,
    cut_image,
    cut_sets,
    gather_cells,
    recolor,
)
from portrait3d.data.photos.compositions import StoredPhoto
from portrait3d.losses.parsing import known_shares
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.framing import FRAMINGS, Frame

STILL = Augmentation(
    zoom=(1.0, 1.0),
    far=0.0,
    extend=0.0,
    shift=0.0,
    roll=1e-6,
    headwear=0.0,
    backdrop=0.0,
    people=0.0,
    objects=0.0,
)


@pytest.fixture
def photo() -> StoredPhoto:
    """A red face between a green left ear and a blue right one, on grey, 120 x 100."""
    pixels = np.full((120, 100, 3), 128, np.uint8)
    labels = np.zeros((120, 100), np.uint8)
    for columns, color, label in (
        ((35, 65), (255, 0, 0), 1),
        ((25, 35), (0, 255, 0), 3),
        ((65, 75), (0, 0, 255), 4),
    ):
        pixels[40:80, columns[0] : columns[1]] = color
        labels[40:80, columns[0] : columns[1]] = label
    points = np.tile(np.array([[50.0, 60.0]], np.float32), (468, 1))
    angles = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    points[OVAL] = np.stack([50 + 15 * np.sin(angles), 60 - 20 * np.cos(angles)], 1)
    return StoredPhoto(
        pixels, exact_sets(labels), points, Crop((50.0, 60.0), 128.0, 0.0, 256, 2.0), "portraits", False
    )


@pytest.fixture
def samples(photo: StoredPhoto) -> ParsingSamples:
    return ParsingSamples([photo], framing="plain", size=64, weights={"portraits": 1.0}, augmentation=STILL)


def shares_of(sets: torch.Tensor) -> torch.Tensor:
    """The parts of each cell that show each class, from `gather_cells`."""
    return known_shares(sets[None], 9)[0]


@pytest.mark.parametrize("bent", [False, True])
def test_image_and_labels_are_cut_from_the_same_place(photo: StoredPhoto, bent: bool) -> None:
    crop = replace(photo.crop, size=64, angle=0.3, centre=(47.0, 63.0), side=60.0 if bent else 100.0)
    frame = Frame(crop, bent)
    image, inside = cut_image(photo, frame, extend=False)
    shares = shares_of(gather_cells(cut_sets(photo, frame, extend=False)))
    torch.testing.assert_close(image, frame.extract(photo.pixels), atol=0.35, rtol=0)
    torch.testing.assert_close(shares.sum(0), torch.nn.functional.avg_pool2d(inside.float(), 2)[0])
    for label, channel in ((1, 0), (3, 1), (4, 2)):
        color = image[:, ::2, ::2][:, shares[label] == 1].mean(1)
        assert int(color.argmax()) == channel
        assert color[channel] > 0.85


def test_shares_are_parts_of_pixels_that_sum_to_one(photo: StoredPhoto) -> None:
    frame = Frame(replace(photo.crop, size=64, side=60.0, angle=0.2))
    shares = shares_of(gather_cells(cut_sets(photo, frame, extend=False)))
    assert shares.shape == (9, 32, 32)
    torch.testing.assert_close(shares.sum(0), torch.ones(32, 32))
    assert ((shares > 0) & (shares < 1)).any()
    # 60 pixels of the photo are 32 of the shares: the face covers 30 x 40.
    assert float(shares[1].sum()) == pytest.approx(30 * 40 * (32 / 60) ** 2, rel=0.03)


def test_beyond_the_photo_it_is_black_and_unlabelled(photo: StoredPhoto) -> None:
    frame = Frame(replace(photo.crop, size=64, side=256.0))
    image, inside = cut_image(photo, frame, extend=False)
    shares = shares_of(gather_cells(cut_sets(photo, frame, extend=False)))
    assert float(image[:, :, :18].max()) == 0
    assert not inside[..., :18].any()
    assert float(shares[:, :, :9].max()) == 0


def test_an_extended_photo_goes_on_with_its_border_but_not_with_cut_hair(photo: StoredPhoto) -> None:
    photo.sets[:20, 0] = 1 << 2
    frame = Frame(replace(photo.crop, size=64, side=256.0))
    image, inside = cut_image(photo, frame, extend=True)
    shares = shares_of(gather_cells(cut_sets(photo, frame, extend=True)))
    assert inside.all()
    torch.testing.assert_close(image[:, 40, 2], torch.full((3,), 128 / 255), atol=1e-4, rtol=0)
    assert float(shares[:, 9, 1].max()) == 0
    assert shares[0, 20, 1] == 1


def test_ambiguous_pixels_keep_their_sets(photo: StoredPhoto) -> None:
    photo.sets[50:60, 45:55] = (1 << 1) | (1 << 5)
    sets = cut_sets(photo, Frame(replace(photo.crop, size=64, side=60.0)), extend=False)
    assert set(np.unique(sets)) == {1 << 0, 1 << 1, 1 << 3, 1 << 4, (1 << 1) | (1 << 5)}


def test_headwear_is_not_drawn_over_side_views(photo: StoredPhoto) -> None:
    hats = replace(STILL, headwear=1.0)

    def headwear_in(subject: StoredPhoto) -> bool:
        samples = ParsingSamples(
            [subject], framing="plain", size=64, weights={"portraits": 1.0}, augmentation=hats
        )
        return any(bool((samples[k][1] == 1 << 8).any()) for k in range(3))

    assert headwear_in(photo)
    assert not headwear_in(replace(photo, frontal=False))


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_sample_depends_on_its_number_alone(photo: StoredPhoto, framing: str) -> None:
    everything = Augmentation(headwear=1.0, backdrop=1.0, people=1.0, objects=1.0)
    samples = ParsingSamples(
        [photo], framing=framing, size=64, weights={"portraits": 1.0}, augmentation=everything
    )
    first = samples[7]
    samples[3]
    again = samples[7]
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], samples[8][0])


def test_the_left_ear_is_always_the_one_on_the_pictures_left(samples: ParsingSamples) -> None:
    colors = set()
    for number in range(12):
        image, sets = samples[number]
        labels = torch.from_numpy(certain(sets[0].numpy().astype(np.uint16)))
        columns = [torch.nonzero(labels == label)[:, 1].float().mean() for label in (3, 1, 4)]
        assert columns == sorted(columns)
        shown = image[1:, ::2, ::2][:, labels == 3].mean(1)
        colors.add(bool(shown[0] > shown[1]))
    assert colors == {False, True}  # flipped and not


def test_samples_have_images_in_range_and_sets_at_half_resolution(samples: ParsingSamples) -> None:
    samples.augmentation = Augmentation(headwear=0.5, backdrop=0.5, people=0.5, objects=0.5)
    for number in range(10):
        image, sets = samples[number]
        assert image.shape == (3, 64, 64)
        assert sets.shape == (4, 32, 32)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        assert 0 <= int(sets.min()) <= int(sets.max()) < 1 << 9


def test_recolouring_changes_neither_shape_nor_range() -> None:
    random = np.random.default_rng(0)
    image = torch.rand(3, 16, 16)
    changed = [recolor(image, random) for _ in range(20)]
    assert all(c.shape == image.shape and c.min() >= 0 and c.max() <= 1 for c in changed)
    assert any(float((c[0] - c[1]).abs().max()) < 1e-5 for c in [recolor(image, random) for _ in range(60)])


def test_rolls_stay_within_their_limit(samples: ParsingSamples) -> None:
    samples.augmentation = Augmentation()
    random = np.random.default_rng(0)
    angles = [samples._place(samples.photos[0], random).crop.angle for _ in range(50)]
    assert max(map(abs, angles)) <= math.radians(25)
