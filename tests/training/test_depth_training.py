"""Training the depth network on synthetic heads."""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from portrait3d.data.depth_samples import DepthAugmentation, DepthPairs
from portrait3d.data.depth_views import DepthViews
from portrait3d.data.synthetic import SyntheticHeads
from portrait3d.data.synthetic_views import head_view
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.losses.depth import color_loss
from portrait3d.models.depth_net import PARTS
from portrait3d.training.depth import (
    DepthLossWeights,
    DepthTrainingConfig,
    HeadMove,
    Pictures,
    SourceShares,
    compared_part,
    depth_losses,
    drawn_views,
    read_views,
    train_depth,
)
from portrait3d.training.loop import LoopConfig

ALONE = SourceShares(portraits=0, clips=0, synthetic=1)


@pytest.fixture(scope="module")
def views() -> DepthViews:
    heads = SyntheticHeads(seed=5, size=64)
    pairs = [heads.pair(index) for index in range(2)]
    drawn = [head_view(view) for pair in pairs for view in (pair.first, pair.second)]
    return DepthViews.collect(list("abcd"), drawn, [(0, 1), (2, 3)])


def settings(out: Path, steps: int = 4) -> DepthTrainingConfig:
    return DepthTrainingConfig(
        data=out,
        loop=LoopConfig(out=out, steps=steps, warmup_steps=1, log_steps=1),
        prepared=out / "prepared",
        width=0.125,
        batch=2,
        shares=ALONE,
        photometric=ALONE,
        augmentation=DepthAugmentation(window=(64, 64), shift=0),
    )


def batch_of(views: DepthViews, config: DepthTrainingConfig) -> dict[str, torch.Tensor]:
    pairs = DepthPairs(
        {"synthetic": views}, asdict(config.shares), asdict(config.photometric), config.augmentation
    )
    items = [pairs[k] for k in range(2)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def test_every_equation_of_the_stage_takes_part(views: DepthViews, tmp_path: Path) -> None:
    config = settings(tmp_path)
    terms = depth_losses(config.network(), batch_of(views, config), config)
    wanted = {field.name for field in fields(DepthLossWeights)}
    assert set(terms) == wanted | {"total"}
    assert all(value.isfinite() for value in terms.values())
    total = sum(getattr(config.loss, name) * terms[name] for name in wanted)
    torch.testing.assert_close(terms["total"], torch.as_tensor(total))


def test_the_loss_falls_on_one_batch(views: DepthViews, tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = replace(settings(tmp_path), head_depth=False)  # with it the first guess is good already
    net, batch = config.network(), batch_of(views, config)
    batch["photometric"] = torch.zeros(2, dtype=torch.bool)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-2)
    history = []
    for _ in range(25):
        terms = depth_losses(net, batch, config)
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        history.append(float(terms["supervised"].detach()))
    assert min(history[-5:]) < 0.4 * history[0], history


def test_pictures_of_pairs_without_truth_train_the_depth(views: DepthViews, tmp_path: Path) -> None:
    config = settings(tmp_path)
    batch = batch_of(views, config)
    batch["trust"] = torch.zeros_like(batch["trust"])
    net = config.network()
    terms = depth_losses(net, batch, config)
    assert terms["supervised"].item() == 0.0
    (terms["color"] + terms["gradient"]).backward()
    assert max(float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None) > 0


def test_pictures_that_are_not_compared_cost_nothing(views: DepthViews, tmp_path: Path) -> None:
    config = settings(tmp_path)
    batch = batch_of(views, config)
    batch["photometric"] = torch.zeros(2, dtype=torch.bool)
    assert "color" not in depth_losses(config.network(), batch, config)


@pytest.mark.parametrize("compare", [drawn_views, read_views])
def test_what_is_hidden_in_the_other_view_does_not_pull(compare: Callable[..., Pictures]) -> None:
    side = 24
    middle = torch.full((1, 2), side / 2)
    camera = Camera(torch.tensor([100.0]), middle, side, side)
    everywhere = torch.ones(1, side, side, dtype=torch.bool)
    hair = torch.full((1, 1, side, side), 2, dtype=torch.uint8)
    still = Pose(torch.eye(3)[None], torch.zeros(1, 3))
    view = {
        "image": torch.rand(1, 3, side, side),
        "labels": hair,
        "region": everywhere[:, None],
        "covered": everywhere[:, None],
    }

    def seen(depth: float) -> torch.Tensor:
        own = DepthMap(torch.full((1, side, side), depth), everywhere, camera)
        other = DepthMap(torch.full((1, side, side), 1000.0), everywhere, camera)
        return compare(HeadMove(own, view, other, view, still, 12.0))[2][..., 4:-4, 4:-4]

    assert seen(990.0).all()
    assert seen(1010.0).all()
    assert not seen(1030.0).any()


def test_hair_beyond_the_other_heads_outline_is_pulled_back() -> None:
    """Read where it moves, hair that ends up on the background costs something; drawn, nothing."""
    side = 24
    middle = torch.full((1, 2), side / 2)
    camera = Camera(torch.tensor([100.0]), middle, side, side)
    region = torch.zeros(1, side, side, dtype=torch.bool)
    region[..., 8:16] = True
    picture = region[:, None].float().expand(1, 3, side, side)
    view = {
        "image": picture,
        "labels": region[:, None] * torch.tensor(2, dtype=torch.uint8),
        "region": region[:, None],
        "covered": torch.ones(1, 1, side, side, dtype=torch.bool),
    }
    depth = torch.full((1, side, side), 1000.0, requires_grad=True)
    aside = Pose(torch.eye(3)[None], torch.tensor([[48.0, 0.0, 0.0]]))
    maps = DepthMap(depth, region, camera), DepthMap(depth, region, camera)
    cost = {
        compare: color_loss(*compare(HeadMove(maps[0], view, maps[1], view, aside, 12.0)))
        for compare in (drawn_views, read_views)
    }
    assert cost[drawn_views] == 0
    assert cost[read_views] > 0.5
    cost[read_views].sum().backward()
    assert depth.grad is not None
    assert depth.grad[region].abs().sum() > 0


def test_colours_are_compared_on_hair_ears_and_headwear_inside_their_rim() -> None:
    labels = torch.ones(1, 1, 20, 20, dtype=torch.uint8)
    labels[..., 4:14, 4:14] = 2
    region = torch.ones(1, 1, 20, 20, dtype=torch.bool)
    part = compared_part(labels, region)
    assert part.sum() == 6 * 6
    assert part[0, 0, 6:12, 6:12].all()
    region[..., 9:] = False
    assert compared_part(labels, region).sum() == 6 * 1


def test_smoothness_counts_where_depth_is_not_known_alone(views: DepthViews, tmp_path: Path) -> None:
    config = settings(tmp_path)
    batch, net = batch_of(views, config), config.network()
    known = depth_losses(net, batch, config)
    batch["trust"] = torch.zeros_like(batch["trust"])
    unknown = depth_losses(net, batch, config)
    for name in ("rest_smoothness", "head_smoothness"):
        assert known[name].item() < unknown[name].item()
    assert unknown["edges"].item() == 0.0


@pytest.mark.parametrize(
    ("clue", "fewer"), [("face_depth", 1), ("head_depth", 1), ("parsing", len(PARTS)), ("outline", 1)]
)
def test_a_clue_that_is_left_out_is_no_input(
    clue: str, fewer: int, views: DepthViews, tmp_path: Path
) -> None:
    config = settings(tmp_path)
    without = replace(config, **{clue: False})
    full, net = config.network(), without.network()
    assert net.channels == full.channels - fewer
    assert depth_losses(net, batch_of(views, config), without)["total"].isfinite()


def test_bfloat16_gives_nearly_the_losses_of_float32(views: DepthViews, tmp_path: Path) -> None:
    config = settings(tmp_path)
    net, batch = config.network(), batch_of(views, config)
    with torch.autocast("cpu", torch.bfloat16):
        rough = depth_losses(net, batch, config)["total"]
    exact = depth_losses(net, batch, config)["total"]
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.05)


