"""`prepare turns` and `evaluate refinement`: turned photos to learn from, and how good refined ones are."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from portrait3d.cli.console import Json, Models, print_json, say, working
from portrait3d.cli.evaluation import require_directory, show_tables

TABLES = {
    "repairs": "How well are holes in photos repaired? (PSNR in dB; features: distance of Eq. 13)",
    "identity": "Is a turned head the same person? (cosine to the photo)",
    "clips": "Does a frame turned into another one's pose look like it? (NME, percent)",
    "background": "Does anything else change? (percent)",
}
"""What each table answers."""


def refinement(
    data: Annotated[Path, typer.Option(help="Root of the labelled photos; their validation split is used.")],
    models: Models = None,
    recognition: Annotated[
        Path | None, typer.Option(help="ONNX file of a face recognition network, to compare people with.")
    ] = None,
    vgg: Annotated[
        Path | None,
        typer.Option(help="VGG-19's weights (safetensors) for deep features; EfficientNet-Lite0 without."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of damaged photos.")] = 40,
    turned: Annotated[int, typer.Option(min=0, help="Number of photos that are turned by six angles.")] = 24,
    pairs: Annotated[int, typer.Option(min=0, help="Number of pairs of frames of clips.")] = 24,
    sheet: Annotated[
        Path | None, typer.Option(help="Write damaged photos and their repairs to this picture.")
    ] = None,
    json: Json = False,
) -> None:
    """Repaired holes beside biharmonic inpainting; turned heads beside the photo and beside real frames.

    Deep features of the holes are compared within the original picture. "of same person" is the cosine over
    that of two photos of one person. Rows of the sheet: holes in green, not refined, biharmonic, refined,
    original.
    """
    require_directory(data)
    from portrait3d.cli.portraits import load_model
    from portrait3d.evaluation.refinement_report import evaluate_refinement, repairs_sheet
    from portrait3d.export.images import save_image

    model = load_model(models, quiet=json)
    with working("Turning and repairing photos", quiet=json):
        report = evaluate_refinement(
            model,
            data,
            recognition=recognition,
            vgg=vgg,
            limit=limit,
            turned=turned,
            pairs=pairs,
        )
    if sheet is not None:
        save_image(repairs_sheet(model, data), sheet)
    show_tables(TABLES, asdict(report), json=json)
    if sheet is not None and not json:
        say(sheet)


def turns(
    data: Annotated[Path, typer.Option(help="Root of the labelled photos; their training split is used.")],
    out: Annotated[Path, typer.Option(help="Directory that gets the pictures.")],
    models: Models = None,
    photos: Annotated[int, typer.Option(min=0, help="Photos that are turned to random poses.")] = 300,
    frames: Annotated[int, typer.Option(min=0, help="Frames of clips turned into other frames.")] = 120,
    turns: Annotated[int, typer.Option(min=1, help="Turns of each photo and of each frame.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of photos and poses.")] = 0,
    json: Json = False,
) -> None:
    """Turn photos coarsely for the refinement network to learn from; an interrupted preparation goes on.

    OUT/turns gets photos at random poses, OUT/frames frames of clips turned into other frames with those real
    frames beside them. Train with `--set turns=OUT`. Damaged photos need no preparation.
    """
    require_directory(data)
    from portrait3d.cli.portraits import load_model
    from portrait3d.data.coarse_turns import prepare_turns
    from portrait3d.data.photos import PhotoFolder
    from portrait3d.data.refinement_samples import FRAMES, TURNS
    from portrait3d.data.turned_frames import prepare_frames

    model = load_model(models, quiet=json)
    folder = PhotoFolder(data, split="train", parsed=True)
    order = np.random.default_rng(seed).permutation(len(folder))[:photos]
    chosen = [folder[int(i)] for i in order]
    with working("Turning photos", quiet=json):
        single = prepare_turns(model, chosen, out / TURNS, turns=turns, seed=seed)
    pairs = list(folder.clip_pairs()) if any(photo.clip for photo in folder) else []
    with working("Turning frames of clips", quiet=json):
        real = prepare_frames(model, pairs, out / FRAMES, frames=frames, turns=turns) if frames else 0
    if json:
        print_json({"directory": out, "turns": single, "frames": real})
        return
    text = f"{out} holds {single} turns of photos and {real} turns of frames into real ones."
    say(text)
