"""What a coarse turn's guide says of its pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.models.head_model import HeadModel
from portrait3d.models.refinement_net import GuidedUNet, RefinementNet
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.reposing import CoarseTurn, Reposer
from portrait3d.reposing.guide import CHANNELS, LAYERS, PLATE, STEEPNESS
from portrait3d.reposing.reposer import AROUND, OUTLINE, STRIDE
from synthetic_head import synthetic_portrait

YAW = 25.0


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return synthetic_portrait()


@pytest.fixture(scope="module")
def reposer(portrait: Portrait) -> Reposer:
    return Reposer(portrait, HeadModel.load())


@pytest.fixture(scope="module")
def turn(portrait: Portrait, reposer: Reposer) -> CoarseTurn:
    target = replace(portrait.pose, yaw=portrait.pose.yaw + YAW)
    return reposer.coarse_turn(target, guided=True)


def channel(turn: CoarseTurn, name: str) -> torch.Tensor:
    assert turn.guide is not None
    return turn.guide[CHANNELS.index(name)]


def test_a_guide_changes_nothing_of_the_turn(portrait: Portrait, reposer: Reposer, turn: CoarseTurn) -> None:
    plain = reposer.coarse_turn(replace(portrait.pose, yaw=portrait.pose.yaw + YAW))
    assert plain.guide is None
    for name in ("image", "holes", "picture", "unknown"):
        assert torch.equal(getattr(plain, name), getattr(turn, name))


def test_every_layer_is_seen_and_shares_add_up_to_one_at_most(turn: CoarseTurn) -> None:
    assert turn.guide is not None
    shares = turn.guide[: len(LAYERS)]
    assert all(float(share.max()) > 0.9 for share in shares)
    assert float(shares.sum(0).max()) < 1 + 1e-4
    assert float(shares.min()) >= 0


def test_what_is_guessed_is_a_hole_and_what_is_photographed_is_none(turn: CoarseTurn) -> None:
    holes = turn.holes[0] > 0
    for guessed in ("plate", "unseen"):
        assert float(holes[channel(turn, guessed) > 0.95].float().mean()) > 0.9
    for photographed in ("sheet", "seen"):
        assert float(holes[channel(turn, photographed) > 0.95].float().mean()) < 0.05


def test_where_the_photo_stays_the_reference_is_the_photo_and_no_layer_is_drawn(
    portrait: Portrait, reposer: Reposer, turn: CoarseTurn
) -> None:
    assert turn.guide is not None
    still = reposer.coarse_turn(portrait.pose, guided=True)
    assert still.guide is not None
    assert float(still.guide[: len(LAYERS)].abs().max()) == 0
    torch.testing.assert_close(still.guide[-3:], still.image)
    untouched = turn.guide[: len(LAYERS)].sum(0) == 0
    torch.testing.assert_close(turn.guide[-3:, untouched], still.image[:, untouched], atol=1e-3, rtol=0)
    assert float(turn.guide[STEEPNESS][untouched].min()) > 0.99


def test_the_cheek_that_comes_into_view_was_seen_less_steeply(turn: CoarseTurn) -> None:
    steepness, seen = channel(turn, "steepness").numpy(), channel(turn, "seen").numpy() > 0.95
    columns = np.nonzero(seen)[1]
    # It looks to the picture's right: what was its edge in the photo lies on the left now.
    left, middle = np.quantile(columns, [0.05, 0.5])
    x = np.arange(seen.shape[1])[None].repeat(len(seen), 0)
    assert steepness[seen & (x < left)].mean() < steepness[seen & (abs(x - middle) < 10)].mean() - 0.2
    assert float(channel(turn, "steepness")[channel(turn, "plate") > 0.99].max()) < 0.05


def test_known_skin_has_the_colours_of_its_reference(turn: CoarseTurn) -> None:
    assert turn.guide is not None
    known = channel(turn, "seen") > 0.99
    difference = (turn.image - turn.guide[-3:])[:, known].abs()
    assert float(difference.mean()) < 0.01
    unseen = channel(turn, "unseen") > 0.99
    assert float((turn.image - turn.guide[-3:])[:, unseen].abs().mean()) > 2 * float(difference.mean())


def test_a_picture_that_counts_everywhere_changes_what_was_drawn_alone(
    portrait: Portrait, reposer: Reposer, turn: CoarseTurn
) -> None:
    plain = reposer.composite(turn).astype(int)
    brighter = reposer.composite(turn, turn.image + 0.2, everywhere=True).astype(int)
    assert turn.drawn is not None
    window = np.s_[reposer.window.rows, reposer.window.columns]
    drawn = turn.drawn[0].numpy()
    changed = np.abs(brighter - plain)[window].max(axis=-1)
    assert (changed[drawn > 0.99] > 20).mean() > 0.9
    assert changed[drawn == 0].max() == 0
    beside = np.ones(portrait.parsing.shape, bool)
    beside[window] = False
    np.testing.assert_array_equal(brighter[beside], portrait.photo.pixels[beside])


def test_a_picture_counts_everywhere_in_guided_turns_alone(portrait: Portrait, reposer: Reposer) -> None:
    plain = reposer.coarse_turn(replace(portrait.pose, yaw=portrait.pose.yaw + YAW))
    with pytest.raises(ValueError, match="guided turn"):
        reposer.composite(plain, plain.image, everywhere=True)


def test_the_pipeline_gives_a_guided_network_its_guide(portrait: Portrait, reposer: Reposer) -> None:
    model = Portrait3D.__new__(Portrait3D)
    model.head_model, model.refinement_net = HeadModel.load(), RefinementNet("guided", [8] * 5).eval()
    assert isinstance(model.refinement_net.residual, GuidedUNet)
    brightness = model.refinement_net.residual.gain.bias
    assert brightness is not None
    brightness.data[:] = 20.0  # as bright as may be
    target = replace(portrait.pose, yaw=portrait.pose.yaw + YAW)
    plain = reposer.composite(reposer.coarse_turn(target)).astype(int)
    lit = model.draw_pose(reposer, target).astype(int)
    assert (lit - plain).max() > 20
    assert (lit == plain).all(axis=-1).mean() > 0.3


def test_the_outline_stays_as_it_is_drawn(reposer: Reposer, turn: CoarseTurn) -> None:
    assert turn.drawn is not None
    drawn = reposer._seen_by_crop(turn.drawn)[0][0].numpy()
    head = torch.stack([channel(turn, name) for name in LAYERS[:PLATE]]).sum(0).numpy() > 0.5
    away = ndimage.distance_transform_edt(head) + ndimage.distance_transform_edt(~head)
    assert drawn[away < 1.5].mean() < 0.1
    assert drawn[head & (away > 2 * OUTLINE)].mean() > 0.9


def test_the_box_holds_what_was_drawn_with_some_around_in_whole_strides(turn: CoarseTurn) -> None:
    assert turn.guide is not None
    drawn = torch.maximum(turn.guide[: len(LAYERS)].sum(0), turn.holes[0]) > 0
    for box, touched in zip(turn.box(), (drawn.any(1), drawn.any(0)), strict=True):
        first, last = touched.nonzero()[:, 0][[0, -1]].tolist()
        assert box.start % STRIDE == box.stop % STRIDE == 0
        assert 0 <= box.start <= max(0, first - AROUND)
        assert min(len(touched), last + 1 + AROUND) <= box.stop <= len(touched)
        assert box.stop - box.start < last - first + 2 * (AROUND + STRIDE)


def test_only_a_guided_turn_knows_its_box_and_one_that_drew_nothing_has_a_small_one(turn: CoarseTurn) -> None:
    assert turn.guide is not None
    nothing = replace(turn, guide=torch.zeros_like(turn.guide), holes=torch.zeros_like(turn.holes))
    assert nothing.box() == (slice(0, STRIDE), slice(0, STRIDE))
    with pytest.raises(ValueError, match="guided"):
        replace(turn, guide=None).box()


def test_a_finer_crop_shows_the_same_turn_at_a_higher_resolution(
    portrait: Portrait, turn: CoarseTurn
) -> None:
    fine = Reposer(portrait, HeadModel.load(), 512)
    other = fine.coarse_turn(replace(portrait.pose, yaw=portrait.pose.yaw + YAW), guided=True)
    assert torch.equal(other.picture, turn.picture)
    for name, limit in (("image", 0.02), ("guide", 0.03), ("holes", 0.03)):
        finer, own = getattr(other, name), getattr(turn, name)
        assert finer.shape == (len(own), 512, 512)
        assert float((torch.nn.functional.avg_pool2d(finer[None], 2)[0] - own).abs().mean()) < limit
    moved = torch.zeros(3, 512, 512)
    moved[0] = 0.25
    pictures = [
        reposer.composite(
            one, one.image + moved[:, : len(one.image[0]), : len(one.image[0])], everywhere=True
        )
        for reposer, one in ((fine, other), (Reposer(portrait, HeadModel.load()), turn))
    ]
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 0.3
