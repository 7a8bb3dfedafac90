"""Turning the head of one portrait: coarse turn by geometry, then the refined picture put back."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.atlas import as_bytes
from portrait3d.geometry.filling import as_planes, push_pull, resample
from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.sheet import HEAD, NECK
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.reposing.drawing import Canvas, Drawing, Window, sample
from portrait3d.reposing.expression import ExpressionModes, binding_of
from portrait3d.reposing.insides import Insides
from portrait3d.reposing.layers import head_surfaces
from portrait3d.reposing.matte import Layer, cut_out, lift_off
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.neck import neck_surface
from portrait3d.reposing.openings import INNER_MOUTH, margins, mouth_flaps, opening_faces
from portrait3d.reposing.plate import fill_plate
from portrait3d.reposing.regions import (
    blur,
    box_around,
    hole_weight,
    inside_rim,
    left_by,
    moving_share,
    soft_alpha,
    soften,
    spread_out,
    turning_window,
)
from portrait3d.reposing.surfaces import Surface

BODY = 7
"""Class of clothes and shoulders in the parsing."""
STILL = 0.01
"""A head that turns by less (degrees) does not turn."""
SETTLED = 3.0
"""Up to this turn (degrees) the details that the layers lose are blended back."""
LARGEST = 1600
"""Longest side (pixels) of the part of the photo that is drawn; what moves in larger ones is enlarged."""
SIDE_GAP = 15.0
"""The sides that lead from the front's outline back are seen this far (mm) before the model's own surface."""
LAYER_GAP = 3.0
"""The photographed front hides what is behind it even if that pokes out by this much, mm."""
NECK_GAP = 10.0
"""The photographed neck hides what of the head lies behind it by more than this, mm."""


@dataclass(frozen=True, slots=True, eq=False)
class CoarseTurn:
    """The turned head before refinement: the network's input, and the same at the photo's resolution."""

    image: Float[Tensor, "3 S S"]
    """The turned picture in the head crop (256 px), RGB in [0, 1], holes filled roughly."""
    holes: Float[Tensor, "1 S S"]
    """1 where nothing is known: uncovered background, cracks, surface that the photo does not show."""
    picture: Float[Tensor, "3 h w"]
    """The turned picture at the photo's resolution within `window`, RGB in [0, 1]."""
    unknown: Float[Tensor, "1 h w"]
    """`holes` at the photo's resolution, with soft edges; 0 wherever the photo stays as it is."""
    window: Window
    still: bool
    """Whether this is the photo's own pose."""


