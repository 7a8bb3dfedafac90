"""What hair map, figure map and mesh points leave possible at every pixel of a photo."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8, UInt16
from PIL import Image, ImageDraw
from scipy import ndimage

from portrait3d.data.face.fits import FitConfig, fit_photos
from portrait3d.data.parsing.headwear import OVAL
from portrait3d.data.parsing.label_sets import CLASSES, collect
from portrait3d.data.people.model_views import HeadInCrop, SkinModel, render_depth
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import IDENTITIES, MeshPoints
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE, crop_from_landmarks
from portrait3d.preprocessing.tint import tint_distance

SURE, FAINT = 0.9, 0.1
"""Probabilities from which a map is believed, and up to which it is believed to say no."""
# fmt: off
INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
"""The inner border of the lips among the 468 mesh points, in order."""
# fmt: on
OPEN_MOUTH = 0.05
"""Height of the opening over the face's from which something must show in it."""
INSIDE, OUTSIDE = -0.05, 0.07
"""How far (in face heights) the face's outline may be off, inward and outward."""
EAR, BESIDE, AROUND = 0.015, -0.03, -0.08
"""Depths inside a fitted ear, in face heights: from where skin is ear, from where it is beside the face's
outline, and from where it may be. A teacher's labels call 97, 95 and 4 % of bare skin there ear."""
NECK, BELOW = 0.025, 0.03
"""Depth inside the fitted neck and height over the chin, in face heights, from which skin is neck..."""
LIKE, UNLIKE = 0.2, 0.25
"""... if its colour (logarithms without brightness) is this near to the face's: a teacher's labels call 98 %
of that neck, and of all of the fitted neck 88 %, as collars cover it. Beyond the second it is not skin."""
CLOTHES = -0.05
"""Depth inside the fitted neck below which what does not look like skin is body. Of such pixels a teacher's
labels call 97 % body, 3 % background and 0.5 % neck; they are 89 % of all that it calls body."""


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """A photo's pixels in the frame of the face, in face heights from forehead to chin."""

    right: Float[np.ndarray, "H W"]
    """To the picture's right of the face's middle, along the face's own horizontal."""
    up: Float[np.ndarray, "H W"]
    """Above the chin: 0 at the chin, 1 at the top of the forehead."""
    beyond: Float[np.ndarray, "H W"]
    """Distance from the face's outline, positive outside."""
    mouth: Float[np.ndarray, "H W"]
    """Distance from the opening between the lips, positive outside."""
    opening: float
    """Height of that opening."""
    ear: Float[np.ndarray, "H W"]
    """Depth inside the ears of the head that fits the points, negative outside; hair is not known to it."""
    neck: Float[np.ndarray, "H W"]
    """The same for its neck; clothes are not known to it."""
    tint: Float[np.ndarray, "H W"]
    """How far the photo's colour is from that of the face's skin, however bright (logarithms)."""

    @classmethod
    def of(cls, photo: LabelledPhoto) -> "FaceFrame":
        """The frame of a photo's face, by its mesh points."""
        points, height, width = photo.points[:, :2], photo.height, photo.width
        axis = points[10] - points[152]
        size = max(float(np.linalg.norm(axis)), 1.0)
        upward = axis / size
        across = np.array([-upward[1], upward[0]])
        grid = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
        beyond = _distance(points[OVAL], height, width) / size
        ears, neck = _fitted_parts(photo)
        return cls(
            right=(grid - points[OVAL].mean(0)) @ across / size,
            up=(grid - points[152]) @ upward / size,
            beyond=beyond,
            mouth=_distance(points[INNER_LIPS], height, width) / size,
            opening=float(np.linalg.norm(points[13] - points[14])) / size,
            ear=-_distance_from(ears) / size,
            neck=-_distance_from(neck) / size,
            tint=_tint(photo.pixels(), beyond < INSIDE),
        )


def weak_sets(photo: LabelledPhoto) -> UInt16[np.ndarray, "H W"]:
    """The classes that each pixel of a photo with hair and figure maps may show."""
    return possible_classes(photo.probability("hair"), photo.probability("figure"), FaceFrame.of(photo))


