"""One head mesh from the fitted face, the lifted depth of everything else and a closed back."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from portrait3d.geometry.atlas import Atlas, clean_photo, grown
from portrait3d.geometry.backing import (
    close_behind,
    closing_points,
    shown_ears,
)
from portrait3d.geometry.baking import (
    Surfaces,
    bake_seen,
    bake_unseen,
    photo_without_light,
    without_light,
)
from portrait3d.geometry.burying import buried_patch
from portrait3d.geometry.concealing import hiding_depth, in_the_way, keep_behind
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.far_side import put_hair_behind
from portrait3d.geometry.filling import resample
from portrait3d.geometry.following import follow_beside
from portrait3d.geometry.hair import UnseenHair
from portrait3d.geometry.hairline import under_hair
from portrait3d.geometry.layout import Texels
from portrait3d.geometry.loose_hair import loose_hair, without_loose_hair
from portrait3d.geometry.mesh import HeadMesh
from portrait3d.geometry.openings import paint_pieces
from portrait3d.geometry.patches import assemble, model_patch, neck_cap, sheet_patch, tail_patch
from portrait3d.geometry.rim import LEAD, deep_pixels, hair_back, meet, skirt, surface_depths, turned_away
from portrait3d.geometry.scene import Scene
from portrait3d.geometry.sheet import (
    EARS,
    HAIR,
    HEAD,
    HEADWEAR,
    NECK,
    OVERLAP,
    SKIN,
    SNAP,
    head_region,
    lift,
    nearest,
    settle_depth,
)
from portrait3d.geometry.skin import FittedHead, normals, view_cosine
from portrait3d.geometry.tail import hair_tail, tail_colours

GRAZING = 0.04
"""Skin seen flatter than this cosine does not take the photo's colours."""
AT_HAIRLINE = 0.1
"""Cosine to the view from which triangles across the hairline stay where they are."""
OUTLINE = 10
"""Pixels inside the outline from which skin is sure to face the camera."""
HANGING = 10.0
"""Height in the model's frame below which hair hangs free of the head, mm (y down)."""


