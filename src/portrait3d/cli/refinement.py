"""`prepare turns` and `evaluate refinement`: turned photos to learn from, and how good refined ones are."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from portrait3d.cli.console import Json, Models, complain, print_json, say, working
from portrait3d.cli.evaluation import require_directory, show_tables

TABLES = {
    "repairs": "How well are holes in photos repaired? (PSNR in dB; features: distance of Eq. 13)",
    "identity": "Is a turned head the same person? (cosine to the photo)",
    "clips": "Does a frame turned into another one's pose look like it? (NME, percent)",
    "background": "Does anything else change? (percent)",
}
"""What each table answers."""
TURN_TABLES = {
    "turns": "Is a turned photo like the real view? (cosine; Eq. 13; NME, percent; 1 is as sharp)",
    "parts": "What would be gained? (refined turns with parts of the real view; area in percent)",
    "flicker": "Does a slow turn flicker? (second differences, of 255, and over those of real views)",
}
"""The same for artist-made heads."""


def refinement(
    data: Annotated[
        Path | None, typer.Option(help="Root of the labelled photos; their validation split is used.")
    ] = None,
    avatars: Annotated[
        Path | None, typer.Option(help="Directory of artist-made heads: turn those that training never saw.")
    ] = None,
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
    head: Annotated[
        list[str] | None, typer.Option(help="An avatar to use instead of those held out; repeat it.")
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(help="Directory of other networks that turn the avatars too.")
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Write the avatars' photos here, HEAD.png, for another method to turn."),
    ] = None,
    others: Annotated[
        Path | None,
        typer.Option(help="Directory of another method's turns of them, HEAD+15.png, HEAD-30.png, ..."),
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Put parts of the avatars' real views in, to see what each costs.")
    ] = False,
    glasses: Annotated[bool, typer.Option("--glasses", help="Put glasses on the avatars.")] = False,
    earrings: Annotated[bool, typer.Option("--earrings", help="Hang earrings on the avatars.")] = False,
    size: Annotated[int, typer.Option(min=128, help="Pixels along a side of the avatars' photos.")] = 512,
    sheet: Annotated[
        Path | None, typer.Option(help="Write damaged photos and their repairs, or turns, to this picture.")
    ] = None,
    json: Json = False,
) -> None:
    """Repaired holes and turned photos beside real ones (--data), or turned avatars beside truth (--avatars).

    With --data: deep features of the holes are compared within the original picture. "of same person" is the
    cosine over that of two photos of one person. Rows of the sheet: holes in green, not refined, biharmonic,
    refined, original. With --avatars: photos turned by 15 and 30 degrees beside photos of the same heads that
    turned, in the same light. Rows of the sheet: photo, real view, not refined, refined, band of the halo.
    """
    if (data is None) == (avatars is None):
        raise typer.BadParameter("Give either --data or --avatars.")
    if avatars is not None:
        measure_turns(
            avatars,
            head,
            models,
            recognition=recognition,
            vgg=vgg,
            previous=previous,
            photos=photos,
            others=others,
            why=why,
            glasses=glasses,
            earrings=earrings,
            size=size,
            sheet=sheet,
            json=json,
        )
        return
    assert data is not None
    require_directory(data)
    from portrait3d.cli.portraits import load_model
    from portrait3d.evaluation.refinement.report import evaluate_refinement, repairs_sheet
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


def measure_turns(
    avatars: Path,
    names: list[str] | None,
    models: Path | None,
    *,
    recognition: Path | None,
    vgg: Path | None,
    previous: Path | None,
    photos: Path | None,
    others: Path | None,
    why: bool,
    glasses: bool,
    earrings: bool,
    size: int,
    sheet: Path | None,
    json: bool,
) -> None:
    """Turn photos of artist-made heads, by default those held out, and compare them with the truth."""
    require_directory(avatars)
    from portrait3d.cli.portraits import load_model
    from portrait3d.data.people.avatars import HELD_OUT, read_avatars
    from portrait3d.evaluation.refinement.turn_report import evaluate_turns
    from portrait3d.evaluation.refinement.turn_truth import UNTURNED, picture_name
    from portrait3d.export.images import save_image
    from portrait3d.export.turn_rows import turns_sheet
    from portrait3d.losses.perceptual import EfficientNetFeatures, Vgg19Features

    chosen = read_avatars(avatars, names or HELD_OUT)
    model = load_model(models, quiet=json)
    with working("Turning artist-made heads", quiet=json):
        report, turned, faceless = evaluate_turns(
            model,
            chosen,
            Vgg19Features(vgg) if vgg else EfficientNetFeatures(),
            recognition=recognition,
            previous=None if previous is None else load_model(previous, quiet=json),
            others=others,
            why=why,
            glasses=glasses,
            earrings=earrings,
            size=size,
        )
    if photos is not None:
        taken = {turn.sitting.avatar.name: turn.pictures[UNTURNED] for turn in turned}
        for name, photo in taken.items():
            save_image(photo, photos / picture_name(name))
    for name in faceless:
        complain(f"{name}: no face was found in its photo.")
    if sheet is not None and turned:
        save_image(turns_sheet(turned), sheet)
    show_tables(TURN_TABLES, asdict(report), json=json)
    if sheet is not None and turned and not json:
        say(sheet)


def turns(
    data: Annotated[Path, typer.Option(help="Root of the labelled photos; their training split is used.")],
    out: Annotated[Path, typer.Option(help="Directory that gets the turns.")],
    models: Models = None,
    avatars: Annotated[
        Path | None, typer.Option(help="Directory of artist-made heads; without it there are none.")
    ] = None,
    people: Annotated[
        int, typer.Option(min=0, help="Drawn people that are turned, of synthetic and of artist-made each.")
    ] = 400,
    photos: Annotated[int, typer.Option(min=0, help="Photos that are turned to random poses.")] = 300,
    frames: Annotated[int, typer.Option(min=0, help="Frames of clips turned into other frames.")] = 120,
    turns: Annotated[int, typer.Option(min=1, help="Turns of each photo, frame and drawn person.")] = 3,
    size: Annotated[
        int,
        typer.Option(
            min=32, help="Pixels along a side of drawn people's head crops; photos and frames have 256."
        ),
    ] = 256,
    seed: Annotated[int, typer.Option(help="Seed of photos, people and poses.")] = 0,
    json: Json = False,
) -> None:
    """Turn heads coarsely for the refinement network to learn from; an interrupted preparation goes on.

    OUT/turns gets photos at random poses, OUT/frames frames of clips turned into other frames with those real
    frames beside them, OUT/exact drawn people with pictures of them really turned. Train with
    `--set turns=OUT`. Damaged photos need no preparation.
    """
    require_directory(data)
    from portrait3d.cli.portraits import load_model
    from portrait3d.data.photos.labelled import PhotoFolder
    from portrait3d.data.refinement.coarse_turns import prepare_turns
    from portrait3d.data.refinement.exact_turns import prepare_exact_turns, turning_people
    from portrait3d.data.refinement.stored_turns import EXACT, FRAMES, TURNS
    from portrait3d.data.refinement.turned_frames import prepare_frames

    model = load_model(models, quiet=json)
    folder = PhotoFolder(data, split="train")
    order = np.random.default_rng(seed).permutation(len(folder))[:photos]
    chosen = [folder[int(i)] for i in order]
    with working("Turning photos", quiet=json):
        single = prepare_turns(model, chosen, out / TURNS, turns=turns, seed=seed)
    pairs = list(folder.clip_pairs()) if any(photo.clip for photo in folder) else []
    with working("Turning frames of clips", quiet=json):
        real = prepare_frames(model, pairs, out / FRAMES, frames=frames, turns=turns) if frames else 0
    exact = 0
    with working("Turning drawn people", quiet=json):
        for scenes in turning_people(data, avatars, seed, size) if people else []:
            exact += prepare_exact_turns(model, scenes, out / EXACT, people=people, turns=turns, size=size)
    if json:
        print_json({"directory": out, "turns": single, "frames": real, "exact": exact})
        return
    say(f"{out} holds {single} turns of photos, {real} of frames into real ones, {exact} of drawn people.")