def possible_classes(
    hair: Float[np.ndarray, "H W"], figure: Float[np.ndarray, "H W"], frame: FaceFrame
) -> UInt16[np.ndarray, "H W"]:
    """Sets of classes from the probabilities of hair and of a figure, and from where the face is.

    Beards and moustaches, which the hair map takes for hair, are face; caps, which it takes for hair too,
    are not told from hair here.
    """
    up, beyond = frame.up, frame.beyond
    core = (beyond < INSIDE) & (up < np.where(hair > FAINT, 0.75, 0.92)) & ~((hair > SURE) & (up > 0.45))
    beard = (up < 0.5) & (beyond < OUTSIDE)
    side = (beyond > INSIDE) & (beyond < 0.2) & (up > 0.1) & (up < 0.85)
    ear = frame.ear > AROUND
    only_ear = frame.ear > np.where(beyond > OUTSIDE, BESIDE, EAR)
    person = (figure > FAINT) | (hair > FAINT)
    bare = person & (hair < SURE)
    allowed = np.zeros((CLASSES, *hair.shape), bool)
    allowed[ParsingClass.BACKGROUND] = (figure < SURE) & (hair < SURE)
    allowed[ParsingClass.FACE] = bare & ((beyond < OUTSIDE) | (up > 0.62) | side) & ~only_ear
    allowed[ParsingClass.FACE] |= person & ((beard & ~only_ear) | core)
    allowed[ParsingClass.HAIR] = person & (hair > FAINT) & ~core
    allowed[ParsingClass.LEFT_EAR] = bare & ear & (frame.right < 0)
    allowed[ParsingClass.RIGHT_EAR] = bare & ear & (frame.right > 0)
    allowed[ParsingClass.NECK] = bare & (up < 0.3) & (beyond > INSIDE)
    allowed[ParsingClass.BODY] = bare & (up < 0.1) & (beyond > INSIDE)
    # Hoods and headscarves reach further down, but collars are many times more frequent.
    allowed[ParsingClass.HEADWEAR] = bare & ((up > 0.7) | (beyond > OUTSIDE)) & (up > 0.1) & ~core
    allowed[:, core & (figure > SURE)] = False
    allowed[ParsingClass.FACE, core] = True
    certain, low = bare & (figure > SURE), (up < 0.1) & (beyond > OUTSIDE)
    only = {
        ParsingClass.NECK: certain & (frame.neck > NECK) & (up < BELOW) & (frame.tint < LIKE),
        ParsingClass.BODY: certain & (hair < FAINT) & low & (frame.neck < CLOTHES) & (frame.tint > UNLIKE),
    }
    for kind, where in only.items():
        allowed[:, where] = False
        allowed[kind, where] = True
    opening = frame.mouth < (0.02 if frame.opening > OPEN_MOUTH / 2 else -1)
    allowed[ParsingClass.INNER_MOUTH] = opening
    if frame.opening > OPEN_MOUTH:
        allowed[:, frame.mouth < -0.015] = False
        allowed[ParsingClass.INNER_MOUTH, frame.mouth < -0.015] = True
    sets = collect(allowed)
    # Other people are figures too: nothing is known of what doesn't hang together with the face.
    parts = np.asarray(ndimage.label(person)[0])  # pyright: ignore[reportIndexIssue]
    own = np.bincount(parts[core & person], minlength=1)
    stranger = person & (parts != own.argmax()) if own.size and own.any() else np.zeros_like(person)
    return np.where(stranger, np.uint16(0), sets)


@functools.cache
def _head() -> tuple[MeshPoints, SkinModel]:
    model = HeadModel.load()
    return MeshPoints.from_head_model(model), SkinModel.from_head_model(model)


def _fitted_parts(photo: LabelledPhoto) -> Bool[np.ndarray, "2 H W"]:
    # Where ears and neck of the head that fits the photo's points would be seen, were they bare.
    points, skin = _head()
    try:
        # A photo alone can't teach how its outline's points slide as heads turn; they weigh little instead.
        fits = fit_photos([photo], points, FitConfig(outline_weight=0.05), torch.zeros(7, 468, 2))
    except torch.linalg.LinAlgError:
        return np.zeros((2, photo.height, photo.width), bool)
    shape = fits.shape[0].astype(np.float64)
    vertices = skin.vertices(shape[:IDENTITIES], shape[IDENTITIES:])
    pose = fits.rotation[0].astype(np.float64), fits.translation[0].astype(np.float64)
    screen = HeadInCrop(vertices, *pose, FACE_FOCAL, FACE_SIZE).screen(vertices)
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks))
    screen[:, :2] = crop.photo_from_crop(torch.from_numpy(screen[:, :2].astype(np.float32))).numpy()
    seen, _ = render_depth(screen, skin.faces, max(photo.height, photo.width))
    seen = seen[: photo.height, : photo.width]
    parts = np.stack([skin.on_ear, skin.on_neck & ~skin.on_ear])
    return (seen >= 0) & parts[:, seen]


def _tint(pixels: UInt8[np.ndarray, "H W 3"], face: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    # 0 everywhere where there is no face to compare with.
    return tint_distance(pixels, pixels[face]) if face.any() else np.zeros(face.shape)


def _distance(polygon: Float[np.ndarray, "N 2"], height: int, width: int) -> Float[np.ndarray, "H W"]:
    # Signed distance from a polygon in pixels, positive outside.
    mask = Image.new("1", (width, height))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in (polygon - 0.5).tolist()], fill=1)
    return _distance_from(np.array(mask))


def _distance_from(inside: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    # Signed distance from a region in pixels, positive outside; far away where there is none.
    if not inside.any():
        return np.full(inside.shape, 1e3)
    outward, inward = (np.asarray(ndimage.distance_transform_edt(x)) for x in (~inside, inside))
    return outward - inward