def stitch(
    model: FittedHead,
    texels: tuple[Texels, Texels],
    depth: DepthMap,
    parsing: Float[np.ndarray, "9 H W"],
    picture: UInt8[np.ndarray, "S S 3"],
    angle: float = 0.0,
    *,
    matte: Float[np.ndarray, "M M"] | None = None,
    delight: bool = False,
) -> HeadMesh:
    """Join the face model and the lifted rest of the head into one closed, textured mesh.

    The head model's whole surface with eyes, teeth, tongue and mouth cavity is in it: its face where the
    photo shows it, and the rest grown to the hair's outline so that it closes the head behind. Hair, ears and
    what else the photo shows are a sheet over the crop's pixels that runs on under the face's border at the
    model's depth, so that no crack opens.

    Args:
        model: The fitted head model.
        texels: The texture's pixels that show the model, for the picture's size and for half of it.
        depth: The predicted depth of face, hair, ears and headwear in the head crop's camera, mm.
        parsing: Probabilities of the nine classes in the head crop.
        picture: The head crop at the texture's resolution (`head_crop.resized(S).extract`, S even, <= 1024).
        angle: The crop's roll in the photo, radians; the mesh is returned in the photo's camera frame.
        matte: How much of every pixel of the head crop is head, at a multiple of its resolution, for loose
            hair; without it, there is none.
        delight: Whether the fitted light's shading is taken out of the skin's colours.
    """
    crop = depth.camera.width
    coarse = None if matte is None else resample(torch.from_numpy(matte)[None], (crop, crop))[0].numpy()
    if coarse is not None:
        parsing = without_loose_hair(parsing, coarse)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    coverage = parsing[list(HEAD)].sum(axis=0)
    region = head_region(labels, depth.valid.numpy())

    shown = photographed(model, parsing)
    seen = np.all(shown[model.faces], axis=1) | at_hairline(model, labels)
    covered = covered_pixels(model, seen, labels) & region
    settled = settle_depth(depth.depth.double().numpy(), region, labels, model.depth, covered)
    far = put_hair_behind(model, settled, labels, region, covered)
    settled = far.depth
    needed = region & ~covered & ~beyond_model(labels, covered)
    lifted = region & ndimage.binary_dilation(needed, iterations=OVERLAP)
    # Hair behind the far cheek does not run on under it.
    lifted &= ~covered | ~ndimage.binary_dilation(far.edge, iterations=OVERLAP + 1)

    held = np.zeros(len(model.vertices), bool)
    held[model.faces[seen]] = True
    backing = close_behind(model, held, np.where(lifted, settled, np.inf), labels, region)
    above = closing_points(model, backing)
    above = above[model.to_model(above)[:, 1] < HANGING]
    away = lifted & turned_away(settled, region | covered, covered, above, model.focal)
    lifted &= ~away
    # Skin seen edge-on hides nothing of another colour, and its depth is not to be relied on.
    inner = ndimage.binary_erosion(region | (labels == NECK), iterations=OUTLINE, border_value=1)
    before = lifted & (inner | np.isin(labels, (HAIR, HEADWEAR, *EARS))) & ~far.edge
    backing = keep_behind(model, backing, held, np.where(before, settled, np.inf), labels, region)
    closing = closing_points(model, backing)
    under, farthest = surface_depths(backing, model.faces, model.focal, (crop, crop))
    settled = meet(settled, lifted & ~covered, away, under)
    sheet = lift(settled, lifted, covered, labels, coverage, model.focal)
    tail = hair_tail(model, sheet, labels, region, farthest)
    on_skin = np.where(far.edge, 0, labels).astype(np.uint8)
    hairy = under_hair(model, on_skin, region, coverage, hanging=tail is not None)
    kept = np.ones(len(model.layout.faces), bool)
    # Triangles between the face and hair beside it may reach through the hair: they are laid under it.
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    beside = np.where(hair & ~far.edge & ~ndimage.binary_dilation(away, iterations=LEAD), sheet.depth, np.inf)
    if tail is not None:
        poking = in_the_way(backing, model.faces, hiding_depth(beside), model.focal)
        kept[: len(model.faces)] = held[model.faces].all(axis=1) | ~poking
        kept[np.unique(model.face_index[covered & (model.face_index >= 0)])] = True

    atlas = Atlas(len(picture))
    follows = follow_beside(model, sheet, covered, labels)
    patches = [
        model_patch(model, backing, kept, held & ~model.read(far.edge, model.vertices), hairy, atlas),
        neck_cap(model, backing, hairy, atlas),
        sheet_patch(sheet, follows, atlas, crop),
    ]
    pixels = deep_pixels(sheet, hair)
    behind = hair_back(sheet, hair, model.face_index >= 0, pixels, model.focal)
    closed = np.zeros(len(sheet.vertices), bool)
    if behind is not None:
        closed[behind[1]] = True
    for extra in (skirt(sheet, closed, pixels, closing, model.focal), behind):
        if extra is not None:
            patches.append(sheet_patch(extra[0], follows.chosen(extra[1]), atlas, crop, seen=False))
    if (buried := buried_patch(model, backing, kept, hairy, beside, atlas)) is not None:
        patches.append(buried)

    scene = Scene.of(picture, labels, coverage, far.edge)
    unseen_hair = UnseenHair.of(model, scene)
    tail_picture = None
    if tail is not None and unseen_hair is not None:
        patches.append(tail_patch(tail[0], atlas))
        rows, columns = atlas.free
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        tail_picture = tail_colours(model, *tail, scene, unseen_hair, shape)
    texture = head_texture(
        model, texels, scene, Surfaces(held, hairy), unseen_hair, tail_picture, atlas, delight=delight
    )
    loose = None
    if matte is not None and coarse is not None:
        front = np.minimum(sheet.depth, under)
        loose = loose_hair(sheet, follows, front, region, matte, coarse, scene, model.focal)
    return assemble(patches, texture, loose, angle)


