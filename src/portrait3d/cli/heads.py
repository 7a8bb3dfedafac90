"""`evaluate heads`: reconstructed heads from all around, and what is open in them."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from portrait3d.cli.console import FAILURE, Json, Models, print_json, print_table, say
from portrait3d.cli.evaluation import Limit, Research, photos_to_show, reconstructed


def heads(
    data: Annotated[
        Path, typer.Option(help="Folder of photos, or root of labelled photos (their validation split).")
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="The contact sheet to write, .png or .jpg.")],
    models: Models = None,
    limit: Limit = 5,
    research: Research = False,
    json: Json = False,
) -> None:
    """Heads from eight directions and from above, with their colours and as plain shape.

    gaps are pixels of background with head all around, inside pixels show the surface's inner side; the GLB's
    size is in MB. Photos that fail are reported, and the exit code is then 1.
    """
    photos = photos_to_show(data, limit, research)
    from portrait3d.cli.portraits import load_model
    from portrait3d.export.directions import directions_sheet, view_directions
    from portrait3d.export.images import save_image
    from portrait3d.export.meshes import encode_glb

    model = load_model(models, quiet=json)
    rows, sheets = [], []
    failures: list[dict[str, str]] = []
    for photo, portrait in reconstructed(model, photos, failures, quiet=json):
        head = portrait.head
        views = view_directions(head)
        sheets.append(directions_sheet(views))
        rows.append(
            {
                "photo": photo.stem,
                "vertices": len(head.vertices),
                "gaps": sum(view.gaps for view in views),
                "inside": sum(view.inside for view in views),
                "glb": round(len(encode_glb(head)) / 1e6, 2),
            }
        )
    if sheets:
        save_image(np.concatenate(sheets), out)
    if json:
        print_json({"heads": rows, "failures": failures, "sheet": out if sheets else None})
    elif rows:
        print_table(
            "Heads from all around", [*rows[0]], [[str(value) for value in row.values()] for row in rows]
        )
        say(out)
    if failures:
        raise typer.Exit(FAILURE)
