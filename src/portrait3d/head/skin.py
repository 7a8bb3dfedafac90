"""The skin: the whole fitted head, kept behind photographed hair and inside the head's outline."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import ndimage

from portrait3d.geometry.diffusion import neighbours_mean
from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.pixels import about_border, box_about, inner_distance, smoothstep
from portrait3d.geometry.skin import openings
from portrait3d.geometry.topology import Topology
from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_body import HairBody
from portrait3d.head.hair_view import DEPTH, HairView, head_outline
from portrait3d.parsing_classes import HAIRY, SKIN, ParsingClass


@dataclass(frozen=True)
class OutlineFit:
    """How the fitted head's outline moves to the photo's."""

    contour: float = 0.4
    """Skin seen flatter than this cosine is the fitted head's own outline."""
    under_hair: float = 4.0
    """Under hair the fitted outline lies at least this far inside the photo's, pixels."""
    outermost: float = 2.5
    """Skin this near to the fitted head's own outline in the picture is its contour, pixels."""
    widest: float = 9.0
    """Pixels by which the fitted outline moves to the photo's at most."""
    collar: float = 3.0
    """The same for a neck above clothes: its corners may be the jaw's."""


OUTLINE = OutlineFit()


@dataclass(frozen=True)
class LayerOrder:
    """How skin and hair give way to each other."""

    behind: float = 3.0
    """Skin ends up this far behind the hair before it, mm: behind the body too, which the sheet covers."""
    farthest: float = 45.0
    """Skin is moved by no more than this, mm: more is an error of the depth, not of the fit."""
    rounds: int = 30
    fall: float = 0.94
    """How far, in triangles, what is around moved skin follows it, and by which share of its neighbours'
    move."""
    drape: int = 14
    slope: float = 3.0
    """Pixels over which hair that is brought before the face takes the hair beside it along, and by how many
    mm less it does a pixel further."""


ORDER = LayerOrder()


@dataclass(frozen=True)
class Sight:
    """What of the skin the photo shows, and where hair covers it."""

    grazing: float = 0.04
    """Skin seen flatter than this cosine does not take the photo's colours."""
    steep: float = 0.2
    """Skin seen flatter than this cosine may have the hair of another side of the head in its pixel."""
    short: float = 12.0
    """Hair on the back of the head is at most this far from the skin that takes its colour, mm."""
    hidden: float = 2.0
    """Skin this far (mm) behind what its pixel shows is hidden."""
    under: float = 2.5
    """Skin this far outside the hair's body still counts as covered by it, mm."""


SIGHT = Sight()


def in_layers(model: FittedHead, view: HairView) -> tuple[FittedHead, HairView]:
    """Skin and hair on the photo's outline and in layer order (Eq. 9).

    Skull and ears give way to hair that the photo shows before them, hair gives way to the face behind it:
    each moves where the other is known better.
    """
    model = model.moved(behind_hair(model, on_outline(model, view), view))
    return model, replace(view, front=before_skin(view, model.depth), skin=model.depth)


