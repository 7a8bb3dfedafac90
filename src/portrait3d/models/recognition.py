"""Face recognition networks as differentiable features, for the identity loss (Eq. 3); none is shipped.

The user names an ONNX file, such as MobileFaceNet or one of the ArcFace networks. Its graph is read as data
and run with torch operations, so that gradients flow through it; nothing in the file is executed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.errors import WeightsError
from portrait3d.models.backbones import IMAGENET_DEVIATION, IMAGENET_MEAN

ALIGNED_SIZE = 112
FIVE_POINTS = torch.tensor(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Eyes, tip of the nose and corners of the mouth in aligned faces of 112 px (Deng et al., ArcFace, 2019)."""

Scaling = Literal["imagenet", "symmetric"]
SCALINGS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_DEVIATION),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and deviation of the RGB values that a network was trained with."""


class RecognitionNet(nn.Module):
    """Unit vectors that are alike for pictures of one person and different for two.

    Args:
        path: An ONNX file with one input of [1 or N, 3, 112, 112] and one vector as its first output.
        scaling: What the network was trained with: "imagenet" (MobileFaceNet of foamliu) or "symmetric",
            values from -1 to 1 (ArcFace).
    """

    def __init__(self, path: Path, scaling: Scaling = "imagenet") -> None:
        super().__init__()
        self.graph = OnnxGraph(path)
        mean, deviation = SCALINGS[scaling]
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])
        self.requires_grad_(False).eval()
        self._try(path)

    mean: Tensor
    deviation: Tensor

    def forward(
        self, images: Float[Tensor, "B 3 S S"], landmarks: Float[Tensor, "B 68 2"]
    ) -> Float[Tensor, "B D"]:
        """Features of the faces in RGB images in [0, 1]; `landmarks` (pixels) say where they are."""
        aligned = align_faces(images, five_points(landmarks))
        return F.normalize(self.graph((aligned - self.mean) / self.deviation), dim=1)

    @torch.no_grad()
    def _try(self, path: Path) -> None:
        """Run the graph once: whether operations fit each other shows no earlier."""
        try:
            features = self.graph(torch.full((1, 3, ALIGNED_SIZE, ALIGNED_SIZE), 0.5))
        except Exception as error:  # whatever torch makes of operations that don't
            raise WeightsError(f"{path} makes nothing of a picture of {ALIGNED_SIZE} px: {error}") from None
        if not torch.isfinite(features).all():
            raise WeightsError(f"{path} makes values that aren't finite.")


def five_points(landmarks: Float[Tensor, "B 68 2"]) -> Float[Tensor, "B 5 2"]:
    """Eyes, tip of the nose and corners of the mouth out of the 68 landmarks."""
    eyes = [landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)]
    return torch.stack([*eyes, landmarks[:, 30], landmarks[:, 48], landmarks[:, 54]], dim=1)


def align_faces(
    images: Float[Tensor, "B 3 S S"], points: Float[Tensor, "B 5 2"]
) -> Float[Tensor, "B 3 112 112"]:
    """Cut faces out after the similarity that brings their five points (pixels) nearest to the usual ones."""
    template = FIVE_POINTS.to(points)
    ours, theirs = points - points.mean(1, keepdim=True), template - template.mean(0)
    # Least squares for crop = z template with complex z: rotation and scale in one.
    real, imaginary = (ours * theirs).sum((1, 2)), (ours[..., 1] * theirs[:, 0] - ours[..., 0] * theirs[:, 1])
    z = torch.stack([real, imaginary.sum(1)], dim=1) / theirs.square().sum()
    line = torch.arange(ALIGNED_SIZE, device=points.device, dtype=points.dtype) + 0.5
    x, y = torch.meshgrid(line - template[:, 0].mean(), line - template[:, 1].mean(), indexing="xy")
    a, b = z[:, 0, None, None], z[:, 1, None, None]
    centre = points.mean(1)[:, None, None]
    place = torch.stack([a * x - b * y, b * x + a * y], dim=-1) + centre
    return F.grid_sample(images, place * (2 / images.shape[-1]) - 1, align_corners=False)


class OnnxGraph(nn.Module):
    """The convolutional networks among ONNX files, run by torch.

    Raises `WeightsError` for a file that is none or whose weights are no finite numbers, and for an operation
    that isn't in `OPERATIONS`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        model = _read(path)
        import onnx

        self.output = model.graph.output[0].name
        arrays = {entry.name: _array(path, entry.name, entry) for entry in model.graph.initializer}
        given = [entry.name for entry in model.graph.input if entry.name not in arrays]
        if len(given) != 1:
            raise WeightsError(f"{path} takes {len(given)} inputs ({', '.join(given)}), expected one image.")
        self.input = given[0]
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        for node in model.graph.node:
            attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
            if node.op_type == "Constant":
                arrays[node.output[0]] = _array(path, node.output[0], attributes.get("value"))
            elif node.op_type not in OPERATIONS:
                known = ", ".join(sorted(OPERATIONS))
                raise WeightsError(f"{path} has the operation {node.op_type}; these are known: {known}.")
            else:
                self.nodes.append((node.op_type, list(node.input), node.output[0], attributes))
        self.names = list(arrays)
        for k, array in enumerate(arrays.values()):
            self.register_buffer(f"constant_{k}", torch.from_numpy(np.array(array)))

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """The first output."""
        values = {name: getattr(self, f"constant_{k}") for k, name in enumerate(self.names)}
        values[self.input] = image
        for operation, inputs, output, attributes in self.nodes:
            arguments = [values[name] if name else None for name in inputs]
            values[output] = OPERATIONS[operation](attributes, *arguments)
        return values[self.output].flatten(1)


