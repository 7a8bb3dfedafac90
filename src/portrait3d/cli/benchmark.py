"""`benchmark`: how long every stage takes on this machine."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portrait3d.cli.console import Json, Models, print_json, print_table, working

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8


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
    scaling: Annotated[
        bool,
        typer.Option(
            "--scaling",
            help="Instead, how time grows with photos, faces, pixels, poses and processes.",
        ),
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="With --scaling: an .svg to draw that into.")] = None,
    json: Json = False,
) -> None:
    """Measure every stage after loading, the time to start, and the memory.

    The last column counts in N, the networks' own passes in one reconstruction: it differs less between
    machines.
    """
    import torch
    from skimage.data import astronaut

    from portrait3d.evaluation.benchmark import run_benchmark
    from portrait3d.evaluation.scaling import resized
    from portrait3d.preprocessing.image import decode_photo

    if plot is not None and (not scaling or plot.suffix.lower() != ".svg"):
        raise typer.BadParameter("--plot goes with --scaling and takes the name of an .svg.")
    if threads is not None:
        torch.set_num_threads(threads)
    picture = resized(astronaut() if photo is None else decode_photo(photo).pixels, size)
    if scaling:
        _measure_scaling(picture, models, runs, plot, json)
        return
    with working("Measuring", quiet=json):
        result = run_benchmark(picture, models, runs, profile=profile)
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


def _measure_scaling(
    picture: "UInt8[np.ndarray, 'H W 3']", models: Path | None, runs: int, plot: Path | None, json: bool
) -> None:
    from portrait3d.evaluation.scaling import by_kind, drawing, exponent, measure_growth
    from portrait3d.export.files import write_together

    with working("Measuring", quiet=json):
        rows = measure_growth(picture, models, runs)
    if plot is not None:
        write_together({plot: drawing(rows).encode()})
    powers = {kind: exponent(some) for kind, some in by_kind(rows).items() if kind != "processes"}
    if json:
        print_json({"rows": [dataclasses.asdict(row) for row in rows], "exponents": powers})
        return
    print_table(
        "How time grows",
        ["of", "amount", "seconds", "seconds for one"],
        [
            # Of processes, seconds are those of one photo.
            [row.of, f"{row.amount:g}", f"{row.seconds:.3f}", ""]
            if row.of == "processes"
            else [row.of, f"{row.amount:.3g}", f"{row.seconds:.3f}", f"{row.seconds / row.amount:.3f}"]
            for row in rows
        ],
        note="Time grows with the power "
        + ", ".join(f"{power:.2f} of {kind}" for kind, power in powers.items())
        + ". Of processes: seconds a photo while all of them work.",
    )
