"""Turning a training run into weights that the pipeline loads, with their model card."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from portrait3d.data.people.avatars import HELD_OUT
from portrait3d.data.photos.labelled import OPEN_FOLDERS, PHOTO_FOLDERS
from portrait3d.data.photos.shards import data_root
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.depth_net import DepthNet
from portrait3d.models.face_net import FaceNet
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.pretrained import save_network
from portrait3d.training.records import read_record
from portrait3d.training.sources import markdown_table, sources
from portrait3d.weights import load_state

BUILDERS: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    # Records of earlier runs lack settings that came later: `get` with what was built then.
    "face": lambda settings: FaceNet(
        settings["working_size"], encoder=settings.get("encoder", "efficientnet-lite0")
    ),
    "parsing": lambda settings: ParsingNet(
        settings["width"],
        folded=settings.get("folded", False),
        framing=settings.get("framing", "plain"),
    ),
    "depth": lambda settings: DepthNet(
        settings["widths"],
        settings["size"],
        **{name: settings[name] for name in ("fitted", "parts", "outline")},
    ),
    "glasses": lambda settings: AccessoryNet(settings["width"]),
    "earrings": lambda settings: AccessoryNet(settings["width"]),
    "refinement": lambda settings: RefinementNet(
        settings["preset"], settings.get("channels"), settings.get("blended", False)
    ),
}
"""The network of each stage, from the settings of its training."""
OPEN_LICENCE = (
    "Apache-2.0 as far as this project goes: the training photos are CC0, MIT, Apache-2.0 or public domain."
)
LINEAGE = (
    "The photos' labels come from networks, not from people: parsing from a BiSeNetV2 that was trained on "
    "CelebAMask-HQ (whose own terms are research-only), points from MediaPipe's face mesh (Apache-2.0)."
)
PARSING_LICENCE = (
    "Apache-2.0 as far as this project goes. Photos are CC0, MIT, Apache-2.0 or public domain; drawn people "
    "are this project's own, CC0 hairstyles and artist-made heads under the MIT licence, whose notice is "
    "below, as far as they are named."
)
PARSING_LINEAGE = (
    "Drawn people have exact labels. What a photo's pixels may show is known from maps of hair (MediaPipe) "
    "and of figures (ML Kit) and from MediaPipe's face mesh, all Apache-2.0, and, in rounds of "
    "self-training, from earlier networks of the same kind."
)
FACE_LICENCE = (
    "Apache-2.0 as far as this project goes. Photos are CC0, MIT, Apache-2.0 or public domain; artist-made "
    "heads are under the MIT licence, whose notice is below, as far as they are named."
)
FACE_LINEAGE = (
    "The photos' shapes and poses are fits of the head model (CC0 data) to the points of MediaPipe's face "
    "mesh (Apache-2.0), poses up to 30 degrees of yaw alone; turned photos, synthetic people and artist-made "
    "heads have exact ones."
)
TAUGHT_LINEAGE = "The photos' labels are those of their `parsing/` folders, whose own terms apply."
REFINEMENT_LINEAGE = (
    "What photos show is read by the package's own parsing network, whose card says where it comes from; "
    "their landmarks are those of MediaPipe's face mesh (Apache-2.0). Turned photos and drawn people were "
    "reconstructed by the package's networks."
)
ACCESSORY_LINEAGE = (
    "They are drawn by this project onto photos of people who wear none, where the head model, fitted to the "
    "points of MediaPipe's face mesh (Apache-2.0), says; hair lies before them where MediaPipe's hair "
    "map (Apache-2.0) does. Who wears some of their own, and is left out, was looked through by eye."
)
DRAWN_LICENCE = (
    "Apache-2.0 as far as this project goes. Depth is learned from what is drawn: synthetic heads of this "
    "project, CC0 hairstyles and artist-made heads under the MIT licence, whose notice is below, as far as "
    "they are named; clips are CC0, MIT, Apache-2.0 or public domain."
)
DRAWN_LINEAGE = (
    "Pictures and truth are drawn; frames of clips have no truth, they are compared with each other. What "
    "the network is given besides comes from the package's own face network (the fitted head) and, for half "
    "of the views, parsing network (labels); their cards say where these come from."
)
AVATARS_NOTICE = f"""
The artist-made heads are "Casual" outfits of VALID, the Validated Avatar Library for Inclusion and
Diversity (Do, Zelenty, Gonzalez-Franco and McMahan, 2023). {len(HELD_OUT)} of them were held out.

