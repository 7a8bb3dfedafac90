"""`turntable` and `animate`: a photo that turns, and a photo that a video drives."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import track

from portrait3d.cli import film
from portrait3d.cli.console import Json, Models, messages, print_json, say, working
from portrait3d.cli.portraits import load_model

if TYPE_CHECKING:
    import numpy as np

    from portrait3d.pipeline import Portrait3D
    from portrait3d.portrait import Portrait

NAMED = 8
"""Frame numbers that a message names before it counts the rest."""

Out = Annotated[Path, typer.Option("--output", "-o", help="The video to write: .mp4 or .gif.")]
Size = Annotated[int, typer.Option(min=64, max=4096, help="Longest side of the photo in the video, pixels.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes that draw; the result is the same.")]
WhichFace = Annotated[int, typer.Option("--face", min=0, help="Which face of the photo; 0 is the largest.")]


def turntable(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo of one person.")],
    out: Out,
    view: Annotated[
        film.View, typer.Option(help="The photo turned, the 3D head all the way round, or both.")
    ] = (film.View.PHOTO),
    seconds: Annotated[float, typer.Option(min=0.2, max=60, help="Length of the loop.")] = 4.0,
    fps: Annotated[float, typer.Option(min=1, max=60, help="Frames a second.")] = 25.0,
    yaw: Annotated[float, typer.Option(min=0, max=60, help="Largest yaw of the photo, degrees.")] = 25.0,
    pitch: Annotated[float, typer.Option(min=0, max=30, help="Largest nod of the photo, degrees.")] = 4.0,
    size: Size = 720,
    face: WhichFace = 0,
    jobs: Jobs = 1,
    models: Models = None,
    json: Json = False,
) -> None:
    """Turn the head in a photo from side to side, or the 3D head all the way round, in an endless loop."""
    from portrait3d.video.writing import check_ending, write_video

    check_ending(out)
    from portrait3d.video.turntable import turntable_poses

    started = time.perf_counter()
    model, portrait = reconstructed(photo, face, models, quiet=json)
    count = max(2, round(seconds * fps))
    turning = film.Film(poses=turntable_poses(portrait, count, yaw, pitch), view=view, size=size)
    frames = film.draw(model, portrait, turning, jobs=jobs, models=models)
    with write_video(out, fps) as video:
        for frame in shown(frames, count, "Drawing", quiet=json):
            video.add(frame)
    report = {"photo": photo, "file": out, "frames": count, "fps": fps, "view": view.value}
    finish(report | {"seconds": round(time.perf_counter() - started, 2)}, [], quiet=json)


def animate(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo of one person.")],
    driver: Annotated[Path, typer.Argument(metavar="DRIVER", help="A video of one face that moves.")],
    out: Out,
    absolute: Annotated[
        bool,
        typer.Option(
            "--absolute", help="Take the driver's pose and expression themselves, not their change."
        ),
    ] = False,
    is_reported: Annotated[
        bool, typer.Option("--report", help="Measure how steady landmarks are in the result and the driver.")
    ] = False,
    size: Size = 512,
    face: WhichFace = 0,
    jobs: Jobs = 1,
    models: Models = None,
    json: Json = False,
) -> None:
    """Move the head in a photo like the one in a video, whose rate and sound are kept.

    The driver's change against its own most neutral frame is added to the photo's pose and expression.
    Frames without a face are bridged and named.
    """
    from portrait3d.video.reading import open_video
    from portrait3d.video.writing import check_ending, write_video

    check_ending(out)
    info, frames = open_video(driver)
    from portrait3d.video.driving import drive
    from portrait3d.video.smoothing import jitter
    from portrait3d.video.tracking import FaceTracker

    model, portrait = reconstructed(photo, face, models, quiet=json)
    started = time.perf_counter()
    tracker = FaceTracker(model)
    watched = shown(frames, info.expected_frames, "Watching the driver", quiet=json)
    driven = tracker.track(watched, str(driver))
    motion = drive(driven, float(info.rate), portrait, absolute=absolute)
    count = len(motion.poses)
    moving = film.Film(poses=motion.poses, expressions=motion.expressions, size=size)
    drawn = film.draw(model, portrait, moving, jobs=jobs, models=models)
    with write_video(out, info.rate, info) as video:
        for frame in shown(drawn, count, "Drawing", quiet=json):
            video.add(frame)
    seconds = time.perf_counter() - started
    report: dict[str, Any] = {
        "photo": photo,
        "driver": driver,
        "file": out,
        "frames": count,
        "fps": round(float(info.rate), 3),
        "sound": info.audio is not None and out.suffix.lower() != ".gif",
        "neutral_frame": motion.reference,
        "bridged_frames": driven.missing,
        "seconds": round(seconds, 2),
        "frames_per_second": round(count / seconds, 2),
    }
    notes = [bridged(driven.missing)] if driven.missing else []
    if is_reported:
        _, result = open_video(out)
        again = tracker.track(shown(result, count, "Measuring the result", quiet=json), str(out))
        report["jitter_percent"] = {
            "driver": round(jitter(driven.landmarks[driven.known]), 3),
            "result": round(jitter(again.landmarks[again.known]), 3),
        }
        before, after = report["jitter_percent"].values()
        notes.append(f"landmark jitter {after:.3f} % of the face's size, the driver's {before:.3f} %")
    finish(report, notes, quiet=json)


def reconstructed(
    photo: Path, face: int, models: Path | None, *, quiet: bool
) -> tuple["Portrait3D", "Portrait"]:
    """The pipeline and the person in the photo."""
    model = load_model(models, quiet=quiet)
    with working("Reconstructing the head", quiet=quiet):
        return model, model.reconstruct(photo, face)


def shown(
    frames: "Iterable[np.ndarray]", count: int | None, what: str, *, quiet: bool
) -> "Iterator[np.ndarray]":
    """Frames with a progress bar."""
    if quiet or not messages.is_terminal:
        return iter(frames)
    return iter(track(frames, description=what, total=count, console=messages))


def bridged(missing: list[int]) -> str:
    """Which frames of the driver showed no face."""
    named = ", ".join(map(str, missing[:NAMED]))
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"no face in frame {named}{more} of the driver (counted from 0): bridged"


def finish(report: dict[str, Any], notes: list[str], *, quiet: bool) -> None:
    """Say what was written."""
    if quiet:
        print_json(report)
        return
    rate = report["frames"] / report["seconds"]
    say(f"{report['frames']} frames in {report['seconds']:.1f} s ({rate:.1f} a second) -> {report['file']}")
    for note in notes:
        say(note)
