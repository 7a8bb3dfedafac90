"""Training the depth network on a few drawn heads."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from portrait3d.data.depth.samples import DepthAugmentation, DepthSamples, wide_camera
from portrait3d.data.depth.views import IS_HAIR, NOT_HAIR, UNKNOWN, DepthView, DepthViews
from portrait3d.evaluation.depth.hair import colour_difference, score_depth, score_view, side_view, surface
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.losses.depth import color_loss, hair_behind_loss, laplace_loss, last_surface
from portrait3d.models.depth_net import DepthNet, Surfaces
from portrait3d.pretrained import load_network
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

SIZE = 64
CENTER = 950.0
PIXEL = CENTER / float(wide_camera(SIZE).focal)
"""mm of a pixel at the head's centre."""
WIDTHS = (8, 12, 16, 16)
KNOWN = {"front", "back", "edges", "hair", "sureness"}
UNKNOWN_LOSSES = {
    *("face", "layer_order", "rest_smoothness", "head_smoothness", "color", "gradient"),
}
"""Eq. 7, 9, 6, 8, 4 and 5."""


def ball(radius: float, hair: float, style: str) -> DepthView:
    """A round skull (mm) with hair all round but for the face, seen from the front."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2) * PIXEL

    def sphere(size: float) -> np.ndarray:
        return np.sqrt(np.where(x**2 + y**2 < size**2, size**2 - x**2 - y**2, np.nan))

    skull, head = sphere(radius), sphere(radius + hair)
    face = np.hypot(x, y - 20) < 45
    labels = np.where(face, 1, np.where(np.isfinite(head), 2, 0)).astype(np.uint8)
    image = np.choose(np.minimum(labels, 2)[..., None], [[90] * 3, [200, 160, 140], [60, 40, 30]])
    angles = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    behind = angles / np.linalg.norm(angles, axis=1, keepdims=True) * (radius + hair)
    behind[:, 2] = np.abs(behind[:, 2]) + CENTER
    return DepthView(
        name=style,
        style=style,
        image=image.astype(np.uint8),
        labels=labels,
        near=-skull,
        far=skull,
        front=np.where(face, -skull, -head),
        back=head,
        back_hair=np.where(np.isfinite(head), IS_HAIR, NOT_HAIR).astype(np.uint8),
        center=CENTER,
        unseen_hair=behind.astype(np.float32),
        rotation=np.eye(3, dtype=np.float32),
        translation=np.array([0, 0, CENTER], np.float32),
    )


@pytest.fixture(scope="module")
def views() -> DepthViews:
    return DepthViews.collect([ball(90, 8, "short"), ball(95, 30, "afro"), ball(85, 20, "bob")])


@pytest.fixture(scope="module")
def clip() -> DepthViews:
    """Two frames of a striped head that moves aside by three pixels, of whose depth nothing is known."""
    seen, frames = ball(90, 15, "clip"), []
    stripes = np.where(np.arange(SIZE) // 4 % 2, 60, 0)[None, :, None]
    image = np.clip(seen.image + stripes * (seen.labels > 0)[..., None], 1, 255).astype(np.uint8)
    for number in range(2):
        moved = {name: np.roll(getattr(seen, name), 3 * number, axis=1) for name in ("labels", "near", "far")}
        unknown = np.full((SIZE, SIZE), np.nan)
        frames.append(
            replace(
                seen,
                name=f"one_{number:05d}",
                image=np.roll(image, 3 * number, axis=1),
                front=unknown,
                back=unknown,
                back_hair=np.full((SIZE, SIZE), UNKNOWN, np.uint8),
                translation=np.array([3 * PIXEL * number, 0, CENTER], np.float32),
                **moved,
            )
        )
    return DepthViews.collect(frames, [(0, 1)])


def batch_of(views: DepthViews) -> dict[str, torch.Tensor]:
    samples = DepthSamples({"a": views}, {"a": 1.0}, DepthAugmentation(window=(SIZE, SIZE), shift=0))
    items = [samples[k] for k in range(4)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def settings(out: Path, steps: int) -> DepthTrainingConfig:
    return DepthTrainingConfig(
        data=out,
        loop=LoopConfig(out=out / "run", steps=steps, warmup_steps=1, log_steps=1, checkpoint_minutes=0),
        prepared=out / "prepared",
        widths=WIDTHS,
        size=SIZE,
        batch=2,
        augmentation=DepthAugmentation(window=(SIZE, SIZE), shift=0),
    )


def save(views: DepthViews, folder: Path) -> None:
    for split in ("train", "val"):
        views.save(folder / "prepared" / split / "avatars-00000.npz")


def test_a_few_heads_are_learned(views: DepthViews) -> None:
    torch.manual_seed(0)
    net, batch = DepthNet(WIDTHS, SIZE), batch_of(views)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    history = []
    for _ in range(80):
        terms = depth_losses(net, batch, settings(Path(), 1))
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in terms.items()})
    for name in ("front", "back"):
        assert history[-1][name] < 0.5 * history[0][name], name
    assert history[-1]["hair"] < 0.6 * history[0]["hair"]


def test_every_loss_takes_part_with_its_weight(views: DepthViews, clip: DepthViews, tmp_path: Path) -> None:
    config, net = settings(tmp_path, 1), DepthNet(WIDTHS, SIZE)
    for batch, wanted in ((batch_of(views), KNOWN), (batch_of(clip), {*KNOWN, *UNKNOWN_LOSSES})):
        terms = depth_losses(net, batch, config)
        assert set(terms) == wanted | {"total"}
        assert all(value.isfinite() for value in terms.values())
        total = sum(getattr(config.loss, name) * terms[name] for name in wanted)
        torch.testing.assert_close(terms["total"], torch.as_tensor(total))
    assert {field.name for field in fields(DepthLossWeights)} == {*KNOWN, *UNKNOWN_LOSSES}


def test_frames_of_clips_teach_by_their_pictures_and_the_fitted_face(
    clip: DepthViews, tmp_path: Path
) -> None:
    config, net, batch = settings(tmp_path, 1), DepthNet(WIDTHS, SIZE), batch_of(clip)
    terms = depth_losses(net, batch, config)
    for name in KNOWN:
        assert terms[name] == 0, name
    for name in UNKNOWN_LOSSES:
        net.zero_grad()
        depth_losses(net, batch, config)[name].backward()
        pulls = [float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None]
        assert (max(pulls) > 0) == (terms[name] > 0), name
    assert terms["color"] > 0
    assert terms["gradient"] > 0


def test_hair_behind_the_fitted_head_costs_its_distance(clip: DepthViews, tmp_path: Path) -> None:
    class Fixed(torch.nn.Module):
        """The fitted head's first surface, moved by so many mm."""

        def __init__(self, shift: float) -> None:
            super().__init__()
            self.shift = shift

        def forward(
            self, _: torch.Tensor, __: torch.Tensor, near: torch.Tensor, *___: torch.Tensor
        ) -> Surfaces:
            front = near + self.shift
            return Surfaces(front, front, 0 * front, front, front)

    config, batch = settings(tmp_path, 1), batch_of(clip)
    behind, before = (depth_losses(Fixed(shift), batch, config) for shift in (20.0, -20.0))
    assert float(behind["layer_order"]) == pytest.approx(0.2, abs=1e-4)
    assert before["layer_order"] == 0
    assert float(before["face"]) == pytest.approx(0.2, abs=1e-4)


