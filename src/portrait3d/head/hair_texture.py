"""Colours of the hair's body: the photo where it shows it, strands of the same look elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor

from portrait3d.geometry.blurring import gaussian
from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.pictures import colour_bytes, resample, sample, sample_each
from portrait3d.geometry.pixels import smoothstep
from portrait3d.geometry.topology import renumbered
from portrait3d.geometry.vectors import dot, length
from portrait3d.head.blending import MOST, Known, log_ratio, mixed, mixture
from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_body import HairBody, grow_body
from portrait3d.head.hair_view import HairView
from portrait3d.head.scene import Scene
from portrait3d.head.shot import Shot
from portrait3d.head.strands import HairLook, hair_look, strand_coordinates, strand_noise
from portrait3d.parsing_classes import ParsingClass
from portrait3d.rendering.interpolation import interpolate_seen
from portrait3d.rendering.rasterizer import rasterize

WRAP = 0.06
"""The chart goes on beyond one turn by this share, so that no triangle is cut at its seam before the face."""
BASE = 96
"""Side of the disc of smooth colours: what is smaller is a matter of strands."""
REACH = 0.62
"""Height (`StrandCoordinates`) at the disc's rim: of hair that hangs 220 mm below the middle of the skull."""


@dataclass(frozen=True)
class BodyPaint:
    """How far the body takes the photo's colours."""

    blur: float = 3.0
    """Width of the blur (pixels of the crop) that takes the strands out of the photographed colours."""
    edge_on: float = 0.2
    face_on: float = 0.5
    """Cosines to the view between which the body takes the photo's colours."""
    near: float = 6.0
    """The photo shows what of the body lies no further than this behind the photographed hair, mm."""
    near_others: float = 25.0
    """The same for further photos, mm: the body is as far off where the main photo does not show it."""
    home: float = 0.004
    """Weight of the hair's usual colour among the smooth colours: far from what is shown it wins."""
    worn: float = 0.5
    """Share of headwear among hair and headwear from which unseen parts have no strands."""


PAINT = BodyPaint()


@dataclass(frozen=True, slots=True, eq=False)
class BodyChart:
    """The body's mesh with a place for every vertex: azimuth and distance from the crown (`unwrap`), or that
    on the disc about it (`spread`)."""

    source: Int64[np.ndarray, " N"]
    """Vertex of the body: those at the seam are there twice."""
    faces: Int64[np.ndarray, "F 3"]
    places: Float[np.ndarray, "N 2"]
    """In [0, 1]."""


def unwrap(body: HairBody) -> BodyChart:
    """Cut the body open before the face, along half a great circle about the crown."""
    azimuth, height, _ = strand_coordinates(body.vertices)
    x = (azimuth + 0.5) % 1.0
    # A triangle with corners at both ends of the azimuth crosses the seam: its corners before it go on beyond
    # 1, as vertices of their own.
    corner = x[body.faces.T]
    behind = (np.ptp(corner, axis=0) > 0.5) & (corner < 0.5)
    count = len(x)
    used, faces = renumbered(body.faces + count * behind.T, 2 * count)
    source = used % count
    places = np.stack([(x[source] + (used >= count)) / (1 + WRAP), height[source]], axis=1)
    return BodyChart(source, faces, places.clip(0, 1))


def spread(body: HairBody) -> BodyChart:
    """The body on the disc of smooth colours."""
    places = places_on_disc(*strand_coordinates(body.vertices)[:2])
    return BodyChart(np.arange(len(places)), body.faces, places)


