"""Many photos at once: in several processes, resumed after an interruption, with a summary table."""

import csv
import hashlib
import io
import json
import os
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portrait3d.cli.console import describe, json_text, show_warning
from portrait3d.cli.workers import DiedError, work_in_processes
from portrait3d.names import as_text, in_one_line

if TYPE_CHECKING:
    from portrait3d.pipeline import Portrait3D
    from portrait3d.portrait import Portrait

OVERVIEW_YAWS = (-20.0, 20.0)
"""Absolute angles of the turned photos in overview.png, degrees."""
RECORD = "result.json"
"""File in a photo's directory, written last: what it was made from, and what came out."""
SUMMARIES = ("summary.csv", "summary.json")
"""Files beside the photos' directories that tell about all of them."""
PARQUET = "summary.parquet"
"""The same of a batch on a cluster."""
LONGEST = 200
"""Bytes of a directory's name; most file systems take 255."""
DONE, KEPT, FAILED, LEFT = "done", "kept", "failed", "left"
"""What became of a face: reconstructed now, reconstructed by an earlier start, not at all, or left for the
next start because this one was stopped."""
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
    texture: int | None = None
    """Largest side of the texture, pixels; None for the usual one."""
    neutral: bool = False
    """Take the photo's own expression out."""
    visemes: bool = False
    """Give the GLB targets for the visemes of Oculus."""
    bones: bool = False
    """Give the GLB a skeleton."""
    lod: int | None = None
    """Level of detail of the exported head; None for all triangles."""
    dense_targets: bool = False
    """Write every vertex of the GLB in every morph target."""
    texture_format: str = "png"
    """How the GLB's textures are stored."""
    formats: tuple[str, ...] = ()
    """Endings of further mesh files."""
    author: str = "unnamed"
    """Who a VRM names as its author."""
    scale: float = 1.0
    """By how much the exported head is larger."""
    eye_distance: float | None = None
    """Make the exported head so large that its eyes are that far apart, mm."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one face of one photo."""

    photo: Path
    directory: Path
    """Where its files are; for a photo that failed, where they would be."""
    status: str
    face: int = 0
    faces: int = 1
    """How many faces of the photo are reconstructed, this one among them."""
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
    """Pair every photo with its directory: `out/name`, or `out/name-2` if another photo has that name.

    Names of directories are what every file system takes, whatever the photos' are: UTF-8 in one line.
    """
    pairs: list[tuple[Path, Path]] = []
    taken = {out / name for name in (*SUMMARIES, PARQUET)}
    numbers: Counter[str] = Counter()  # a million photos may be called photo.jpg
    for photo in photos:
        stem = name = _directory_name(photo)
        while out / name in taken:
            numbers[stem] += 1
            name = f"{stem}-{numbers[stem] + 1}"
        taken.add(out / name)
        pairs.append((photo, out / name))
    return pairs


def _directory_name(photo: Path) -> str:
    stem = photo.stem if photo.stem.strip(".") else photo.name  # `...jpg` has the stem `..`
    name = in_one_line(stem).replace("\\", "_")
    return name.encode()[:LONGEST].decode(errors="ignore")


def reconstruct_photos(
    photos: Sequence[Path],
    out: Path,
    options: Options,
    *,
    jobs: int = 1,
    left_out: Sequence[Path] = (),
) -> Generator[Result, None, None]:
    """Reconstruct photos into directories of their own below `out`; yields what came of each face at once.

    A photo that was reconstructed before with the same options, and has not changed since, is kept. A photo
    that fails is reported and tried again by the next start. `out/summary.csv` and `out/summary.json` tell
    about all of them, also after an interruption: what it left undone is there as `LEFT`, and `summary.json`
    names what was `left_out`.
    """
    pairs = folders(photos, out)
    results: list[Result] = []
    try:
        waiting = []
        for pair in pairs:
            known = kept(*pair, options)
            results += known
            yield from known
            if not known:
                waiting.append(pair)
        for result in _work(waiting, options, jobs):
            results.append(result)
            yield result
    finally:
        _write_summary(out, with_left(pairs, results), left_out)


def with_left(pairs: Sequence[tuple[Path, Path]], results: Sequence[Result]) -> list[Result]:
    """What came of every photo, in the order of `pairs`, with a `LEFT` for each that is unfinished."""
    found: dict[Path, list[Result]] = {directory: [] for _, directory in pairs}
    for result in results:  # one of several faces has a directory inside the photo's
        found[result.directory if result.directory in found else result.directory.parent].append(result)
    known: list[Result] = []
    for photo, directory in pairs:
        faces = found[directory]
        known += faces
        if len(faces) < min((result.faces for result in faces), default=1):
            known.append(Result(photo, directory, LEFT, len(faces)))
    return known


def reconstruct_one(
    model: "Portrait3D", photo: Path, directory: Path, options: Options, *, record: bool = False
) -> Generator[Result, None, None]:
    """Reconstruct one photo; yields each face when its files are written. Every error becomes a result."""
    from portrait3d.preprocessing.detection import choose_face

    blank = Result(photo, directory, FAILED, options.face or 0)
    try:
        decoded, detections = model.find_faces(photo)
        if options.face is None:
            chosen = list(enumerate(detections))
        else:
            chosen = [(options.face, choose_face(detections, options.face, decoded.name))]
    except Exception as error:  # one bad photo must not stop the rest; describe tells errors from bugs
        yield replace(blank, error=describe(error))
        return
    results: list[Result] = []
    for face, detection in chosen:
        place = directory / f"face-{face}" if options.face is None else directory
        result = replace(blank, directory=place, face=face, faces=len(chosen))
        started = time.perf_counter()
        try:
            known = _save(model, model.reconstruct_face(decoded, detection), place, options)
            result = replace(result, status=DONE, portrait=known)
        except Exception as error:
            result = replace(result, error=describe(error))
        results.append(replace(result, seconds=round(time.perf_counter() - started, 2)))
        yield results[-1]
    if record and all(result.status == DONE for result in results):
        try:
            _write_record(photo, directory, options, results)
        except OSError as error:
            yield replace(blank, error=describe(error))


