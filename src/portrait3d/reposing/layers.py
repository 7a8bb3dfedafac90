"""The layers of a head that turns, drawn from back to front into the photo."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.binding import bind
from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.mesh import Binding, HeadPiece
from portrait3d.geometry.pictures import as_planes
from portrait3d.geometry.pixels import smoothstep
from portrait3d.geometry.skin import openings
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import Portrait
from portrait3d.reposing.clean_plate import fill_clean_plate
from portrait3d.reposing.drawing import Canvas, Drawing, read
from portrait3d.reposing.guide import SHEET, guide_to_ground, guide_to_opaque, guide_to_sheet
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.regions import Regions, Window, see_regions
from portrait3d.reposing.sheets import REACH, Sheet, channels_last, mouth_surface, neck_surface
from portrait3d.reposing.surfaces import EYES, MOUTH, OpaqueHead, sheet_surface

FULL = 0.75
"""Share of hair from which the sheet hides what is behind it."""
UNDER_LIPS = 4.0
"""How far (pixels of the head crop) the photo's teeth go on behind the lips."""
OPENS = 2.0
"""Lips that an expression moves by so much (mm) show more of the mouth than the photo does."""


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """The window with some of the layers drawn; further ones are drawn into the same memory."""

    maps: Float[Tensor, "M h w"]
    """`picture`, `unknown`, `inner` and, where it was asked for, `guide`."""
    depth: Float[Tensor, "h w"]
    """mm; infinite where nothing that turns is drawn."""

    @property
    def picture(self) -> Float[Tensor, "3 h w"]:
        """RGB in [0, 1]."""
        return self.maps[:3]

    @property
    def unknown(self) -> Float[Tensor, "1 h w"]:
        """How far a pixel shows what the photo does not."""
        return self.maps[3:4]

    @property
    def inner(self) -> Float[Tensor, "1 h w"]:
        """The same for eyes and mouth, which are drawn well enough not to need a network's guess."""
        return self.maps[4:5]

    @property
    def guide(self) -> Float[Tensor, "9 h w"] | None:
        """`guide.CHANNELS`, if they are drawn too."""
        return self.maps[5:] if len(self.maps) > 5 else None

    def before(self, drawn: Drawing) -> Float[Tensor, "h w"]:
        """A drawing's depth where it lies before what is painted, infinite elsewhere."""
        return torch.where(drawn.depth < self.depth[drawn.box], drawn.depth, torch.inf)

    def cover(
        self,
        drawn: Drawing,
        maps: Sequence[Float[Tensor, "_ h w"]],
        alpha: Float[Tensor, "1 h w"],
        depth: Float[Tensor, "h w"],
    ) -> None:
        """Put the maps of a drawing's box, in one part or several, over these."""
        own = self.maps[:, *drawn.box].split([len(part) for part in maps])
        for below, above in zip(own, maps, strict=True):
            below.lerp_(above, alpha)
        nearest = self.depth[drawn.box]
        torch.minimum(nearest, depth, out=nearest)