def before_skin(view: HairView, skin: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
    """The front of hair, brought before skin of some depth where it lies behind it.

    Hair around comes along, less and less: it falls off beside the face's edge without a cliff. Beside the
    skin's own contour it stays: there it is behind what it is beside.
    """
    inner = inner_distance(np.isfinite(skin)) > OUTLINE.outermost
    lacking = np.where(view.hair & inner, np.maximum(view.front - (skin - DEPTH.lift), 0), 0)
    if not lacking.any():
        return view.front
    # A cone under every pixel that moves: each ring around it follows by one slope less, as far as there is
    # hair.
    part = box_about(lacking > 0, ORDER.drape)
    for _ in range(ORDER.drape):
        follow = (ndimage.maximum_filter(lacking[part], 3) - ORDER.slope) * view.hair[part]
        lacking[part] = np.maximum(lacking[part], follow)
    return view.front - lacking


def on_outline(model: FittedHead, view: HairView) -> Float[np.ndarray, "V 3"]:
    """The fitted head's contour moved to that of the photo: cheeks, ears and neck end where they end there.

    Under hair the skull only moves inward, under it. What faces the camera stays, what lies between follows
    smoothly.
    """
    vertices, normal, cosine = model.vertices, model.normals, model.cosine
    wanted, moves = contour_gap(model, view)
    moves &= np.abs(cosine) < OUTLINE.contour
    # Outward in the picture; pixels become millimetres at the vertex's own depth.
    across = normal[:, :2] / np.maximum(np.linalg.norm(normal[:, :2], axis=1, keepdims=True), 1e-9)
    shift = np.zeros_like(vertices)
    shift[moves, :2] = (across * wanted[:, None] * vertices[:, 2:] / view.focal)[moves]
    # What faces the camera is known from the fit, the contour from the photo; between them it is spread.
    fixed = moves | (cosine > 0.75) & (model.face_mask > 0.5)
    return vertices + followed(model.topology, shift, fixed)


def contour_gap(model: FittedHead, view: HairView) -> tuple[Float[np.ndarray, " V"], Bool[np.ndarray, " V"]]:
    """How far outward (pixels) the photo's contour lies from that of the fitted head at each vertex, and
    where that is known.

    Bare skin ends where parsed skin ends, whether ground or hair lies beyond: hair that begins just inside
    the contour of a cheek, as on the side that is turned away, is behind that cheek. Elsewhere under hair the
    skull stays some way inside the head's outline.
    """
    labels = view.labels
    at = view.pixels(model.vertices).T[::-1] - 0.5
    row, column = np.round(at).astype(int).clip(0, view.size - 1)
    label = labels[row, column]
    # How far each vertex lies inside the parsed head, the parsed skin and its own silhouette, and what the
    # nearest pixels within and beyond those show.
    in_head, head, off_head = about_border(head_outline(labels))
    in_skin, _, off_skin = about_border(np.isin(labels, SKIN))
    own = inner_distance(np.isfinite(view.skin))
    to_ground, to_skin, depth = (view.read(m, model.vertices) for m in (in_head, in_skin, own))
    within, beside, beyond = (
        labels[tuple(k[row, column] for k in index)] for index in (head, off_head, off_skin)
    )
    outermost = depth < OUTLINE.outermost
    # Four kinds of contour: bare skin before hair or ground, a neck that clothes cover from somewhere outside
    # the fitted one on, a cheek with hair parsed over its edge, and skull that would stick out of the head.
    bare = outermost & np.isin(label, SKIN) & np.isin(beyond, (*HAIRY, ParsingClass.BACKGROUND))
    collar = outermost & (label == ParsingClass.NECK) & (beyond == ParsingClass.BODY) & (to_skin > 0)
    cheek = outermost & np.isin(label, HAIRY) & (to_skin > -OUTLINE.widest) & (model.face_mask > 0.05)
    inward = np.minimum(to_ground - np.where(np.isin(within, HAIRY), OUTLINE.under_hair, 0.0), 0)
    outside = (beside == ParsingClass.BACKGROUND) & (label != ParsingClass.BODY) & (inward < 0)
    wanted = np.where(bare | cheek, to_skin, inward)
    wanted = np.where(collar, np.minimum(to_skin, OUTLINE.collar), wanted)
    known = (bare | collar | cheek | outside) & (np.abs(wanted) < 2 * OUTLINE.widest)
    return wanted.clip(-OUTLINE.widest, OUTLINE.widest), known


def behind_hair(
    model: FittedHead, vertices: Float[np.ndarray, "V 3"], view: HairView
) -> Float[np.ndarray, "V 3"]:
    """Skull and ears that would lie before photographed hair move along their rays to just behind it (Eq. 9).

    Around them skin follows, so that nothing is torn: an ear under a lock goes back as a whole. The face
    stays.
    """
    hair = view.read(view.hair, vertices, beyond=0.0) > 0.5
    front = view.read(view.front, vertices)
    movable = 1 - smoothstep(model.face_mask / 0.6)
    wanted = np.clip(front + ORDER.behind - vertices[:, 2], 0, ORDER.farthest) * hair * movable
    # Neighbours follow by a share that falls off, round by round; never less than what is wanted itself.
    amount, topology = wanted, model.topology
    for _ in range(ORDER.rounds):
        around = neighbours_mean(topology, amount[:, None])[:, 0]
        amount = np.maximum(wanted, ORDER.fall * around * movable)
    # Along the ray, so that every vertex stays in its pixel and the photo's colours stay on it.
    return vertices + vertices / vertices[:, 2:] * amount[:, None]


def followed(
    topology: Topology, shift: Float[np.ndarray, "V 3"], fixed: Bool[np.ndarray, " V"]
) -> Float[np.ndarray, "V 3"]:
    """A displacement that is given at some vertices, and fades from there over the others."""
    moved = shift
    for _ in range(ORDER.rounds):
        moved = np.where(fixed[:, None], shift, ORDER.fall * neighbours_mean(topology, moved))
    return moved


def photographed(model: FittedHead, view: HairView) -> Bool[np.ndarray, " V"]:
    """Which of the model's vertices the photo shows: turned to the camera, not hidden, on skin."""
    vertices = model.vertices
    on_skin = view.read(np.isin(view.labels, SKIN), vertices, beyond=0.0) > 0.5
    # The deepest of the neighbours: between pixels, a slope must not hide itself.
    front = ndimage.grey_dilation(np.where(np.isfinite(model.depth), model.depth, -np.inf), (3, 3))
    hidden = vertices[:, 2] - model.read(front, vertices)
    return on_skin & (model.cosine > SIGHT.grazing) & (hidden < SIGHT.hidden)


def under_hair(
    model: FittedHead, view: HairView, body: HairBody | None, shown: Bool[np.ndarray, " V"]
) -> Float[np.ndarray, " V"]:
    """1 where hair covers the skin, which then takes its colour, 0 where it is bare or the photo shows it.

    A hairline is as good as symmetric: what the photo does not show is under hair where the other side is.
    """
    if body is None:
        return np.zeros(len(shown))
    # Under the body, under hair too short for a body, or where the other side shows hair.
    covered = smoothstep((body.inside(model.model_vertices) + SIGHT.under) / SIGHT.under)
    covered = np.maximum(covered, hair_behind(model, view))
    other = photographed_hair(model, view)[model.layout.mirror]
    covered = np.maximum(covered, neighbours_mean(model.topology, other[:, None])[:, 0])
    return covered * ~shown * (1 - model.ears_mask)


def hair_behind(model: FittedHead, view: HairView) -> Float[np.ndarray, " V"]:
    """1 on the far side of the head where the last surface is hair, however short, body or not."""
    is_hair, back = (view.read(m, model.vertices) for m in (view.back_is_hair, view.back))
    last = (-model.cosine > SIGHT.steep) & (model.vertices[:, 2] > back - SIGHT.short)
    return last * smoothstep((is_hair - 0.35) / 0.3)


def photographed_hair(model: FittedHead, view: HairView) -> Float[np.ndarray, " V"]:
    """1 where the photo shows hair lying on the skin, 0 where it shows none."""
    lying = view.read(view.lying, model.vertices, beyond=0.0)
    return lying * (model.cosine > SIGHT.steep)


def neck_cut(model: FittedHead) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, "N 3"]]:
    """The margin of the model's neck, and triangles of its positions that close it around one more point."""
    loop = openings(model.faces, model.model_vertices)[HeadPiece.SURFACE]
    ring = np.arange(len(loop))
    return loop, np.stack([np.full(len(loop), len(loop)), np.roll(ring, -1), ring], axis=1)
