"""What lies behind lids and lips: the photographed eyes and teeth, and the model's inner mouth."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry.mesh import Binding, HeadPiece
from portrait3d.geometry.skin import closing_sheets, openings
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import Portrait
from portrait3d.reposing.expression import EXACT
from portrait3d.reposing.surfaces import CropGrid, Surface

INNER_MOUTH = 5
"""Class of the parsing: what an open mouth shows."""
SHOWN = 12
"""Pixels of the head crop from which on the photo's own inner mouth is used."""
BEHIND_LIPS = 4.0
"""How far behind the line of the lips the photo's teeth are put, mm."""
EYES = ("left_eyeball", "right_eyeball", "eye_cavities")
COLOURS = {
    "mouth_cavity": (0.40, 0.16, 0.15),
    "upper_teeth": (0.80, 0.76, 0.70),
    "lower_teeth": (0.74, 0.70, 0.64),
    "tongue": (0.66, 0.36, 0.35),
}
"""RGB in good light."""
DARKENING = 24.0
"""Light in the mouth falls to 1/e over this way inward, mm."""


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """Triangles with a colour at every vertex: what no photo shows."""

    vertices: Float[np.ndarray, "N 3"]
    """Photo camera, mm, in the photo's pose."""
    binding: Binding
    faces: Int64[np.ndarray, "F 3"]
    colours: Float[np.ndarray, "N 3"]
    """RGB in [0, 1]."""

    def displaced(self, displacement: Float[np.ndarray, "M 3"] | None) -> Float[np.ndarray, "N 3"]:
        """The vertices after an expression's displacement of the head model, mm."""
        return self.vertices if displacement is None else self.vertices + self.binding.apply(displacement)


def eye_surface(portrait: Portrait, head_model: HeadModel) -> Surface:
    """Eyeballs and what is about them, with the photo's colours."""
    parts = [head_model.part_names.index(name) for name in EYES]
    chosen = np.isin(head_model.face_part.numpy(), parts)
    return _of_model(portrait, head_model.faces.numpy()[chosen])


def closed_openings(portrait: Portrait, head_model: HeadModel) -> tuple[Surface, Surface]:
    """Sheets that span the openings between the lids and between the lips."""
    sheets = _sheets(head_model)
    lids = np.concatenate([sheets[HeadPiece.LEFT_EYE], sheets[HeadPiece.RIGHT_EYE]])
    return _of_model(portrait, lids), _of_model(portrait, sheets[HeadPiece.MOUTH_CAVITY])


def mouth_flaps(portrait: Portrait, head_model: HeadModel) -> Surface:
    """Lips continued to the line between them: a fit that is open where the photo is closed shows no gap.

    The sheet that spans the mouth is cut along its middle, and each half follows its own lip.
    """
    sheets = _sheets(head_model)[HeadPiece.MOUTH_CAVITY]
    margin = margins(head_model)[HeadPiece.MOUTH_CAVITY]
    upper = np.zeros(len(head_model.mean), bool)
    upper[_upper_lip(head_model, margin)] = True
    model = portrait.face.vertices.double().numpy()
    points, source, faces = [], [], []

    def corner(vertex: int, towards: int | None = None) -> int:
        points.append(model[vertex] if towards is None else (model[vertex] + model[towards]) / 2)
        source.append(vertex)
        return len(points) - 1

    for triangle in sheets.tolist():
        above = [bool(upper[vertex]) for vertex in triangle]
        if len(set(above)) == 1:
            continue
        alone = above.index(sum(above) == 1)
        tip, first, second = (triangle[(alone + k) % 3] for k in range(3))
        faces.append((corner(tip), corner(tip, first), corner(tip, second)))
        a, b = corner(first), corner(second)
        c, d = corner(second, tip), corner(first, tip)
        faces += [(a, b, c), (a, c, d)]
    vertices = np.array(points)
    return Surface(
        vertices=vertices,
        follow=np.ones(len(vertices)),
        faces=np.array(faces, np.int64),
        uv=_photo_pixels(portrait, vertices),
        hidden=np.zeros(len(faces), bool),
        binding=Binding.to_vertices(np.array(source, np.int64)),
    )


def teeth_surface(portrait: Portrait, head_model: HeadModel) -> Surface | None:
    """The photo's own inner mouth as a surface behind the lips, fixed to the skull; None if it shows none."""
    labels = portrait.head_parsing.head_labels
    shown = labels == INNER_MOUTH
    if shown.sum() < SHOWN:
        return None
    grid = CropGrid(portrait, labels)
    margin = (
        portrait.face.vertices[torch.from_numpy(margins(head_model)[HeadPiece.MOUTH_CAVITY])].double().numpy()
    )
    line = grid.project(margin)
    row, column = np.mgrid[: grid.size, : grid.size] + 0.5
    # The lips' depth as a plane of the picture is near enough: a mouth is small.
    terms = np.stack([np.ones(len(line)), *line.T, (line[:, 0] - line[:, 0].mean()) ** 2], axis=1)
    fitted = np.linalg.lstsq(terms, margin[:, 2], rcond=None)[0]
    curved = (column - line[:, 0].mean()) ** 2
    depth = fitted[0] + fitted[1] * column + fitted[2] * row + fitted[3] * curved + BEHIND_LIPS
    points, photo, faces, _ = grid.lift(ndimage.binary_dilation(shown, iterations=7), depth)
    return Surface(
        vertices=points,
        follow=np.ones(len(points)),
        faces=faces,
        uv=photo,
        hidden=np.zeros(len(faces), bool),
        binding=Binding.to_vertices(np.zeros(len(points), np.int64), 0.0),
    )


