"""Turning a training run into weights that the pipeline loads, with their model card."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from portrait3d.models.depth_net import DepthNet
from portrait3d.models.face_net import FaceNet
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.pretrained import load_state, save_network

DEPTH_NET = ("width", "face_depth", "head_depth", "parsing", "outline")
"""Settings of a depth training that are arguments of its network."""
BUILDERS: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "face": lambda settings: FaceNet(
        settings["working_size"], encoder=settings.get("encoder", "efficientnet-lite0")
    ),
    "parsing": lambda settings: ParsingNet(
        settings["width"],
        folded=settings.get("folded", False),
        framing=settings.get("framing", "plain"),
    ),
    "depth": lambda settings: DepthNet(**{name: settings[name] for name in DEPTH_NET if name in settings}),
    "refinement": lambda settings: RefinementNet(
        settings["preset"], settings.get("channels"), settings.get("blended", False)
    ),
}
"""The network of each stage, from the settings of its training."""
RESEARCH_LICENCE = (
    "Non-commercial research only: among the training photos are data sets (SCUT-FBP5500, UTKFace) whose "
    "terms allow nothing else."
)
OPEN_LICENCE = (
    "Apache-2.0 as far as this project goes: the training photos are CC0, MIT, Apache-2.0 or public domain."
)
LINEAGE = (
    "The photos' labels come from networks, not from people: parsing from a BiSeNetV2 that was trained on "
    "CelebAMask-HQ (whose own terms are research-only), points from MediaPipe's face mesh (Apache-2.0)."
)
STARTS = {
    "face": "The encoder started from ImageNet weights.",
    "parsing": "The encoder started from ImageNet weights (EfficientNet-Lite0).",
    "depth": "The first training started from random weights. Depth to learn from is made from portraits, "
    "whose hair is inflated between face and outline, and from the head model; frames of clips are compared "
    "with each other.",
    "refinement": "The first training started from random weights. The loss's deep features are "
    "EfficientNet-Lite0's (ImageNet).",
}


def release_network(stage: str, run: Path, directory: Path, *, notes: str = "") -> Path:
    """Write the best weights of a run as a directory that `load_network` and `Portrait3D` read.

    Args:
        stage: "face", "parsing", "depth" or "refinement".
        run: The run's directory, with `best.safetensors`, `config.json` and `log.jsonl`.
        directory: Gets `model.safetensors`, `config.json` and the card.
        notes: More to say on the card, Markdown.
    """
    if stage not in BUILDERS:
        raise ValueError(f"A stage is one of {', '.join(BUILDERS)}, got {stage!r}.")
    weights = run / "best.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} is missing: the run has not been evaluated yet.")
    record = json.loads((run / "config.json").read_text(encoding="utf-8"))
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
    research = settings.get("research", False)
    limit = f"--minutes {loop['minutes']:g}" if loop.get("minutes") else f"--steps {loop['steps']}"
    command = f"portrait3d train {stage} --data DATA --out RUN {limit}"
    folders = "portraits, clips" + (", research/scut, research/utk" if research else "")
    changed = "".join(f" --set {name}={value}" for name, value in notable_settings(settings).items())
    rows = [f"| {name} | {value:.4g} |" for name, value in best["evaluation"].items()]
    parts = [
        f"# The {stage} network of portrait3d",
        "",
        f"- **Licence of the weights**: {RESEARCH_LICENCE if research else OPEN_LICENCE}",
        f"- **Data**: labelled photos ({folders}), their training split.",
        f"- **Lineage**: {LINEAGE} {lineage(stage, settings)}",
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
    ]
    return "\n".join(parts) + "\n" + (f"\n{notes.strip()}\n" if notes else "")


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
    names = ("start", "encoder_weights", "recognition")
    return {name: Path(settings[name]).name for name in names if settings.get(name)}