def test_what_nobody_knows_does_not_pull(views: DepthViews) -> None:
    batch, net = batch_of(views), DepthNet(WIDTHS, SIZE).eval()
    outside = ~(batch["front_known"] & batch["back_known"] & batch["hair_known"])
    before = depth_losses(net, batch, settings(Path(), 1))["total"]
    for name in ("front", "back"):
        batch[name] = torch.where(outside, 5000.0, batch[name])
    batch["back_hair"] = batch["back_hair"] ^ outside
    assert torch.equal(depth_losses(net, batch, settings(Path(), 1))["total"], before)


def test_sureness_is_best_where_the_scale_is_the_error_and_moves_no_depth() -> None:
    error = torch.full((1, 1, 4, 4), 7.0, requires_grad=True)
    everywhere = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    costs = {
        scale: laplace_loss(error, torch.full_like(error, scale), everywhere) for scale in (3.0, 7.0, 15.0)
    }
    assert min(costs, key=lambda scale: float(costs[scale])) == 7.0
    assert not costs[3.0].requires_grad


def test_a_back_before_the_skulls_is_not_asked_for() -> None:
    truth, far = torch.tensor([[[[900.0, 990.0, 900.0]]]]), torch.full((1, 1, 1, 3), 950.0)
    head = torch.tensor([[[[True, True, False]]]])
    assert last_surface(truth, far, head).flatten().tolist() == [950, 990, 900]


