"""`evaluate glasses` and `evaluate earrings`: how well what people wear is found."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from portrait3d.cli.console import Json, Models, working
from portrait3d.cli.evaluation import Data, Limit, require_directory, show_tables, weights


def accessory_command(kind: str) -> Callable[..., None]:
    """The command that measures how well glasses or earrings are found."""

    def command(
        data: Data,
        models: Models = None,
        wearers: Annotated[
            Path | None, typer.Option(help=f"Text file with the names of photos with {kind}, one a line.")
        ] = None,
        limit: Limit = None,
        json: Json = False,
    ) -> None:
        require_directory(data)
        from portrait3d.evaluation import accessories
        from portrait3d.models.accessory_net import AccessoryNet
        from portrait3d.pretrained import load_network

        net = load_network(AccessoryNet, weights(models, kind))
        evaluate = getattr(accessories, f"evaluate_{kind}")
        with working(f"Looking for {kind}", quiet=json):
            report = evaluate(net, data, wearers, limit)
        tables = {
            "drawn": f"Are drawn {kind} found where they are? (IoU; of bare faces, those left alone)",
            "wearers": f"On how many photos are {kind} found?",
        }
        show_tables(tables, asdict(report), json=json)

    command.__name__ = kind
    command.__doc__ = (
        f"Drawn {kind} on photos against their exact place, and real ones by the photos' own labels."
    )
    return command


glasses, earrings = accessory_command("glasses"), accessory_command("earrings")
