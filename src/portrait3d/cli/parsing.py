"""`evaluate parsing`: agreement with labelled photos, borders, wrong face boxes, wide photos, time."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from portrait3d.cli.console import Json, Models, working
from portrait3d.cli.evaluation import Data, Limit, require_directory, show_tables, weights

TABLES = {
    "exact": "How far do the classes overlap with the exact labels of drawn people? (IoU)",
    "overlap": "How far do the classes overlap with the photos' labels? (IoU)",
    "borders": "How many of their borders lie where those of the labels do? (F-score)",
    "wide": "And if the person is small in a larger picture? (IoU)",
    "boxes": "And if the face box has a wrong size or place? (IoU)",
    "seconds": "How long does it take? (ms)",
    "doubts": "Which photos of people/ contradict their maps most? (share of the person)",
}
"""What each table answers."""
WORST = 20
"""Photos in the last table; with --json all are there."""


def parsing(
    data: Data,
    models: Models = None,
    limit: Limit = None,
    drawn: Annotated[
        Path | None, typer.Option(help="Root of drawn people from `prepare parsing`: exact labels.")
    ] = None,
    photos: Annotated[
        bool, typer.Option("--photos/--no-photos", help="Compare with the photos' own labels too.")
    ] = True,
    boxes: Annotated[
        int, typer.Option(min=0, help="Photos to parse with face boxes of wrong size and place too.")
    ] = 0,
    wide: Annotated[
        int, typer.Option(min=0, help="Photos to parse small in pictures three times as large too.")
    ] = 0,
    speed: Annotated[bool, typer.Option("--speed", help="Measure the time too.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Write the worst 20 photos here: labels found and given, the head.")
    ] = None,
    doubts: Annotated[
        Path | None,
        typer.Option(
            help="Write all photos of people/ here with their labels, first those that contradict the maps "
            "of hair and figure most; 60 a page (NAME-1, NAME-2...)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Overlap of the classes and of their borders with labels, in the pictures' own pixels.

    Labels of drawn people are exact. Those of photos are a teacher network's, not people's: for comparison.
    """
    require_directory(data)
    from portrait3d.data.photos.labelled import evenly, real_photos
    from portrait3d.evaluation.parsing.report import evaluate_parsing
    from portrait3d.evaluation.parsing.sheets import write_doubts
    from portrait3d.models.head_parsing import ParsingExperts

    experts = ParsingExperts.load(weights(models, "parsing"))
    with working("Parsing", quiet=json):
        report = evaluate_parsing(
            experts,
            data if photos else None,
            drawn=drawn,
            limit=limit,
            disturbed=boxes,
            wide=wide,
            timed=speed,
            sheet=sheet,
        )
        tables = asdict(report) | {"doubts": []}
        if doubts is not None:
            found = write_doubts(experts, evenly(real_photos(data, folders=("people",)), limit), doubts)
            shown = found if json else found[:WORST]
            tables["doubts"] = [{"photo": name, "contradicts": share} for name, share in shown]
    show_tables(TABLES, tables, json=json)
