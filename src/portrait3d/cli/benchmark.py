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
    profile: Annotated[
        bool, typer.Option("--profile", help="Also list the functions that each stage's time goes to.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure every stage after loading, the time to start, and the memory.

    The last column counts in N, the networks' own passes in one reconstruction: it differs less between
    machines.
    """
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
        result = run_benchmark(np.asarray(image), models, runs, profile=profile)
    if json:
        print_json(dataclasses.asdict(result))
        return
    peak = "unknown" if result.peak_megabytes is None else f"{result.peak_megabytes:.0f} MB"
    print_table(
        f"{result.width} × {result.height} px, {result.threads} threads",
        ["stage", "median ms", "fastest ms", "median / N"],
        [
            [
                time.stage,
                f"{1000 * time.median:.1f}",
                f"{1000 * time.fastest:.1f}",
                f"{time.median / result.passes:.2f}",
            ]
            for time in result.stages
        ],
        note=(
            f"import portrait3d: {result.import_seconds:.2f} s; with everything and the weights loaded: "
            f"{result.start_seconds:.2f} s; peak memory: {peak}"
        ),
    )
    if result.profile:
        print_table(
            "Where the time goes, on one thread and under a profiler",
            ["stage", "function", "calls", "own ms", "with what it calls, ms"],
            [
                [
                    row.stage,
                    row.function,
                    f"{row.calls:g}",
                    f"{1000 * row.own:.1f}",
                    f"{1000 * row.within:.1f}",
                ]
                for row in result.profile
            ],
        )
