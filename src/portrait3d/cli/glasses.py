"""`evaluate glasses`: how well glasses are found."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from portrait3d.cli.console import Json, Models, working
from portrait3d.cli.evaluation import Data, Limit, require_directory, show_tables, weights

TABLES = {
    "drawn": "Are drawn glasses found where they are? (IoU; of bare faces, those left alone)",
    "wearers": "On how many photos are glasses found?",
}
"""What each table answers."""


def glasses(
    data: Data,
    models: Models = None,
    wearers: Annotated[
        Path | None, typer.Option(help="Text file with the names of photos with glasses, one a line.")
    ] = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """Drawn glasses on photos against their exact place, and real ones by the photos' own labels."""
    require_directory(data)
    from portrait3d.evaluation.glasses import evaluate_glasses
    from portrait3d.models.glasses_net import GlassesNet
    from portrait3d.pretrained import load_network

    net = load_network(GlassesNet, weights(models, "glasses"))
    with working("Looking for glasses", quiet=json):
        report = evaluate_glasses(net, data, wearers, limit)
    show_tables(TABLES, asdict(report), json=json)
