"""`demo`, `reconstruct` and `repose`: a photo in, a head and turned photos out."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from jaxtyping import UInt8
from rich.progress import Progress

from portrait3d import arguments
from portrait3d.cli.batch import (
    DONE,
    FAILED,
    KEPT,
    LEFT,
    OVERVIEW_YAWS,
    PARQUET,
    Options,
    Result,
    folders,
    photos_among,
    reconstruct_one,
    reconstruct_photos,
    reconstruct_together,
    summary,
    with_left,
)
from portrait3d.cli.console import FAILURE, Json, Models, complain, messages, print_json, say, working
from portrait3d.cli.expressions import Expressions, Rest, expression_weights
from portrait3d.cli.stopping import Stopped

if TYPE_CHECKING:
    from portrait3d.pipeline import Portrait3D
    from portrait3d.portrait import Portrait


class Engine(StrEnum):
    """What works on photos."""

    LOCAL = "local"
    RAY = "ray"


class Rig(StrEnum):
    """What moves a head in a GLB."""

    TARGETS = "targets"
    BONES = "bones"


class TextureFormat(StrEnum):
    """How a GLB stores its textures."""

    PNG = "png"
    WEBP = "webp"


class MeshFormat(StrEnum):
    """Mesh files that are written on request."""

    VRM = "vrm"
    USDZ = "usdz"
    USD = "usd"


PICTURES = (".png", ".jpg", ".jpeg", ".webp")
SWEEP_YAWS = (-30.0, -15.0, 0.0, 15.0, 30.0)
SWEEP_PITCHES = (12.0, 0.0, -12.0)
"""Yaw and pitch (degrees) of a sweep's columns and rows, the first row looking up."""
SWEEP_CELL = 512
"""Longest side of a picture in a sweep, in pixels."""


def angle_option(name: str, meaning: str) -> Any:
    """The option for an angle of a pose, with its limits."""
    largest = arguments.ANGLES[name]
    return typer.Option(
        help=f"Degrees, at most {largest:.0f} either way; above 0 {meaning}.", callback=checked_angle
    )


def checked_angle(option: typer.CallbackParam, value: float | None) -> float | None:
    """An angle that was typed; a usage error says what is wrong with it."""
    try:
        return None if value is None else arguments.angle(value, option.name or "angle")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Face = Annotated[str, typer.Option("--face", metavar="N|all", help="Which face; 0 is the largest.")]


def demo(
    out: Annotated[Path, typer.Option("--output", "-o", help="Directory for the results.")] = Path(
        "portrait3d-demo"
    ),
    json: Json = False,
) -> None:
    """Reconstruct and turn the portrait that scikit-image ships."""
    from skimage.data import astronaut

    from portrait3d.export import save_reconstruction
    from portrait3d.export.images import save_image

    started = time.perf_counter()
    model = load_model(None, quiet=json)
    with working("Reconstructing the head", quiet=json):
        portrait = model.reconstruct(astronaut())
    with working("Turning the photo and writing files", quiet=json):
        turned = {yaw: model.repose(portrait, yaw=yaw) for yaw in OVERVIEW_YAWS}
        files = list(save_reconstruction(portrait, out, turned))
        files.append(save_image(model.repose(portrait, yaw=20), out / "turned.png"))
        files.append(save_image(sweep(model, portrait), out / "sweep.png"))
    seconds = time.perf_counter() - started
    if json:
        print_json({"directory": out, "seconds": round(seconds, 2), **summary(portrait), "files": files})
        return
    say(f"{describe_portrait(portrait)} in {seconds:.1f} s")
    for file in files:
        say(f"  {file}")
    say(f"Open {out / 'viewer.html'} in a browser to turn the head.")


