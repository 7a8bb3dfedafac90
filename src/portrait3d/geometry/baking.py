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
from portrait3d.geometry.sheet import EARS, HAIR, HEADWEAR, NECK, SKIN, nearest
from portrait3d.geometry.skin import FittedHead, normals, view_cosine
from portrait3d.geometry.strands import HairLook, hair_look

GRAZING, STEADY = 0.1, 0.45
"""Skin seen flatter than the first cosine takes no colours of the photo, from the second on only those."""
SKIN_RIM = 3.0
"""Width of the skin's border (pixels of the crop) that may show hair or background."""
DEEP, ENOUGH = 6, 0.5
"""Pixels of the crop inside the outline that hair's colours are taken from, if so much of it lies there."""
MIRRORED = 0.0005
"""Weight of the other side of the face in the smooth colours of what the photo does not show."""
SHADING = (0.5, 1.6)
"""Range of the shading that is taken out, relative to that of the face."""
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
        """Hair and headwear inside the outline; deep, where no light shines in from behind, if it can be."""
        hair = np.isin(self.labels, (HAIR, HEADWEAR))
        hair &= ndimage.binary_erosion(self.coverage > 0.8, iterations=2)
        deep = hair & ndimage.binary_erosion(self.coverage > 0.8, iterations=DEEP)
        return deep if deep.sum() > ENOUGH * hair.sum() else hair

    @property
    def skin(self) -> Float[np.ndarray, "H W"]:
        """1 on skin, 0 from its border on and beyond."""
        skin = np.isin(self.labels, (*SKIN, *EARS, NECK))
        return np.clip((ndimage.distance_transform_edt(skin) - 0.5) / SKIN_RIM, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """The model's vertices on their way into the texture."""

    shown: Bool[np.ndarray, " V"]
    """Vertices that the photo shows."""
    hairy: Float[np.ndarray, " V"]
    """1 where hair covers the skin, 0 where it is bare."""


def bake_seen(
    model: FittedHead, texels: Texels, scene: Scene, surfaces: Surfaces
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
    """The photo's colours at the texels, and how far the photo shows the skin there, 0 to 1."""
    crop, size = len(scene.labels), scene.picture.shape[-1]
    weight = view_weight(model, surfaces.shown)
    own = texels.spread(np.concatenate([model.pixels(model.vertices) / crop, weight[:, None]], axis=1))
    trust = resample(torch.from_numpy(scene.skin).float()[None], (size, size))
    seen = sample(torch.cat([scene.picture, trust]), own[:, :2])
    return seen[:, :3], own[:, 2] * seen[:, 3]


def bake_unseen(
    model: FittedHead, texels: Texels, scene: Scene, surfaces: Surfaces
) -> Float[np.ndarray, "N 3"]:
    """Colours of the texels as if the photo did not show them.

    Smooth colours from what it shows around, with the detail of the other side of the face; where hair covers
    the skin, strands with the look of the visible hair.
    """
    crop = len(scene.labels)
    pixels = model.pixels(model.vertices)
    weight = view_weight(model, surfaces.shown)
    trust = scene.skin
    smooth = blurred(scene.coarse, trust)
    at_vertex = sample(torch.cat([smooth, torch.from_numpy(trust)[None].float()]), pixels / crop)
    known = weight * at_vertex[:, 3]
    mirror = model.layout.mirror
    other = MIRRORED * known[mirror] * (1 - known)
    values = at_vertex[:, :3] * known[:, None] + at_vertex[mirror, :3] * other[:, None]
    base = diffuse(model.layout.faces, values / np.maximum(known + other, 1e-9)[:, None], known + other)

    half = (scene.picture.shape[-1] // 2, scene.picture.shape[-1] // 2)
    detail = resample(scene.picture, half) - resample(smooth, half)
    detail = torch.cat([detail, resample(torch.from_numpy(trust).float()[None], half)])
    attributes = [base, pixels[mirror] / crop, weight[mirror, None], surfaces.hairy[:, None]]
    there = texels.spread(np.concatenate(attributes, axis=1))
    mirrored = sample(detail, there[:, 3:5])
    colour = there[:, :3] + mirrored[:, :3] * (there[:, 5] * mirrored[:, 3])[:, None]
    if surfaces.hairy.any() and (look := hair_look(scene.picture, scene.coarse, scene.hair)):
        hairy = np.clip((there[:, 6] - 0.5) * 1.5 + 0.5, 0, 1)
        grown = np.flatnonzero(hairy > 0)
        strands = hair_colours(model, texels, grown, scene, look)
        colour[grown] += (strands - colour[grown]) * hairy[grown, None]
    return colour


def view_weight(model: FittedHead, shown: Bool[np.ndarray, " V"]) -> Float[np.ndarray, " V"]:
    """How well the photo shows the model's vertices: 1 face on, less where it sees them edge-on."""
    cosine = view_cosine(model.vertices, normals(model.vertices, model.faces))
    return np.clip((cosine - GRAZING) / (STEADY - GRAZING), 0, 1) * shown


def without_light(
    model: FittedHead,
    texels: Texels,
    colours: Float[np.ndarray, "N 3"],
    hairy: Float[np.ndarray, " V"],
) -> Float[np.ndarray, "N 3"]:
    """Colours divided by the fitted light's shading of bare skin, as bright as before in the mean.

    The shading is that of the surface's normals under nine spherical harmonics: it evens out the bright and
    the dark side of a face, not cast shadows and highlights.
    """
    on_skin = np.zeros(len(hairy), bool)
    on_skin[model.faces] = True
    bare = np.clip(1 - hairy, 0, 1) * on_skin
    return colours / texels.spread((1 + (shading(model) - 1) * bare)[:, None])


def photo_without_light(
    model: FittedHead, photo: Float[Tensor, "3 S S"], scene: Scene
) -> Float[Tensor, "3 S S"]:
    """The photo's skin in the same even light; beside the model it takes the light of the nearest skin."""
    on_model = (model.face_index >= 0) & (model.face_index < len(model.faces))
    if not on_model.any():
        return photo
    corners = model.faces[np.where(on_model, model.face_index, 0)]
    _, source = nearest(on_model)
    light = ndimage.gaussian_filter(shading(model)[corners].mean(axis=-1)[source], 1.0)
    skin = ndimage.gaussian_filter(np.isin(scene.labels, (*SKIN, *EARS, NECK)).astype(float), 1.0)
    divisor = torch.from_numpy(1 + (light - 1) * skin).float()[None]
    return photo / resample(divisor, (photo.shape[-2], photo.shape[-1]))


def shading(model: FittedHead) -> Float[np.ndarray, " V"]:
    """The fitted light's shading at the model's vertices, relative to that of the face."""
    face = model.face_mask > 0.5
    mean = float(np.median(model.irradiance[face])) if face.any() else 1.0
    return np.clip(model.irradiance / max(mean, 1e-3), *SHADING)


def hair_colours(
    model: FittedHead, texels: Texels, chosen: np.ndarray, scene: Scene, look: HairLook
) -> Float[np.ndarray, "K 3"]:
    """Colours of texels under hair: the visible hair's, spread over the scalp, with strands down the head."""
    base = hair_base(model, scene)
    there = texels.spread(np.concatenate([base, model.model_vertices], axis=1), chosen)
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