def test_hair_is_told_where_that_is_known_alone() -> None:
    logit, is_hair = torch.tensor([[[[9.0, -9.0]]]]), torch.tensor([[[[True, True]]]])
    assert hair_behind_loss(logit, is_hair, torch.tensor([[[[True, False]]]])) < 1e-3
    assert hair_behind_loss(logit, is_hair, torch.tensor([[[[False, True]]]])) > 8


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


def test_bfloat16_gives_nearly_the_losses_of_float32(views: DepthViews, tmp_path: Path) -> None:
    config = settings(tmp_path, 1)
    net, batch = config.network(), batch_of(views)
    with torch.autocast("cpu", torch.bfloat16):
        rough = depth_losses(net, batch, config)["total"]
    exact = depth_losses(net, batch, config)["total"]
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.05)


def test_there_have_to_be_clips_to_hold_out(views: DepthViews, tmp_path: Path) -> None:
    save(views, tmp_path)
    with pytest.raises(ValueError, match="no frames of clips"):
        train_depth(replace(settings(tmp_path, 1), hold_out=("one",)))


def test_clips_that_are_held_out_are_not_drawn(views: DepthViews, clip: DepthViews, tmp_path: Path) -> None:
    save(views, tmp_path)
    names = np.array(["one_00000", "one_00001", "other_00000", "other_00001"])
    clips = DepthViews.load([saved(clip, tmp_path / "a.npz"), saved(clip, tmp_path / "b.npz")])
    clips = replace(clips, name=names)
    clips.save(tmp_path / "prepared" / "train" / "clips.npz")
    config = replace(settings(tmp_path, 1), shares=SourceShares(avatars=0, clips=1))
    train_depth(replace(config, hold_out=("one",)))
    np.testing.assert_array_equal(clips.without_clips(["one"]).pairs, [[2, 3]])
    with pytest.raises(ValueError, match="no clips"):
        clips.without_clips(["nobody"])


def saved(views: DepthViews, path: Path) -> Path:
    views.save(path)
    return path


def test_a_clip_is_explained_best_by_its_own_depth(clip: DepthViews) -> None:
    net = DepthNet(WIDTHS, SIZE).eval()
    torch.nn.init.zeros_(net.head.weight)
    found = {}
    for name, shift in (("fitted", 0.0), ("too far", 6.0)):
        net.head.load_state_dict({"bias": torch.full((20,), shift)}, strict=False)
        found[name] = colour_difference(net, clip)
    assert 0 < found["fitted"] < found["too far"] <= 255 * 0.25
    assert score_depth(net, {"clips": clip})["score"] == -found["too far"]


