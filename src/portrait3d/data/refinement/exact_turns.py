"""Turns of which the exact picture is known: drawn people, reconstructed by our own networks and turned."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from portrait3d.data.people.avatars import HELD_OUT, read_avatars
from portrait3d.data.photos.labelled import real_photos
from portrait3d.data.photos.people_free import PeopleFreeBackgrounds
from portrait3d.data.refinement.head_turns import same_turn
from portrait3d.data.refinement.stored_turns import StoredTurn
from portrait3d.data.refinement.turn_scenes import SIDE, TurningAvatars, TurningHeads, TurnScene, draw_target
from portrait3d.data.synthetic import STYLES_TRAIN
from portrait3d.errors import NoFaceError, PoorFitWarning
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.models.fit_quality import LEAST_QUALITY
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import HEAD_SIZE
from portrait3d.reposing import Reposer

logger = logging.getLogger(__name__)


@runtime_checkable
class Scenes(Protocol):
    """An endless list of people who turn their heads."""

    @property
    def source(self) -> str:
        """What names of files begin with."""
        ...

    def scene(self, index: int) -> TurnScene:
        """The scene with this number."""
        ...


def turning_people(data: Path, avatars: Path | None, seed: int = 0, size: int = HEAD_SIZE) -> list[Scenes]:
    """Synthetic people and, from a directory, artist-made heads but `HELD_OUT`, before photographed walls.

    The walls are those of the training photos below `data` (`data.photos.people_free`). Pictures have the
    pixels that a head crop of `size` pixels needs.
    """
    backgrounds = PeopleFreeBackgrounds(real_photos(data, "train"), seed).draw
    side = SIDE * size // HEAD_SIZE
    scenes: list[Scenes] = [TurningHeads(10 * seed + 7, STYLES_TRAIN, backgrounds, side)]
    if avatars is not None:
        learned = [avatar for avatar in read_avatars(avatars) if avatar.name not in HELD_OUT]
        scenes.append(TurningAvatars(10 * seed + 8, learned, backgrounds, side))
    return scenes


@torch.inference_mode()
def prepare_exact_turns(
    model: Portrait3D, scenes: Scenes, directory: Path, *, people: int, turns: int = 3, size: int = HEAD_SIZE
) -> int:
    """Turn the first `people` of a list, each to `turns` poses, as `NAME-k.npz`; returns how many there are.

    They are stored as head crops of `size` pixels, which the names of other sizes than `HEAD_SIZE` end with.

    People whose turns are there already are passed over, so that an interrupted preparation can go on; those
    whose face is not found or fitted badly are left out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ending = ".npz" if size == HEAD_SIZE else f"_{size}.npz"
    for index in range(people):
        if (directory / f"{scenes.source}_{index:05d}-{turns - 1}{ending}").is_file():
            continue
        scene = scenes.scene(index)
        portrait = well_fitted(model, scene)
        if portrait is None:
            logger.info("%s is left out: its face is not found or fitted badly.", scene.name)
            continue
        for k, turn in enumerate(exact_turns(model, portrait, scene, turns, size)):
            turn.save(directory / f"{scene.name}-{k}{ending}")
    return len(list(directory.glob(f"{scenes.source}_*.npz")))


def well_fitted(model: Portrait3D, scene: TurnScene) -> Portrait | None:
    """What the networks make of a scene's picture; None if there is no face or a poor fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorFitWarning)
        try:
            portrait = model.reconstruct(scene.picture)
        except NoFaceError:
            return None
    return portrait if portrait.quality >= LEAST_QUALITY else None


def exact_turns(
    model: Portrait3D, portrait: Portrait, scene: TurnScene, turns: int, size: int = HEAD_SIZE
) -> Iterator[StoredTurn]:
    """Turn a portrait to random poses, with the pictures that the scene really has there.

    Both turn by the same motion about the same pivot, that of the reconstruction: what differs is what the
    network has to mend.
    """
    reposer, pivot = Reposer(portrait, model.head_model, size), seen_pivot(portrait)
    random = np.random.default_rng([*scene.name.encode()])
    for _ in range(turns):
        target = draw_target(scene.source, random)
        found = same_turn(portrait.camera_from_model.rotation, scene.source, target)
        turn = reposer.coarse_turn(found, guided=True)
        truth = scene.turned(target, pivot)
        inside = reposer.crop.extract_labels(np.ones(truth.shape[:2], np.uint8))
        wanted = reposer.crop.extract(truth)
        yield StoredTurn.of(turn, reposer.photo_crop, wanted, torch.from_numpy(inside)[None].float())


def seen_pivot(portrait: Portrait) -> np.ndarray:
    """The photo's pixel at which a reconstruction has the neck's pivot, [2]."""
    pivot = portrait.camera_from_model.apply(torch.from_numpy(HEAD_PIVOT).float()[None])
    return portrait.camera.project(pivot)[0].numpy()
