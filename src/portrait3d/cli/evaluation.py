"""`evaluate face|parsing|portraits`: numbers and pictures on labelled photos."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.progress import track

from portrait3d.cli.console import (
    EXPECTED,
    FAILURE,
    Json,
    Models,
    describe,
    messages,
    print_json,
    print_table,
    report_failure,
    say,
    working,
)
from portrait3d.names import url_of

if TYPE_CHECKING:
    from portrait3d.pipeline import Portrait3D
    from portrait3d.portrait import Portrait

evaluate = typer.Typer(no_args_is_help=True, help="Measure the networks on labelled photos.")

Data = Annotated[Path, typer.Option(help="Root of the labelled photos; their validation split is used.")]
ROWS = 10
"""Photos on one contact sheet of portraits."""
Limit = Annotated[int | None, typer.Option(min=1, help="Take only so many photos, spread over all.")]

FACE_TABLES = {
    "folders": "How far are landmarks (NME, percent), shape (mm) and rotation (degrees) from the labels?",
    "groups": "Is that the same for everybody? (NME, percent; shape, mm)",
    "ratios": "Worst over best group of ten photos and more (NME)",
    "clips": "Is the rotation between two frames of a clip right? (degrees)",
    "jitter": "Do landmarks tremble over consecutive frames? (percent of face size)",
    "identity": "Do identity coefficients tell people apart? (area under the ROC curve)",
    "colours": "Has the rendered face the photo's colours? (0 to 255, on skin)",
    "synthetic": "Pose (degrees) and visible face (mm) of synthetic people, exact truth",
    "avatars": "Pose (degrees) and visible face (mm) of artist-made heads that no training saw, exact truth",
}
"""What each table of the face's report answers."""


@evaluate.command()
def face(
    data: Data,
    models: Models = None,
    limit: Limit = None,
    synthetic: Annotated[int, typer.Option(min=0, help="Number of synthetic people with known truth.")] = 200,
    avatars: Annotated[
        int, typer.Option(min=0, help="Number of pictures of artist-made heads, where DATA has avatars/.")
    ] = 100,
    cache: Annotated[
        Path | None, typer.Option(help="Directory that keeps the drawn people for the next time.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write best, middling and worst photos here, the worst 20 beside it (NAME-worst)."),
    ] = None,
    json: Json = False,
) -> None:
    """Landmarks, shape, pose, colours and identity: one table for each question.

    Labels are a landmark network's, shapes and rotations on photos are compared with offline fits to them;
    synthetic people and artist-made heads have exact truth. Each figure stands beside that of the mean face.
    """
    require_directory(data)
    from portrait3d.evaluation.face.report import evaluate_face
    from portrait3d.models.face_net import FaceNet
    from portrait3d.pretrained import load_network

    net = load_network(FaceNet, weights(models, "face"))
    with working("Finding faces", quiet=json):
        report = evaluate_face(
            net,
            data,
            limit=limit,
            synthetic=synthetic,
            avatars=avatars,
            cache=cache,
            sheet=sheet,
        )
    show_tables(FACE_TABLES, asdict(report), json=json)


@evaluate.command()
def portraits(
    data: Annotated[
        Path, typer.Option(help="Folder of photos, or root of labelled photos (their validation split).")
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="The contact sheet to write, .png or .jpg.")],
    models: Models = None,
    limit: Limit = 40,
    turns: Annotated[
        bool, typer.Option("--turns", help="Show the photo turned by -30 to 30 degrees and nodding instead.")
    ] = False,
    cell: Annotated[int, typer.Option(min=32, max=1024, help="Pixels of a panel's side.")] = 200,
    json: Json = False,
) -> None:
    """Contact sheets: photo, landmarks, parsing, the head from three sides, the photo turned both ways.

    Several sheets are numbered: `-o sheet.png` writes sheet-1.png, sheet-2.png and so on. Photos that fail
    are reported, and the exit code is then 1.
    """
    photos = photos_to_show(data, limit)
    from portrait3d.cli.portraits import load_model
    from portrait3d.export.images import save_image
    from portrait3d.export.portrait_rows import portrait_row, portrait_sheets, turn_row

    model = load_model(models, quiet=json)
    failures: list[dict[str, str]] = []
    shown = (
        (turn_row if turns else portrait_row)(model, portrait, photo.stem)
        for photo, portrait in reconstructed(model, photos, failures, quiet=json)
    )
    files = []
    for number, sheet in enumerate(portrait_sheets(shown, ROWS, cell), start=1):
        path = out if len(photos) <= ROWS else out.with_stem(f"{out.stem}-{number}")
        files.append(save_image(sheet, path))
        if not json:
            say(path)
    if json:
        print_json({"photos": len(photos), "sheets": files, "failures": failures})
    if failures:
        raise typer.Exit(FAILURE)


