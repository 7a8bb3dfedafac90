"""`evaluate depth`: depth of hair and ears in mm, beside baselines, on heads, on clips and on Biwi."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from portrait3d.cli.console import Json, Models, say, working
from portrait3d.cli.evaluation import require_directory, show_tables

TABLES = {
    "biwi": "Table 1 of the paper on Biwi Kinect: distance to the measured surface, mm",
    "heads": "Unseen synthetic heads, mm: face and rest as in Table 1, all aligned; then in the face's "
    "frame: distance of face and rest to the surface, depth of the rest pixel by pixel, coverage",
    "styles": "Depth of the rest pixel by pixel by hair style, the true face given, mm",
    "regions": "The same by the part of the head, mm",
    "clips": "Frames of real clips moved into each other: colour difference of hair and ears, 0 to 255",
    "turning": "Which point moves least when heads turn? (below and behind the model's origin; mm)",
}
"""What each table answers."""


def depth(
    data: Annotated[
        Path | None, typer.Option(help="Root of the labelled photos; its validation clips are used.")
    ] = None,
    biwi: Annotated[
        Path | None, typer.Option(help="Root of the Biwi Kinect database: print Table 1 of the paper.")
    ] = None,
    models: Models = None,
    limit: Annotated[int, typer.Option(min=0, help="Number of synthetic heads.")] = 60,
    pairs: Annotated[int, typer.Option(min=0, help="Pairs of frames of each clip.")] = 12,
    clip: Annotated[
        list[str] | None, typer.Option(help="A clip to use instead of the validation clips; repeat it.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each recording of Biwi Kinect.")] = 10,
    cache: Annotated[
        Path | None, typer.Option(help="Directory that keeps the synthetic heads for the next time.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write the worst, middling and best synthetic heads to this picture.")
    ] = None,
    json: Json = False,
) -> None:
    """Depth of hair, ears and face, the network's beside that of three baselines; needs --data or --biwi.

    "constant" puts all the rest of the head at the face's mean depth, "nearest face" continues the depth
    at the face's border (Zhu et al. 2016), "average head" takes the head model's mean head. Once the true
    face and parsing are given, once the photo alone.
    """
    if data is None and biwi is None:
        raise typer.BadParameter("Give --data or --biwi, or both.")
    for folder in (data, biwi):
        if folder is not None:
            require_directory(folder)
    from portrait3d.evaluation.depth.biwi import evaluate_biwi
    from portrait3d.evaluation.depth.pairs import evaluate_pairs
    from portrait3d.evaluation.depth.report import measure_heads, score_heads, score_regions, score_styles
    from portrait3d.evaluation.depth.sheets import write_depth_sheet
    from portrait3d.evaluation.turning_point import measure_turning_point
    from portrait3d.pipeline import Portrait3D

    model = Portrait3D.from_pretrained(models)
    tables: dict[str, list] = {}
    if biwi is not None:
        with working("Measuring Biwi Kinect", quiet=json):
            tables["biwi"] = [asdict(row) for row in evaluate_biwi(model, biwi, frames)]
    if data is not None:
        with working("Measuring synthetic heads", quiet=json):
            measured = list(measure_heads(model, limit, cache))
        tables["heads"] = [asdict(row) for row in score_heads(measured)]
        tables["styles"], tables["regions"] = score_styles(measured), score_regions(measured)
        if (data / "clips" / "pairs.csv").is_file():
            with working("Comparing frames of clips", quiet=json):
                tables["clips"] = evaluate_pairs(model, data, pairs, clip or []) if pairs else []
                tables["turning"] = measure_turning_point(model, data, most=24)
        if sheet is not None and measured:
            path = write_depth_sheet(model, measured, sheet, cache)
            if not json:
                say(path)
    show_tables(TABLES, tables, json=json)
