"""`benchmark`: how long every stage takes on this machine."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from portrait3d.cli.console import Json, Models, print_json, print_table, working


def benchmark(
    photo: Annotated[
        Path | None, typer.Option(help="A photo of one person; default: the one that scikit-image ships.")
    ] = None,
    size: Annotated[
        int, typer.Option(min=64, help="Longer side that the photo is resized to, pixels.")
    ] = 1024,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each stage; the median counts.")] = 7,
    models: Models = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that torch may use.")] = None,
    json: Json = False,
) -> None:
    """Measure every stage after loading, the time to start, and the memory."""
    import numpy as np
    import torch
    from PIL import Image
    from skimage.data import astronaut

    from portrait3d.evaluation.benchmark import run_benchmark
    from portrait3d.preprocessing.image import decode_photo

    if threads is not None:
        torch.set_num_threads(threads)
    image = Image.fromarray(astronaut() if photo is None else decode_photo(photo).pixels)
    scale = size / max(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    with working("Measuring", quiet=json):
        result = run_benchmark(np.asarray(image), models, runs)
    if json:
        print_json(dataclasses.asdict(result))
        return
    peak = "unknown" if result.peak_megabytes is None else f"{result.peak_megabytes:.0f} MB"
    print_table(
        f"{result.width} × {result.height} px, {result.threads} threads",
        ["stage", "median ms", "fastest ms"],
        [[time.stage, f"{1000 * time.median:.1f}", f"{1000 * time.fastest:.1f}"] for time in result.stages],
        note=(
            f"import portrait3d: {result.import_seconds:.2f} s; with everything and the weights loaded: "
            f"{result.start_seconds:.2f} s; peak memory: {peak}"
        ),
    )
