"""Many photos at once: in several processes, resumed after an interruption, with a summary table."""

import csv
import hashlib
import io
import json
import os
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portrait3d.cli.console import as_json, describe, show_warning

if TYPE_CHECKING:
    from portrait3d.pipeline import Portrait3D
    from portrait3d.portrait import Portrait

OVERVIEW_YAWS = (-20.0, 20.0)
"""Absolute angles of the turned photos in overview.png, degrees."""
RECORD = "result.json"
"""File in a photo's directory, written last: what it was made from, and what came out."""
DONE, KEPT, FAILED = "done", "kept", "failed"
"""What became of a photo: reconstructed now, reconstructed by an earlier start, or not at all."""
COLUMNS: tuple[str, ...] = (
    "photo",
    "status",
    "face",
    "quality",
    "yaw",
    "pitch",
    "roll",
    "seconds",
    "directory",
    "error",
)


@dataclass(frozen=True, slots=True)
class Options:
    """How photos are reconstructed; a result made with other options is made anew."""

    face: int | None = 0
    """Which face, counted from the largest; None for all."""
    models: Path | None = None
    """Directory with weights of one's own."""
    front_only: bool = False
    """Keep only what the photo shows, without the completed sides and back."""
    delight: bool = False
    """Take the photo's light out of the skin, for scenes with a light of their own."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one face of one photo."""

    photo: Path
    directory: Path
    """Where its files are; for a photo that failed, where they would be."""
    status: str
    face: int = 0
    portrait: dict[str, Any] | None = None
    """A summary of the portrait for programs: pose, quality, files ..."""
    seconds: float = 0.0
    error: str | None = None

    @property
    def row(self) -> dict[str, Any]:
        """The result as a row of the summary table."""
        known = self.portrait or {}
        flat = {**known, **known.get("pose", {}), **asdict(self)}
        return {name: "" if flat.get(name) is None else flat[name] for name in COLUMNS}