def reconstruct(
    sources: Annotated[
        list[str], typer.Argument(metavar="PHOTO", help="Photos, or directories with photos in them.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Directory for the results.")],
    face: Face = "0",
    engine: Annotated[
        Engine,
        typer.Option(
            help="What works: this machine, or a Ray cluster, which takes URLs of object stores and lists "
            "of photos (.txt) too."
        ),
    ] = Engine.LOCAL,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT|auto", help="With --engine ray: where the cluster is.")
    ] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Photos that are worked on at the same time.")] = 1,
    front_only: Annotated[
        bool, typer.Option("--front-only", help="Keep only what the photo shows, without sides and back.")
    ] = False,
    delight: Annotated[
        bool,
        typer.Option("--delight", help="Take the photo's light out of the skin; the GLB takes the scene's."),
    ] = False,
    expression: Annotated[
        Rest, typer.Option(help="Expression that the head rests in: the photo's own, or neutral.")
    ] = Rest.PHOTO,
    visemes: Annotated[
        bool, typer.Option("--visemes", help="Give the GLB targets for speech, the 15 visemes of Oculus.")
    ] = False,
    rig: Annotated[
        Rig, typer.Option(help="What moves the GLB: morph targets, or bones beside them.")
    ] = Rig.TARGETS,
    texture: Annotated[
        int | None,
        typer.Option(
            min=512, max=4096, help="Largest side of the texture, pixels (2048); the photo may give less."
        ),
    ] = None,
    lod: Annotated[
        int | None,
        typer.Option(min=0, max=3, help="Level of detail: about 30,000, 12,000, 5,000 or 2,000 triangles."),
    ] = None,
    dense_targets: Annotated[
        bool,
        typer.Option("--dense-targets", help="Write morph targets for programs that can't read sparse ones."),
    ] = False,
    texture_format: Annotated[
        TextureFormat, typer.Option(help="The GLB's textures: PNG, or WebP, which is smaller.")
    ] = TextureFormat.PNG,
    formats: Annotated[
        list[MeshFormat] | None,
        typer.Option("--format", help="Write the head as VRM 1.0 or USD too; repeat it."),
    ] = None,
    author: Annotated[str, typer.Option(help="Who a VRM names as its author.")] = "unnamed",
    scale: Annotated[
        float | None,
        typer.Option(
            min=arguments.SCALES[0],
            max=arguments.SCALES[1],
            help="Make the head larger or smaller by this factor.",
        ),
    ] = None,
    eye_distance: Annotated[
        float | None,
        typer.Option(
            min=arguments.EYE_DISTANCES[0],
            max=arguments.EYE_DISTANCES[1],
            help="Make the head so large that its eyes are this far apart, mm.",
        ),
    ] = None,
    same_person: Annotated[
        bool, typer.Option("--same-person", help="Make one head of all photos, which show one person.")
    ] = False,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="With --same-person: take photos of unlike faces as well.")
    ] = False,
    models: Models = None,
    json: Json = False,
) -> None:
    """Reconstruct the head in each photo, or one head from several photos of a person.

    Writes head.glb, head.obj, head.ply, depth, parsing, overview.png, viewer.html and portrait.json to the
    output directory; with several photos or faces, to a directory for each in it. Of several photos,
    summary.csv and summary.json tell what came of each: one that fails does not stop the others (the exit
    code is then 1), and the same command, started again, goes on where it stopped. With --same-person there
    is one head, in the output directory itself; portrait.json says in which photo's frame. With --engine ray
    the summary is summary.parquet.
    """
    if engine is Engine.RAY and (same_person or jobs != 1):
        raise typer.BadParameter("--engine ray goes without --same-person and --jobs.")
    if same_person and (face != "0" or jobs != 1):
        raise typer.BadParameter(
            "--same-person takes the largest face of each photo, without --face and --jobs."
        )
    if unchecked and not same_person:
        raise typer.BadParameter("--unchecked goes with --same-person.")
    if scale is not None and eye_distance is not None:
        raise typer.BadParameter("give either --scale or --eye-distance.")
    options = Options(
        face=chosen_face(face),
        models=models,
        front_only=front_only,
        delight=delight,
        neutral=expression is Rest.NEUTRAL,
        visemes=visemes,
        bones=rig is Rig.BONES,
        texture=texture,
        lod=lod,
        dense_targets=dense_targets,
        texture_format=texture_format.value,
        formats=tuple(ending.value for ending in formats or ()),
        author=author,
        scale=1.0 if scale is None else scale,
        eye_distance=eye_distance,
    )
    if engine is Engine.RAY:
        _reconstruct_on_cluster(sources, output, options, address, json=json)
        return
    photos, out = [Path(source) for source in sources], Path(output)
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file; --output needs a directory.")
    chosen, left_out = photos_among(photos)
    several = not same_person and (len(photos) > 1 or photos[0].is_dir())
    pairs = folders(chosen, out) if several else [(chosen[0], out)]
    results: list[Result] = []
    code = 0
    try:
        if same_person:
            model = load_model(models, quiet=json)
            work = reconstruct_together(model, chosen, out, options, check=not unchecked)
        elif several:
            work = reconstruct_photos(chosen, out, options, jobs=jobs, left_out=left_out)
        else:
            work = reconstruct_one(load_model(models, quiet=json), *pairs[0], options)
        with closing(work):
            for result in progress(work, 1 if same_person else len(chosen), quiet=json):
                report(result, quiet=json)
                results.append(result)
    except Stopped as stop:
        complain(str(stop))
        code = stop.code
    if not same_person:
        results = with_left(pairs, results)
    if json:
        print_json({"portraits": [as_entry(result) for result in results], "left_out": left_out})
    elif several:
        say(f"{count(results)}{no_pictures(left_out)} -> {out / 'summary.csv'}")
    if code or any(result.error for result in results):
        raise typer.Exit(code or FAILURE)


