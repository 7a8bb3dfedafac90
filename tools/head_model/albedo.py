"""Mean and modes of skin colour, learnt from fitted portraits."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import splu
from torch.nn.functional import grid_sample

from portrait3d.data.face.fits import fit_photos
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, coefficients_of_shape
from portrait3d.preprocessing.alignment import Crop
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import spherical_harmonics

from .bases import principal_modes

MODES = 80
SIZE = 144
"""Pixels of the face crop that colours are read from: about a vertex's spacing each."""
SKIN_LABELS = (1, 2, 3, 4, 5, 7, 8, 10, 12, 13, 14)
"""Of the 19 parsing classes: skin, brows, eyes, ears, nose, lips and neck."""
GLASSES = 6
LEAST_SHADING = 0.35
"""Darker shading than this, over the face's mean, is not undone: noise and cast shadows."""
PLAIN_PARTS = {
    "eye_cavities": (0.62, 0.40, 0.36),
    "mouth_cavity": (0.36, 0.16, 0.16),
    "upper_teeth": (0.74, 0.70, 0.64),
    "lower_teeth": (0.62, 0.58, 0.53),
    "tongue": (0.62, 0.33, 0.33),
}
"""Colours of what portraits hardly show."""


@dataclass(frozen=True, slots=True)
class Views:
    """What N portraits show of the V vertices."""

    colors: torch.Tensor
    """RGB [N, V, 3]."""
    trust: torch.Tensor
    """0 where a vertex is not seen, else how much it faces the camera [N, V]."""
    harmonics: torch.Tensor
    """Spherical harmonics of the normals in the camera's frame [N, V, 9]."""


def read_views(head: HeadModel, photos: list[LabelledPhoto]) -> Views:
    """Fit the head to every photo without glasses and read the colours under its vertices."""
    labels = [photo.finer_parsing() for photo in photos]
    chosen = [i for i, image in enumerate(labels) if (image == GLASSES).sum() < 30]
    photos, labels = [photos[i] for i in chosen], [labels[i] for i in chosen]
    fits = fit_photos(photos, MeshPoints.from_head_model(head))
    good = np.flatnonzero(fits.residual < 0.008)
    colors, trusts, harmonics = [], [], []
    tolerance = torch.where(is_eyeball(head), 0.7, 4.0)
    for i in good:
        crop = Crop(tuple(fits.centre[i]), float(fits.side[i]), float(fits.angle[i]), SIZE)
        vertices = head.vertices(coefficients_of_shape(torch.from_numpy(fits.shape[i : i + 1])))
        pose = Pose(torch.from_numpy(fits.rotation[i : i + 1]), torch.from_numpy(fits.translation[i : i + 1]))
        camera_points = pose.apply(vertices)
        normals = vertex_normals(camera_points, head.faces)
        pixels = crop.camera().project(camera_points[0])
        screen = torch.cat([pixels, camera_points[0, :, 2:]], dim=1)
        depth = rasterize(screen[None], head.faces, SIZE, SIZE).depth
        grid = (pixels / SIZE * 2 - 1)[None, None]
        nearest = grid_sample(depth.nan_to_num(posinf=0)[:, None], grid, "nearest", align_corners=False)[
            0, 0, 0
        ]
        image = crop.extract(photos[i].pixels())
        shown = np.isin(crop.extract_labels(labels[i]), SKIN_LABELS)
        shown = torch.from_numpy(shown).float()[None, None]
        shown = grid_sample(shown, grid, "bilinear", align_corners=False)[0, 0, 0] > 0.99
        rays = torch.nn.functional.normalize(camera_points[0], dim=1)
        facing = -(normals[0] * rays).sum(1)
        seen = shown & (screen[:, 2] < nearest + tolerance) & (facing > 0.2)
        colors.append(grid_sample(image[None], grid, "bilinear", align_corners=False)[0, :, 0].T)
        trusts.append(torch.where(seen, facing, 0.0))
        harmonics.append(spherical_harmonics(normals)[0])
    return Views(torch.stack(colors), torch.stack(trusts), torch.stack(harmonics))


def is_eyeball(head: HeadModel) -> torch.Tensor:
    """Whether a vertex belongs to an eyeball, bool [V]."""
    numbers = [i for i, name in enumerate(head.part_names) if name.endswith("eyeball")]
    return torch.isin(head.part_of_vertex, torch.tensor(numbers))


