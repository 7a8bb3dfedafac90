"""The depth network and what it is given."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.depth_net import (
    DepthNet,
    HeadDepth,
    head_region,
    outline_distance,
    predict_depth,
    uncovered_face,
)
from portrait3d.models.face_depth import carried_on, render_face_depth, render_head_depths
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import Crop

SIZE = 64
CAMERA = Crop((0.0, 0.0), 1.0, 0.0, SIZE, zoom=3.2).camera()
HEAD_CAMERA = Crop((0.0, 0.0), 1.0, 0.0, 128, zoom=2.0).camera()
HAIR, NECK, BODY = 2, 6, 7


@pytest.fixture(scope="module")
def net() -> DepthNet:
    torch.manual_seed(0)
    return DepthNet((8, 12, 16, 16), SIZE).eval()


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


def pose(yaw: float, depth: float = 950.0) -> Pose:
    rotation = rotation_from_euler(torch.tensor([math.radians(yaw)]), torch.zeros(1), torch.zeros(1))
    return Pose(rotation, torch.tensor([[0.0, 0.0, depth]]))


def inputs(count: int = 1, away: float = 0.0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    shape = (count, 1, SIZE, SIZE)
    image = torch.rand((count, 3, SIZE, SIZE), generator=generator)
    labels = torch.randint(0, 9, shape, generator=generator).byte()
    near = 900 + away + 60 * torch.rand(shape, generator=generator)
    head = torch.rand(shape, generator=generator) > 0.4
    return image, labels, near, near + 120, head, torch.full((count,), 960.0 + away)


def test_the_back_never_lies_before_the_front_or_the_skulls_back() -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        net = DepthNet((8, 12, 16, 16), SIZE).eval()
        with torch.no_grad():
            for parameter in net.head.parameters():
                parameter.mul_(30)  # answers far from sensible
            given = inputs(2)
            found = net(*given)
        assert (found.back >= found.front).all()
        assert (found.back >= given[3])[given[4]].all()
        assert found.front.std() > 50, "the answers vary enough to break the order"


def test_a_back_that_is_held_behind_the_front_still_learns() -> None:
    torch.manual_seed(0)
    net = DepthNet((8, 12, 16, 16), SIZE).eval()
    torch.nn.init.zeros_(net.head.weight)
    # The front far away, the back near: every pixel is held at the front.
    net.head.load_state_dict({"bias": torch.tensor([9.0] * 4 + [-9.0] * 4 + [0.0] * 12)}, strict=False)
    image, labels, near, far, head, center = inputs()
    found = net(image, labels, near, far, torch.zeros_like(head), center)
    assert torch.equal(found.back, found.front)
    found.back.sum().backward()
    front, back = net.head.bias.grad.split(4)[:2]  # pyright: ignore[reportOptionalMemberAccess]
    assert (back > 0).all()
    assert (front == 0).all()


def test_answers_have_the_crops_size_and_errors_are_above_zero(net: DepthNet) -> None:
    image, labels, near, far, head, center = (
        value[..., :32] if value.ndim > 1 else value for value in inputs(2)
    )
    found = net(image, labels, near, far, head, center)
    for values in (found.front, found.back, found.hair_logit, found.front_scale, found.back_scale):
        assert values.shape == (2, 1, SIZE, 32)
        assert values.isfinite().all()
    assert (found.front_scale > 0).all()
    assert (found.back_scale > 0).all()


def test_a_head_farther_away_has_its_surfaces_farther_away(net: DepthNet) -> None:
    with torch.no_grad():
        here, there = net(*inputs()), net(*inputs(away=70))
    torch.testing.assert_close(there.front, here.front + 70, atol=1e-2, rtol=0.0)
    torch.testing.assert_close(there.back, here.back + 70, atol=1e-2, rtol=0.0)


def test_a_batch_gives_what_its_parts_give(net: DepthNet) -> None:
    given = inputs(2)
    with torch.no_grad():
        together = net(*given)
        second = net(*(value[1:] for value in given))
    torch.testing.assert_close(together.back[1:], second.back, atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("clue", ["fitted", "parts", "outline"])
def test_a_clue_that_is_left_out_does_not_reach_the_network(clue: str) -> None:
    torch.manual_seed(0)
    net = DepthNet((8, 12, 16, 16), SIZE, **{clue: False}).eval()
    image, labels, near, far, head, center = inputs()
    labels = labels.clamp(1, 5)  # all head, whatever part
    changed = {
        "fitted": (image, labels, near - 30, far + 30, ~head, center),
        "parts": (image, labels.flip(-1), near, far, head, center),
    }
    with torch.no_grad():
        before = net(image, labels, near, far, head, center)
        if clue in changed:
            assert torch.equal(net(*changed[clue]).front, before.front)
            assert not torch.equal(DepthNet((8, 12, 16, 16), SIZE)(*changed[clue]).front, before.front)
        else:
            wide = DepthNet((8, 12, 16, 16), 4 * SIZE, outline=False).eval()
            wide.load_state_dict(net.state_dict())
            assert torch.equal(wide(image, labels, near, far, head, center).front, before.front)


def predict(net: DepthNet, labels: Tensor, model: HeadModel) -> HeadDepth:
    head = render_head_depths(model, model.mean[None], pose(20), CAMERA)
    picture = torch.rand((1, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(1))
    return predict_depth(net, picture, head, labels, CAMERA)


def test_prediction_is_the_same_each_time(net: DepthNet, model: HeadModel) -> None:
    labels = torch.full((1, SIZE, SIZE), HAIR, dtype=torch.uint8)
    first, second = predict(net, labels, model), predict(net, labels, model)
    assert torch.equal(first.front, second.front)
    assert torch.equal(first.back, second.back)
    assert torch.equal(first.back_hair, second.back_hair)


@pytest.mark.parametrize("covering", [NECK, BODY])
def test_neck_and_body_count_where_hair_hangs_behind_them(covering: int, model: HeadModel) -> None:
    torch.manual_seed(0)
    net = DepthNet((8, 12, 16, 16), SIZE).eval()
    labels = torch.zeros((1, SIZE, SIZE), dtype=torch.uint8)
    labels[:, :20], labels[:, 40:] = HAIR, covering
    valid = {}
    for logit in (-9.0, 9.0):
        with torch.no_grad():
            torch.nn.init.zeros_(net.head.weight)
            net.head.load_state_dict({"bias": torch.full((20,), logit)}, strict=False)
        valid[logit] = predict(net, labels, model).valid
        assert torch.equal(predict(net, labels, model).head, labels[0] == HAIR)
    assert torch.equal(valid[-9.0], labels[0] == HAIR)
    assert torch.equal(valid[9.0], labels[0] > 0)


def test_both_sides_of_the_fitted_head_are_drawn(model: HeadModel) -> None:
    head = render_head_depths(model, model.mean[None], pose(0), CAMERA)
    near, far = head.near[0, :, SIZE // 2], head.far[0, :, SIZE // 2]
    assert float(head.center) == pytest.approx(950 + HEAD_CENTRE[2])
    assert (head.far > head.near)[head.mask].all()
    skull = model.mean[model.mean[:, 1] < 0]
    length = float(skull[:, 2].amax() - skull[:, 2].amin())
    assert float(far[far.isfinite()].amax() - near.amin()) == pytest.approx(length, abs=20)


def test_below_the_necks_cut_end_nothing_is_known_of_the_back(model: HeadModel) -> None:
    head = render_head_depths(model, model.mean[None], pose(0), CAMERA)
    row, column = (head.mask & ~head.far.isfinite())[0].nonzero(as_tuple=True)
    lowest = head.mask[0].nonzero()[:, 0].max()
    assert len(row) > 0
    assert (row > lowest - 6).float().mean() > 0.9
    behind = (carried_on(head.far) - head.near)[0, row, column]
    assert behind.median() > 10, "the nape's depth is carried on"


def test_the_first_side_holds_the_face(model: HeadModel) -> None:
    head = render_head_depths(model, model.mean[None], pose(30), CAMERA)
    face = render_face_depth(model, FaceCoefficients.neutral(), pose(30), CAMERA)
    # Lids lie before eyeballs, and lips before teeth, by less than this.
    assert (head.near - face.depth)[face.mask].abs().amax() < 12
    assert (head.near - face.depth)[face.mask].abs().median() < 1e-3


def test_a_head_seen_from_behind_shows_its_other_side(model: HeadModel) -> None:
    ahead = render_head_depths(model, model.mean[None], pose(0), CAMERA)
    turned = Pose(pose(180).rotation, torch.tensor([[0.0, 0.0, 950.0]]))
    behind = render_head_depths(model, model.mean[None], turned, CAMERA)
    # Nearly parallel rays: what was the far side at +z is the near side at -z, mirrored.
    gap = (ahead.far - 950) + (behind.near.flip(-1) - 950)
    middle = np.s_[:, SIZE // 2 - 2 : SIZE // 2 + 2, SIZE // 2 - 2 : SIZE // 2 + 2]
    assert gap[middle].abs().amax() < 6


def test_unknown_depth_is_carried_on_from_the_nearest_known_one() -> None:
    depth = torch.full((2, 8, 8), torch.inf)
    depth[0, 2, 2], depth[0, 6, 6] = 900.0, 950.0
    filled = carried_on(depth)
    assert filled[0, 0, 0] == filled[0, 3, 2] == 900
    assert filled[0, 7, 7] == filled[0, 6, 5] == 950
    assert (filled[1] == 0).all()


def test_the_head_is_face_hair_ears_mouth_and_headwear() -> None:
    labels = torch.arange(9, dtype=torch.uint8).view(1, 1, 9)
    assert head_region(labels)[0, 0, 0].tolist() == [False, *[True] * 5, False, False, True]
    assert uncovered_face(labels)[0, 0, 0].tolist() == [False, True, False, False, False, True, *[False] * 3]


def test_on_a_disk_the_distance_to_the_outline_makes_a_ball() -> None:
    y, x = torch.meshgrid(torch.arange(128) - 64, torch.arange(128) - 64, indexing="ij")
    radius = 50
    disk = x**2 + y**2 < radius**2
    distance = outline_distance(disk[None, None], 64)[0, 0]
    assert (distance[~disk] == 0).all()
    rim = disk & (x**2 + y**2 > 35**2)
    height = (radius**2 - x[rim] ** 2 - y[rim] ** 2).float().sqrt()
    correlation = torch.corrcoef(torch.stack([height, distance[rim]]))[0, 1]
    assert correlation > 0.99


def test_face_depth_is_nearest_at_the_nose_and_ends_at_the_ears() -> None:
    head = HeadModel.load()
    face = render_face_depth(head, FaceCoefficients.neutral(), pose(0.0), HEAD_CAMERA)
    assert 0.05 < face.mask.float().mean() < 0.3
    assert torch.equal(face.mask, face.depth.isfinite())
    flat = torch.where(face.mask, face.depth, torch.inf)[0]
    row, column = divmod(int(flat.argmin()), 128)
    assert abs(column - 64) <= 2
    assert 56 < row < 90
    assert float(face.center) == pytest.approx(950 + HEAD_CENTRE[2])


def test_face_depth_of_a_mirrored_pose_is_mirrored() -> None:
    head, neutral = HeadModel.load(), FaceCoefficients.neutral()
    right, left = (render_face_depth(head, neutral, pose(sign * 23), HEAD_CAMERA) for sign in (1, -1))
    both = right.mask & left.mask.flip(-1)
    assert both.sum() > 0.97 * right.mask.sum()
    gap = (right.depth - left.depth.flip(-1))[both].abs()
    assert gap.median() < 0.2