def _reconstruct_on_cluster(
    sources: list[str], out: str, options: Options, address: str, *, json: bool
) -> None:
    """Reconstruct on a Ray cluster: failures are told as they come, the rest is counted."""
    from portrait3d.cli.stores import reconstruct_in_stores

    counts: Counter[str] = Counter()
    code = 0
    try:
        # Ray tells of machines that died on stdout, which is for this command's own document.
        with (
            redirect_stdout(sys.stderr),
            closing(reconstruct_in_stores(sources, out, options, address)) as rows,
        ):
            for row in rows:
                counts[row["status"]] += 1
                if row["error"]:
                    complain(row["error"])
    except Stopped as stop:
        complain(str(stop))
        code = stop.code
    place = f"{out.rstrip('/')}/{PARQUET}"
    if json:
        print_json({**{status: counts[status] for status in (DONE, KEPT, FAILED)}, "summary": place})
    else:
        say(f"{counted(counts)} -> {place}")
    if code or counts[FAILED]:
        raise typer.Exit(code or FAILURE)


def repose(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo of one person.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="The picture to write: .png, .jpg or .webp.")],
    yaw: Annotated[float | None, angle_option("yaw", "the face looks to the picture's right")] = None,
    pitch: Annotated[float | None, angle_option("pitch", "the face looks up")] = None,
    roll: Annotated[float | None, angle_option("roll", "the head leans clockwise in the picture")] = None,
    expression: Expressions = None,
    is_sweep: Annotated[bool, typer.Option("--sweep", help="Write a grid of poses instead of one.")] = False,
    face: Face = "0",
    models: Models = None,
    json: Json = False,
) -> None:
    """Turn the head in a photo to an absolute pose, and change its expression.

    An angle that is not given stays as it is. Left and right in the names of expressions are the person's.
    """
    if out.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"{out} must end in one of {', '.join(PICTURES)}.", param_hint="--output")
    weights = expression_weights(expression)
    changes = bool(weights) or any(angle is not None for angle in (yaw, pitch, roll))
    if is_sweep and changes:
        raise typer.BadParameter("a grid has its own angles; leave out --yaw, --pitch, --roll, --expression.")
    if not is_sweep and not changes:
        raise typer.BadParameter("say what to do: --yaw, --pitch, --roll, --expression or --sweep.")
    chosen = chosen_face(face)
    if chosen is None:
        raise typer.BadParameter("one face at a time: give a number.", param_hint="--face")
    from portrait3d.export.images import save_image

    model = load_model(models, quiet=json)
    with working("Reconstructing the head", quiet=json):
        portrait = model.reconstruct(photo, chosen)
    with working("Turning the photo", quiet=json):
        if is_sweep:
            image = sweep(model, portrait)
        else:
            image = model.repose(portrait, yaw=yaw, pitch=pitch, roll=roll, expression=weights)
        save_image(image, out)
    if json:
        target = {"yaw": yaw, "pitch": pitch, "roll": roll, "expression": weights}
        print_json({"photo": photo, **summary(portrait), "target": None if is_sweep else target, "file": out})
    else:
        say(f"{describe_portrait(portrait)}, turned -> {out}")