def photos_among(arguments: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The photos that were named, and what was left out of directories.

    A directory stands for everything in it that looks like a picture, whether it can be read or not, in the
    order of the names. Other files and directories in it are left out.
    """
    from portrait3d.preprocessing.formats import looks_like_picture

    photos: list[Path] = []
    left_out: list[Path] = []
    for argument in arguments:
        if not argument.is_dir():
            photos.append(argument)
            continue
        inside = sorted(argument.iterdir())
        found = [path for path in inside if looks_like_picture(path)]
        if not found:
            raise FileNotFoundError(f"{argument} holds no picture.")
        photos += found
        left_out += [path for path in inside if path not in set(found)]
    return photos, left_out


def folders(photos: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair every photo with its directory: `out/name`, or `out/name-2` if another photo has that name."""
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


def reconstruct_photos(
    photos: Sequence[Path],
    out: Path,
    options: Options,
    *,
    jobs: int = 1,
    left_out: Sequence[Path] = (),
) -> Iterator[list[Result]]:
    """Reconstruct photos into directories of their own below `out`; yields what came of each, as it comes.

    A photo that was reconstructed before with the same options, and has not changed since, is kept. A photo
    that fails is reported and tried again by the next start. `out/summary.csv` and `out/summary.json` tell
    about all of them, also after an interruption, and `summary.json` names what was `left_out`.
    """
    pairs = folders(photos, out)
    results: dict[Path, list[Result]] = {}
    try:
        waiting = []
        for photo, directory in pairs:
            kept = _kept(photo, directory, options)
            if kept is None:
                waiting.append((photo, directory))
                continue
            results[directory] = kept
            yield kept
        for directory, done in _work(waiting, options, jobs):
            results[directory] = done
            yield done
    finally:
        _write_summary(
            out, [result for _, directory in pairs for result in results.get(directory, [])], left_out
        )


def reconstruct_one(
    model: "Portrait3D", photo: Path, directory: Path, options: Options, *, record: bool = False
) -> list[Result]:
    """Reconstruct one photo and write its files; every error becomes a result."""
    from portrait3d.export import save_reconstruction

    started = time.perf_counter()
    results: list[Result] = []
    try:
        if options.face is None:
            portraits = list(enumerate(model.reconstruct_all(photo)))
        else:
            portraits = [(options.face, model.reconstruct(photo, options.face))]
        for number, portrait in portraits:
            place = directory if options.face is not None else directory / f"face-{number}"
            turned = {yaw: model.repose(portrait, yaw=yaw) for yaw in OVERVIEW_YAWS}
            if options.delight:
                portrait = replace(portrait, head=model.head_without_light(portrait))
            if options.front_only:
                portrait = replace(portrait, head=portrait.head.front_only())
            files = save_reconstruction(portrait, place, turned, lit=options.delight)
            seconds, started = time.perf_counter() - started, time.perf_counter()
            known = {**summary(portrait), "files": files}
            results.append(Result(photo, place, DONE, number, known, round(seconds, 2)))
        if record:
            _write_record(photo, directory, options, results)
    except Exception as error:  # one bad photo must not stop the rest; describe tells errors from bugs
        seconds = round(time.perf_counter() - started, 2)
        return [Result(photo, directory, FAILED, options.face or 0, None, seconds, describe(error))]
    return results


def summary(portrait: "Portrait") -> dict[str, Any]:
    """What a program may want to know about a portrait at once."""
    pose = portrait.pose
    return {
        "pose": {"yaw": round(pose.yaw, 2), "pitch": round(pose.pitch, 2), "roll": round(pose.roll, 2)},
        "quality": round(portrait.quality, 3),
        "detection_score": round(float(portrait.detection.score), 4),
        "vertices": len(portrait.head.vertices),
        "faces": len(portrait.head.faces),
    }


def _work(pairs: list[tuple[Path, Path]], options: Options, jobs: int) -> Iterator[tuple[Path, list[Result]]]:
    """Reconstruct photos in this process or in several; yields each one's directory and results."""
    jobs = min(jobs, len(pairs))
    if jobs == 0:
        return
    if jobs == 1:
        _start(options, None)
        for photo, directory in pairs:
            yield directory, _work_on(photo, directory, options)
        return
    with _pool(options, jobs) as pool:
        futures = {pool.submit(_work_on, *pair, options): pair for pair in pairs}
        for future in as_completed(futures):
            photo, directory = futures[future]
            try:
                yield directory, future.result()
            except BrokenProcessPool:
                # Which photos were in work at that moment is not known: all that are left count as failed.
                reason = f"{photo}: a process died, perhaps for lack of memory; try fewer --jobs."
                yield directory, [Result(photo, directory, FAILED, options.face or 0, error=reason)]


@contextmanager
def _pool(options: Options, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that share the machine's cores; unfinished work is dropped when the caller stops early."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # A forked process would inherit torch's and numba's threads in whatever state they are.
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_start, initargs=(options, threads)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_model: "Portrait3D | None" = None
"""The pipeline of this process."""


def _start(options: Options, threads: int | None) -> None:
    """Load the networks into this process."""
    global _model
    if threads is not None:  # a process of the pool: its parent decides when to stop
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        warnings.showwarning = show_warning
    import torch

    from portrait3d.pipeline import Portrait3D

    if threads is not None:
        torch.set_num_threads(threads)
    _model = Portrait3D.from_pretrained(options.models)


def _work_on(photo: Path, directory: Path, options: Options) -> list[Result]:
    assert _model is not None
    return reconstruct_one(_model, photo, directory, options, record=True)


def _kept(photo: Path, directory: Path, options: Options) -> list[Result] | None:
    """The results of an earlier start, if they are all there and would come out the same now."""
    try:
        known = json.loads((directory / RECORD).read_bytes())
        if known["made_from"] != _made_from(photo, options):
            return None
        results = [_kept_result(photo, directory, entry) for entry in known["results"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    files = [file for result in results for file in (result.portrait or {})["files"]]
    return results if results and all(file.is_file() for file in files) else None


def _kept_result(photo: Path, directory: Path, entry: dict[str, Any]) -> Result:
    portrait = entry["portrait"]
    portrait = {**portrait, "files": [directory / file for file in portrait["files"]]}
    return Result(photo, directory / entry["place"], KEPT, entry["face"], portrait)


def _write_record(photo: Path, directory: Path, options: Options, results: list[Result]) -> None:
    from portrait3d.export.files import write_together

    entries = [
        {
            "place": str(result.directory.relative_to(directory)),
            "face": result.face,
            "portrait": {
                **(result.portrait or {}),
                "files": [str(file.relative_to(directory)) for file in (result.portrait or {})["files"]],
            },
        }
        for result in results
    ]
    text = json.dumps(
        {"made_from": _made_from(photo, options), "results": entries}, default=as_json, indent=1
    )
    write_together({directory / RECORD: text.encode()})


def _made_from(photo: Path, options: Options) -> dict[str, Any]:
    """Everything that decides what comes out, as JSON gives it back."""
    from portrait3d import __version__

    with photo.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    chosen = {name: None if value is None else str(value) for name, value in asdict(options).items()}
    return {"sha256": digest, "version": __version__, **chosen}


def _write_summary(out: Path, results: Sequence[Result], left_out: Sequence[Path]) -> None:
    from portrait3d.export.files import write_together

    if not results:
        return
    rows = [result.row for result in results]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    counts = {status: sum(result.status == status for result in results) for status in (DONE, KEPT, FAILED)}
    text = json.dumps({**counts, "left_out": left_out, "portraits": rows}, default=as_json, indent=1)
    write_together({out / "summary.csv": table.getvalue().encode(), out / "summary.json": text.encode()})