def photos_to_show(data: Path, limit: int | None) -> list[Path]:
    """What contact sheets show: `photo_paths`, so many of them, and at least one."""
    from portrait3d.data.photos.labelled import evenly

    require_directory(data)
    photos = evenly(list(photo_paths(data)), limit)
    if not photos:
        raise FileNotFoundError(f"{data} holds no photos.")
    return photos


def reconstructed(
    model: "Portrait3D", photos: Sequence[Path], failures: list[dict[str, str]], *, quiet: bool
) -> Iterator[tuple[Path, "Portrait"]]:
    """Every photo's portrait; those that fail are reported and added to `failures`."""
    for photo in (
        photos if quiet or not messages.is_terminal else track(photos, "Portraits", console=messages)
    ):
        try:
            portrait = model.reconstruct(photo)
        except EXPECTED as error:
            report_failure(error)
            failures.append({"photo": str(photo), "error": describe(error)})
        else:
            yield photo, portrait


def photo_paths(data: Path) -> Iterator[Path]:
    """A photo of everybody in a labelled root's validation split, or all pictures in a plain folder."""
    from portrait3d.data.photos.labelled import OPEN_FOLDERS, PhotoFolder

    if any((data / name / "index.csv").is_file() for name in OPEN_FOLDERS):
        shown: set[str] = set()
        for photo in PhotoFolder(data, split="val"):
            if photo.person not in shown:
                shown.add(photo.person)
                yield data / photo.folder / "images" / f"{photo.name}.jpg"
        return
    from portrait3d.preprocessing.formats import looks_like_picture

    yield from sorted(filter(looks_like_picture, data.iterdir()))


def require_directory(data: Path) -> None:
    """Fail in one line before anything slow is imported."""
    if not (data.is_dir() or url_of(data)):
        raise FileNotFoundError(f"{data} is no directory; --data needs a folder of photos.")


def weights(models: Path | None, name: str) -> Path:
    """Directory of a network's weights: the user's own, or the bundled ones."""
    from portrait3d.pretrained import bundled

    return bundled(name) if models is None else models / name


def show(title: str, records: Iterable[dict[str, Any]], *, json: bool) -> None:
    """Print records as a table or as JSON."""
    rows = list(records)
    if json:
        print_json({"rows": [{key: finite(value) for key, value in row.items()} for row in rows]})
        return
    columns = list(rows[0])
    print_table(title, columns, [[cell(row[column]) for column in columns] for row in rows])


def show_tables(titles: dict[str, str], tables: dict[str, list[dict[str, Any]]], *, json: bool) -> None:
    """Print several tables of records, without the empty ones, or all of them as one JSON document."""
    if json:
        print_json(
            {
                name: [{key: finite(value) for key, value in row.items()} for row in rows]
                for name, rows in tables.items()
            }
        )
        return
    for name, rows in tables.items():
        if rows:
            words = [{key.replace("_", " "): value for key, value in row.items()} for row in rows]
            show(titles[name], words, json=False)


def finite(value: Any) -> Any:
    """JSON knows no NaN: what could not be measured is null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def cell(value: Any) -> str:
    """A number as a table shows it."""
    if isinstance(value, float):
        return f"{value:.3f}" if np.isfinite(value) else "-"
    return str(value)