def _read(path: Path) -> Any:
    try:
        import onnx
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Reading a recognition network needs onnx: pip install 'portrait3d[train]'."
        ) from None
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the identity loss needs a recognition network (ONNX).")
    try:
        # Weights in other files could lie anywhere on the disk: they stay out, and `_array` refuses them.
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx raise many kinds
        raise WeightsError(f"{path} is no ONNX model: {error}") from None
    return model


def _array(path: Path, name: str, tensor: Any) -> np.ndarray:
    """A constant of a graph; its numbers lie in the file itself and are finite."""
    import onnx

    if not isinstance(tensor, onnx.TensorProto):
        raise WeightsError(f"{path}: {name} is no tensor.")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise WeightsError(f"{path}: {name} lies in another file, which isn't read.")
    array = onnx.numpy_helper.to_array(tensor)
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise WeightsError(f"{path}: {name} has values that are no finite numbers.")
    return array


def _conv(attributes: Mapping[str, Any], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    # conv2d pads both sides alike.
    if (top, left) != (bottom, right):
        x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
    stride, dilation = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    return F.conv2d(x, weight, bias, stride, (top, left), dilation, attributes.get("group", 1))


def _batch_norm(attributes: Mapping[str, Any], x: Tensor, *rest: Tensor) -> Tensor:
    weight, bias, mean, variance = rest
    return F.batch_norm(x, mean, variance, weight, bias, eps=attributes.get("epsilon", 1e-5))


def _gemm(attributes: Mapping[str, Any], a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.T if attributes.get("transA", 0) else a
    b = b.T if attributes.get("transB", 0) else b
    product = attributes.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + attributes.get("beta", 1.0) * c


def _clip(attributes: Mapping[str, Any], x: Tensor, *bounds: Tensor | None) -> Tensor:
    # Bounds are attributes up to opset 10, and inputs since.
    low, high = (*bounds, None, None)[:2]
    return x.clamp(attributes.get("min", low), attributes.get("max", high))


def _reshape(attributes: Mapping[str, Any], x: Tensor, shape: Tensor) -> Tensor:
    # Networks are often exported for one picture; its number is the first dimension, whatever the file says.
    return x.reshape(len(x), *shape.tolist()[1:])


OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "Add": lambda _, a, b: a + b,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _conv,
    "Dropout": lambda _, x, *rest: x,
    "Flatten": lambda _, x: x.flatten(1),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _, x: x.mean((2, 3), keepdim=True),
    "Identity": lambda _, x: x,
    "MatMul": lambda _, a, b: a @ b,
    "Mul": lambda _, a, b: a * b,
    "PRelu": lambda _, x, slope: torch.where(x < 0, x * slope, x),
    "Relu": lambda _, x: x.relu(),
    "Reshape": _reshape,
    "Sigmoid": lambda _, x: x.sigmoid(),
    "Sub": lambda _, a, b: a - b,
}
"""What each operation does to its inputs, with its attributes first."""