def reconstruct_together(
    model: "Portrait3D", photos: Sequence[Path], directory: Path, options: Options, *, check: bool
) -> Generator[Result, None, None]:
    """Reconstruct one head from several photos of a person into a directory; an error becomes the result.

    The result is named by the photo in whose frame the head stands, or by the first one if there is none.
    """
    started = time.perf_counter()
    try:
        portrait = model.reconstruct_person(list(photos), check=check)
        known = _save(model, portrait, directory, options)
    except Exception as error:  # as in reconstruct_one
        yield Result(photos[0], directory, FAILED, error=describe(error))
        return
    seconds = round(time.perf_counter() - started, 2)
    yield Result(Path(portrait.photo.name), directory, DONE, portrait=known, seconds=seconds)


def _save(model: "Portrait3D", portrait: "Portrait", place: Path, options: Options) -> dict[str, Any]:
    """Write the files of one face; returns its summary with their paths."""
    from portrait3d.export import save_reconstruction
    from portrait3d.export.rig import eye_distance

    turned = {yaw: model.repose(portrait, yaw=yaw) for yaw in OVERVIEW_YAWS}
    if options.texture is not None:
        head = portrait.build_head(delight=options.delight, texture=options.texture)
        portrait = portrait.with_head(head)
    elif options.delight:
        portrait = portrait.with_head(model.head_without_light(portrait))
    if options.neutral:
        portrait = portrait.with_head(portrait.head.neutral())
    if options.front_only:
        portrait = portrait.with_head(portrait.head.front_only())
    if options.lod is not None:
        portrait = portrait.with_head(portrait.head.simplified(options.lod))
    scale = options.scale
    if options.eye_distance is not None:
        scale = options.eye_distance / eye_distance(portrait.head)
    files = save_reconstruction(
        portrait,
        place,
        turned,
        options.formats,
        lit=options.delight,
        visemes=options.visemes,
        bones=options.bones,
        dense_targets=options.dense_targets,
        texture_format=options.texture_format,
        author=options.author,
        scale=scale,
    )
    return {**summary(portrait), "files": files}


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


def _work(pairs: list[tuple[Path, Path]], options: Options, jobs: int) -> Iterator[Result]:
    """Reconstruct photos in this process or in several; yields the results as they come."""
    jobs = min(jobs, len(pairs))
    if jobs == 0:
        return
    if jobs == 1:
        _start(options, None)
        for pair in pairs:
            yield from _work_on(*pair, options)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    tasks = [(*pair, options) for pair in pairs]
    for number, result in work_in_processes(tasks, jobs, partial(_start, options, threads), _work_on):
        if isinstance(result, DiedError):
            photo, directory = pairs[number]
            reason = in_one_line(f"{photo}: {result}, perhaps for lack of memory; try fewer --jobs.")
            result = Result(photo, directory, FAILED, options.face or 0, error=reason)
        yield result


_model: "Portrait3D | None" = None
"""The pipeline of this process."""


def _start(options: Options, threads: int | None) -> None:
    """Load the networks into this process."""
    global _model
    if threads is not None:  # in a process of its own
        warnings.showwarning = show_warning
    import torch

    from portrait3d.pipeline import Portrait3D

    if threads is not None:
        torch.set_num_threads(threads)
    _model = Portrait3D.from_pretrained(options.models)


def _work_on(photo: Path, directory: Path, options: Options) -> Iterator[Result]:
    assert _model is not None
    return reconstruct_one(_model, photo, directory, options, record=True)


def kept(photo: Path, directory: Path, options: Options) -> list[Result]:
    """The results of an earlier start, if they are all there and would come out the same now; or none."""
    results = recorded(photo, directory, options)
    return results if all(file.is_file() for file in files_of(results)) else []


def files_of(results: Sequence[Result]) -> list[Path]:
    """The files that results say they are in."""
    return [file for result in results for file in (result.portrait or {})["files"]]


def recorded(photo: Path, directory: Path, options: Options) -> list[Result]:
    """What the record in a directory says of a photo, if it would come out the same now; or nothing."""
    try:
        known = json.loads((directory / RECORD).read_bytes())
        if known["made_from"] != _made_from(photo, options):
            return []
        entries = known["results"]
        return [_kept_result(photo, directory, entry, len(entries)) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _kept_result(photo: Path, directory: Path, entry: dict[str, Any], faces: int) -> Result:
    portrait = entry["portrait"]
    portrait = {**portrait, "files": [directory / file for file in portrait["files"]]}
    return Result(photo, directory / entry["place"], KEPT, entry["face"], faces, portrait)


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
    text = json.dumps({"made_from": _made_from(photo, options), "results": entries}, indent=1)
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
    statuses = (DONE, KEPT, FAILED, LEFT)
    counts = {status: sum(result.status == status for result in results) for status in statuses}
    text = json_text({**counts, "left_out": left_out, "portraits": rows}, indent=1)
    contents = as_text(table.getvalue()), text
    write_together({out / name: content.encode() for name, content in zip(SUMMARIES, contents, strict=True)})
