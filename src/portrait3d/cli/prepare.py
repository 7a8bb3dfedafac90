"""`prepare photos|pairs|parsing|labels`: data for training from files of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from portrait3d.cli.console import (
    EXPECTED,
    FAILURE,
    Json,
    Models,
    describe,
    print_json,
    report_failure,
    say,
    working,
)

prepare = typer.Typer(no_args_is_help=True, help="Make training data from files of your own.")


@prepare.command()
def photos(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders of photos; those in a sub-folder are one person's."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Root of training data; photos go to its portraits/.")
    ],
    models: Models = None,
    validation: Annotated[
        int, typer.Option(min=0, help="Keep about every Nth person, by name, for validation; 0: none.")
    ] = 20,
    licence: Annotated[str, typer.Option(help="Licence of the photos, noted in the index.")] = "unknown",
    teacher: Annotated[
        Path | None,
        typer.Option(help="Python file whose teach(portrait) returns labels of your own; it is run."),
    ] = None,
    json: Json = False,
) -> None:
    """Label plain photos by the networks, so that every `train` command takes them as its --data.

    Face and points come from the face network, parsing and maps of hair and figure from the parsing network,
    the largest face of each photo counts. Photos that are there already are not read again; those that fail
    are reported, and the exit code is then 1.
    """
    from portrait3d.data.photos.clips import gather
    from portrait3d.data.photos.preparation import find_photos, is_labelled, prepare_photo
    from portrait3d.data.photos.teacher import load_teacher
    from portrait3d.pipeline import Portrait3D

    folder = out / "portraits"
    if (folder / "index.csv").is_file() and not (folder / "parts").is_dir():
        raise ValueError(f"{folder} holds photos that this command has not labelled; choose another --out.")
    found = list(find_photos(directories))
    taught = None if teacher is None else load_teacher(teacher)
    model = Portrait3D.from_pretrained(models)
    failures = []
    for photo, name, person in found:
        if is_labelled(name, folder):
            continue
        try:
            with working(f"Labelling {photo.name}", quiet=json):
                prepare_photo(model, photo, name, person, folder, licence, taught)
        except EXPECTED as error:
            report_failure(error)
            failures.append({"photo": str(photo), "error": describe(error)})
    count, _ = gather(folder, validation)
    if json:
        print_json({"directory": folder, "photos": count, "failures": failures})
    else:
        say(f"{folder}: {count} photos")
    if failures:
        raise typer.Exit(FAILURE)


@prepare.command()
def pairs(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Films of one moving head each.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Root of training data; frames go to its clips/.")],
    models: Models = None,
    frames: Annotated[int, typer.Option(min=2, help="Most frames of a video.")] = 40,
    validation: Annotated[
        int, typer.Option(min=0, help="Keep about every Nth video, by its name, for validation; 0: none.")
    ] = 20,
    licence: Annotated[str, typer.Option(help="Licence of the videos, noted in the index.")] = "unknown",
    json: Json = False,
) -> None:
    """Turn videos of moving heads into training pairs: the same person in two poses, with one expression.

    The result is read by `train depth --data OUT`. Labels come from the networks: landmarks from the face
    network, parsing from the parsing network. Videos that are there already are not read again. Each video
    counts as one person. Videos that fail are reported, and the exit code is then 1.
    """
    from portrait3d.data.photos.clips import PairRules, gather
    from portrait3d.pipeline import Portrait3D
    from portrait3d.video.clips import clip_name, is_prepared, prepare_clip

    rules = PairRules(most_frames=frames)
    names = [clip_name(video) for video in videos]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Videos need different names, got several called {', '.join(repeated)}.")
    folder = out / "clips"
    if (folder / "index.csv").is_file() and not (folder / "parts").is_dir():
        raise ValueError(f"{folder} holds clips that this command has not made; choose another --out.")
    model = Portrait3D.from_pretrained(models)
    done, failures = [], []
    for video in videos:
        try:
            if is_prepared(video, folder):
                continue
            with working(f"Reading {video.name}", quiet=json):
                done.append(prepare_clip(model, video, folder, rules, licence))
        except EXPECTED as error:
            report_failure(error)
            failures.append({"video": str(video), "error": describe(error)})
            continue
        if not json:
            clip = done[-1]
            say(f"{clip.name}: {clip.frames} frames, {clip.pairs} pairs")
    counts = gather(folder, validation)
    if json:
        clips = [{"clip": clip.name, "frames": clip.frames, "pairs": clip.pairs} for clip in done]
        print_json({"clips": clips, "frames": counts[0], "pairs": counts[1], "failures": failures})
    else:
        say(f"{folder}: {counts[0]} frames, {counts[1]} pairs in all")
    if failures:
        raise typer.Exit(FAILURE)


@prepare.command()
def parsing(
    data: Annotated[Path, typer.Option(help="Root of photos with figure maps, for backgrounds.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Root of training data; gets drawn/.")],
    avatars: Annotated[
        Path | None, typer.Option(help="Directory of artist-made heads; without it there are none.")
    ] = None,
    hairstyles: Annotated[
        Path | None, typer.Option(help="File of hairstyles that tools/bind_hairstyles.py writes.")
    ] = None,
    avatar_views: Annotated[int, typer.Option(min=0, help="Training pictures of artist-made heads.")] = 1800,
    synthetic_views: Annotated[int, typer.Option(min=0, help="Training pictures of synthetic heads.")] = 1400,
    hairstyle_views: Annotated[
        int, typer.Option(min=0, help="Training pictures of synthetic heads that wear hairstyles.")
    ] = 500,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    json: Json = False,
) -> None:
    """Draw people whose every pixel has an exact label, for training and measuring parsing.

    The result is read by `train parsing --set drawn=OUT` and `evaluate parsing --drawn OUT`. Pictures that
    are there already are kept.
    """
    from portrait3d.data.parsing.preparation import prepare_parsing

    folders = []
    with working("Drawing people", quiet=json):
        for folder in prepare_parsing(
            data,
            out,
            avatars=avatars,
            hairstyles=hairstyles,
            avatar_views=avatar_views,
            synthetic_views=synthetic_views,
            hairstyle_views=hairstyle_views,
            seed=seed,
        ):
            folders.append(folder)
            if not json:
                say(folder)
    if json:
        print_json({"folders": folders})


@prepare.command()
def labels(
    data: Annotated[Path, typer.Option(help="Root of photos with hair and figure maps.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Root of the label sets.")],
    models: Annotated[
        Path | None,
        typer.Option(help="Parsing networks to agree with: a directory with parsing/. Without: maps alone."),
    ] = None,
    json: Json = False,
) -> None:
    """Write which classes every pixel of the training photos may show: a round of self-training.

    Maps and mesh points leave several possible; where all networks are sure of one of these, it alone is
    left. The result is read by `train parsing --set labels=OUT`. Files that are there already are kept.
    """
    from portrait3d.data.parsing.rounds import prepare_labels
    from portrait3d.models.head_parsing import ParsingExperts

    experts = None if models is None else ParsingExperts.load(models / "parsing")
    with working("Labelling photos", quiet=json):
        count = sum(1 for _ in prepare_labels(data, out, experts))
    if json:
        print_json({"directory": out, "photos": count})
    else:
        say(f"{out}: {count} photos")


@prepare.command()
def shards(
    data: Annotated[Path, typer.Option(help="Root of labelled folders.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder or URL (s3://...) that gets the shards.")],
    folders: Annotated[
        list[str] | None,
        typer.Option("--folder", help="A folder to pack; may be repeated. Default: of real people."),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Size of a tar file, about, MB.")] = 256,
    json: Json = False,
) -> None:
    """Pack labelled photos into a few tar files, which every --data takes in the place of the folders.

    Trainings and evaluations that read labels get the same from either. A place that holds shards already is
    refused.
    """
    from portrait3d.data.photos.labelled import real_photo_folders
    from portrait3d.data.photos.shards import pack

    chosen = folders or real_photo_folders(data)
    with working("Packing", quiet=json):
        count = sum(1 for _ in pack(data, out, chosen, size * 1_000_000))
    if json:
        print_json({"shards": out, "tars": count, "folders": chosen})
    else:
        say(f"{out}: {count} tar files of {', '.join(chosen)}")
