"""The face network learns, and a run that was stopped goes on as if it had not been."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from portrait3d.data.face_crops import FaceBatch
from portrait3d.data.fits import project_points
from portrait3d.data.turned_faces import centred_pose
from portrait3d.geometry.pose import rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.training.face import FaceLoss, FaceTrainingConfig, epoch_rows, face_optimizer
from portrait3d.training.loop import LoopConfig


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


def config(**changes) -> FaceTrainingConfig:
    return FaceTrainingConfig(loop=LoopConfig(out=Path("unused"), steps=1), data=Path("unused"), **changes)


def batch_of_heads(head: HeadModel, count: int) -> FaceBatch:
    """Blurred noise with the labels of random heads in random poses."""
    points = MeshPoints.from_head_model(head)
    vector = torch.zeros(count, 233)
    vector[:, :20] = torch.randn(count, 20)
    vector[:, 144:150], vector[:, 224] = torch.randn(count, 6) * 0.5, 3.5
    angles = (torch.rand(3, count) - 0.5) * torch.tensor([[0.8], [0.4], [0.2]])
    slide = torch.zeros(7, 468, 2)
    pose = centred_pose(points, vector[:, :144], rotation_from_euler(*angles), slide)
    return FaceBatch(
        images=F.interpolate(torch.rand(count, 3, 4, 4), (64, 64), mode="bilinear"),
        points=project_points(points, vector[:, :144], pose, slide),
        coefficients=FaceCoefficients.from_vector(vector),
        has_appearance=torch.arange(count) % 2 == 0,
        pose=pose,
        extent=torch.full((count,), 140.0),
    )


def prepared_net(batch: FaceBatch) -> FaceNet:
    net = FaceNet(working_size=64, width=0.25, dropout=0.0)
    depth = batch.pose.translation[:, 2].log().mean().exp()
    place, light = torch.tensor([0.0, -25.0, float(depth)]), FaceCoefficients.neutral().lighting[0]
    net.load_state_dict({"place_mean": place, "lighting_mean": light}, strict=False)
    return net


def test_the_loss_falls_to_a_tenth_on_one_batch(head: HeadModel) -> None:
    batch = batch_of_heads(head, 2)
    net = prepared_net(batch)
    loss = FaceLoss(config(), head, net)
    rate, steps = 2e-3, 50
    optimizer = face_optimizer(net, config(rate=rate))
    totals = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, 2 * (1 - step / steps))
        total = loss(net(batch.images), batch, progress=0.0)["total"]
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 20.0)
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < totals[0] / 10


def test_every_term_is_near_zero_at_the_truth(head: HeadModel) -> None:
    batch = batch_of_heads(head, 3)
    net = prepared_net(batch)
    output = net(batch.images)
    truth = type(output)(batch.coefficients, batch.pose)
    terms = FaceLoss(config(), head, net)(truth, batch, progress=0.0)
    assert float(terms["total"]) < 0.2


def test_faces_are_rendered_in_the_last_part_alone(head: HeadModel) -> None:
    batch = batch_of_heads(head, 2)
    net = prepared_net(batch)
    loss = FaceLoss(config(photometric_from=0.5), head, net)
    assert "photometric" not in loss(net(batch.images), batch, progress=0.4)
    late = loss(net(batch.images), batch, progress=0.6)
    late["photometric"].backward()
    gradient = net.regressor.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert gradient[144:233].abs().sum() > 0


def test_every_epoch_shows_every_row_once() -> None:
    rows = np.arange(12) * 10
    steps = [epoch_rows(rows, step, 4, seed=3) for step in range(6)]
    assert sorted(np.concatenate(steps[:3])) == rows.tolist()
    assert sorted(np.concatenate(steps[3:])) == rows.tolist()
    assert not np.array_equal(np.concatenate(steps[:3]), np.concatenate(steps[3:]))