def sweep(model: "Portrait3D", portrait: "Portrait") -> UInt8[np.ndarray, "H W 3"]:
    """A grid of turned photos: yaw from left to right, pitch from top to bottom, degrees."""
    from PIL import Image

    rows = []
    for pitch in SWEEP_PITCHES:
        cells = []
        for yaw in SWEEP_YAWS:
            cell = Image.fromarray(model.repose(portrait, yaw=yaw, pitch=pitch))
            cell.thumbnail((SWEEP_CELL, SWEEP_CELL), Image.Resampling.LANCZOS)
            cells.append(np.asarray(cell))
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows, axis=0)


def load_model(directory: Path | None, *, quiet: bool) -> "Portrait3D":
    """Load the pipeline, telling people that it takes a moment."""
    with working("Loading the networks", quiet=quiet):
        from portrait3d.pipeline import Portrait3D

        return Portrait3D.from_pretrained(directory)


def chosen_face(face: str) -> int | None:
    """The number in --face, None for `all`."""
    if face == "all":
        return None
    if not face.isdecimal():
        raise typer.BadParameter(f"{face!r} is neither a number from 0 on nor 'all'.", param_hint="--face")
    return int(face)


def progress(results: Iterator[Result], photos: int, *, quiet: bool) -> Iterator[Result]:
    """Show a bar for more than one photo or face."""
    if quiet or not messages.is_terminal:
        yield from results
        return
    with Progress(console=messages) as bar:
        task, total = bar.add_task("Reconstructing", total=photos), photos
        known: set[Path] = set()
        for result in results:
            if result.photo not in known:
                known.add(result.photo)
                total += result.faces - 1
            yield result
            bar.update(task, advance=1, total=total)


def report(result: Result, *, quiet: bool) -> None:
    """Say what came of a face: failures to stderr, the rest to stdout unless `quiet`."""
    if result.error:
        complain(result.error)
    elif not quiet and result.portrait:
        what = "kept" if result.status == KEPT else describe_summary(result.portrait)
        which = f", face {result.face} ({result.faces} in all)" if result.faces > 1 else ""
        say(f"{result.photo}{which}: {what} -> {result.directory}")


def count(results: list[Result]) -> str:
    """How many heads there are, and what became of the other photos."""
    return counted(Counter(result.status for result in results))


def counted(counts: Counter[str]) -> str:
    """The same for numbers of results by their status."""
    heads = f"{counts[DONE] + counts[KEPT]} heads ({counts[KEPT]} of them from an earlier start)"
    left = f", {counts[LEFT]} left for the next start" if counts[LEFT] else ""
    return f"{heads}, {counts[FAILED]} failed{left}"


def no_pictures(left_out: list[Path]) -> str:
    """How much of the directories was left out, with the first names."""
    if not left_out:
        return ""
    names = ", ".join(path.name for path in left_out[:3]) + (", ..." if len(left_out) > 3 else "")
    return f", {len(left_out)} left out as no pictures ({names})"


def as_entry(result: Result) -> dict[str, Any]:
    """A result as --json prints it."""
    if result.portrait is None:
        error = {"error": result.error} if result.error else {}
        return {"photo": result.photo, "status": result.status, **error}
    known = result.portrait or {}
    return {"photo": result.photo, "status": result.status, "directory": result.directory, **known}


def describe_portrait(portrait: "Portrait") -> str:
    """One line for people."""
    return describe_summary(summary(portrait))


def describe_summary(known: dict[str, Any]) -> str:
    """One line for people about the summary of a portrait."""
    pose = known["pose"]
    return (
        f"head with {known['vertices']:,} vertices, yaw {pose['yaw']:+.1f}, pitch {pose['pitch']:+.1f}, "
        f"roll {pose['roll']:+.1f} degrees"
    )
