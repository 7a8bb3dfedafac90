"""Hair that the photo does not show, in the colours of what it shows."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.hairline import RAMP
from portrait3d.geometry.layout import Texels
from portrait3d.geometry.scene import Scene, sample
from portrait3d.geometry.sheet import HAIR, HEADWEAR
from portrait3d.geometry.skin import FittedHead, normals, view_cosine
from portrait3d.geometry.strands import HairLook, hair_look, strand_noise

BLUR = 4.0
"""Width of the blur (pixels of the crop) of the colours that are continued."""
FEW = 0.03
"""Weight of pixels in the blur from which it counts half."""
OUTLINE, BEYOND = -0.5, 0.03
"""Cosine to the view up to which the far side takes the colours at the outline, and their weight there."""
HOME = 0.001
"""Weight of the usual colour, to which hair comes back some centimetres from what the photo shows."""
TRIMMED, JAGGED, REACH = (50.0, 100.0), (0.5, 2.0), 2.0
"""How much longer and shorter strands are at the hair's border (mm, standard deviation), at temples and
nape (sums of height and depth in the model's frame, mm), and how many deviations at most."""
CURLED = 0.3
"""The same of curls relative to strands."""
BORDER = 3.0
"""Width over which each of them ends, mm."""
WORN = 0.1
"""Share of headwear in hair and headwear from which the head wears some."""


@dataclass(frozen=True, slots=True, eq=False)
class UnseenHair:
    """Hair and headwear as they go on where the photo does not show them."""

    own: Float[np.ndarray, "H W"]
    """How far the crop's pixels show the hair's own colour (or headwear), 0 to 1."""
    base: Float[np.ndarray, "V 3"]
    """Smooth colours at the head model's vertices."""
    strands: Float[np.ndarray, " V"]
    """1 where hair has strands there, 0 where headwear has one plain colour."""
    look: HairLook | None
    """None if the photo shows too little hair to tell."""

    @classmethod
    def of(cls, model: FittedHead, scene: Scene) -> "UnseenHair | None":
        """What the photo shows of hair and headwear, spread over the head; None if it shows none."""
        hair, worn = scene.inside(HAIR), scene.inside(HEADWEAR)
        if not (hair + worn).any():
            return None
        strands = np.ones(len(model.vertices))
        usual = scene.usual(hair if hair.any() else worn)
        own = hair * scene.alike(usual)
        base = spread(model, scene.coarse, own, usual)
        if worn.sum() > WORN * hair.sum():
            share = torch.from_numpy(hair > worn)[None].float()
            strands = spread(model, share, hair + worn, np.zeros(1))[:, 0].clip(0, 1)
            base = base * strands[:, None] + scene.usual(worn) * (1 - strands[:, None])
        return cls(own + worn, base, strands, hair_look(scene, own))

    def grow(
        self,
        colours: Float[np.ndarray, "N 3"],
        model: FittedHead,
        texels: Texels,
        hairy: Float[np.ndarray, " V"],
    ) -> None:
        """Paint hair over the colours of texels where it is to cover the skin (see `hairline.under_hair`).

        Its border is a broken one: strands end at different lengths.
        """
        near = texels.spread(hairy[:, None])[:, 0]
        chosen = np.flatnonzero(near > 0.5 - REACH * JAGGED[1] / (2 * RAMP))
        attributes = np.concatenate([self.base, self.strands[:, None], model.model_vertices], axis=1)
        there = texels.spread(attributes, chosen)
        strands, noise = self.streaked(there[:, :3], there[:, 4:], there[:, 3])
        straight = 1.0 if self.look is None else self.look.straight
        jagged = np.interp(there[:, 5] + there[:, 6], TRIMMED, JAGGED) * (CURLED + (1 - CURLED) * straight)
        inside = (near[chosen] - 0.5) * 2 * RAMP + jagged * there[:, 3] * noise.clip(-REACH, REACH)
        cover = np.clip(inside / BORDER + 0.5, 0, 1)[:, None]
        colours[chosen] += (strands - colours[chosen]) * cover

    def streaked(
        self,
        base: Float[np.ndarray, "N 3"],
        points: Float[np.ndarray, "N 3"],
        share: Float[np.ndarray, " N"] | float = 1.0,
    ) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
        """Smooth colours at points of the model's frame (mm), with strands where `share` is 1; and the
        strands' noise."""
        if self.look is None:
            return base, strand_noise(points)[0]
        coarse, fine = strand_noise(points, self.look.straight)
        brightness = share * self.look.brightness(coarse, fine)
        return base * np.exp(brightness[:, None] * self.look.tint), (coarse + fine) / np.sqrt(2)


def spread(
    model: FittedHead,
    picture: Float[Tensor, "C H W"],
    weight: Float[np.ndarray, "H W"],
    home: Float[np.ndarray, " C"],
) -> Float[np.ndarray, "V C"]:
    """What the picture shows, by its weight, at the model's vertices; elsewhere that fades to `home`."""
    weighted = np.concatenate([picture.numpy() * weight, weight[None]]).astype(np.float32)
    smooth = torch.from_numpy(ndimage.gaussian_filter(weighted, (0, BLUR, BLUR)))
    at = sample(smooth, model.pixels(model.vertices) / len(weight)).astype(np.float64)
    # The far side of the head takes the near side's colours only faintly: they are right at the outline.
    cosine = view_cosine(model.vertices, normals(model.vertices, model.faces))
    known = at[:, -1] / (at[:, -1] + FEW) * np.where(cosine > 0, 1.0, np.where(cosine > OUTLINE, BEYOND, 0.0))
    values = at[:, :-1] / np.maximum(at[:, -1:], 1e-6) * known[:, None] + home * HOME
    return diffuse(model.faces, values / (known + HOME)[:, None], known + HOME)
