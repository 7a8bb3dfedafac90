"""Baking the photo into the head model's own texture coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.pictures import resample, sample, sample_each, weighted_median
from portrait3d.head.blending import Known, harmony, mixed, mixture
from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_texture import HairColours
from portrait3d.head.layout import Texels
from portrait3d.head.mouth_eyes import paint_pieces
from portrait3d.head.scene import Scene
from portrait3d.head.shot import Shot, facing
from portrait3d.head.skin import photographed, photographed_hair

GRAZING, STEADY = 0.3, 0.6
"""Skin seen flatter than the first cosine takes no colours of the photo, from the second on only those."""
MIRRORED = 0.0005
"""Weight of the other side of the face in the smooth colours of what the photo does not show."""
HOME = 0.0002
"""Weight of the face's usual colour there, to which skin comes back some centimetres from what it shows."""
SHADING = (0.5, 1.6)
"""Range of the shading that is taken out, relative to that of the face."""


@dataclass(frozen=True, slots=True, eq=False)
class SkinColours:
    """What the photo tells of the texels' colours, RGB in [0, 1]."""

    seen: Float[np.ndarray, "N 3"]
    """At full resolution, as the photo shows them."""
    share: Float[np.ndarray, " N"]
    """How far it shows the texels, 0 to 1."""
    unseen: Float[np.ndarray, "M 3"]
    """As if it did not show them. What is not seen has no detail that half the resolution would lose."""


def bake_skin(
    model: FittedHead,
    texels: tuple[Texels, Texels],
    scene: Scene,
    shown: Bool[np.ndarray, " V"],
    lying: Bool[np.ndarray, "H W"],
    others: Sequence[Shot] = (),
) -> SkinColours:
    """The photo's colours on the skin, on eyes and in the mouth, and what follows from them elsewhere.

    Args:
        model: The fitted head.
        texels: The texture's pixels that show it, at full and half resolution.
        scene: The photo in the head's crop.
        shown: Vertices that the photo shows.
        lying: Pixels of the crop whose hair lies on the skin behind it.
        others: Further photos, whose colours are taken where they show the skin better.
    """
    fine, coarse = texels
    seen, share = bake_seen(model, fine, scene, shown, scene.hairline(lying))
    known = smooth_colours(model, scene, shown)
    on_skin = model.layout.piece[fine.face] == HeadPiece.SURFACE
    if others:
        seen, share, known = with_others(model, fine, others, (seen, share, known), on_skin)
    # After the mixture: eyes and mouth are those of the main photo alone.
    paint_pieces(model, fine, scene, seen)
    share[~on_skin] = 1
    return SkinColours(seen, share, bake_unseen(model, coarse, scene, shown, known))


