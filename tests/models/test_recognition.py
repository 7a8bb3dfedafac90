"""ONNX graphs run by torch give what ONNX's reference gives, with gradients; faces are aligned."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from onnx.reference import ReferenceEvaluator

from portrait3d.errors import WeightsError
from portrait3d.models.recognition import (
    FIVE_POINTS,
    OPERATIONS,
    OnnxGraph,
    RecognitionNet,
    align_faces,
    five_points,
)
from recognition_network import write_network


def test_the_graph_gives_what_the_reference_gives(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx")
    reference = ReferenceEvaluator(str(path))
    images = torch.rand(3, 3, 112, 112)
    expected: list[Any] = [reference.run(None, {"image": image[None].numpy()}) for image in images]
    torch.testing.assert_close(
        OnnxGraph(path)(images),
        torch.from_numpy(np.concatenate([outputs[0] for outputs in expected])),
        atol=1e-5,
        rtol=1e-4,
    )


def test_gradients_flow_to_the_image_and_none_to_the_weights(tmp_path: Path) -> None:
    net = RecognitionNet(write_network(tmp_path / "net.onnx"))
    images = torch.rand(2, 3, 96, 96, requires_grad=True)
    landmarks = torch.rand(2, 68, 2) * 60 + 18
    features = net(images, landmarks)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
    features[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not list(net.parameters())


def test_alignment_undoes_a_turn_a_scale_and_a_shift() -> None:
    angle, scale, shift = 0.4, 1.5, torch.tensor([31.0, 9.0])
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).float()
    points = scale * FIVE_POINTS @ turn.T + shift
    line = torch.arange(256) + 0.5
    x, y = torch.meshgrid(line, line, indexing="xy")
    image = torch.stack([x, y, torch.zeros_like(x)])[None] / 256
    aligned = align_faces(image, points[None])[0] * 256
    middle = torch.tensor([56.5, 60.5])
    expected = scale * turn @ middle + shift
    torch.testing.assert_close(aligned[:2, 60, 56], expected, atol=0.05, rtol=0)


def test_the_five_points_come_from_the_landmarks() -> None:
    landmarks = torch.zeros(1, 68, 2)
    landmarks[0, 36:42, 0], landmarks[0, 42:48, 0] = 1.0, 2.0
    landmarks[0, 30], landmarks[0, 48], landmarks[0, 54] = 3.0, 4.0, 5.0
    assert five_points(landmarks)[0, :, 0].tolist() == [1, 2, 3, 4, 5]


def test_unknown_operations_and_broken_files_are_named(tmp_path: Path) -> None:
    odd = write_network(tmp_path / "odd.onnx", [helper.make_node("Erf", ["features"], ["odd"])])
    assert "Erf" not in OPERATIONS
    with pytest.raises(WeightsError, match=r"odd\.onnx has the operation Erf"):
        OnnxGraph(odd)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"broken\.onnx is no ONNX model"):
        OnnxGraph(broken)
    with pytest.raises(FileNotFoundError, match="needs a recognition network"):
        OnnxGraph(tmp_path / "none.onnx")


def changed(path: Path, name: str, change: Callable[[TensorProto], object]) -> Path:
    """The file with a change made to one of its tensors."""
    model = onnx.load(str(path))
    change(next(entry for entry in model.graph.initializer if entry.name == name))
    path.write_bytes(model.SerializeToString())
    return path


def put(tensor: TensorProto, array: np.ndarray) -> None:
    """Replace a tensor's values."""
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def lie_elsewhere(tensor: TensorProto) -> None:
    """Let a tensor's values lie in another file."""
    set_external_data(tensor, "pyproject.toml")
    tensor.ClearField("raw_data")


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        (
            "w0",
            lambda t: put(t, np.full((8, 3, 3, 3), np.nan, np.float32)),
            "w0 has values that are no finite",
        ),
        ("w0", lambda t: put(t, np.ones((8, 3, 3, 3), np.complex64)), "no finite numbers|no ONNX model"),
        ("w0", lambda t: put(t, np.ones((1, 2, 3), np.float32)), "makes nothing of a picture"),
        ("w2", lambda t: put(t, np.full((5, 8), 3e38, np.float32)), "makes values that aren't finite"),
        ("w0", lie_elsewhere, "another file|no ONNX model"),
    ],
)
def test_weights_of_a_graph_that_cannot_be_used_are_named(
    name: str, change: Callable[[TensorProto], object], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=rf"net\.onnx.*({complaint})"):
        RecognitionNet(changed(write_network(tmp_path / "net.onnx"), name, change))