def inner_mouth(portrait: Portrait, head_model: HeadModel, teeth_shown: bool, light: float) -> Painted:
    """The model's mouth cavity, teeth and tongue, darker further inside.

    Args:
        portrait: The person.
        head_model: The model whose inner mouth is drawn.
        teeth_shown: Whether the photo's own upper teeth take the place of the model's.
        light: The photo's light; 1 is good light.
    """
    names = [name for name in COLOURS if not (teeth_shown and name == "upper_teeth")]
    parts = np.array([head_model.part_names.index(name) for name in names])
    colours = np.zeros((len(head_model.part_names), 3))
    colours[parts] = [COLOURS[name] for name in names]
    face_part = head_model.face_part.numpy()
    chosen = np.isin(face_part, parts)
    used, faces = np.unique(head_model.faces.numpy()[chosen], return_inverse=True)
    part = np.zeros(len(head_model.mean), np.int64)
    part[head_model.faces.numpy()[chosen]] = face_part[chosen][:, None]
    model = head_model.mean.double().numpy()[used]
    inward = np.clip(model[:, 2] - model[:, 2].min() - 4.0, 0, None) + 0.4 * np.abs(model[:, 0])
    shade = light * np.exp(-inward / DARKENING)
    return Painted(
        vertices=portrait.face.vertices.double().numpy()[used],
        binding=Binding.to_vertices(used),
        faces=faces.reshape(-1, 3),
        colours=colours[part[used]] * shade[:, None],
    )


def opening_faces(portrait: Portrait, head_model: HeadModel) -> Bool[np.ndarray, " F"]:
    """Triangles of the stitched head that belong to eyes and mouth or do nothing but close them."""
    head = portrait.head
    inside = (head.piece != HeadPiece.SURFACE)[head.faces].any(axis=1)
    model = portrait.face.vertices.double().numpy()
    for piece, loop in margins(head_model).items():
        if piece == HeadPiece.SURFACE:
            continue
        gap, _ = cKDTree(model[loop]).query(head.vertices)
        inside |= (gap < EXACT)[head.faces].all(axis=1)
    if head.binding is not None:
        sockets = head_model.faces[head_model.face_part == head_model.part_names.index("eye_cavities")]
        inside |= np.isin(head.binding.index[head.faces], sockets.unique().numpy()).all(axis=(1, 2))
    return inside


def margins(head_model: HeadModel) -> dict[HeadPiece, Int64[np.ndarray, " N"]]:
    """The margins of the head model's skin at eyes, mouth and neck."""
    return openings(head_model.skin_faces.numpy(), head_model.mean.double().numpy())


def _sheets(head_model: HeadModel) -> dict[HeadPiece, Int64[np.ndarray, "N 3"]]:
    """What closes the openings at eyes and mouth."""
    return closing_sheets(head_model.skin_faces.numpy(), head_model.mean.double().numpy())


def _upper_lip(head_model: HeadModel, margin: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " K"]:
    """The vertices of the lips' margin, in order, that lie above the line from corner to corner."""
    x = head_model.mean[margin, 0].numpy()
    margin = np.roll(margin, -int(np.argmin(x)))
    turn = int(np.argmax(head_model.mean[margin, 0].numpy()))
    chains = margin[: turn + 1], np.concatenate([margin[turn:], margin[:1]])
    return min(chains, key=lambda chain: float(head_model.mean[chain, 1].mean()))


def _of_model(portrait: Portrait, faces: Int64[np.ndarray, "F 3"]) -> Surface:
    """Triangles of the head model with the photo's colours."""
    used, faces = np.unique(faces, return_inverse=True)
    vertices = portrait.face.vertices.double().numpy()[used]
    return Surface(
        vertices=vertices,
        follow=np.ones(len(used)),
        faces=faces.reshape(-1, 3).astype(np.int64),
        uv=_photo_pixels(portrait, vertices),
        hidden=np.zeros(len(faces.reshape(-1, 3)), bool),
        binding=Binding.to_vertices(used.astype(np.int64)),
    )


def _photo_pixels(portrait: Portrait, vertices: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
    """Pixels of the photo at which points of its camera's frame are seen."""
    focal, principal = float(portrait.camera.focal), portrait.camera.principal.double().numpy()
    return focal * vertices[:, :2] / vertices[:, 2:] + principal