> MIT License
>
> Copyright (c) 2022 Tiffany Do
>
> Permission is hereby granted, free of charge, to any person obtaining a copy
> of this software and associated documentation files (the "Software"), to deal
> in the Software without restriction, including without limitation the rights
> to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
> copies of the Software, and to permit persons to whom the Software is
> furnished to do so, subject to the following conditions:
>
> The above copyright notice and this permission notice shall be included in all
> copies or substantial portions of the Software.
>
> THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
> IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
> FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
> AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
> LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
> OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
> SOFTWARE.
"""
STARTS = {
    "face": "The encoder started from ImageNet weights.",
    "parsing": "The encoder started from ImageNet weights (EfficientNet-Lite0).",
    "glasses": "The encoder started from ImageNet weights (EfficientNet-Lite0).",
    "earrings": "The encoder started from ImageNet weights (EfficientNet-Lite0).",
    "depth": "The first training started from random weights.",
    "refinement": "The first training started from random weights. The loss's deep features are "
    "EfficientNet-Lite0's (ImageNet).",
}


def release_network(stage: str, run: Path, directory: Path, *, notes: str = "") -> Path:
    """Write the best weights of a run as a directory that `load_network` and `Portrait3D` read.

    Args:
        stage: One of `BUILDERS`.
        run: The run's directory, with `best.safetensors`, `config.json` and `log.jsonl`.
        directory: Gets `model.safetensors`, `config.json` and the card.
        notes: More to say on the card, Markdown.
    """
    if stage not in BUILDERS:
        raise ValueError(f"A stage is one of {', '.join(BUILDERS)}, got {stage!r}.")
    weights = run / "best.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} is missing: the run has not been evaluated yet.")
    record = read_record(run / "config.json")
    net = BUILDERS[stage](record["settings"])
    load_state(net, weights)
    best = best_evaluation(run)
    card = model_card(stage, record, best, notes)
    save_network(net, directory, card, commit=record.get("commit"), step=best["step"])
    return directory


def best_evaluation(run: Path) -> dict[str, Any]:
    """The entry of the log with the best score, with "step", "minutes" and "evaluation"."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [entry for entry in map(json.loads, lines) if "evaluation" in entry]
    if not entries:
        raise ValueError(f"{run} holds no evaluation.")
    return max(entries, key=lambda entry: entry["evaluation"]["score"])


def model_card(stage: str, record: Mapping[str, Any], best: Mapping[str, Any], notes: str = "") -> str:
    """Markdown: what it is, licence, data and lineage, command, commit, metrics."""
    settings, loop = record["settings"], record["loop"]
    limit = f"--minutes {loop['minutes']:g}" if loop.get("minutes") else f"--steps {loop['steps']}"
    command = f"portrait3d train {stage} --data DATA --out RUN {limit}"
    changed = "".join(f" --set {name}={value}" for name, value in notable_settings(settings).items())
    rows = [f"| {name} | {value:.4g} |" for name, value in best["evaluation"].items()]
    source = origin(stage, settings)
    parts = [
        f"# The {stage} network of portrait3d",
        "",
        f"- **Licence of the weights**: {source.licence}",
        f"- **Data**: {source.data}",
        f"- **Lineage**: {source.lineage} {lineage(stage, settings)}",
        f"- **Command**: `{command}{changed}`, seed {loop['seed']}",
        f"- **Commit**: {record.get('commit') or 'unknown'}",
        f"- **Stopped at**: step {best['step']}, after {best['minutes']:.0f} minutes of training",
        "- **Use**: through `portrait3d.Portrait3D`. Turned photos are synthetic pictures of real people: "
        "ask them, and say so.",
        "",
        "On the validation split, which shares no person with the training split:",
        "",
        "| measure | value |",
        "|---|---|",
        *rows,
        *_photo_table(Path(settings["data"]), source.folders),
    ]
    return "\n".join(parts) + "\n" + (f"\n{notes.strip()}\n" if notes else "") + source.notice


def _photo_table(data: Path, folders: Sequence[str]) -> list[str]:
    """Lines that name the sources of the training photos, where these are still there."""
    rows = sources(index for folder in folders if (index := data_root(data) / folder / "index.csv").is_file())
    words = "Photos and frames learned from, by source. The people in them keep their personality rights."
    return ["", words, "", markdown_table(rows)] if rows else []