def head_texture(
    model: FittedHead,
    texels: tuple[Texels, Texels],
    scene: Scene,
    surfaces: Surfaces,
    unseen_hair: UnseenHair | None,
    tail_picture: Float[np.ndarray, "h w 3"] | None,
    atlas: Atlas,
    *,
    delight: bool,
) -> UInt8[np.ndarray, "T T 3"]:
    """The photo where it shows the head, what is likely elsewhere; arguments as those of `stitch`.

    `unseen_hair` is None for heads that show hardly any, `tail_picture` the far side of hanging hair.
    """
    fine, coarse = texels
    # What the photo does not show has no detail that half the size would lose.
    ground = grown(coarse, bake_unseen(model, coarse, scene, surfaces, unseen_hair))
    ground = resample(ground, (fine.side, fine.side))
    colours, share = bake_seen(model, fine, scene, surfaces)
    unseen = ground.permute(1, 2, 0).reshape(-1, 3).numpy()[fine.place]
    colours = unseen + (colours - unseen) * share[:, None]
    if delight:
        colours = without_light(model, fine, colours, surfaces.hairy)
    colours = paint_pieces(model, fine, scene, colours)
    photo = clean_photo(scene)
    if delight:
        photo = photo_without_light(model, photo, scene)
    return atlas.compose(photo, ground, fine, colours, tail_picture)


def photographed(model: FittedHead, parsing: Float[np.ndarray, "9 H W"]) -> Bool[np.ndarray, " V"]:
    """Which of the model's vertices the photo shows: turned to the camera, not hidden, on face or neck.

    Well inside the face, surfaces seen edge-on count too: what is beside them is skin.
    """
    pixels = model.pixels(model.vertices)
    at = pixels.T[::-1] - 0.5
    skin = parsing[[*SKIN, *EARS, NECK]].sum(axis=0)
    deep = ndimage.minimum_filter(skin, 7) > 0.5
    on_skin, inner = (
        ndimage.map_coordinates(values, at, order=1, mode="constant") > 0.5
        for values in (skin, deep.astype(float))
    )
    cosine = view_cosine(model.vertices, normals(model.vertices, model.faces))
    front = ndimage.grey_dilation(np.where(np.isfinite(model.depth), model.depth, -np.inf), (3, 3))
    hidden = model.vertices[:, 2] - model.read(front, model.vertices)
    shown = np.where(
        inner & (model.ears_mask < 0.05),
        (cosine > -0.7) & (hidden < 12.0),
        (cosine > GRAZING) & (hidden < 2.0),
    )
    # What little shows of an ear that hair hides is left to the sheet.
    return shown & on_skin & ((model.ears_mask < 0.05) | shown_ears(model, parsing.argmax(axis=0)))


def at_hairline(model: FittedHead, labels: UInt8[np.ndarray, "H W"]) -> Bool[np.ndarray, " F"]:
    """Triangles that face the camera and show skin in some pixel, while hair covers the rest of them."""
    facing = view_cosine(model.vertices, normals(model.vertices, model.faces)) > AT_HAIRLINE
    skin = np.zeros(len(model.faces), bool)
    visible = model.face_index[np.isin(labels, SKIN)]
    skin[visible[(visible >= 0) & (visible < len(skin))]] = True
    return skin & facing[model.faces].all(axis=1) & (model.ears_mask[model.faces] < 0.05).all(axis=1)


def covered_pixels(
    model: FittedHead, seen: Bool[np.ndarray, " F"], labels: UInt8[np.ndarray, "H W"]
) -> Bool[np.ndarray, "H W"]:
    """Pixels of the crop that show a photographed triangle, eyes and open mouth among them."""
    index = model.face_index
    skin = (index >= 0) & (index < len(seen))
    covered = skin & seen[np.where(skin, index, 0)]
    openings = ((index >= len(seen)) | (labels == SKIN[1])) & np.isin(labels, SKIN)
    beside = skin & np.isin(labels, SKIN)
    return covered | beside | (ndimage.binary_fill_holes(covered) & openings)


def beyond_model(
    labels: UInt8[np.ndarray, "H W"], covered: Bool[np.ndarray, "H W"]
) -> Bool[np.ndarray, "H W"]:
    """Pixels of skin or ears just beside those that show the model's: its outline lies a little elsewhere."""
    beside = np.zeros_like(covered)
    for classes in (SKIN, EARS):
        own = np.isin(labels, classes)
        if (own & covered).any():
            distance, _ = nearest(own & covered)
            beside |= own & (distance <= SNAP)
    return beside