def test_weights_that_did_not_know_the_outline_start_as_they_were(views: DepthViews, tmp_path: Path) -> None:
    config = settings(tmp_path)
    old = replace(config, outline=False).network()
    save_file(old.state_dict(), tmp_path / "old.safetensors")
    new = replace(config, start=tmp_path / "old.safetensors").network()
    assert new.channels == old.channels + 1
    batch = batch_of(views, config)
    losses = [depth_losses(net.eval(), batch, config)["total"].item() for net in (old, new)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_run_writes_its_weights_and_goes_on(views: DepthViews, tmp_path: Path) -> None:
    for split in ("train", "val"):
        views.save(tmp_path / "prepared" / split / "synthetic-00000.npz")
    config = settings(tmp_path, steps=2)
    train_depth(config)
    assert (tmp_path / "best.safetensors").is_file()
    longer = replace(config, loop=replace(config.loop, steps=3))
    net = train_depth(longer)
    assert np.isfinite([float(p.abs().max()) for p in net.parameters()]).all()


def test_there_have_to_be_clips_to_hold_out(views: DepthViews, tmp_path: Path) -> None:
    for split in ("train", "val"):
        views.save(tmp_path / "prepared" / split / "synthetic.npz")
    with pytest.raises(ValueError, match="no frames of clips"):
        train_depth(replace(settings(tmp_path, steps=1), hold_out=("one",)))


def test_clips_that_are_held_out_are_not_drawn(views: DepthViews, tmp_path: Path) -> None:
    names = np.array(["one_00000", "one_00001", "other_00000", "other_00001"])
    clips = replace(views, names=names)
    clips.save(tmp_path / "prepared" / "train" / "clips.npz")
    views.save(tmp_path / "prepared" / "val" / "synthetic.npz")
    config = replace(settings(tmp_path, steps=1), shares=SourceShares(portraits=0, clips=1, synthetic=0))
    train_depth(replace(config, hold_out=("one",)))
    np.testing.assert_array_equal(clips.without_clips(["one"]).pairs, [[2, 3]])
    out = tmp_path / "all"
    with pytest.raises(ValueError, match="No source has pairs"):
        train_depth(replace(config, hold_out=("one", "other"), loop=replace(config.loop, out=out)))
