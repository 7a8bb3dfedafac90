"""The head model as the closed surface behind the lifted sheet, thickened by the hair."""

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer, UInt8

from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.limb import LIMB, THICKEST, THINNEST, to_outline
from portrait3d.geometry.sheet import EARS, HAIR, HEAD, HEADWEAR
from portrait3d.geometry.skin import HEAD_CENTRE, FittedHead, flatten_ears, normals, view_cosine

BEFORE_EARS, TEMPLE = 15.0, -50.0
"""Depth and height in the model's frame (mm, y down) before and below which the sides of temple, cheek, jaw
and throat keep their place: hair beside them lies further back."""
WRAPPINGS = 2
"""How often the scalp is laid under the hair: it shows more of itself to the camera then."""
FACING = 0.2
"""Cosine to the view from which the scalp follows the hair that the photo shows before it."""
BACK, STIFFNESS = 0.02, 0.05
"""Weight of the usual thickness on the unseen back, and how much smoother neighbours are to be."""
FEWEST = 15
"""Pixels of an ear that count as one."""
LEAST_SHOWN = 0.5
"""Part of the box about the model's ear that a parsed ear fills at least if hair does not hide most of it."""
HAIRY, VERY_HAIRY = 0.25, 0.4
"""Share of hair in the head from which it hides ears that the photo doesn't show."""
BEHIND = 3.0
"""The backing stays this far behind the sheet, mm."""
SAMPLES = ((1 / 3, 1 / 3, 1 / 3), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5))
"""Points of a triangle, barycentric, that are to lie behind the sheet."""
HAIRLESS_BELOW = 75.0
"""Height in the model's frame below which nothing counts as scalp, mm (y down)."""


def scalp_weight(
    model_vertices: Float[np.ndarray, "V 3"], ears_mask: Float[np.ndarray, " V"]
) -> Float[np.ndarray, " V"]:
    """1 where hair grows: behind a line from the hairline over the temple to the nape."""
    y, z = model_vertices[:, 1], model_vertices[:, 2]
    line = np.interp(y, [-130, -95, -60, -20, 0, 30, 60], [-40, -28, 0, 30, 42, 70, 95])
    weight = np.clip((z - line) / 8 + 0.5, 0, 1) * np.clip(1 - ears_mask, 0, 1)
    return weight * np.clip((HAIRLESS_BELOW - y) / 20, 0, 1)


def close_behind(
    model: FittedHead,
    held: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "V 3"]:
    """The head model's vertices, moved so that they close the head behind the sheet; crop camera, mm.

    The model's own outline moves to the head's in the photo (its hair's, where that is wider), what lies
    between there and the photographed face follows smoothly, and the scalp grows by the thickness that the
    hair has above. Ears that hair hides are flattened. Vertices that are `held` stay where they are.
    """
    inner, ears_mask = model.model_vertices, model.ears_mask
    middle = model.pixels(model.to_camera(HEAD_CENTRE[None]))[0]
    bare = shown_ears(model, labels)
    hidden = hidden_ears(model, labels, bare)
    flat = flatten_ears(model.vertices.astype(np.float64), model.faces, hidden)
    vertices = np.where(held[:, None], model.vertices, flat)
    normal = normals(vertices, model.faces)
    head = np.isin(labels, HEAD) & ~np.isin(labels, EARS) & region
    shift, limb = to_outline(model, vertices, normal, head, labels, middle)
    # What is before the ears stays: hair beside the face lies behind the cheek's edge.
    still = held | ((inner[:, 2] < BEFORE_EARS) & (inner[:, 1] > TEMPLE))
    limb &= ~still & (ears_mask < 0.05)
    hairy = scalp_weight(inner, np.where(hidden, 0.0, ears_mask))
    above = limb & (inner[:, 1] < 0) & (hairy > 0.5)
    outward = (shift * normal).sum(axis=1)
    thickness = float(np.clip(np.median(outward[above]), THINNEST, THICKEST)) if above.any() else 0.0

    on_skin = np.zeros(len(held), bool)
    on_skin[model.faces] = True
    hair = np.where(np.isin(labels, (HAIR, HEADWEAR)), sheet_depth, np.inf)
    moved = np.zeros_like(vertices)
    for _ in range(WRAPPINGS):
        wrapped = vertices + moved
        facing = view_cosine(wrapped, normals(wrapped, model.faces)) > FACING
        gap, under = to_sheet(wrapped, (hairy > 0.5) & ~held & ~limb & facing, hair, model)
        wanted = np.where(limb[:, None], shift, (thickness * hairy)[:, None] * normal)
        wanted[still] = 0.0
        wanted[under] = (moved + gap)[under]
        sure = limb | still | under
        weight = np.where(sure, 1.0, np.where(inner[:, 2] > 20, BACK, 0.1 * BACK))
        moved = diffuse(model.faces, wanted, weight * on_skin, STIFFNESS)
        moved[held | ~on_skin] = 0.0
    return vertices + moved


def to_sheet(
    vertices: Float[np.ndarray, "V 3"],
    chosen: Bool[np.ndarray, " V"],
    sheet_depth: Float[np.ndarray, "H W"],
    model: FittedHead,
) -> tuple[Float[np.ndarray, "V 3"], Bool[np.ndarray, " V"]]:
    """How far vertices are from just behind the sheet, along their rays (mm), and which of the chosen lie
    under it."""
    depth = model.read(sheet_depth, vertices) + BEHIND
    chosen = chosen & model.in_crop(vertices) & np.isfinite(depth)
    gap = np.where(chosen, depth - vertices[:, 2], 0.0)
    chosen &= np.abs(gap) < THICKEST
    return vertices / vertices[:, 2:] * gap[:, None], chosen


def shown_ears(model: FittedHead, labels: Integer[np.ndarray, "H W"]) -> Bool[np.ndarray, " V"]:
    """Vertices of the ears that the photo shows, most of them at least."""
    shown = np.zeros(len(model.vertices), bool)
    for side, ear in zip((-1, 1), EARS, strict=True):
        own = (model.ears_mask > 0.02) & (side * model.model_vertices[:, 0] > 0)
        box = np.ptp(model.pixels(model.vertices[own]), axis=0).prod() if own.any() else np.inf
        if (labels == ear).sum() >= max(FEWEST, LEAST_SHOWN * box):
            shown |= own
    return shown


def hidden_ears(
    model: FittedHead, labels: UInt8[np.ndarray, "H W"], shown: Bool[np.ndarray, " V"]
) -> Bool[np.ndarray, " V"]:
    """Vertices of the ears that hair hides: on a side where the photo of a hairy head shows none."""
    share = (labels == HAIR).sum() / max(1, np.isin(labels, HEAD).sum())
    some = any((labels == ear).sum() >= FEWEST for ear in EARS)
    if share <= (VERY_HAIRY if some else HAIRY):
        return np.zeros(len(shown), bool)
    return (model.ears_mask > 0.05) & ~shown


def closing_points(model: FittedHead, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "K 3"]:
    """Points of the closing surface that face the camera or are its outline, mm: a few of every triangle."""
    cosine = view_cosine(vertices, normals(vertices, model.faces))
    faces = model.faces[(cosine > -LIMB)[model.faces].all(axis=1)]
    return np.concatenate(triangle_points(vertices, faces))


def triangle_points(
    vertices: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"]
) -> list[Float[np.ndarray, "F 3"]]:
    """The points of every triangle at each of `SAMPLES`."""
    corners = vertices[faces].transpose(0, 2, 1)
    return [corners @ np.array(weight) for weight in SAMPLES]
