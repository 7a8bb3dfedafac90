"""Artist-made people photographed before and after they turn their heads, and their turned photos beside."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.data.people.avatar_fits import fit_avatar
from portrait3d.data.people.avatars import Avatar, AvatarView, draw_avatar
from portrait3d.data.refinement.head_turns import (
    lagging_points,
    model_pose,
    same_turn,
    turned_avatar,
    turned_pose,
)
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.data.synthetic.drawing import Drawing
from portrait3d.data.synthetic.earrings import Earring, hang_on
from portrait3d.data.synthetic.glasses import Glasses, put_on
from portrait3d.data.synthetic.light import draw_light
from portrait3d.errors import InvalidImageError
from portrait3d.evaluation.heads.truth import FOCAL, PHOTO_DISTANCE, PRINCIPAL_ROW, SIZE
from portrait3d.evaluation.refinement.turns import read_landmarks
from portrait3d.evaluation.surfaces import turned
from portrait3d.geometry import Camera, Pose
from portrait3d.geometry.pictures import as_bytes
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import HEAD, ParsingClass
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.image import decode_photo
from portrait3d.reposing import CoarseTurn, Reposer
from portrait3d.reposing.guide import PLATE
from portrait3d.reposing.motion import Turn

CHANGES = (-30.0, -15.0, 15.0, 30.0)
"""Of yaw, degrees."""
FRONTAL = HeadAngles(0.0, 0.0, 0.0)
"""Where the photo shows the head looking, and the shoulders in all views."""
REFINED, COARSE, PREVIOUS, OTHER, UNTURNED, REAL = (
    "refined",
    "not refined",
    "previous weights",
    "another method",
    "not turned",
    "the real view",
)
"""The pictures that are compared."""
SEEN = 8 / 255
"""By how much what is worn changes a pixel where it is seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Sitting:
    """An avatar before one camera, one background and in one light, which stays while it turns its head."""

    avatar: Avatar
    camera: Camera
    camera_from_avatar: Pose
    light: Float[Tensor, "9"]
    ground: Float[Tensor, "3 H W"]
    marks: Float[np.ndarray, "68 3"]
    """Landmarks in the avatar's frame, mm, by the head model laid on it."""
    lobes: Float[np.ndarray, "2 3"]
    """The picture's left and right lobe, alike."""
    glasses: Glasses | None = None
    earrings: Earring | None = None
    """What the avatar wears."""

    @classmethod
    def of(
        cls,
        avatar: Avatar,
        head: HeadModel,
        *,
        glasses: bool = False,
        earrings: bool = False,
        size: int = SIZE,
    ) -> "Sitting":
        """A sitting whose light, background and what is worn the avatar's name decides.

        Photos have `size` x `size` pixels.
        """
        rng = np.random.default_rng([*avatar.name.encode()])
        light = torch.from_numpy(draw_light(rng).mean(0)).float()
        fit, scale = fit_avatar(avatar, head), size / SIZE
        return cls(
            avatar,
            Camera(scale * torch.tensor(FOCAL), scale * torch.tensor([SIZE / 2, PRINCIPAL_ROW]), size, size),
            turned(0.0, 0.0, np.zeros(3), PHOTO_DISTANCE),
            light,
            torch.from_numpy(draw_background(rng, size)),
            fit.landmarks(head),
            fit.lobes(head),
            Glasses.draw(rng) if glasses else None,
            Earring.draw(rng) if earrings else None,
        )

    @property
    def bare(self) -> "Sitting":
        """The same without what is worn."""
        return replace(self, glasses=None, earrings=None)

    def view(self, angles: HeadAngles) -> AvatarView:
        """A photo of the avatar looking somewhere, with its truth."""
        turn = self._turn(angles)
        avatar, pose = turned_avatar(self.avatar, self.camera_from_avatar, turn)
        view = draw_avatar(avatar, pose, self.camera, light=self.light, background=self.ground, samples=2)
        place = turned_pose(self.camera_from_avatar, turn)
        drawing = Drawing(view.picture, torch.from_numpy(view.depth), torch.from_numpy(view.classes))
        picture = view.picture
        if self.earrings is not None:
            picture = hang_on(drawing, self.earrings, self.lobes, place, self.camera)
        if self.glasses is not None:
            drawing = replace(drawing, image=picture)
            picture = put_on(drawing, self.glasses, torch.from_numpy(self.marks), place, self.camera)
        return replace(view, picture=picture)

    def worn(self, angles: HeadAngles, view: AvatarView) -> Bool[np.ndarray, "H W"]:
        """Where that photo, a `view`, shows what is worn."""
        if self.glasses is None and self.earrings is None:
            return np.zeros(view.picture.shape[1:], bool)
        change = view.picture - self.bare.view(angles).picture
        return change.abs().amax(0).numpy() > SEEN

    def landmarks(self, angles: HeadAngles) -> Float[np.ndarray, "68 2"]:
        """Where the landmarks lie in that photo, pixels."""
        turn = self._turn(angles)
        points = lagging_points(self.marks, self.camera_from_avatar, turn)
        placed = turned_pose(self.camera_from_avatar, turn).apply(torch.from_numpy(points).float())
        return self.camera.project(placed).double().numpy()

    def _turn(self, angles: HeadAngles) -> Turn:
        return Turn(model_pose(self.camera_from_avatar), angles)


