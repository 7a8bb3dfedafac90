"""`train STAGE`: for people who bring their own data."""

import importlib
import json as json_format
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from portrait3d.cli.configuration import build_config, merged, parse_settings, read_settings
from portrait3d.cli.console import messages, print_json, say
from portrait3d.names import in_one_line, url_of

train = typer.Typer(no_args_is_help=True, help="Train a network on labelled photos.")

STAGES = {
    "face": ("face", "FaceTrainingConfig"),
    "parsing": ("parsing", "ParsingTraining"),
    "depth": ("depth", "DepthTrainingConfig"),
    "refinement": ("refinement", "RefinementTrainingConfig"),
    "glasses": ("accessories", "AccessoryTraining"),
    "earrings": ("accessories", "AccessoryTraining"),
}
"""The module of `portrait3d.training` and the configuration of each stage, which `train_<stage>` trains."""


def stage_command(stage: str) -> Callable[..., None]:
    """The command that trains one stage."""

    def command(
        data: Annotated[Path, typer.Option(help="Root of the labelled photos.")],
        out: Annotated[
            Path,
            typer.Option(
                help="Directory of the run; a run that is there already goes on from its checkpoint."
            ),
        ],
        minutes: Annotated[
            float | None, typer.Option(help="Stop after this much training, all starts together.")
        ] = None,
        steps: Annotated[int | None, typer.Option(help="Stop after this many steps.")] = None,
        config: Annotated[
            Path | None, typer.Option(help="TOML file with settings; --set and flags win.")
        ] = None,
        device: Annotated[
            str | None, typer.Option(help="A torch device; by default CUDA where there is one.")
        ] = None,
        batch: Annotated[int | None, typer.Option(help="Samples in a batch.")] = None,
        seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
        threads: Annotated[int | None, typer.Option(help="Threads that torch may use.")] = None,
        tensorboard: Annotated[
            bool | None, typer.Option("--tensorboard", help="Write TensorBoard files too.")
        ] = None,
        settings: Annotated[
            list[str] | None,
            typer.Option(
                "--set", metavar="NAME=VALUE", help="Any setting, such as loss.identity=0; may be repeated."
            ),
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Print the last evaluation as JSON.")] = False,
    ) -> None:
        if not (data.is_dir() or url_of(data)):
            raise FileNotFoundError(f"{data} is no directory; --data needs the root of the labelled photos.")
        loop = {
            "out": out,
            "minutes": minutes,
            "steps": steps,
            "device": device,
            "seed": seed,
            "tensorboard": tensorboard,
        }
        flags = {"data": data, "batch": batch, "loop": loop}
        changes = merged(read_settings(config), parse_settings(settings or []))
        run_stage(stage, merged(changes, flags), threads=threads, quiet=json)
        if os.environ.get("RANK", "0") == "0":
            report(stage, out, json=json)

    command.__name__ = stage
    command.__doc__ = f"Train the {stage} network."
    return command


for _stage in STAGES:
    train.command(_stage)(stage_command(_stage))


def run_stage(stage: str, settings: dict[str, Any], *, threads: int | None, quiet: bool) -> None:
    """Build the stage's configuration and train."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    module_name, config_name = STAGES[stage]
    module = importlib.import_module(f"portrait3d.training.{module_name}")
    config = build_config(getattr(module, config_name), settings)
    others = os.environ.get("RANK", "0") != "0"
    with progress(stage, config.loop, quiet=quiet or others):
        getattr(module, f"train_{stage}")(config)


class LoopProgress(logging.Handler):
    """Moves a progress bar with the lines that the training loop logs.

    Args:
        bar: The bar to move.
        minutes: The run's time limit, if any.
        steps: The run's limit of steps, if any.
    """

    def __init__(self, bar: Progress, minutes: float | None, steps: int | None) -> None:
        super().__init__(logging.INFO)
        self.bar, self.minutes, self.steps = bar, minutes, steps
        self.task = bar.add_task("starting", total=1.0)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a logged line: numbers move the bar, evaluations and other messages are printed above it."""
        text = record.getMessage()
        try:
            entry = json_format.loads(text)
            step, spent = entry["step"], entry["minutes"]
        except (ValueError, KeyError, TypeError):
            self.bar.console.print(Text(in_one_line(text)))
            return
        done = max(spent / self.minutes if self.minutes else 0.0, step / self.steps if self.steps else 0.0)
        total = entry.get("losses", {}).get("total")
        description = f"step {step}" + (f", loss {total:.4g}" if total is not None else "")
        self.bar.update(self.task, completed=min(done, 1.0), description=description)
        if "evaluation" in entry:
            scores = ", ".join(f"{name} {value:.4g}" for name, value in entry["evaluation"].items())
            self.bar.console.print(Text(f"step {step}: {scores}"))


@contextmanager
def progress(stage: str, loop: Any, *, quiet: bool) -> Iterator[None]:
    """Show how far a training run is, on stderr."""
    if quiet:
        yield
        return
    columns = (TextColumn(stage), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    logger = logging.getLogger("portrait3d")
    with Progress(*columns, TextColumn("{task.description}"), console=messages) as bar:
        handler = LoopProgress(bar, loop.minutes, loop.steps)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)


def report(stage: str, out: Path, *, json: bool) -> None:
    """Write the best weights for the pipeline, and say where they are and how good they are."""
    from portrait3d.training.release import best_evaluation, release_network

    models = out / "models"
    release_network(stage, out, models / stage)
    best = best_evaluation(out)
    if json:
        print_json({"directory": out, "models": models, "best": best})
        return
    scores = ", ".join(f"{name} {value:.4g}" for name, value in best["evaluation"].items())
    say(f"best at step {best['step']}: {scores}")
    say(f"use it with --models {models}")