def places_on_disc(
    azimuth: Float[np.ndarray, " N"], height: Float[np.ndarray, " N"]
) -> Float[np.ndarray, "N 2"]:
    """Where the disc of smooth colours shows places among strands, in [0, 1]; beyond its rim, at it.

    An azimuthal equidistant projection about the crown: nothing is cut open, so that colours spread across
    the crown and before the face as they do elsewhere.
    """
    away, turn = np.minimum(height / (2 * REACH), 0.5), 2 * np.pi * azimuth
    return np.stack([0.5 + away * np.sin(turn), 0.5 - away * np.cos(turn)], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class HairColours:
    """What hair looks like wherever it is: smooth colours on the disc, and strands."""

    base: Float[Tensor, "3 B B"]
    look: HairLook | None
    """None if the photo shows too little hair to tell, or headwear of one plain colour."""

    def at(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """RGB in [0, 1] at points of the model frame, mm."""
        along = strand_coordinates(points)
        base = sample(self.base, places_on_disc(along.azimuth, along.height))
        if self.look is None:
            return base
        coarse, fine = strand_noise(points, along, self.look.straight)
        brightness = self.look.brightness(coarse, fine)
        # Channel by channel: numpy is slow along axes of three.
        strands = np.stack([brightness * tint for tint in self.look.tint]).astype(np.float32)
        return (base.T * np.exp(strands)).T


@dataclass(frozen=True, slots=True, eq=False)
class PaintedHair:
    """The hair's body, its chart and what it looks like."""

    body: HairBody
    chart: BodyChart
    picture: UInt8[np.ndarray, "S S 3"]
    """The chart's colours."""
    colours: HairColours


@dataclass(frozen=True, slots=True, eq=False)
class ChartTexels:
    """The chart's pixels that show the body."""

    texel: Int64[np.ndarray, " K"]
    """Flat index into the chart."""
    points: Float[np.ndarray, "K 3"]
    """Model frame, mm."""
    pixels: Float[np.ndarray, "K 2"]
    """Where the crop shows them."""
    shown: Float[np.ndarray, " K"]
    """How well the photo shows them, 0 to 1."""
    facing: Float[np.ndarray, " K"]
    """Cosine between the surface and the view, 0 where it is turned away."""


def paint_hair(
    view: HairView, model: FittedHead, scene: Scene, side: int, others: Sequence[Shot] = ()
) -> PaintedHair | None:
    """Grow the hair's body and paint it, `side` pixels square; None without hair.

    `others` are further photos, which give it colours, not shape.
    """
    body = grow_body(view, model)
    if body is None:
        return None
    chart = unwrap(body)
    return PaintedHair(body, chart, *paint_body(view, model, body, chart, scene, side, others))


def paint_body(
    view: HairView,
    model: FittedHead,
    body: HairBody,
    chart: BodyChart,
    scene: Scene,
    side: int,
    others: Sequence[Shot] = (),
) -> tuple[UInt8[np.ndarray, "T T 3"], HairColours]:
    """The body's texture, `side` pixels square, and the colours that unseen hair has everywhere."""
    own = scene.own_hair
    usual = scene.usual(own if own.any() else view.hair.astype(float))
    worn = (view.labels == ParsingClass.HEADWEAR).sum()
    look = hair_look(scene, own) if worn < PAINT.worn * view.hair.sum() else None

    # Smooth colours: what the photos show, spread over the disc (push-pull), and far from it the usual
    # colour.
    disc = spread(body)
    known = smooth_hair(view, model, scene, body, disc)
    gains = []
    if others:
        smooth = [
            smooth_hair(shot.view, shot.model, shot.scene, body, disc, PAINT.near_others) for shot in others
        ]
        gains = [harmony_on_disc(known, there) for there in smooth]
        lit = [there.brightened(gain.flatten(1).T.numpy()) for there, gain in zip(smooth, gains, strict=True)]
        density = [1.0, *(shot.density for shot in others)]
        known = mixed([known, *lit], [np.full(BASE * BASE, fineness) for fineness in density])
    weight = known.weight + PAINT.home * (1 - known.weight)
    values = np.where((weight > PAINT.home)[:, None], known.colours, usual)
    base = push_pull(
        torch.from_numpy(values.T.reshape(3, BASE, BASE).astype(np.float32)),
        torch.from_numpy(weight.reshape(BASE, BASE).astype(np.float32)),
    )
    colours = HairColours(base, look)

    # Full resolution: the photo where it shows the body, strands over the smooth colours elsewhere.
    fine = drawn_in_chart(view, model, body, chart, side)
    painted, share = shown_hair_colours(view, scene, fine)
    if others:
        painted, share = with_others(body, chart, side, (fine, painted, share), others, gains)
    unseen = np.flatnonzero(share < 1)
    likely, share = colours.at(fine.points[unseen]), share[unseen]
    for own, other in zip(painted.T, likely.T, strict=True):
        own[unseen] = other + (own[unseen] - other) * share
    # Texels that show nothing of the body are read at its borders: there smooth colours go on.
    centres = (np.arange(BASE) + 0.5) / BASE
    height, turn = np.meshgrid(centres, centres * (1 + WRAP) - 0.5, indexing="ij")
    smooth = colour_bytes(sample(base, places_on_disc(turn.ravel(), height.ravel())))
    filled = Image.fromarray(smooth.reshape(BASE, BASE, 3)).resize((side, side), Image.Resampling.BILINEAR)
    texture = np.array(filled).reshape(-1, 3)
    texture[fine.texel] = colour_bytes(painted)
    return texture.reshape(side, side, 3), colours


def smooth_hair(
    view: HairView,
    model: FittedHead,
    scene: Scene,
    body: HairBody,
    disc: BodyChart,
    near: float = PAINT.near,
) -> Known:
    """Colours without strands of the disc's `BASE` x `BASE` pixels; 0 and of weight 0 where the photo shows
    no hair."""
    firm = scene.firm_hair
    there = drawn_in_chart(view, model, body, disc, BASE, near)
    # Normalised convolution: colours times their weight and the weight are blurred, and divided after
    # reading.
    weighted = np.concatenate([scene.coarse.numpy() * firm, firm[None]]).astype(np.float32)
    blurred = gaussian(weighted, PAINT.blur)
    seen = sample(torch.from_numpy(blurred), there.pixels / view.size)
    weight = np.zeros(BASE * BASE, np.float32)
    values = np.zeros((BASE * BASE, 3), np.float32)
    weight[there.texel] = (seen[:, 3] > 0.02) * there.shown
    values[there.texel] = seen[:, :3] / np.maximum(seen[:, 3:], 1e-4)
    return Known(values, weight)


def shown_hair_colours(
    view: HairView, scene: Scene, there: ChartTexels
) -> tuple[Float[np.ndarray, "K 3"], Float[np.ndarray, " K"]]:
    """The photo's colours at texels of the chart, and how far it shows hair there, 0 to 1."""
    trust = resample(torch.from_numpy(scene.firm_hair)[None].float(), scene.picture.shape[-2:])  # pyright: ignore
    photo, trust = sample_each([scene.picture, trust], there.pixels / view.size)
    return photo, (there.shown * np.clip(trust[:, 0] * 2, 0, 1)).astype(np.float32)


def with_others(
    body: HairBody,
    chart: BodyChart,
    side: int,
    own: tuple[ChartTexels, Float[np.ndarray, "K 3"], Float[np.ndarray, " K"]],
    others: Sequence[Shot],
    gains: Sequence[Float[Tensor, "3 B B"]],
) -> tuple[Float[np.ndarray, "K 3"], Float[np.ndarray, " K"]]:
    """Colours at the chart's texels, and how far they are shown, with those of further photos mixed in."""
    fine, painted, share = own
    colours, shares, clarity = [painted], [share], [fine.facing]
    for shot, gain in zip(others, gains, strict=True):
        there = drawn_in_chart(shot.view, shot.model, body, chart, side, PAINT.near_others)
        painted, share = shown_hair_colours(shot.view, shot.scene, there)
        places = places_on_disc(*strand_coordinates(there.points)[:2])
        colours.append(painted * sample(gain, places))
        shares.append(share)
        clarity.append(shot.density * there.facing)
    return mixture(colours, shares, clarity)


def harmony_on_disc(main: Known, other: Known) -> Float[Tensor, "3 B B"]:
    """`blending.harmony` over the disc: what the other photo's hair has to be multiplied with."""
    both = (main.weight * other.weight).astype(np.float32)
    ratio = log_ratio(main.colours, other.colours).T.reshape(3, BASE, BASE).astype(np.float32)
    filled = push_pull(torch.from_numpy(ratio), torch.from_numpy(both.reshape(BASE, BASE)))
    return filled.clamp(-MOST, MOST).exp()


def drawn_in_chart(
    view: HairView, model: FittedHead, body: HairBody, chart: BodyChart, side: int, near: float = PAINT.near
) -> ChartTexels:
    """What each pixel of a chart shows of the body; where it lies over itself, the outermost.

    The photo shows what lies no further than `near` behind its hair, mm.
    """
    inner = body.vertices[chart.source]
    # UV rasterisation: the chart is the screen, and depth falls with the distance from the model's origin, so
    # that the outermost of what overlaps is kept.
    screen = np.concatenate([chart.places * side, 5000 - length(inner)[:, None]], axis=1)
    faces = torch.from_numpy(chart.faces)
    seen = rasterize(torch.from_numpy(screen).float()[None], faces, side, side)
    # Directions are turned, not shifted.
    toward = model.to_camera(body.normals) - model.to_camera(np.zeros((1, 3)))
    attributes = np.concatenate([inner, toward[chart.source]], axis=1)
    texel, values = interpolate_seen(torch.from_numpy(attributes).float(), faces, seen)
    points, normal = values[:3].numpy().T, values[3:].numpy().T
    camera = model.to_camera(points)
    pixels = view.pixels(camera)
    cosine = -dot(normal, camera) / length(camera)
    cosine = cosine / np.maximum(length(normal), 1e-6)
    row, column = np.floor(pixels).astype(int).clip(0, view.size - 1).T[::-1]
    close = (camera[:, 2] < view.front[row, column] + near) & view.hair[row, column]
    shown = smoothstep((cosine - PAINT.edge_on) / (PAINT.face_on - PAINT.edge_on)) * close
    return ChartTexels(texel.numpy(), points, pixels, shown, np.maximum(cosine, 0))
