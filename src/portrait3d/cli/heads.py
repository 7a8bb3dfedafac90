"""`evaluate heads`: heads from all around and what is open in them, or how far they are from true ones."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.progress import track

from portrait3d.cli.console import (
    FAILURE,
    Json,
    Models,
    complain,
    messages,
    print_json,
    print_table,
    say,
)
from portrait3d.cli.evaluation import (
    Limit,
    finite,
    photos_to_show,
    reconstructed,
    require_directory,
    show,
)

HEADS_TITLE = (
    "Heads from photos of artist-made ones: distances in the faces' frame, mm; silhouettes, IoU at 90° and "
    "180° from the photo; colours, 0 to 255; deep features; seconds"
)


def heads(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of photos, or root of labelled photos (their validation split)."),
    ] = None,
    avatars: Annotated[
        Path | None, typer.Option(help="Directory of artist-made heads: photograph and measure them instead.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The contact sheet to write, .png or .jpg; of avatars one for each head (NAME-HEAD).",
        ),
    ] = None,
    models: Models = None,
    limit: Limit = 5,
    yaw: Annotated[
        list[float] | None,
        typer.Option(help="Yaw of the avatars' photos, degrees; repeat it. Default: 0, 25, -40."),
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option(help="An avatar to use instead of those held out; repeat it.")
    ] = None,
    views: Annotated[
        int, typer.Option(min=1, max=3, help="Photos of each avatar that one head is made of.")
    ] = 1,
    depth: Annotated[
        Literal["learned", "front", "fitted"],
        typer.Option(
            help="Avatars' hair as learned; by the learned front alone; or of one thickness all round the "
            "fitted head."
        ),
    ] = "learned",
    every: Annotated[
        bool, typer.Option("--all", help="Use all avatars, those that training saw as well.")
    ] = False,
    json: Json = False,
) -> None:
    """Heads from eight directions and from above, or distances to artist-made heads; --data or --avatars.

    With --data: gaps are pixels of background with head all around, inside pixels show the surface's inner
    side; "teeth" is the share of the photo's teeth in whose pixels the head has teeth, too; the GLB's size is
    in MB. With --avatars: distances of hair that the photo shows, of hair that is predicted, of hair and bald
    scalp that the photo doesn't show (all, 45 to 135° around the head, and behind it), of ears and face to
    the other surface, the faces aligned by a similarity, whose scale is "size"; silhouettes, colours and deep
    features of both heads turned away from the photo. Photos that fail are reported, and the exit code is
    then 1.
    """
    if (data is None) == (avatars is None):
        raise typer.BadParameter("Give either --data or --avatars.")
    if avatars is not None:
        failed = measure(
            avatars,
            None if every else head or [],
            yaw or [],
            models,
            out,
            views=views,
            depth=depth,
            json=json,
        )
    elif data is not None and out is not None:
        failed = show_directions(photos_to_show(data, limit), models, out, json=json)
    else:
        raise typer.BadParameter("Give --output, the contact sheet to write.")
    if failed:
        raise typer.Exit(FAILURE)


def show_directions(photos: list[Path], models: Path | None, out: Path, *, json: bool) -> bool:
    """Heads of photos from all around, and what is open in them; whether any photo failed."""
    from portrait3d.cli.portraits import load_model
    from portrait3d.evaluation.heads.teeth import teeth_share
    from portrait3d.export.directions import directions_sheet, view_directions
    from portrait3d.export.images import save_image
    from portrait3d.export.meshes import encode_glb

    model = load_model(models, quiet=json)
    rows, sheets = [], []
    failures: list[dict[str, str]] = []
    for photo, portrait in reconstructed(model, photos, failures, quiet=json):
        head = portrait.head
        views, teeth = view_directions(head), teeth_share(portrait)
        sheets.append(directions_sheet(views))
        rows.append(
            {
                "photo": photo.stem,
                "vertices": len(head.vertices),
                "gaps": sum(view.gaps for view in views),
                "inside": sum(view.inside for view in views),
                "teeth": None if teeth is None else round(teeth, 2),
                "glb": round(len(encode_glb(head)) / 1e6, 2),
            }
        )
    if sheets:
        save_image(np.concatenate(sheets), out)
    if json:
        print_json({"heads": rows, "failures": failures, "sheet": out if sheets else None})
    elif rows:
        cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
        print_table("Heads from all around", [*rows[0]], cells)
        say(out)
    return bool(failures)


def measure(
    avatars: Path,
    names: list[str] | None,
    yaws: list[float],
    models: Path | None,
    out: Path | None,
    *,
    views: int = 1,
    depth: str = "learned",
    json: bool,
) -> bool:
    """Photograph artist-made heads and compare what is reconstructed; whether any photo failed.

    `names` are the heads, all of them for None and those held out for none.
    """
    require_directory(avatars)
    from portrait3d.cli.portraits import load_model
    from portrait3d.data.people.avatars import HELD_OUT, read_avatars
    from portrait3d.evaluation.heads.report import YAWS, Failure, by_style, measure_heads
    from portrait3d.evaluation.heads.simpler_depth import SIMPLER
    from portrait3d.export.avatar_rows import avatar_rows
    from portrait3d.export.images import save_image
    from portrait3d.losses.perceptual import EfficientNetFeatures

    chosen = read_avatars(avatars, None if names is None else names or HELD_OUT)
    yaws = yaws or list(YAWS)
    model, features = load_model(models, quiet=json), EfficientNetFeatures()
    if depth != "learned":
        model.depth_net = SIMPLER[depth](model.depth_net)  # pyright: ignore[reportAttributeAccessIssue]
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    sheets: dict[str, list[np.ndarray]] = {}
    measured = measure_heads(model, chosen, yaws, features, views)
    if messages.is_terminal and not json:
        measured = track(measured, "Heads", len(chosen) * len(yaws), console=messages)
    for one in measured:
        if isinstance(one, Failure):
            failures.append(asdict(one))
            complain(f"{one.head} {one.yaw:+.0f}°: {one.error}")
            continue
        rows.append(one.row)
        if out is not None:
            sheets.setdefault(one.row["head"], []).append(avatar_rows(one.pair))
    files = [
        save_image(np.concatenate(sheet), out.with_stem(f"{out.stem}-{name}"))
        for name, sheet in sheets.items()
        if out is not None
    ]
    styles = by_style(rows)
    if json:
        tables = {"heads": rows, "styles": styles}
        finished = {name: [{k: finite(v) for k, v in row.items()} for row in t] for name, t in tables.items()}
        print_json({**finished, "failures": failures, "sheets": files})
    elif rows:
        worded = [{name.replace("_", " "): value for name, value in row.items()} for row in styles]
        show(HEADS_TITLE, worded, json=False)
        for path in files:
            say(path)
    return bool(failures)
