"""Turning the head of one portrait: coarse turn by geometry, then the refined picture put back."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.pictures import as_bytes, as_planes
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.alignment import HEAD_SIZE, CropGrid
from portrait3d.preprocessing.guided import box_means
from portrait3d.reposing.drawing import read_maps
from portrait3d.reposing.expression import ExpressionModes
from portrait3d.reposing.guide import LAYERS, PLATE, guide_to_ground
from portrait3d.reposing.layers import TurningHead
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.regions import Window, soften, turning_window

STILL = 0.01
"""A head that turns by less (degrees) does not turn."""
OUTLINE = 3.0
"""Half the width (pixels of the head crop) of the band along the head's outline that stays as it is drawn:
true turns, from which the network learns, are never quite in place, and so it blurs edges."""
AROUND = 16
"""Pixels of the head crop around what a turn drew that the network sees too."""
STRIDE = 32
"""Sides of what the network sees are multiples of this."""
LARGEST = 1600
"""Longest side (pixels) of the part of the photo that is drawn; what moves in larger ones is enlarged."""


@dataclass(frozen=True, slots=True, eq=False)
class CoarseTurn:
    """The turned head before refinement: the network's input, and the same at the photo's resolution."""

    image: Float[Tensor, "3 S S"]
    """The turned picture in the head crop (256 px), RGB in [0, 1], holes filled roughly."""
    holes: Float[Tensor, "1 S S"]
    """1 where nothing is known: uncovered background, surface that the photo does not show."""
    picture: Float[Tensor, "3 h w"]
    """The turned picture at the photo's resolution within `window`, RGB in [0, 1]."""
    unknown: Float[Tensor, "1 h w"]
    """`holes` at the photo's resolution, with soft edges; 0 wherever the photo stays as it is."""
    window: Window
    still: bool
    """Whether this is the photo's own pose."""
    guide: Float[Tensor, "9 S S"] | None = None
    """`guide.CHANNELS` in the head crop, where they were asked for."""
    worn: Float[Tensor, "4 h w"] | None = None
    """RGB and opacity of glasses and earrings: they come last, so that refinement leaves them as
    they are. In no other picture of the turn."""
    drawn: Float[Tensor, "1 h w"] | None = None
    """With a guide: how far a picture that counts everywhere does so at each of the window's pixels: where
    something was drawn or uncovered, but not along the head's outline."""

    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the head crop in which a guided turn drew or uncovered something.

        With some of what is around; sides are multiples of `STRIDE`.
        """
        if self.guide is None:
            raise ValueError("Only a guided turn knows what it drew.")
        drawn = torch.maximum(self.guide[: len(LAYERS)].amax(0), self.holes[0]) > 0
        return _span(drawn.any(1)), _span(drawn.any(0))


def _span(touched: Bool[Tensor, " S"]) -> slice:
    """The part of a line that holds all that is touched, `AROUND` more to either side, in whole strides."""
    places = touched.nonzero()[:, 0]
    if len(places) == 0:
        return slice(0, STRIDE)
    # From a multiple on: a network with strides sees the same as in the whole crop.
    first = max(0, int(places[0]) - AROUND) // STRIDE * STRIDE
    last = min(len(touched), int(places[-1]) + 1 + AROUND)
    return slice(first, first + -(-(last - first) // STRIDE) * STRIDE)


class Reposer:
    """Turns the head of one portrait; what does not depend on the pose is computed once.

    Args:
        portrait: The reconstructed person.
        head_model: The model that the face was fitted with; its expressions move it.
        size: Side of the head crop in which the refinement network sees turns, pixels.
    """

    def __init__(self, portrait: Portrait, head_model: HeadModel, size: int = HEAD_SIZE) -> None:
        self.portrait = portrait
        whole = turning_window(portrait)
        self.drawn = reduced(portrait, LARGEST / max(whole.shape))
        self.window = whole if self.drawn is portrait else turning_window(self.drawn)
        self.crop = self.drawn.head_crop.resized(size)
        self.modes = ExpressionModes(portrait, head_model)
        self.layers = TurningHead(self.drawn, self.window, head_model)

    def coarse_turn(
        self,
        target: HeadAngles,
        expression: Float[np.ndarray, "64"] | None = None,
        neutral: float = 0.0,
        *,
        guided: bool = False,
    ) -> CoarseTurn:
        """The head at an absolute pose (degrees), from geometry alone.

        `expression` is added to the photo's own expression coefficients, after the share `neutral` of the
        photo's own expression has been taken out. With a guide if it is to be `guided`.
        """
        turn = Turn(self.portrait.camera_from_model, target)
        displacement = self.modes.displacement(expression, neutral)
        still = turn.degrees < STILL and displacement is None
        worn = None
        if still:
            picture = self.layers.picture
            unknown = new = torch.zeros(1, *self.window.shape)
            guide = torch.cat(guide_to_ground(picture, unknown)) if guided else None
        else:
            painted = self.layers.draw(turn, displacement, guided=guided)
            picture, unknown, new = painted.picture, soften(painted.unknown), painted.inner
            guide, worn = painted.guide, self.layers.draw_worn(painted, turn)
        image, holes = self._to_crop(picture, torch.maximum(unknown, new))
        if guide is None:
            return CoarseTurn(image, holes, picture, unknown, self.window, still, worn=worn)
        drawn = guide[: len(LAYERS)].sum(0, keepdim=True) * self._beside_outline(guide)
        guide = self._guide_to_crop(guide)
        return CoarseTurn(image, holes, picture, unknown, self.window, still, guide, worn, drawn)

    def composite(
        self, turn: CoarseTurn, refined: Float[Tensor, "3 S S"] | None = None, *, everywhere: bool = False
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with the turned head; `refined` (the refinement network's picture) fills holes and seams.

        With `everywhere` it counts wherever the turn drew something, for which the turn has to be guided.
        Pixels that the head neither leaves nor newly covers are the photo's own; all are at its own pose.
        """
        pixels = self.portrait.photo.pixels.copy()
        if turn.still:
            return pixels
        picture = turn.picture
        if refined is not None and everywhere:
            if turn.drawn is None:
                raise ValueError("A picture that counts everywhere needs a guided turn.")
            change = self._in_crop.restore(refined - turn.image)
            picture = picture + change * turn.drawn
        elif refined is not None:
            # The network changes known pixels a little: take that difference out of the holes as well, or
            # their borders show.
            known = 1 - (F.max_pool2d(turn.holes, 3, 1, 1) > 0.05).float()
            refined = refined + push_pull(turn.image - refined, known[0])
            fine = self._in_crop.restore(refined)
            picture = picture + (fine - picture) * turn.unknown
        if turn.worn is not None:
            picture = torch.lerp(picture, turn.worn[:3], turn.worn[3:])
        if self.drawn is self.portrait:
            pixels[self.window.rows, self.window.columns] = as_bytes(picture)
            return pixels
        return self._enlarge(picture, pixels)

    def _enlarge(
        self, picture: Float[Tensor, "3 h w"], pixels: UInt8[np.ndarray, "H W 3"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Put a picture that was drawn smaller into a copy of the photo, only where it differs from it."""
        window = turning_window(self.portrait)
        # More than half a level of a byte, and two pixels around.
        changed = ((picture - self.layers.picture).abs().amax(0) > 0.5 / 255).float().numpy()
        changed = torch.from_numpy(ndimage.grey_dilation(changed, (5, 5)))
        # The reduced window begins on a whole pixel of its own: go by the photo's coordinates.
        ratio = self.drawn.photo.pixels.shape[1] / pixels.shape[1]
        rows = torch.arange(window.top, window.bottom) + 0.5
        columns = torch.arange(window.left, window.right) + 0.5
        y, x = torch.meshgrid(
            rows * ratio - self.window.top, columns * ratio - self.window.left, indexing="ij"
        )
        maps = torch.cat([picture, box_means(changed[None], 2)])
        fine = read_maps(maps, x.flatten(), y.flatten()).unflatten(1, window.shape)
        own = as_planes(pixels[window.rows, window.columns])
        pixels[window.rows, window.columns] = as_bytes(own + (fine[:3] - own) * fine[3:])
        return pixels

    def _to_crop(
        self, picture: Float[Tensor, "3 h w"], unknown: Float[Tensor, "1 h w"]
    ) -> tuple[Float[Tensor, "3 S S"], Float[Tensor, "1 S S"]]:
        """The composed window as the head crop sees it, and its holes; what is around is the photo's."""
        seen, inside = self._seen_by_crop(picture.clamp(0, 1))
        holes, _ = self._seen_by_crop(unknown)
        return self.photo_crop + (seen - self.photo_crop) * inside, (holes > 0.2).float()

    def _beside_outline(self, guide: Float[Tensor, "9 h w"]) -> Float[Tensor, "1 h w"]:
        """0 on the outline of what a guide says is head, 1 away from it."""
        head = guide[:PLATE].sum(0, keepdim=True).clamp(0, 1)
        share = box_means(head, max(1, round(OUTLINE * self.crop.side / HEAD_SIZE)))
        return 1 - (4 * share * (1 - share)).clamp(min=0).sqrt()

    def _guide_to_crop(self, guide: Float[Tensor, "9 h w"]) -> Float[Tensor, "9 S S"]:
        """The window's guide, cut to [0, 1] in place, in the head crop; what is around is the photo's."""
        seen, inside = self._seen_by_crop(guide.clamp_(0, 1))
        around = torch.cat(guide_to_ground(self.photo_crop, torch.zeros_like(inside)))
        return around + (seen - around) * inside

    def _seen_by_crop(
        self, values: Float[Tensor, "C h w"]
    ) -> tuple[Float[Tensor, "C S S"], Float[Tensor, "1 S S"]]:
        """Maps of the window in the head crop, 0 beyond it, and 1 within."""
        places, inside = self._places
        crop = self.crop
        # Averaged before it is read bilinearly, or fine texture would alias in the network's picture.
        shrink = max(1, int(crop.side / crop.size / 1.5))
        if shrink > 1:
            values = F.avg_pool2d(values, shrink, ceil_mode=True, count_include_pad=False)
        seen = read_maps(values, *(places / shrink)).unflatten(1, (crop.size, crop.size))
        return seen * inside, inside

    @cached_property
    def photo_crop(self) -> Float[Tensor, "3 S S"]:
        """The photo in the head crop."""
        return self.crop.extract(self.drawn.photo.pixels)

    @cached_property
    def _in_crop(self) -> CropGrid:
        """Where the window's pixels lie in the head crop."""
        return self.window.grid(self.crop)

    @cached_property
    def _places(self) -> tuple[Float[Tensor, "2 K"], Float[Tensor, "1 S S"]]:
        """Where the head crop's pixels lie in the window, and 1 for those that do."""
        crop, (height, width) = self.crop, self.window.shape
        places = crop.positions() - torch.tensor([self.window.left, self.window.top])
        inside = ((places > 0) & (places < torch.tensor([width, height]))).all(-1)
        return places.flatten(0, 1).T, inside[None].float()


def reduced(portrait: Portrait, scale: float) -> Portrait:
    """The portrait of a smaller version of its photo; the same if `scale` is 1 or more.

    It shares the head, which is in millimetres and does not depend on the photo's size.
    """
    if scale >= 1:
        return portrait
    height, width = portrait.photo.pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def resized(picture: np.ndarray, filter: Image.Resampling) -> np.ndarray:
        return np.array(Image.fromarray(picture).resize(size, filter, reducing_gap=2))

    pixels = resized(portrait.photo.pixels, Image.Resampling.BOX)
    parsing = replace(
        portrait.head_parsing,
        labels=resized(portrait.head_parsing.labels, Image.Resampling.NEAREST),
        matte=resized(portrait.head_parsing.matte, Image.Resampling.BOX),
    )
    scale = size[0] / width
    crop = portrait.head_crop
    x, y = crop.centre
    crop = replace(crop, centre=(x * scale, y * scale), side=crop.side * scale)

    def worn(cover: np.ndarray | None) -> np.ndarray | None:
        return None if cover is None else resized(cover, Image.Resampling.BOX)

    small = replace(
        portrait,
        photo=replace(portrait.photo, pixels=pixels),
        head_parsing=parsing,
        head_crop=crop,
        camera=crop.photo_camera(*pixels.shape[:2]),
        glasses=worn(portrait.glasses),
        earrings=worn(portrait.earrings),
    )
    return small.with_head(portrait.head)
