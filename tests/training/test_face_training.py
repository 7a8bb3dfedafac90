"""The face network learns, and a run that was stopped goes on as if it had not been."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from portrait3d.data.face.crops import FaceBatch
from portrait3d.data.face.fits import project_points
from portrait3d.data.face.turned import centred_pose
from portrait3d.data.people.avatars import HELD_OUT
from portrait3d.geometry.pose import rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.models.recognition import RecognitionNet
from portrait3d.training.face import FaceTrainingConfig, epoch_rows, face_optimizer, repeated_rows, train_face
from portrait3d.training.face_losses import FaceLoss, FaceLossConfig, bare_skin
from portrait3d.training.loop import LoopConfig
from recognition_network import write_network
from tiny_avatars import write_avatars
from tiny_photos import photo_folder


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
        has_pose=torch.ones(count, dtype=torch.bool),
    )


def prepared_net(batch: FaceBatch) -> FaceNet:
    net = FaceNet(working_size=64, width=0.25, dropout=0.0)
    depth = batch.pose.translation[:, 2].log().mean().exp()
    place, light = torch.tensor([0.0, -25.0, float(depth)]), FaceCoefficients.neutral().lighting[0]
    net.load_state_dict({"place_mean": place, "lighting_mean": light}, strict=False)
    return net


def test_photos_of_few_people_come_more_often() -> None:
    groups = [{"hair": "grey"}, {"skin": "light"}, {"skin": "brown"}, {"age": "60 and more", "skin": "dark"}]
    rows = repeated_rows(np.array([0, 1, 2, 3]), groups, config(elderly=3, deep_skin=2))
    assert rows.tolist() == [0, 0, 0, 1, 2, 2, 3, 3, 3]


def test_points_of_a_side_view_teach_neither_rotation_nor_shape(head: HeadModel) -> None:
    batch = batch_of_heads(head, 2)
    net = prepared_net(batch)
    loss = FaceLoss(FaceLossConfig(), head, net)

    def gradients(*, known: bool) -> list[torch.Tensor]:
        output = net(batch.images)
        terms = loss.geometry(output, replace(batch, has_pose=torch.full((2,), known)))
        told = terms["landmarks"] + terms["mesh_points"] + terms["rotation"] + terms["depth"]
        pose = output.camera_from_model
        wanted = [pose.rotation, output.coefficients.identity, pose.translation]
        found = torch.autograd.grad(told, wanted, allow_unused=True)
        return [torch.zeros(1) if part is None else part for part in found]

    rotation, identity, place = gradients(known=False)
    assert not rotation.any()
    assert not identity.any()
    assert place.abs().sum() > 0
    assert all(part.abs().sum() > 0 for part in gradients(known=True))


def test_the_loss_falls_to_a_tenth_on_one_batch(head: HeadModel) -> None:
    batch = batch_of_heads(head, 2)
    net = prepared_net(batch)
    loss = FaceLoss(FaceLossConfig(), head, net)
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
    terms = FaceLoss(FaceLossConfig(), head, net)(truth, batch, progress=0.0)
    assert float(terms["total"]) < 0.2


def test_faces_are_rendered_in_the_last_part_alone(head: HeadModel) -> None:
    batch = batch_of_heads(head, 2)
    net = prepared_net(batch)
    loss = FaceLoss(FaceLossConfig(rendered_from=0.5), head, net)
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


def test_rendered_faces_give_a_gradient_to_colour_and_identity(head: HeadModel, tmp_path: Path) -> None:
    batch = batch_of_heads(head, 2)
    net = prepared_net(batch)
    recognition = RecognitionNet(write_network(tmp_path / "net.onnx"))
    loss = FaceLoss(FaceLossConfig(rendered_from=0.0), head, net, recognition)
    terms = loss(net(batch.images), batch, progress=0.0)
    for name in ("photometric", "identity"):
        (gradient,) = torch.autograd.grad(terms[name], [net.regressor.weight], retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient[:144].abs().sum() > 0
        assert gradient[144:233].abs().sum() > 0


def test_terms_without_a_weight_are_left_out(head: HeadModel) -> None:
    batch = batch_of_heads(head, 2)
    net = prepared_net(batch)
    loss = FaceLoss(FaceLossConfig(rendered_from=0.0, photometric=0.0), head, net)
    assert not {"photometric", "identity"} & set(loss(net(batch.images), batch, progress=1.0))


def test_bare_skin_has_no_eyes_brows_and_lips(head: HeadModel) -> None:
    skin, marks = bare_skin(head) > 0, head.landmarks(head.mean[None])[0]
    assert 0.01 < skin.float().mean() < 0.5
    assert torch.cdist(marks[[19, 37, 51]], head.mean[skin]).min() > 10
    assert torch.cdist(marks[[30]], head.mean[skin]).min() < 10


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, head: HeadModel) -> dict:
    """Settings of a tiny training, with the weights to start from."""
    folder = tmp_path_factory.mktemp("training")
    data = photo_folder(folder / "data", head)
    write_avatars(data / "avatars", {"White_M_1": "bald", HELD_OUT[0]: "bald"})
    net = FaceNet(working_size=64)
    save_file(net.state_dict(), folder / "start.safetensors")
    return {
        "data": data,
        "cache": folder / "cache",
        "start": folder / "start.safetensors",
        "working_size": 64,
        "batch": 4,
        "turned_share": 0.0,
        "synthetic_share": 0.25,
        "synthetic_count": 3,
        "synthetic_validation": 2,
        "avatar_share": 0.25,
        "avatar_count": 2,
        "avatar_validation": 1,
    }


def test_a_stopped_training_goes_on_as_if_it_had_not_been(prepared: dict, tmp_path: Path) -> None:
    def run(name: str, steps: int) -> list[dict]:
        out = tmp_path / name
        loop = LoopConfig(out=out, steps=steps, log_steps=1, warmup_steps=0, decay=1e-9)
        train_face(FaceTrainingConfig(loop=loop, **prepared))
        return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]

    whole = run("whole", 4)
    run("parts", 2)
    parts = run("parts", 4)
    losses = [[entry["losses"]["landmarks"] for entry in log if "losses" in entry] for log in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    scores = whole[-1]["evaluation"]
    rotation = (scores["synthetic_rotation"] + scores["avatars_rotation"]) / 2
    assert scores["score"] == pytest.approx(-scores["nme"] - rotation / 4)
    assert {"portraits", "shape", "synthetic_shape", "avatars_shape"} <= set(scores)
    # Weights that a training goes on from keep the statistics that they were trained with.
    first, last = (load_file(path) for path in (prepared["start"], tmp_path / "whole" / "best.safetensors"))
    assert torch.equal(first["shape_mean"], last["shape_mean"])
    assert not torch.equal(first["slide"], last["slide"])
    assert not torch.equal(first["regressor.weight"], last["regressor.weight"])


def test_shares_that_leave_no_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="no room for photos"):
        config(turned_share=0.5, synthetic_share=0.25, avatar_share=0.25)


def test_artist_made_heads_can_be_left_out(prepared: dict) -> None:
    settings = {"loop": LoopConfig(out=Path("unused"), steps=1), **prepared}
    assert FaceTrainingConfig(**settings).avatar_folder == prepared["data"] / "avatars"
    assert FaceTrainingConfig(**settings, avatars=False).avatar_folder is None