def with_others(
    model: FittedHead,
    texels: Texels,
    others: Sequence[Shot],
    own: tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"], Known],
    on_skin: Bool[np.ndarray, " N"],
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"], Known]:
    """Colours at the texels, how far they are shown, and smooth colours at the vertices: the main photo's
    `own` with those of further photos mixed in. Eyes and mouth, which move, stay its own.

    Further photos have no hair sheet, so skin takes the colours of all their hair that lies on it.
    """
    seen, share, known = own
    colours, shares, smooth, clarity = [seen], [share], [known], [facing(model)]
    for shot in others:
        shown = photographed(shot.model, shot.view)
        there = smooth_colours(shot.model, shot.scene, shown)
        gain = harmony(model.layout.faces, known, there)
        hairy = photographed_hair(shot.model, shot.view) > 0.5
        seen, share = bake_seen(shot.model, texels, shot.scene, shown | hairy, shot.view.lying)
        colours.append(seen * texels.spread(gain))
        shares.append(share * on_skin)
        smooth.append(there.brightened(gain))
        clarity.append(shot.clarity)
    fine = [texels.spread(clear[:, None])[:, 0] for clear in clarity]
    return *mixture(colours, shares, fine), mixed(smooth, clarity)


def bake_seen(
    model: FittedHead,
    texels: Texels,
    scene: Scene,
    shown: Bool[np.ndarray, " V"],
    hair: Bool[np.ndarray, "H W"],
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
    """The photo's colours at the texels, and how far the photo shows the skin, or some hair, there, 0 to 1.

    Texels that it does not show stay black: of six there are about five.
    Triangles that reach from the skin under the hair beside it show what the photo has there too.
    """
    crop, size = len(scene.labels), scene.picture.shape[-1]
    reaching = shown[model.faces].any(axis=1)
    shown = shown.copy()
    shown[model.faces[reaching]] = True
    weight = view_weight(model, shown)
    seen, share = np.zeros((len(texels.face), 3), np.float32), np.zeros(len(texels.face), np.float32)
    some = np.flatnonzero(weight[model.layout.faces].max(axis=1)[texels.face])
    # Of every texel: its place in the crop (0 to 1, x and y), and how well the photo shows it.
    own = texels.spread(np.concatenate([model.pixels(model.vertices) / crop, weight[:, None]], axis=1), some)
    trust = resample(torch.from_numpy(scene.skin_with(hair)).float()[None], (size, size))
    seen[some], trust = sample_each([scene.picture, trust], own[:, :2])
    share[some] = own[:, 2] * trust[:, 0]
    return seen, share


def smooth_colours(model: FittedHead, scene: Scene, shown: Bool[np.ndarray, " V"]) -> Known:
    """The photo's smooth colours at the model's vertices."""
    at_vertex = sample(
        torch.cat([scene.smooth_skin, torch.from_numpy(scene.skin)[None].float()]),
        model.pixels(model.vertices) / len(scene.labels),
    )
    return Known(at_vertex[:, :3], view_weight(model, shown) * at_vertex[:, 3])


def bake_unseen(
    model: FittedHead,
    texels: Texels,
    scene: Scene,
    shown: Bool[np.ndarray, " V"],
    smooth: Known | None = None,
) -> Float[np.ndarray, "N 3"]:
    """Colours of the texels as if the photo did not show them: smooth ones from what it shows around, with
    the detail of the other side of the face.

    `smooth` are the smooth colours that are known, if not those of this photo alone.
    """
    smooth = smooth_colours(model, scene, shown) if smooth is None else smooth
    crop = len(scene.labels)
    pixels = model.pixels(model.vertices)
    weight = view_weight(model, shown)
    at_vertex, known = smooth.colours, smooth.weight
    mirror = model.layout.mirror
    # Faint weights that matter only where nothing better is known: the other side, then the face's usual
    # colour.
    other = MIRRORED * known[mirror] * (1 - known)
    values = at_vertex * known[:, None] + at_vertex[mirror, :3] * other[:, None]
    if (face := known * model.face_mask).any():
        values = values + HOME * weighted_median(at_vertex, face)
    total = known + other + HOME
    base = diffuse(model.layout.faces, values / total[:, None], total)
    # Smooth colours know nothing of hollows: ears would be flat.
    base *= model.layout.ear_light[:, None]

    # Detail is what the blur took away, at half resolution; the other side's, read where that side is seen,
    # goes onto the smooth colours.
    half = (scene.picture.shape[-1] // 2, scene.picture.shape[-1] // 2)
    detail = resample(scene.picture, half) - resample(scene.smooth_skin, half)
    detail = torch.cat([detail, resample(torch.from_numpy(scene.skin).float()[None], half)])
    # Of every texel: smooth colours (0 to 2), the crop's pixel of the place on the other side (3, 4), and how
    # well that is shown (5).
    attributes = [base, pixels[mirror] / crop, weight[mirror, None]]
    there = texels.spread(np.concatenate(attributes, axis=1))
    colours, some = there[:, :3].copy(), np.flatnonzero(there[:, 5] > 0)
    mirrored = sample(detail, there[some, 3:5])
    colours[some] += mirrored[:, :3] * (there[some, 5] * mirrored[:, 3])[:, None]
    return colours


def with_strands(
    model: FittedHead,
    texels: Texels,
    colours: Float[np.ndarray, "N 3"],
    hairy: Float[np.ndarray, " V"],
    hair: HairColours,
) -> Float[np.ndarray, "N 3"]:
    """Colours of the texels with strands that look like the visible hair where hair covers the skin."""
    near = texels.spread(hairy[:, None])[:, 0]
    under = np.flatnonzero(near > 0)
    strands = hair.at(texels.spread(model.model_vertices, under))
    colours, near = colours.copy(), near[under]
    for own, other in zip(colours.T, strands.T, strict=True):
        own[under] += (other - own[under]) * near
    return colours


def view_weight(model: FittedHead, shown: Bool[np.ndarray, " V"]) -> Float[np.ndarray, " V"]:
    """How well the photo shows the model's vertices: 1 face on, less where it sees them edge-on."""
    return np.clip((model.cosine - GRAZING) / (STEADY - GRAZING), 0, 1) * shown


def bare_light(model: FittedHead, texels: Texels, hairy: Float[np.ndarray, " V"]) -> Float[np.ndarray, " N"]:
    """The fitted light's shading at texels of bare skin, 1 elsewhere; dividing by it leaves skin as bright as
    before in the mean.

    The shading is that of the surface's normals under nine spherical harmonics: it evens out the bright and
    the dark side of a face, not cast shadows and highlights.
    """
    on_skin = np.zeros(len(hairy), bool)
    on_skin[model.faces] = True
    # Strands are painted without light: it must not be taken out of them.
    bare = np.clip(1 - hairy, 0, 1) * on_skin
    return texels.spread((1 + (shading(model) - 1) * bare)[:, None])[:, 0]


def shading(model: FittedHead) -> Float[np.ndarray, " V"]:
    """The fitted light's shading at the model's vertices, relative to that of the face."""
    face = model.face_mask > 0.5
    mean = float(np.median(model.irradiance[face])) if face.any() else 1.0
    return np.clip(model.irradiance / max(mean, 1e-3), *SHADING)
