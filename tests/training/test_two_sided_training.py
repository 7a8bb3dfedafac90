"""Training the two-sided depth network on a few drawn heads."""

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from portrait3d.data.two_sided_samples import TwoSidedAugmentation, TwoSidedSamples
from portrait3d.data.two_sided_views import IS_HAIR, NOT_HAIR, TwoSidedView, TwoSidedViews
from portrait3d.evaluation.two_sided import score_two_sided, score_view, side_view, surface, wide_camera
from portrait3d.losses.two_sided import hair_behind_loss, laplace_loss, last_surface
from portrait3d.models.two_sided_depth_net import TwoSidedDepthNet
from portrait3d.pretrained import load_network
from portrait3d.training.loop import LoopConfig
from portrait3d.training.two_sided import (
    TwoSidedLossWeights,
    TwoSidedTrainingConfig,
    train_two_sided,
    two_sided_losses,
)

SIZE = 64
CENTER = 950.0
PIXEL = CENTER / float(wide_camera(SIZE).focal)
"""mm of a pixel at the head's centre."""
WIDTHS = (8, 12, 16, 16)


def ball(radius: float, hair: float, style: str) -> TwoSidedView:
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
    return TwoSidedView(
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
    )


@pytest.fixture(scope="module")
def views() -> TwoSidedViews:
    return TwoSidedViews.collect([ball(90, 8, "short"), ball(95, 30, "afro"), ball(85, 20, "bob")])


def batch_of(views: TwoSidedViews) -> dict[str, torch.Tensor]:
    samples = TwoSidedSamples({"a": views}, {"a": 1.0}, TwoSidedAugmentation(window=(SIZE, SIZE), shift=0))
    items = [samples[k] for k in range(4)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def settings(out: Path, steps: int) -> TwoSidedTrainingConfig:
    return TwoSidedTrainingConfig(
        data=out,
        loop=LoopConfig(out=out / "run", steps=steps, warmup_steps=1, log_steps=1, checkpoint_minutes=0),
        prepared=out / "prepared",
        widths=WIDTHS,
        batch=2,
        augmentation=TwoSidedAugmentation(window=(SIZE, SIZE), shift=0),
    )


def save(views: TwoSidedViews, folder: Path) -> None:
    for split in ("train", "val"):
        views.save(folder / "prepared" / split / "avatars-00000.npz")


def test_a_few_heads_are_learned(views: TwoSidedViews) -> None:
    torch.manual_seed(0)
    net, batch = TwoSidedDepthNet(WIDTHS), batch_of(views)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    history = []
    for _ in range(80):
        terms = two_sided_losses(net, batch, TwoSidedLossWeights())
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in terms.items()})
    for name in ("front", "back"):
        assert history[-1][name] < 0.5 * history[0][name], name
    assert history[-1]["hair"] < 0.6 * history[0]["hair"]


def test_every_loss_takes_part_with_its_weight(views: TwoSidedViews) -> None:
    weights = TwoSidedLossWeights()
    terms = two_sided_losses(TwoSidedDepthNet(WIDTHS), batch_of(views), weights)
    names = {field.name for field in fields(weights)}
    assert set(terms) == names | {"total"}
    total = sum(getattr(weights, name) * terms[name] for name in names)
    torch.testing.assert_close(terms["total"], torch.as_tensor(total))


def test_what_nobody_knows_does_not_pull(views: TwoSidedViews) -> None:
    batch, net = batch_of(views), TwoSidedDepthNet(WIDTHS).eval()
    outside = ~(batch["front_known"] & batch["back_known"] & batch["hair_known"])
    before = two_sided_losses(net, batch, TwoSidedLossWeights())["total"]
    for name in ("front", "back"):
        batch[name] = torch.where(outside, 5000.0, batch[name])
    batch["back_hair"] = batch["back_hair"] ^ outside
    assert torch.equal(two_sided_losses(net, batch, TwoSidedLossWeights())["total"], before)


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


class Truth(torch.nn.Module):
    """Answers with what it was told."""

    def __init__(self, view: TwoSidedView, error: float = 0.0) -> None:
        super().__init__()
        self.view, self.error = view, error

    def forward(self, image: torch.Tensor, **_: torch.Tensor) -> SimpleNamespace:
        def known(relative: np.ndarray, change: float) -> torch.Tensor:
            return torch.from_numpy(np.nan_to_num(relative) + CENTER + change).float()[None, None]

        logit = torch.from_numpy(20.0 * (self.view.back_hair == IS_HAIR) - 10).float()[None, None]
        return SimpleNamespace(
            front=known(self.view.front, 0), back=known(self.view.back, self.error), hair_logit=logit
        )


def test_the_truth_gets_the_best_scores_and_an_error_along_the_ray_its_size() -> None:
    view = ball(90, 20, "bob")
    views = TwoSidedViews.collect([view])
    exact, wrong = (score_view(Truth(view, error), views, 0) for error in (0.0, 25.0))
    assert exact.front_hair < 0.1
    assert exact.back_hair < 0.1
    assert exact.told == 1
    assert exact.side == 1
    assert exact.unseen < 9, "as fine as the crop is"
    assert wrong.back_hair == pytest.approx(25, abs=0.1)
    assert wrong.unseen > exact.unseen + 5
    assert wrong.side < 0.95


def test_scores_are_means_by_source_and_style(views: TwoSidedViews) -> None:
    scores = score_two_sided(TwoSidedDepthNet(WIDTHS).eval(), {"avatars": views})
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


def test_a_run_that_is_continued_ends_as_an_uninterrupted_one(views: TwoSidedViews, tmp_path: Path) -> None:
    nets = []
    for name, stops in (("at once", (4,)), ("in two", (2, 4))):
        save(views, tmp_path / name)
        for steps in stops:
            config = settings(tmp_path / name, 4)
            # The schedule is that of four steps; the first part of the other run stops halfway.
            net = train_two_sided(replace(config, loop=replace(config.loop, steps=steps, decay=1e-9)))
        nets.append(net)
    for first, second in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_the_command_trains_and_releases_weights(views: TwoSidedViews, tmp_path: Path) -> None:
    save(views, tmp_path)
    arguments = ["--data", tmp_path, "--out", tmp_path / "run", "--steps", 2, "--batch", 2, "--json"]
    changes = [f"prepared={tmp_path / 'prepared'}", "widths=[8, 12, 16, 16]", "augmentation.window=[64, 64]"]
    flags = [flag for change in changes for flag in ("--set", change)]
    command = [sys.executable, "-m", "portrait3d", "train", "two-sided", *map(str, arguments), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["best"]
    assert {"score", "avatars_unseen", "avatars_side", "unseen afro"} <= set(best["evaluation"])
    folder = tmp_path / "run" / "models" / "two_sided"
    net = load_network(TwoSidedDepthNet, folder)
    assert net.settings == {"widths": [8, 12, 16, 16]}
    card = (folder / "README.md").read_text(encoding="utf-8")
    for words in ("portrait3d train two-sided", "Copyright (c) 2022 Tiffany Do", "synthetic heads"):
        assert words in card


def test_avatars_that_are_not_there_are_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    config = replace(settings(tmp_path, 1), prepared=None)
    with pytest.raises(FileNotFoundError, match="avatars=false"):
        train_two_sided(config)