class Reposer:
    """Turns the head of one portrait; what does not depend on the pose is computed once.

    Layers from back to front: the photo without head and neck, hair behind the neck, the model's neck and the
    photo's (which bend), the part of the head that the photo does not show, and the part that it shows, with
    a soft outline.

    Args:
        portrait: The reconstructed person.
        head_model: The model that the face was fitted with; its expressions move it.
    """

    def __init__(self, portrait: Portrait, head_model: HeadModel) -> None:
        self.portrait = portrait
        portrait = self.drawn = reduced(portrait, LARGEST / max(turning_window(portrait).shape))
        crop, pixels = portrait.head_crop, portrait.photo.pixels
        height, width = pixels.shape[:2]
        self.window = turning_window(portrait)
        self.canvas = Canvas(self.window, portrait.camera)
        rows, columns = self.window.rows, self.window.columns
        self.picture = as_planes(pixels[rows, columns])
        labels = portrait.head_parsing.head_labels
        probabilities = portrait.head_parsing.head_probabilities
        head, maps = probabilities[list(HEAD)].sum(0), probabilities[[NECK, BODY, INNER_MOUTH]]
        self.rest = Turn(portrait.camera_from_model, portrait.pose)
        self.modes = ExpressionModes(portrait, head_model)
        hole = hole_weight(head.numpy(), maps[0].numpy()) * moving_share(portrait, self.rest)
        surfaces = head_surfaces(
            portrait,
            self.rest,
            binding_of(portrait.head, portrait, head_model),
            opening_faces(portrait, head_model),
            margins(head_model)[HeadPiece.SURFACE],
        )
        self.front_surface = surfaces.front.beside(mouth_flaps(portrait, head_model))
        self.front_sizes = self.canvas.sizes(self.front_surface, self.front_surface.vertices)
        self.back_surface, self.side_surface = surfaces.back, surfaces.sides
        self.curtain_surface = surfaces.curtain
        self.throat_surface = surfaces.throat
        self.neck_surface = neck_surface(portrait, self.rest, head_model.skin_faces.unique().numpy())
        extra = torch.from_numpy(np.stack([hole, inside_rim(labels)])).float()
        restored = crop.restore(torch.cat([maps, extra]), height, width)[:, rows, columns]
        throat, body, mouth, self.hole, inside = restored
        self.insides = Insides(portrait, head_model, self.canvas, self.picture, mouth)
        matte = resample(torch.from_numpy(self.portrait.matte)[None], (height, width))[0, rows, columns]
        front = lift_off(self.picture, matte, inside)
        self.front = Layer(front.colour, front.alpha * (1 - self.insides.teeth))
        self.standing = ((body + throat - 0.5) * 3 + 0.5).clamp(0, 1)[None]
        self.neck = cut_out(self.picture, throat, ((throat - 0.9) / 0.1).clamp(0, 1))
        filled = fill_plate(self.picture, (self.hole > 0).float(), body)
        self.plate = self.picture + (filled - self.picture) * self.hole
        self.texture = as_planes(portrait.head.texture)

    def coarse_turn(
        self, target: HeadAngles, expression: Float[np.ndarray, "64"] | None = None
    ) -> CoarseTurn:
        """The head at an absolute pose (degrees), from geometry alone.

        `expression` is added to the photo's own expression coefficients.
        """
        turn = Turn(self.portrait.camera_from_model, target)
        displacement = None
        if expression is not None and np.any(expression):
            displacement = self.modes.displacement(expression)
        still = turn.degrees < STILL and displacement is None
        if still:
            picture, unknown = self.picture, torch.zeros(1, *self.window.shape)
            new = unknown
        else:
            picture, unknown, new = self._compose(turn, displacement)
            fade = max(0.0, 1.0 - turn.degrees / SETTLED)
            if fade:
                picture = picture + fade * self._lost_details
                unknown = unknown * (1 - fade)
        image, holes = self._to_crop(picture, torch.maximum(unknown, new))
        return CoarseTurn(image, holes, picture, unknown, self.window, still)

    def composite(
        self, turn: CoarseTurn, refined: Float[Tensor, "3 S S"] | None = None
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with the turned head; `refined` (the refinement network's picture) fills holes and seams.

        Pixels that the head neither leaves nor newly covers are the photo's own; all are at its own pose.
        """
        pixels = self.portrait.photo.pixels.copy()
        if turn.still:
            return pixels
        picture = turn.picture
        if refined is not None:
            # The network changes known pixels a little: take that difference out of the holes as well, or
            # their borders show.
            known = 1 - (F.max_pool2d(turn.holes, 3, 1, 1) > 0.05).float()
            refined = refined + push_pull(turn.image - refined, known[0])
            fine = self._from_crop(refined)
            picture = picture + (fine - picture) * turn.unknown
        if self.drawn is self.portrait:
            pixels[self.window.rows, self.window.columns] = as_bytes(picture)
            return pixels
        return self._enlarge(picture, pixels)

    def _enlarge(
        self, picture: Float[Tensor, "3 h w"], pixels: UInt8[np.ndarray, "H W 3"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Put a picture that was drawn smaller into a copy of the photo, only where it differs from it."""
        window = turning_window(self.portrait)
        changed = ((picture - self.picture).abs().amax(0) > 0.5 / 255).float().numpy()
        changed = torch.from_numpy(ndimage.grey_dilation(changed, (5, 5)))
        # The reduced window begins on a whole pixel of its own: go by the photo's coordinates.
        ratio = self.drawn.photo.pixels.shape[1] / pixels.shape[1]
        rows = torch.arange(window.top, window.bottom) + 0.5
        columns = torch.arange(window.left, window.right) + 0.5
        y, x = torch.meshgrid(
            rows * ratio - self.window.top, columns * ratio - self.window.left, indexing="ij"
        )
        fine = sample(torch.cat([picture, blur(changed[None], 2)]), torch.stack([x, y]))
        weight = fine[3:]
        own = as_planes(pixels[window.rows, window.columns])
        mixed = as_bytes(own + (fine[:3] - own) * weight)
        pixels[window.rows, window.columns] = mixed
        return pixels

    @cached_property
    def _lost_details(self) -> Float[Tensor, "3 h w"]:
        """What the layers can't show of the photo in its own pose: stray hair, the matte's errors."""
        return self.picture - self._compose(self.rest, None)[0]

    def _compose(
        self, turn: Turn, displacement: Float[np.ndarray, "M 3"] | None
    ) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "1 h w"], Float[Tensor, "1 h w"]]:
        """Draw all layers; also how far each pixel is unknown, and how far it is the model's inner mouth."""
        picture, unknown = self.plate, self.hole[None]
        before_body = 1 - self.standing * (1 - self.hole)
        if self.curtain_surface:
            curtain = self._draw(self.curtain_surface, turn, self.front, displacement, self.texture)
            alpha = blur(curtain.shown, 1) * self.hole
            picture, unknown = over(picture, unknown, curtain, alpha)
        throat = self._draw(self.throat_surface, turn, self.front, displacement, self.texture)
        alpha = blur(throat.shown, 1) * before_body
        picture, unknown = over(picture, unknown, throat, alpha)
        neck = None
        if self.neck_surface:
            neck = self._draw(self.neck_surface, turn, self.neck, displacement)
            neck = replace(neck, alpha=neck.alpha * before_body)
            picture = picture.lerp(neck.colour, neck.alpha)
            unknown = unknown * (1 - neck.alpha)
        back = self._draw(self.back_surface, turn, self.front, displacement, self.texture)
        sides = self._draw(self.side_surface, turn, self.front, displacement, self.texture)
        back = back.behind(sides, SIDE_GAP)
        alpha = blur(back.shown, 1)
        if neck:
            alpha = alpha * left_by(neck, back, NECK_GAP)
        picture, unknown = over(picture, unknown, back, alpha)
        front = self._draw(self.front_surface, turn, self.front, displacement, sizes=self.front_sizes)
        alpha = soft_alpha(front, back, LAYER_GAP)
        colour, new = spread_out(front), torch.zeros_like(unknown)

        inside = self.insides.draw(turn, displacement)
        box = box_around(inside.depth < back.depth, 2)
        if box[0].stop:
            at = (slice(None), *box)
            open_to = (inside.depth < back.depth)[box].float()[None]
            picture[at] = picture[at].lerp(inside.colour[at], open_to)
            unknown[at] *= 1 - open_to
            new[at] = inside.new[at] * open_to * (1 - alpha[at])
        picture = picture.lerp(colour, alpha)
        return picture, soften(unknown * (1 - alpha)), new

    def _draw(
        self,
        surface: Surface,
        turn: Turn,
        layer: Layer,
        displacement: Float[np.ndarray, "M 3"] | None,
        texture: Float[Tensor, "3 Ht Wt"] | None = None,
        sizes: Float[np.ndarray, " N"] | None = None,
    ) -> Drawing:
        return self.canvas.draw(surface, turn, layer.planes, texture, displacement, sizes)

    def _to_crop(
        self, picture: Float[Tensor, "3 h w"], unknown: Float[Tensor, "1 h w"]
    ) -> tuple[Float[Tensor, "3 S S"], Float[Tensor, "1 S S"]]:
        """The composed window as the head crop sees it, and its holes; what is around is the photo's."""
        places, inside = self._places
        shrink = max(1, int(self.drawn.head_crop.side / self.drawn.head_crop.size / 1.5))
        values = torch.cat([picture.clamp(0, 1), unknown])
        if shrink > 1:
            values = F.avg_pool2d(values, shrink, ceil_mode=True, count_include_pad=False)
        seen = sample(values, places / shrink) * inside
        return self._around + (seen[:3] - self._around) * inside, (seen[3:] > 0.2).float()

    @cached_property
    def _around(self) -> Float[Tensor, "3 S S"]:
        """The photo in the head crop."""
        return self.drawn.head_crop.extract(self.drawn.photo.pixels)

    @cached_property
    def _places(self) -> tuple[Float[Tensor, "2 S S"], Float[Tensor, "1 S S"]]:
        """Where the head crop's pixels lie in the window, and 1 for those that do."""
        crop, (height, width) = self.drawn.head_crop, self.window.shape
        centres = crop.camera().pixel_centres()
        places = crop.photo_from_crop(centres) - torch.tensor([self.window.left, self.window.top])
        inside = ((places > 0) & (places < torch.tensor([width, height]))).all(-1)
        return places.permute(2, 0, 1), inside[None].float()

    def _from_crop(self, values: Float[Tensor, "3 S S"]) -> Float[Tensor, "3 h w"]:
        """A picture of the head crop in the window."""
        height, width = self.drawn.photo.pixels.shape[:2]
        restored = self.drawn.head_crop.restore(values, height, width)
        return restored[:, self.window.rows, self.window.columns]


def over(
    picture: Float[Tensor, "3 h w"],
    unknown: Float[Tensor, "1 h w"],
    drawing: Drawing,
    alpha: Float[Tensor, "1 h w"],
) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "1 h w"]]:
    """A picture and how far it is unknown, with something over it that the photo does not show."""
    return picture.lerp(spread_out(drawing), alpha), torch.maximum(unknown * (1 - alpha), alpha)


def reduced(portrait: Portrait, scale: float) -> Portrait:
    """The portrait of a smaller version of its photo; the same if `scale` is 1 or more."""
    if scale >= 1:
        return portrait
    height, width = portrait.photo.pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = np.array(
        Image.fromarray(portrait.photo.pixels).resize(size, Image.Resampling.BOX, reducing_gap=2)
    )
    scale = size[0] / width
    crop = portrait.head_crop
    x, y = crop.centre
    crop = replace(crop, centre=(x * scale, y * scale), side=crop.side * scale)
    photo = replace(portrait.photo, pixels=pixels)
    return replace(portrait, photo=photo, head_crop=crop, camera=crop.photo_camera(*pixels.shape[:2]))
