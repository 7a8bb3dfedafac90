"""Which pixels of the photo move with the head, and which come to light behind it."""

import weakref
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.pixels import inner_distance, nearest
from portrait3d.head.frame import whole_head
from portrait3d.parsing_classes import HAIRY, HEAD, SKIN, ParsingClass
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import Crop, CropGrid
from portrait3d.preprocessing.guided import box_means
from portrait3d.reposing.motion import Turn

SETTLED = 0.1
"""What takes part in less than this share of the turn hardly moves: it is not drawn, and nothing comes to
light there."""
REACH = 48
"""How far from where they are (pixels of the head crop) head and neck may come."""


@dataclass(frozen=True)
class Outlines:
    """What is taken from the photo's background beside the head, pixels of the head crop."""

    hole_inner: float = 2.5
    hole_outer: float = 5.0
    """Distance from the head (pixels of the head crop) up to which the photo's background is replaced, and
    from which it is kept; stray hair and the light fringes of bad edges lie between."""
    neck_outer: float = 2.0
    """The same for the neck, whose outline is plain."""
    boundary: float = 2.0
    hair_boundary: float = 4.0
    """Width of the outline (pixels of the head crop) whose colours are taken from further inside, and the
    same for wide hair, which the background shines through."""


OUTLINES = Outlines()


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the photo, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def rows(self) -> slice:
        """The photo's rows."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """The photo's columns."""
        return slice(self.left, self.right)

    def grid(self, crop: Crop) -> CropGrid:
        """Where the window's pixels lie in a crop of the photo."""
        x, y = crop.centre
        return replace(crop, centre=(x - self.left, y - self.top)).grid(*self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """What is where in the window: maps in [0, 1] with soft edges."""

    hole: Float[Tensor, "1 h w"]
    """Where head and neck are taken out of the photo."""
    inside: Float[Tensor, "1 h w"]
    """Where the photo shows colours of head or neck alone; 0 at their outline."""
    skin: Float[Tensor, "1 h w"]
    hair: Float[Tensor, "1 h w"]
    neck: Float[Tensor, "1 h w"]
    mouth: Float[Tensor, "1 h w"]
    """The inner mouth."""
    body: Float[Tensor, "1 h w"]
    """Clothes and shoulders."""


_frames: "weakref.WeakKeyDictionary[Portrait, tuple[Crop, np.ndarray]]" = weakref.WeakKeyDictionary()


def photo_frame(portrait: Portrait) -> tuple[Crop, UInt8[np.ndarray, "S S"]]:
    """The crop that shows head and hair, and the classes of its pixels; made once for each portrait."""
    if portrait not in _frames:
        frame = whole_head(portrait.head_crop, portrait.head_parsing.head_labels)
        _frames[portrait] = frame, frame.extract_labels(portrait.head_parsing.labels)
    return _frames[portrait]


def turning_window(portrait: Portrait) -> Window:
    """The part of the photo that head and neck may reach when they turn."""
    height, width = portrait.photo.pixels.shape[:2]
    frame, labels = photo_frame(portrait)
    row, column = np.nonzero(np.isin(labels, (*HEAD, ParsingClass.NECK)))
    if not len(row):
        row = column = np.arange(frame.size)
    left, right = max(column.min() - REACH, 0), min(column.max() + 1 + REACH, frame.size)
    top, bottom = max(row.min() - REACH, 0), min(row.max() + 1 + REACH, frame.size)
    corners = torch.tensor([[x, y] for x in (left, right) for y in (top, bottom)], dtype=torch.float32)
    corners = frame.photo_from_crop(corners).numpy()
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, [width - 1, height - 1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), [left + 1, top + 1], [width, height])
    return Window(int(left), int(top), int(right), int(bottom))


def see_regions(portrait: Portrait, window: Window, source_pose: Turn) -> Regions:
    """Find head, neck and clothes in the window; `source_pose` is the photo's own pose."""
    frame, labels = photo_frame(portrait)
    grey = np.round(portrait.matte * 255).astype(np.uint8)
    matte = frame.extract(grey)[0].numpy()
    hole = hole_weight(np.maximum(matte, np.isin(labels, HEAD)), labels == ParsingClass.NECK)
    hole *= moving_share(portrait, frame, source_pose)
    own = np.stack([hole, inside_boundary(labels)]).astype(np.float32)
    hole, inside = window.grid(frame).restore(torch.from_numpy(own)).split(1)
    shown = portrait.parsing[window.rows, window.columns]
    groups = SKIN, HAIRY, (ParsingClass.NECK,), (ParsingClass.INNER_MOUTH,), (ParsingClass.BODY,)
    lookup = np.stack([np.isin(np.arange(len(ParsingClass)), group) for group in groups]).astype(np.float32)
    maps = box_means(torch.from_numpy(lookup.take(shown, axis=1)), max(1, round(frame.side / frame.size)))
    return Regions(hole, inside, *maps.split(1))


def hole_weight(head: Float[np.ndarray, "S S"], neck: Bool[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
    """1 where the photo shows head (its share of a pixel) or neck and close by, falling to 0 further out."""
    from_head = inner_distance(head < 0.2)
    weight = np.clip((OUTLINES.hole_outer - from_head) / (OUTLINES.hole_outer - OUTLINES.hole_inner), 0, 1)
    return np.maximum(weight, np.clip(OUTLINES.neck_outer - nearest(neck)[0], 0, 1))


def moving_share(portrait: Portrait, frame: Crop, source_pose: Turn) -> Float[np.ndarray, "S S"]:
    """1 where head, hair and neck move with the head; 0 at the shoulders, where nothing comes to light."""
    pixels = frame.positions().reshape(-1, 2)
    # Nothing is known of the depth beside the head; neck and shoulders are about as far away as the pivot,
    # and what they take part in depends on their height above all.
    depth = torch.full((len(pixels),), float(source_pose.pivot[2]))
    points = portrait.camera.unproject(pixels, depth).double().numpy()
    follow = source_pose.following(points).reshape(frame.size, frame.size)
    # What moves is drawn whole before anything is taken away beneath it.
    return np.clip(follow / SETTLED - 1, 0, 1)


def inside_boundary(labels: UInt8[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
    """1 where the photo shows colours of head and neck alone, 0 at their outline."""
    hair = np.isin(labels, HAIRY)
    inner = np.isin(labels, (*HEAD, ParsingClass.NECK))
    # A strip of hair that is narrower has no colours further inside: those would be the skin's.
    wide = ndimage.binary_opening(hair, iterations=round(OUTLINES.hair_boundary) + 1)
    boundary = np.where(wide, OUTLINES.hair_boundary, OUTLINES.boundary)
    return np.clip(inner_distance(inner) - boundary, 0, 1)


def soften(unknown: Float[Tensor, "1 h w"]) -> Float[Tensor, "1 h w"]:
    """Edges a few pixels wide, so that what fills a hole meets what surrounds it gradually."""
    return torch.minimum(box_means(unknown, max(1, max(unknown.shape) // 300)), unknown * 4)