class Truth(torch.nn.Module):
    """Answers with what it was told."""

    def __init__(self, view: DepthView, error: float = 0.0) -> None:
        super().__init__()
        self.view, self.error = view, error

    def forward(self, *_: torch.Tensor) -> SimpleNamespace:
        def known(relative: np.ndarray, change: float) -> torch.Tensor:
            return torch.from_numpy(np.nan_to_num(relative) + CENTER + change).float()[None, None]

        logit = torch.from_numpy(20.0 * (self.view.back_hair == IS_HAIR) - 10).float()[None, None]
        return SimpleNamespace(
            front=known(self.view.front, 0), back=known(self.view.back, self.error), hair_logit=logit
        )


def test_the_truth_gets_the_best_scores_and_an_error_along_the_ray_its_size() -> None:
    view = ball(90, 20, "bob")
    views = DepthViews.collect([view])
    exact, wrong = (score_view(Truth(view, error), views, 0) for error in (0.0, 25.0))
    assert exact.front_hair < 0.1
    assert exact.back_hair < 0.1
    assert exact.told == 1
    assert exact.side == 1
    assert exact.unseen < 9, "as fine as the crop is"
    assert wrong.back_hair == pytest.approx(25, abs=0.1)
    assert wrong.unseen > exact.unseen + 5
    assert wrong.side < 0.95


def test_scores_are_means_by_source_and_style(views: DepthViews) -> None:
    scores = score_depth(DepthNet(WIDTHS, SIZE).eval(), {"avatars": views})
    styles = [scores[f"unseen {style}"] for style in ("short", "afro", "bob")]
    assert scores["avatars_unseen"] == pytest.approx(np.mean(styles))
    assert scores["score"] == -scores["avatars_unseen"]


def test_a_closed_body_has_walls_along_its_outline() -> None:
    valid = np.zeros((SIZE, SIZE), bool)
    valid[20:40, 20:40] = True
    points = surface(np.full((SIZE, SIZE), 900.0), np.full((SIZE, SIZE), 1000.0), valid)
    assert ((points[:, 2] > 930) & (points[:, 2] < 970)).any()
    shape = side_view(points, CENTER)
    middle = np.flatnonzero(shape[len(shape) // 2])
    assert np.ptp(middle) * 5 == pytest.approx(100, abs=10)
    assert len(middle) == np.ptp(middle) + 1, "nothing is open in between"


def test_a_run_that_is_continued_ends_as_an_uninterrupted_one(views: DepthViews, tmp_path: Path) -> None:
    nets = []
    for name, stops in (("at once", (4,)), ("in two", (2, 4))):
        save(views, tmp_path / name)
        for steps in stops:
            config = settings(tmp_path / name, 4)
            # The schedule is that of four steps; the first part of the other run stops halfway.
            net = train_depth(replace(config, loop=replace(config.loop, steps=steps, decay=1e-9)))
        nets.append(net)
    for first, second in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_the_command_trains_and_releases_weights(views: DepthViews, tmp_path: Path) -> None:
    save(views, tmp_path)
    arguments = ["--data", tmp_path, "--out", tmp_path / "run", "--steps", 2, "--batch", 2, "--json"]
    changes = [
        f"prepared={tmp_path / 'prepared'}",
        "widths=[8, 12, 16, 16]",
        "size=64",
        "augmentation.window=[64, 64]",
    ]
    flags = [flag for change in changes for flag in ("--set", change)]
    command = [sys.executable, "-m", "portrait3d", "train", "depth", *map(str, arguments), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["best"]
    assert {"score", "avatars_unseen", "avatars_side", "unseen afro"} <= set(best["evaluation"])
    folder = tmp_path / "run" / "models" / "depth"
    net = load_network(DepthNet, folder)
    assert net.settings["widths"] == [8, 12, 16, 16]
    assert net.size == SIZE
    card = (folder / "README.md").read_text(encoding="utf-8")
    for words in ("portrait3d train depth", "Copyright (c) 2022 Tiffany Do", "synthetic heads"):
        assert words in card


def test_avatars_that_are_not_there_are_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    config = replace(settings(tmp_path, 1), prepared=None)
    with pytest.raises(FileNotFoundError, match="avatars=false"):
        train_depth(config)