@dataclass(frozen=True, slots=True)
class Origin:
    """What the terms of weights depend on."""

    licence: str
    data: str
    lineage: str
    """Where pictures and labels come from."""
    folders: tuple[str, ...]
    """Folders of photos that the stage reads."""
    notice: str = ""
    """What has to go with the weights, Markdown."""


def origin(stage: str, settings: Mapping[str, Any]) -> Origin:
    """Where the weights of a training come from."""
    if stage == "parsing":
        return _parsing_origin(settings)
    if stage == "face":
        return _face_origin(settings)
    if settings.get("research"):
        raise ValueError("This run learned from research-only photos; such weights are no longer released.")
    if stage == "depth":
        return _depth_origin(settings)
    if stage in ("glasses", "earrings"):
        data = f"photos of real people without {stage} (portraits, people, clips), their training split."
        return Origin(OPEN_LICENCE, data, ACCESSORY_LINEAGE, PHOTO_FOLDERS)
    return _refinement_origin(settings)


def _depth_origin(settings: Mapping[str, Any]) -> Origin:
    heads = ["synthetic heads with procedural hair"]
    heads += ["synthetic heads with MakeHuman's hairstyles (CC0)"] if settings.get("hairstyles") else []
    heads += ["artist-made heads (avatars, MIT)"] if settings["avatars"] else []
    data = f"drawn pictures of {', '.join(heads)}"
    data += "; frames of clips (photos), their training split." if settings.get("clips") else "."
    folders = ("clips",) if settings.get("clips") else ()
    return Origin(DRAWN_LICENCE, data, DRAWN_LINEAGE, folders, AVATARS_NOTICE if settings["avatars"] else "")


def _refinement_origin(settings: Mapping[str, Any]) -> Origin:
    if "exact_batch" not in settings:  # a run of the time when photos came with a teacher's labels
        return Origin(
            OPEN_LICENCE, "labelled photos (portraits, clips), their training split.", LINEAGE, OPEN_FOLDERS
        )
    pictures = ["photos of real people (portraits, people, clips), their training split"]
    turns = settings.get("turns")
    if turns:
        pictures.append("the same turned, and drawn people who turn (`portrait3d prepare turns`)")
    notice = AVATARS_NOTICE if turns else ""
    return Origin(FACE_LICENCE, f"{'; '.join(pictures)}.", REFINEMENT_LINEAGE, PHOTO_FOLDERS, notice)


def _face_origin(settings: Mapping[str, Any]) -> Origin:
    pictures = ["photos of real people (portraits, people, clips), their training split"]
    notice = ""
    if settings.get("avatars"):
        pictures.append("drawn pictures of artist-made heads (avatars, MIT)")
        notice = AVATARS_NOTICE
    return Origin(FACE_LICENCE, f"{'; '.join(pictures)}.", FACE_LINEAGE, PHOTO_FOLDERS, notice)


def _parsing_origin(settings: Mapping[str, Any]) -> Origin:
    pictures = ["photos of real people (portraits, people, clips), their training split"]
    if settings.get("drawn"):
        pictures.append("drawn people with exact labels (`portrait3d prepare parsing`)")
    data = f"{'; '.join(pictures)}."
    notice = AVATARS_NOTICE if settings.get("drawn") else ""
    if settings.get("teacher"):
        return Origin("Unknown: that of the photos' labels.", data, TAUGHT_LINEAGE, PHOTO_FOLDERS, notice)
    return Origin(PARSING_LICENCE, data, PARSING_LINEAGE, PHOTO_FOLDERS, notice)


def lineage(stage: str, settings: Mapping[str, Any]) -> str:
    """What besides the photos the weights come from."""
    parts = [STARTS[stage]]
    if settings.get("start"):
        parts = [f"Goes on from earlier weights of the same network. {STARTS[stage]}"]
    if settings.get("synthetic_share"):
        parts.append("Synthetic heads of the head model, drawn by this project, are among the pictures.")
    if settings.get("recognition"):
        name = Path(settings["recognition"]).name
        parts.append(f"The identity loss compared features of a recognition network ({name}).")
    return " ".join(parts)


def notable_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings of a training that name files, without the places where these lay."""
    names = ("start", "encoder_weights", "recognition", "hairstyles")
    return {name: Path(settings[name]).name for name in names if settings.get(name)}