class TurningHead:
    """Draws the photo with the head turned.

    From back to front: the photo without head and neck; everything opaque, which one z-buffer sorts: skin,
    eyes, mouth, the hair's body; the photographed neck, teeth and hair, each where it is nearer. Glasses and
    earrings, if any are worn, are a picture of their own, which nothing behind them changes.

    Args:
        portrait: The person, at the size at which is drawn.
        window: The part of the photo that changes.
        head_model: The model that the face was fitted with.
    """

    def __init__(self, portrait: Portrait, window: Window, head_model: HeadModel) -> None:
        head = portrait.head
        self.canvas = Canvas(window, portrait.camera)
        self.picture = as_planes(portrait.photo.pixels[window.rows, window.columns])
        rest = Turn(portrait.camera_from_model, portrait.pose)
        regions = see_regions(portrait, window, rest)
        self.hole = regions.hole
        self.clothes = regions.body * (1 - self.hole)
        """Before a neck that turns, and before hair behind it."""
        # Without what is worn, which comes last: a far lens may lie before the background.
        bare = as_planes(portrait.bare_pixels[window.rows, window.columns])
        # What filled its place may have skin's colours: it is no background either.
        filled = (bare != self.picture).any(0).float()
        self.clean_plate = fill_clean_plate(bare, torch.maximum(self.hole[0], filled), regions.body[0])
        # Colours: at its outline the head's pixels mix with what was behind it there, so they take those of
        # further inside.
        matte = torch.from_numpy(portrait.matte[window.rows, window.columns])[None]
        sure = torch.minimum(((torch.maximum(matte, regions.neck) - 0.9) / 0.1).clamp(0, 1), regions.inside)
        colours = push_pull(bare, sure[0])
        skin = (1 - regions.hair) * (1 - regions.body)
        self.photo = channels_last(colours, skin, regions.hair)
        self.head = OpaqueHead.of(head, _binding(portrait, head_model), portrait.camera, rest)
        self.texture = head.texture
        # Vertices of the lips' inner margin: how far they part tells whether an expression opens the mouth.
        lips = openings(head_model.skin_faces.numpy(), head_model.mean.double().numpy())
        self._lips = lips[HeadPiece.MOUTH_CAVITY]

        corner = np.array([window.left, window.top])
        self.neck = self.teeth = self.hair = None
        if (surface := neck_surface(portrait, head_model, rest)) is not None:
            self.neck = Sheet(surface, channels_last(colours, regions.neck), surface.photo - corner)
        if (surface := mouth_surface(portrait, rest)) is not None:
            reach = round(UNDER_LIPS * portrait.head_crop.side / portrait.head_crop.size)
            mouth = photographed_mouth(self.picture, regions, reach)
            self.teeth = Sheet(surface, mouth, surface.photo - corner)
        if head.hair_sheet is not None:
            hairy = torch.from_numpy(smoothstep((matte * (1 - regions.skin)).numpy() / FULL)).float()
            surface = sheet_surface(head.hair_sheet, portrait.camera, rest)
            self.hair = Sheet(surface, channels_last(colours, hairy), surface.photo - corner, SHEET)
        self.worn = [
            Sheet(sheet_surface(one, portrait.camera, rest), one.texture, one.uv * one.texture.shape[1::-1])
            for one in (head.earrings, head.glasses)
            if one is not None
        ]

    def draw(
        self, turn: Turn, displacement: Float[np.ndarray, "M 3"] | None, *, guided: bool = False
    ) -> Painted:
        """The picture after an expression's displacement of the head model's vertices (mm) and a turn.

        With a guide if it is to be `guided`, which takes a little longer.
        """
        painted = self._ground(guided)
        self._draw_opaque(painted, turn, displacement)
        for sheet, visible in ((self.neck, 1 - self.clothes), (self.teeth, None), (self.hair, None)):
            if sheet is not None:
                self._draw_sheet(painted, sheet, visible, turn, displacement)
        return painted

    def draw_worn(self, painted: Painted, turn: Turn) -> Float[Tensor, "4 h w"] | None:
        """RGB and opacity of what is worn before what is painted, none where that hides it; None without any.

        They are sharp and rigid: no expression moves them, no turn stretches them.
        """
        if not self.worn:
            return None
        worn = torch.zeros(4, *painted.depth.shape)
        for sheet in self.worn:
            drawn = self.canvas.draw(sheet.surface.moved(turn, None), sheet.surface.faces, sheet.places)
            seen = read(sheet.picture, *drawn.values)
            maps, covered = drawn.spread(seen, painted.before(drawn))
            alpha = maps[3:] * covered
            under = worn[:, *drawn.box]
            both = alpha + under[3:] * (1 - alpha)
            # Straight colours of one over the other.
            colours = maps[:3] * alpha + under[:3] * under[3:] * (1 - alpha)
            worn[:, *drawn.box] = torch.cat([colours / both.clamp(min=1e-6), both])
        return worn

    def _ground(self, guided: bool) -> Painted:
        """The clean plate."""
        guide = guide_to_ground(self.clean_plate, self.hole) if guided else []
        maps = torch.cat([self.clean_plate, self.hole, torch.zeros_like(self.hole), *guide])
        return Painted(maps, torch.full(maps.shape[1:], torch.inf))

    def _draw_opaque(
        self, painted: Painted, turn: Turn, displacement: Float[np.ndarray, "M 3"] | None
    ) -> None:
        """Draw what one z-buffer sorts."""
        head, surface, guided = self.head, self.head.surface, painted.guide is not None
        points = surface.moved(turn, displacement)
        # How far each vertex may take the photo's colours: shown there, and not stretched by the turn.
        hair = head.piece == HeadPiece.HAIR
        trust = head.shown * np.where(
            np.isin(head.piece, MOUTH), self._closed(displacement), surface.kept(turn, hair)
        )
        steepness = [surface.steepness * head.shown] if guided else []
        # Columns: the photo's x and y, the texture's u and v, trust, steepness, hidden by clothes, moving.
        attributes = np.stack(
            [*surface.photo.T, *head.uv.T, trust, *steepness, head.under, surface.moving], axis=1
        )
        drawn = self.canvas.draw(points, surface.faces, attributes)
        piece = torch.from_numpy(head.piece)[torch.from_numpy(surface.faces[:, 0])[drawn.face]]
        colour, known, photo = self._colours(drawn.values, piece)
        inner = torch.isin(piece, torch.tensor([*EYES, *MOUTH]))
        rows = [colour, torch.stack([(1 - known) * ~inner, (1 - known) * inner])]
        if guided:
            rows.append(guide_to_opaque(piece == HeadPiece.HAIR, known, drawn.values[5], photo))
        maps, covered = drawn.spread(torch.cat([*rows, drawn.values[-2:]]))
        # Seen as far as it covers the pixel, moves at all, and no clothes lie before it.
        alpha = covered * maps[-1:] * (1 - maps[-2:-1] * self.clothes[:, *drawn.box])
        painted.cover(drawn, [maps[:-2]], alpha, drawn.depth)

    def _colours(
        self, values: Float[Tensor, "D K"], piece: UInt8[Tensor, " K"]
    ) -> tuple[Float[Tensor, "3 K"], Float[Tensor, " K"], Float[Tensor, "3 K"]]:
        """The photo's colours as far as it shows the surface, else the texture's; how far it does; and the
        photo's alone."""
        height, width = self.texture.shape[:2]
        baked = read(self.texture, values[2] * width, values[3] * height)
        seen = self._read_photo(self.photo, values)
        # Skin takes the photo where it shows skin, hair where it shows hair: an error of the fit must not
        # paint one onto the other.
        own = torch.where(piece == HeadPiece.HAIR, seen[4], seen[3])
        known = values[4] * own
        return baked + (seen[:3] - baked) * known, known, seen[:3]

    def _closed(self, displacement: Float[np.ndarray, "M 3"] | None) -> float:
        """How far the photo shows what is drawn between the lips.

        A closed mouth shows lips there, also if the fit gapes, until an expression opens it; an open one has
        a sheet of its own.
        """
        if self.teeth is not None:
            return 0.0
        if displacement is None:
            return 1.0
        return max(0.0, 1 - float(np.linalg.norm(displacement[self._lips], axis=1).max()) / OPENS)

    def _draw_sheet(
        self,
        painted: Painted,
        sheet: Sheet,
        visible: Float[Tensor, "1 h w"] | None,
        turn: Turn,
        displacement: Float[np.ndarray, "M 3"] | None,
    ) -> None:
        """Draw a sheet where it lies before what is drawn, as far as it is visible at all."""
        surface = sheet.surface
        opacity = surface.kept(turn, sheet.layer == SHEET) * surface.moving
        steepness = [] if painted.guide is None else [surface.steepness]
        attributes = np.stack([*sheet.places.T, opacity, *steepness], axis=1)
        drawn = self.canvas.draw(surface.moved(turn, displacement), surface.faces, attributes)
        seen = read(sheet.picture, *drawn.values[:2])
        nearer = painted.before(drawn)
        seen[3] *= drawn.values[2]
        maps, covered = drawn.spread(torch.cat([seen, drawn.values[3:]]), nearer)
        alpha = maps[3:4] * covered
        if visible is not None:
            alpha = alpha * visible[:, *drawn.box]
        # A sheet shows nothing but the photo: where it covers, nothing is unknown. A z-buffer does not blend,
        # so only what is mostly opaque hides later layers.
        known = [maps[:3], torch.zeros_like(alpha).expand(2, -1, -1)]
        if painted.guide is not None:
            known += guide_to_sheet(sheet.layer, maps[4:], maps[:3])
        painted.cover(drawn, known, alpha, torch.where(alpha[0] > 0.5, nearer, torch.inf))

    def _read_photo(
        self, photo: Float[np.ndarray, "h w C"], pixels: Float[Tensor, "D K"]
    ) -> Float[Tensor, "C K"]:
        """What is known of the photo's pixels (x, y, ...)."""
        return read(photo, pixels[0] - self.canvas.window.left, pixels[1] - self.canvas.window.top)


def photographed_mouth(
    picture: Float[Tensor, "3 h w"], regions: Regions, reach: int
) -> Float[np.ndarray, "h w 4"]:
    """The inner mouth cut out of the photo, continued by some pixels behind upper lip and corners."""
    colours = push_pull(picture, ((regions.mouth[0] - 0.8) / 0.2).clamp(0, 1))
    below = regions.mouth[0].numpy()
    # Every pixel takes the most of those below it and on either side; no mouth beyond the window.
    below = ndimage.maximum_filter1d(below, reach + 1, 0, mode="constant", origin=-((reach + 1) // 2))
    below = ndimage.maximum_filter1d(below, 2 * reach + 1, 1, mode="constant")
    return channels_last(colours, torch.from_numpy(below)[None])


def _binding(portrait: Portrait, head_model: HeadModel) -> Binding:
    """How the head's vertices follow the model: its own binding, or the nearest skin."""
    head = portrait.head
    if head.binding is not None:
        return head.binding
    skin = head_model.skin_faces.unique().numpy()
    model = portrait.face.vertices.double().numpy()
    return bind(head.vertices.astype(np.float64), model, skin, REACH)
