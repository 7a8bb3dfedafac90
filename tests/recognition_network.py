"""A small network in the form of a face recognition network, as an ONNX file."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_network(path: Path, extra: list[onnx.NodeProto] | None = None) -> Path:
    """A small network with most operations that recognition networks have."""
    random = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.3, shape).astype(np.float32), name)

    variance = numpy_helper.from_array(random.uniform(0.5, 2, 8).astype(np.float32), "variance")
    weights = [
        constant("w0", 8, 3, 3, 3),
        constant("b0", 8),
        constant("w1", 8, 1, 3, 3),
        *(constant(name, 8) for name in ("scale", "shift", "mean")),
        variance,
        constant("slope", 8, 1, 1),
        constant("w2", 5, 8),
        constant("b2", 5),
        numpy_helper.from_array(np.array(0.0, np.float32), "low"),
        numpy_helper.from_array(np.array(6.0, np.float32), "high"),
    ]
    shape = helper.make_tensor("value", TensorProto.INT64, [2], [1, -1])
    nodes = [
        helper.make_node("Conv", ["image", "w0", "b0"], ["a"], strides=[4, 4], pads=[0, 0, 1, 1]),
        helper.make_node("Clip", ["a", "low", "high"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"], group=8, pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["d"]),
        helper.make_node("PRelu", ["d", "slope"], ["e"]),
        helper.make_node("Add", ["b", "e"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("GlobalAveragePool", ["g"], ["h"]),
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["h", "shape"], ["i"]),
        helper.make_node("Gemm", ["i", "w2", "b2"], ["features"], transB=1),
        *(extra or []),
    ]
    graph = helper.make_graph(
        nodes,
        "recognition",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 5])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path
