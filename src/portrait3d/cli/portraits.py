"""`demo`, `reconstruct` and `repose`: a photo in, a head and turned photos out."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from jaxtyping import UInt8
from rich.progress import track

from portrait3d.cli.console import (
    EXPECTED,
    FAILURE,
    Json,
    Models,
    describe,
    escape,
    messages,
    output,
    print_json,
    report_failure,
    working,
)

if TYPE_CHECKING:
    from portrait3d.pipeline import Portrait3D
    from portrait3d.portrait import Portrait

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
OVERVIEW_YAWS = (-20.0, 20.0)
"""Absolute angles of the turned photos in overview.png, degrees."""
SWEEP_YAWS = (-30.0, -15.0, 0.0, 15.0, 30.0)
SWEEP_PITCHES = (12.0, 0.0, -12.0)
SWEEP_CELL = 512
"""Longest side of a picture in a sweep, in pixels."""

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
    output.print(f"{describe_portrait(portrait)} in {seconds:.1f} s", highlight=False)
    for file in files:
        output.print(f"  {escape(str(file))}", highlight=False, soft_wrap=True)
    output.print(f"Open {escape(str(out / 'viewer.html'))} in a browser to turn the head.", soft_wrap=True)


def reconstruct(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photos of one person each.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Directory for the results.")],
    face: Face = "0",
    models: Models = None,
    json: Json = False,
) -> None:
    """Reconstruct the head in each photo.

    Writes head.glb, head.obj, head.ply, depth, parsing, overview.png, viewer.html and portrait.json to the
    output directory; with several photos or faces, to a directory for each in it. A photo that fails is
    reported and does not stop the others; the exit code is then 1.
    """
    chosen = chosen_face(face)
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file; --output needs a directory.")
    from portrait3d.export import save_reconstruction

    model = load_model(models, quiet=json)
    results: list[dict[str, Any]] = []
    for photo, directory in progress(folders(photos, out), quiet=json):
        try:
            portraits = model.reconstruct_all(photo) if chosen is None else [model.reconstruct(photo, chosen)]
            for number, portrait in enumerate(portraits):
                place = directory / f"face-{number}" if chosen is None else directory
                turned = {yaw: model.repose(portrait, yaw=yaw) for yaw in OVERVIEW_YAWS}
                files = save_reconstruction(portrait, place, turned)
                results.append({"photo": photo, "directory": place, **summary(portrait), "files": [*files]})
                if not json:
                    output.print(
                        f"{escape(str(photo))}: {describe_portrait(portrait)} -> {escape(str(place))}",
                        highlight=False,
                        soft_wrap=True,
                    )
        except EXPECTED as error:
            report_failure(error)
            results.append({"photo": photo, "error": describe(error)})
    if json:
        print_json({"portraits": results})
    if any("error" in result for result in results):
        raise typer.Exit(FAILURE)


def repose(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo of one person.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="The picture to write: .png, .jpg or .webp.")],
    yaw: Annotated[
        float | None, typer.Option(help="Degrees; above 0 the face looks to the picture's right.")
    ] = None,
    pitch: Annotated[float | None, typer.Option(help="Degrees; above 0 the face looks up.")] = None,
    roll: Annotated[
        float | None, typer.Option(help="Degrees; above 0 the head leans clockwise in the picture.")
    ] = None,
    is_sweep: Annotated[bool, typer.Option("--sweep", help="Write a grid of poses instead of one.")] = False,
    face: Face = "0",
    models: Models = None,
    json: Json = False,
) -> None:
    """Turn the head in a photo to an absolute pose; an angle that is not given stays as it is."""
    if out.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"{out} must end in one of {', '.join(PICTURES)}.", param_hint="--output")
    if is_sweep and any(angle is not None for angle in (yaw, pitch, roll)):
        raise typer.BadParameter("a grid has its own angles; leave out --yaw, --pitch and --roll.")
    if not is_sweep and yaw is None and pitch is None and roll is None:
        raise typer.BadParameter("say where to turn the head: --yaw, --pitch, --roll or --sweep.")
    chosen = chosen_face(face)
    if chosen is None:
        raise typer.BadParameter("one face at a time: give a number.", param_hint="--face")
    from portrait3d.export.images import save_image

    model = load_model(models, quiet=json)
    with working("Reconstructing the head", quiet=json):
        portrait = model.reconstruct(photo, chosen)
    with working("Turning the photo", quiet=json):
        image = (
            sweep(model, portrait) if is_sweep else model.repose(portrait, yaw=yaw, pitch=pitch, roll=roll)
        )
        save_image(image, out)
    if json:
        target = {"yaw": yaw, "pitch": pitch, "roll": roll}
        print_json({"photo": photo, **summary(portrait), "target": None if is_sweep else target, "file": out})
    else:
        output.print(
            f"{describe_portrait(portrait)}, turned -> {escape(str(out))}", highlight=False, soft_wrap=True
        )


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


def folders(photos: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair every photo with its directory: the output itself for one, `out/name` for several."""
    if len(photos) == 1:
        return [(photos[0], out)]
    pairs: list[tuple[Path, Path]] = []
    taken: set[Path] = set()
    for photo in photos:
        name, number = photo.stem, 1
        while out / name in taken:
            number += 1
            name = f"{photo.stem}-{number}"
        taken.add(out / name)
        pairs.append((photo, out / name))
    return pairs


def progress(pairs: list[tuple[Path, Path]], *, quiet: bool) -> Iterator[tuple[Path, Path]]:
    """Show a bar for more than one photo."""
    if quiet or len(pairs) < 2 or not messages.is_terminal:
        return iter(pairs)
    return iter(track(pairs, description="Reconstructing", console=messages))


def summary(portrait: "Portrait") -> dict[str, Any]:
    """What a program may want to know about a portrait at once."""
    pose = portrait.pose
    return {
        "pose": {"yaw": round(pose.yaw, 2), "pitch": round(pose.pitch, 2), "roll": round(pose.roll, 2)},
        "detection_score": round(float(portrait.detection.score), 4),
        "vertices": len(portrait.head.vertices),
        "faces": len(portrait.head.faces),
    }


def describe_portrait(portrait: "Portrait") -> str:
    """One line for people."""
    pose = portrait.pose
    return (
        f"head with {len(portrait.head.vertices):,} vertices, yaw {pose.yaw:+.1f}, pitch {pose.pitch:+.1f}, "
        f"roll {pose.roll:+.1f} degrees"
    )
