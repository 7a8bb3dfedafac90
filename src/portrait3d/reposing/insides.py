"""Drawing what lies behind lids and lips."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from portrait3d.geometry.filling import push_pull
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import Portrait
from portrait3d.reposing.drawing import Canvas
from portrait3d.reposing.matte import Layer, cut_out
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.openings import closed_openings, eye_surface, inner_mouth, teeth_surface
from portrait3d.reposing.regions import box_around

UNDER_LIP = 5.0
"""How far the photo's teeth go on behind the upper lip, mm."""
NEAR = 2
"""Pixels around lids and lips in which what lies behind them may be seen."""
EYE_WHITE = 0.72
"""Brightness of the bright parts of eyes in good light; the mouth's colours are meant for that."""
DIMMEST, BRIGHTEST = 0.4, 1.1
"""Limits of the light that eyes tell about."""


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """What would be seen through lids and lips, were they open."""

    colour: Float[Tensor, "3 h w"]
    depth: Float[Tensor, "h w"]
    """mm; infinite where there is nothing."""
    new: Float[Tensor, "1 h w"]
    """1 where the photo does not show what is drawn."""


class Insides:
    """The photographed eyes, turned with the eyeballs; the photographed teeth; the model's inner mouth.

    Args:
        portrait: The person, at the size at which is drawn.
        head_model: Its eyes and inner mouth are used.
        canvas: Where is drawn.
        picture: The photo there.
        mouth: Probability that the photo shows the inner mouth there.
    """

    def __init__(
        self,
        portrait: Portrait,
        head_model: HeadModel,
        canvas: Canvas,
        picture: Float[Tensor, "3 h w"],
        mouth: Float[Tensor, "h w"],
    ) -> None:
        self.canvas = canvas
        self._eyes = eye_surface(portrait, head_model)
        rest = Turn(portrait.camera_from_model, portrait.pose)
        lids, lips = closed_openings(portrait, head_model)
        self._openings = lids.beside(lips)
        opening = canvas.draw(lids, rest, torch.cat([picture, picture[:1]])).shown
        whole = torch.ones_like(picture[:1])
        self._eye_layer = torch.cat([push_pull(picture, opening[0]), whole])
        self._teeth = teeth_surface(portrait, head_model)
        self._teeth_layer: Layer | None = None
        if self._teeth is not None:
            self._teeth_layer = cut_out(picture, mouth, ((mouth - 0.8) / 0.2).clamp(0, 1))
            depth = float(self._teeth.vertices[:, 2].mean())
            reach = max(1, round(float(canvas.camera.focal) * UNDER_LIP / depth))
            below = F.pad(self._teeth_layer.alpha, (0, 0, 0, reach))
            self._under_lip = F.max_pool2d(below, (reach + 1, 1), 1)
        light = light_of(picture, opening)
        self._mouth = inner_mouth(portrait, head_model, self._teeth is not None, light)

    @property
    def teeth(self) -> Float[Tensor, "1 h w"]:
        """How far each pixel of the photo shows the inner mouth."""
        if self._teeth_layer is None:
            return torch.zeros_like(self._eye_layer[3:])
        return self._teeth_layer.alpha

    def draw(self, turn: Turn, displacement: Float[np.ndarray, "M 3"] | None) -> Inside:
        """Eyes and inner mouth after an expression's displacement of the head model (mm) and a turn."""
        eyes = self.canvas.draw(self._eyes, turn, self._eye_layer, displacement=displacement)
        mouth = self.canvas.paint(self._mouth, turn, displacement)
        nearer = (mouth.depth < eyes.depth)[None]
        colour, new = torch.where(nearer, mouth.colour, eyes.colour), nearer.float()
        depth = torch.minimum(mouth.depth, eyes.depth)
        if self._teeth is not None and self._teeth_layer is not None:
            values = torch.cat([self._teeth_layer.colour, self._under_lip])
            teeth = self.canvas.draw(self._teeth, turn, values, displacement=displacement)
            colour = colour + (teeth.colour - colour) * teeth.alpha
            new = new * (1 - teeth.alpha)
            depth = torch.where(teeth.alpha[0] > 0.5, torch.minimum(depth, teeth.depth), depth)
        span = self.canvas.draw(self._openings, turn, self._eye_layer, displacement=displacement)
        # From below or behind, eyes and mouth would be seen through the gaps between the layers.
        rows, columns = box_around(span.depth < torch.inf, NEAR)
        shown = torch.full_like(depth, torch.inf)
        if rows.stop:
            near = F.max_pool2d(span.shown[:, rows, columns], 2 * NEAR + 1, 1, NEAR)
            shown[rows, columns] = torch.where(near[0] > 0, depth[rows, columns], torch.inf)
        return Inside(colour, shown, new)


def light_of(picture: Float[Tensor, "3 h w"], eyes: Float[Tensor, "1 h w"]) -> float:
    """How much light falls on a face, by the brightest parts of its eyes; 1 is good light."""
    brightness = picture.mean(0)[eyes[0] > 0]
    if not len(brightness):
        return 1.0
    return float((brightness.quantile(0.85) / EYE_WHITE).clamp(DIMMEST, BRIGHTEST))