def remove_lighting(views: Views, mean: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
    """Colours in even light [N, V, 3]: each channel over its fitted shading, whose mean over the face is 1.

    Only the course of the light over the face is undone; its colour and strength stay part of the skin,
    because one photo does not tell them apart.
    """
    albedo = torch.empty_like(views.colors)
    ridge = torch.tensor([0.0] + [2.0] * 8)
    for i, (colors, trust, harmonics) in enumerate(
        zip(views.colors, views.trust, views.harmonics, strict=True)
    ):
        weights = trust * (face > 0.5)
        for channel in range(3):
            rows, wanted = harmonics * mean[:, channel, None], colors[:, channel]
            robust = weights
            for _ in range(4):
                gram = (rows * robust[:, None]).T @ rows + torch.diag(ridge)
                light = torch.linalg.solve(gram, (rows * robust[:, None]).T @ wanted)
                robust = weights / (1 + ((wanted - rows @ light) / 0.08) ** 2)
            shading = harmonics @ light
            shading = shading / ((shading * weights).sum() / weights.sum())
            albedo[i, :, channel] = wanted / shading.clamp_min(LEAST_SHADING)
    return albedo.clamp(0, 1)


class Membrane:
    """Smooth completion of values at vertices along the mesh's edges."""

    def __init__(self, faces: np.ndarray, count: int) -> None:
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        links = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
        links = ((links + links.T) > 0).astype(float)
        self.laplacian = sp.diags(np.asarray(links.sum(1)).ravel()) - links

    def fill(self, values: np.ndarray, weights: np.ndarray, anchor: float) -> np.ndarray:
        """Values [V, C] near the given ones where `weights` [V] are high, smooth elsewhere, drawn to 0."""
        system = sp.diags(weights + anchor) + 0.05 * self.laplacian
        return splu(system.tocsc()).solve(weights[:, None] * values)


def learn_albedo(head: HeadModel, photos: list[LabelledPhoto]) -> dict[str, np.ndarray]:
    """The asset's albedo arrays: mean, int8 modes with their scales, parities."""
    views = read_views(head, photos)
    mirror, skin = head.mirror.numpy(), head.part_of_vertex == 0
    face, learnt = head.face_mask, skin | is_eyeball(head)
    membrane = Membrane(head.faces[learnt[head.faces].all(1)].numpy(), len(mirror))
    plain = torch.zeros(len(mirror), 3)
    for name, color in PLAIN_PARTS.items():
        plain[head.part_of_vertex == head.part_names.index(name)] = torch.tensor(color)
    mean = torch.where(skin[:, None], torch.tensor([0.74, 0.56, 0.48]), plain)
    trust = views.trust * learnt
    for _ in range(3):
        albedo = remove_lighting(views, mean, face)
        total = trust.sum(0)
        observed = (albedo * trust[..., None]).sum(0)
        observed, total = observed + observed[mirror], total + total[mirror]
        tone = (observed * face[:, None]).sum(0) / (total * face).sum()
        offset = observed / total.clamp_min(1e-6)[:, None] - tone
        offset = membrane.fill(offset.numpy(), (total / total.max()).sqrt().numpy(), 1e-4)
        mean = torch.where(learnt[:, None], torch.from_numpy(offset).float() + tone, plain)
        mean = (mean + mean[mirror]) / 2
    people = np.stack(
        [
            complete(membrane, (a - mean).numpy(), t.numpy(), mirror, face.numpy(), skin.numpy())
            for a, t in zip(albedo, trust, strict=True)
        ]
    )
    people *= learnt.numpy()[:, None]
    importance = (0.03 + face.numpy()) * skin.numpy() + 0.1 * is_eyeball(head).numpy() + 1e-6
    modes, parity, explained = principal_modes(
        people.astype(np.float32), importance, mirror, np.ones(3, np.float32)
    )
    print(f"{len(people)} portraits; {MODES} albedo modes hold {explained:.1%} of the variance")
    scale = np.abs(modes).max((1, 2)) / 127
    return {
        "albedo_mean": mean.numpy().astype(np.float16),
        "albedo_basis": np.round(modes / scale[:, None, None]).astype(np.int8),
        "albedo_scale": scale.astype(np.float32),
        "albedo_parity": parity,
    }


def complete(
    membrane: Membrane,
    offset: np.ndarray,
    trust: np.ndarray,
    mirror: np.ndarray,
    face: np.ndarray,
    skin: np.ndarray,
) -> np.ndarray:
    """One person's difference from the mean at all vertices: seen, else the other side's, else smooth."""
    tone = np.median(offset[(trust > 0.3) & (face > 0.5)], axis=0) * skin[:, None]
    own = np.where((trust > 0.05)[:, None], offset, offset[mirror])
    weights = np.where(trust > 0.05, trust, 0.5 * trust[mirror])
    return membrane.fill(own - tone, weights, 2e-3) + tone
