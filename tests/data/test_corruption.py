"""Damage to photos: repeatable, near the head, like what turns leave."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from portrait3d.data.refinement.corruption import Damage, damage_photo, fill_roughly

SIZE = 160


def _portrait() -> tuple[torch.Tensor, np.ndarray]:
    """A disc of a face with hair above it and a neck below, on a patterned background."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[np.abs(x - 80) < 8] = 6
    labels[y < 80] = 0
    head = np.hypot(x - 80, y - 62) < 22
    labels[head] = 1
    labels[head & (y < 50)] = 2
    image = np.stack([x / SIZE, y / SIZE, 0.5 + 0.3 * np.sin(x / 3)]).astype(np.float32)
    image[:, head] *= 0.6
    return torch.from_numpy(image), labels


def _near_head(labels: np.ndarray, reach: int) -> torch.Tensor:
    head = torch.from_numpy(labels > 0).float()[None, None]
    return F.max_pool2d(head, 2 * reach + 1, 1, reach)[0] > 0


def test_the_same_seed_gives_the_same_damage_and_another_gives_other() -> None:
    image, labels = _portrait()
    one, same, other = (damage_photo(image, labels, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert torch.equal(one.image, same.image)
    assert torch.equal(one.holes, same.holes)
    assert not torch.equal(one.holes, other.holes)


def test_everything_that_changes_lies_near_the_head() -> None:
    image, labels = _portrait()
    far = ~_near_head(labels, 32)
    assert int(far.sum()) > 500
    for seed in range(20):
        damaged = damage_photo(image, labels, np.random.default_rng(seed))
        assert not bool((damaged.holes.bool() & far).any())
        assert not bool(((damaged.image - image).abs().amax(0, keepdim=True) > 1e-6)[far].any())


def test_most_turns_uncover_background_beside_the_head() -> None:
    image, labels = _portrait()
    background = torch.from_numpy(labels == 0)[None]
    areas = [
        int((damage_photo(image, labels, np.random.default_rng(seed)).holes.bool() & background).sum())
        for seed in range(20)
    ]
    assert np.median(areas) > 100
    assert max(areas) < background.sum() / 2


def test_values_stay_in_range_and_holes_are_zero_or_one() -> None:
    image, labels = _portrait()
    for seed in range(5):
        damaged = damage_photo(image, labels, np.random.default_rng(seed))
        assert float(damaged.image.min()) >= 0
        assert float(damaged.image.max()) <= 1
        assert set(damaged.holes.unique().tolist()) <= {0.0, 1.0}
        assert damaged.holes.shape == (1, SIZE, SIZE)


def test_the_original_is_left_alone() -> None:
    image, labels = _portrait()
    before = image.clone()
    damage_photo(image, labels, np.random.default_rng(0), Damage(turn=40.0))
    assert torch.equal(image, before)


def test_layers_are_filled_from_their_own_colours() -> None:
    _, labels = _portrait()
    image = torch.zeros(3, SIZE, SIZE)
    image[0, torch.from_numpy(labels == 0)] = 1  # red background
    image[1, torch.from_numpy((labels == 1) | (labels == 2))] = 1  # green head
    image[2, torch.from_numpy(labels == 6)] = 1  # blue neck
    holes = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    holes[50:90, 62:112] = True
    torch.testing.assert_close(fill_roughly(image, holes, labels, layered=True), image, atol=1e-3, rtol=0)
    mixed = fill_roughly(image, holes, labels, layered=False)
    assert float((mixed - image).abs().max()) > 0.3


@pytest.mark.parametrize("value", [0, 1, 7])
def test_pictures_without_a_head_or_without_background_are_no_obstacle(value: int) -> None:
    image, labels = torch.rand(3, 64, 64), np.full((64, 64), value, np.uint8)
    for seed in range(4):
        damaged = damage_photo(image, labels, np.random.default_rng(seed))
        assert bool(damaged.image.isfinite().all())