@dataclass(frozen=True, slots=True, eq=False)
class TrueTurn:
    """A photo turned by several means, beside a photo of the same person who really turned."""

    sitting: Sitting
    change: float
    """Of yaw, degrees."""
    source: AvatarView
    real: AvatarView
    crop: Crop
    """The head crop of the photo; it shows the other pictures at the same place."""
    pictures: Mapping[str, UInt8[np.ndarray, "H W 3"]]
    found: Mapping[str, Float[Tensor, "68 2"]]
    """Landmarks that the face network reads in the pictures."""
    figures: Mapping[str, Bool[np.ndarray, "S S"]]
    """What is person rather than background in the head crop of each picture; unknown of another method's."""
    worn: Bool[np.ndarray, "h w"]
    """Where the photo or the real view shows glasses or earrings."""

    @property
    def truth(self) -> Float[np.ndarray, "68 2"]:
        """Landmarks of the real view, pixels."""
        return self.sitting.landmarks(replace(FRONTAL, yaw=self.change))


@torch.inference_mode()
def turn_truly(
    model: Portrait3D,
    sitting: Sitting,
    portrait: Portrait,
    previous: Portrait3D | None = None,
    changes: Sequence[float] = CHANGES,
    others: Path | None = None,
) -> Iterator[TrueTurn]:
    """Turn the photo of a sitting by changes of yaw.

    Args:
        model: The pipeline.
        sitting: Who is photographed.
        portrait: What the pipeline makes of `sitting.view(FRONTAL)`.
        previous: Other weights, which reconstruct and turn the photo too.
        changes: Degrees.
        others: Directory of another method's pictures, named by `picture_name`.

    Raises:
        InvalidImageError: A picture of the other method is missing, or is not of the photo's size.
    """
    source, pixels = sitting.view(FRONTAL), portrait.photo.pixels
    shown = sitting.worn(FRONTAL, source)
    turners = [(model, model.reposer(portrait), REFINED)]
    if previous is not None:
        turners.append((previous, previous.reposer(previous.reconstruct(pixels)), PREVIOUS))
    for change in changes:
        target = replace(FRONTAL, yaw=change)
        real = sitting.view(target)
        pictures = {UNTURNED: pixels, REAL: as_bytes(real.picture)}
        figures = {name: figure(portrait, view) for name, view in ((UNTURNED, source), (REAL, real))}
        for turner, reposer, name in turners:
            turn = turn_as(reposer, FRONTAL, target)
            pictures[name] = turner.finish(reposer, turn)
            figures[name] = drawn_figure(portrait, reposer.portrait, turn)
            if turner is model:
                pictures[COARSE], figures[COARSE] = reposer.composite(turn), figures[name]
        if others is not None:
            pictures[OTHER] = read_other(others / picture_name(sitting.avatar.name, change), pixels.shape)
        near = torch.from_numpy(portrait.landmarks)
        found = {name: read_landmarks(model, picture, near) for name, picture in pictures.items()}
        worn = shown | sitting.worn(target, real)
        yield TrueTurn(sitting, change, source, real, portrait.head_crop, pictures, found, figures, worn)


def picture_name(head: str, change: float = 0.0) -> str:
    """The file of a head's photo, or of what another method makes of it after a change of yaw (degrees)."""
    return f"{head}{change:+.0f}.png" if change else f"{head}.png"


def read_other(path: Path, shape: tuple[int, ...]) -> UInt8[np.ndarray, "H W 3"]:
    """Another method's picture; `InvalidImageError` unless it has the photo's shape."""
    picture = decode_photo(path).pixels
    if picture.shape != shape:
        raise InvalidImageError(f"{path} has {picture.shape[:2]} pixels, the photo {shape[:2]}.")
    return picture


def turn_as(reposer: Reposer, source: HeadAngles, target: HeadAngles) -> CoarseTurn:
    """Turn a portrait by the motion from one true pose to another, with a guide."""
    rotation = reposer.portrait.camera_from_model.rotation
    return reposer.coarse_turn(same_turn(rotation, source, target), guided=True)


def figure(portrait: Portrait, view: AvatarView) -> Bool[np.ndarray, "S S"]:
    """What of a view is person, in a portrait's head crop."""
    return np.isin(
        portrait.head_crop.extract_labels(view.classes), (*HEAD, ParsingClass.NECK, ParsingClass.BODY)
    )


def drawn_figure(portrait: Portrait, turned: Portrait, turn: CoarseTurn) -> Bool[np.ndarray, "S S"]:
    """What of a portrait's turn is person, in another portrait's head crop of the same photo."""
    assert turn.guide is not None
    head = turn.guide[:PLATE].sum(0, keepdim=True)
    height, width = turned.photo.pixels.shape[:2]
    crop = turned.head_crop.resized(head.shape[-1])
    shown = crop.restore(head, height, width)[0].numpy() > 0.5
    whole = shown | (turned.parsing == ParsingClass.BODY)
    return portrait.head_crop.extract_labels(whole.astype(np.uint8)) > 0
