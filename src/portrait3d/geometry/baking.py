"""Baking the photo into the head model's own texture coordinates."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.filling import as_planes, resample
from portrait3d.geometry.layout import Texels
from portrait3d.geometry.sheet import HAIR, HEADWEAR, NECK, SKIN
from portrait3d.geometry.skin import FittedHead, normals, view_cosine
from portrait3d.geometry.strands import HairLook, hair_look

GRAZING, STEADY = 0.1, 0.45
"""Skin seen flatter than the first cosine takes no colours of the photo, from the second on only those."""
SKIN_RIM = 1.5
"""Width of the skin's border (pixels of the crop) that may show hair or background."""
MIRRORED = 0.0005
"""Weight of the other side of the face in the smooth colours of what the photo does not show."""
SMOOTH = 2.5
"""Width of the blur (pixels of the crop) that parts smooth colours from detail."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The head crop: its picture and what is where."""

    picture: Float[Tensor, "3 S S"]
    """RGB in [0, 1], at the texture's resolution."""
    coarse: Float[Tensor, "3 H W"]
    """The same at the parsing's resolution."""
    labels: UInt8[np.ndarray, "H W"]
    coverage: Float[np.ndarray, "H W"]
    """Probability of face, hair, ears and headwear."""

    @classmethod
    def of(
        cls,
        picture: UInt8[np.ndarray, "S S 3"],
        labels: UInt8[np.ndarray, "H W"],
        coverage: Float[np.ndarray, "H W"],
    ) -> "Scene":
        """The scene of a head crop."""
        fine = as_planes(picture)
        return cls(fine, resample(fine, labels.shape), labels, coverage)

    @property
    def hair(self) -> Bool[np.ndarray, "H W"]:
        """Hair and headwear, well inside the outline."""
        hair = np.isin(self.labels, (HAIR, HEADWEAR))
        return hair & ndimage.binary_erosion(self.coverage > 0.8, iterations=2)

    @property
    def skin(self) -> Float[np.ndarray, "H W"]:
        """1 on skin, 0 from its border on and beyond."""
        skin = np.isin(self.labels, (*SKIN, 3, 4, NECK))
        return np.clip((ndimage.distance_transform_edt(skin) - 0.5) / SKIN_RIM, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """The model's vertices on their way into the texture."""

    shown: Bool[np.ndarray, " V"]
    """Vertices that the photo shows."""
    hairy: Float[np.ndarray, " V"]
    """1 where hair covers the skin, 0 where it is bare."""


def bake_skin(
    model: FittedHead, texels: Texels, scene: Scene, surfaces: Surfaces
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "V 3"]]:
    """Colours of the texels, as if all were skin or hair on it, and smooth colours of the model's vertices.

    What the photo shows takes its colours. What it does not show takes smooth colours from around it and the
    detail of the other side of the face, and where hair covers it, strands with the look of the visible hair.
    """
    layout, size = model.layout, scene.picture.shape[-1]
    crop = len(scene.labels)
    pixels = model.pixels(model.vertices)
    weight = view_weight(model, surfaces.shown)
    trust = scene.skin
    smooth = blurred(scene.coarse, trust)
    at_vertex = sample(torch.cat([smooth, torch.from_numpy(trust)[None].float()]), pixels / crop)
    known = weight * at_vertex[:, 3]
    mirror = layout.mirror
    data = known + MIRRORED * known[mirror] * (1 - known)
    values = at_vertex[:, :3] * known[:, None]
    values = values + at_vertex[mirror, :3] * (MIRRORED * known[mirror] * (1 - known))[:, None]
    base = diffuse(layout.faces, values / np.maximum(data, 1e-9)[:, None], data)

    own = np.concatenate([pixels / crop, weight[:, None]], axis=1)
    own = texels.spread(own, layout)
    fine_trust = resample(torch.from_numpy(trust).float()[None], (size, size))
    seen = sample(torch.cat([scene.picture, fine_trust]), own[:, :2])
    share = own[:, 2] * seen[:, 3]

    hidden = np.flatnonzero(share < 0.999)
    half = (size // 2, size // 2)
    detail = resample(scene.picture, half) - resample(smooth, half)
    detail = torch.cat([detail, resample(fine_trust, half)])
    attributes = np.concatenate(
        [base, pixels[mirror] / crop, weight[mirror, None], surfaces.hairy[:, None]], axis=1
    )
    there = texels.spread(attributes, layout, hidden)
    other = sample(detail, there[:, 3:5])
    colour = there[:, :3] + other[:, :3] * (there[:, 5] * other[:, 3])[:, None]
    if surfaces.hairy.any() and (look := hair_look(scene.picture, scene.coarse, scene.hair)):
        hairy = np.clip((there[:, 6] - 0.5) * 3 + 0.5, 0, 1)
        grown = hairy > 0
        strands = hair_colours(model, texels, hidden[grown], scene, look)
        colour[grown] += (strands - colour[grown]) * hairy[grown, None]
    result = seen[:, :3].copy()
    result[hidden] = colour + (seen[hidden, :3] - colour) * share[hidden, None]
    return result, base


def view_weight(model: FittedHead, shown: Bool[np.ndarray, " V"]) -> Float[np.ndarray, " V"]:
    """How well the photo shows the model's vertices: 1 face on, less where it sees them edge-on."""
    cosine = view_cosine(model.vertices, normals(model.vertices, model.faces))
    return np.clip((cosine - GRAZING) / (STEADY - GRAZING), 0, 1) * shown


def hair_colours(
    model: FittedHead, texels: Texels, chosen: np.ndarray, scene: Scene, look: HairLook
) -> Float[np.ndarray, "K 3"]:
    """Colours of texels under hair: the visible hair's, spread over the scalp, with strands down the head."""
    base = hair_base(model, scene)
    there = texels.spread(np.concatenate([base, model.model_vertices], axis=1), model.layout, chosen)
    return look.colours(there[:, :3], there[:, 3:])


def hair_base(model: FittedHead, scene: Scene) -> Float[np.ndarray, "V 3"]:
    """Smooth colours of hair at the model's vertices: those that the photo shows, spread over the rest."""
    crop = len(scene.labels)
    inside = scene.hair.astype(np.float64)
    smooth = blurred(scene.coarse, inside)
    at = sample(
        torch.cat([smooth, torch.from_numpy(inside)[None].float()]), model.pixels(model.vertices) / crop
    )
    # The far side of the head takes the near side's colours only faintly: they are right at the outline.
    behind = view_cosine(model.vertices, normals(model.vertices, model.faces)) < 0
    return diffuse(model.faces, at[:, :3], at[:, 3] * np.where(behind, 0.003, 1.0))


def blurred(
    picture: Float[Tensor, "3 H W"], inside: Float[np.ndarray, "H W"], width: float = SMOOTH
) -> Float[Tensor, "3 H W"]:
    """The picture's smooth colours, taken from inside a region alone."""
    weight = ndimage.gaussian_filter(inside, width)
    planes = ndimage.gaussian_filter(picture.numpy() * inside, (0, width, width))
    return torch.from_numpy(planes / np.maximum(weight, 1e-4)).float()


def sample(values: Float[Tensor, "C H W"], places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N C"]:
    """Values at places (x, y), 0 to 1 across the picture, bilinear; the border goes on beyond it."""
    grid = torch.from_numpy(places.astype(np.float32) * 2 - 1)[None, None]
    found = F.grid_sample(values[None].float(), grid, padding_mode="border", align_corners=False)
    return found[0, :, 0].T.numpy()
