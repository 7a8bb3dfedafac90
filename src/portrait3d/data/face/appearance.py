"""Albedo and light of photos whose shape and pose are known: least squares per vertex, in turns.

The photo's colour at every visible vertex of the face is albedo times irradiance, linear in either. Vertices
that do not fit (hair, glasses, highlights, hands) lose their weight from round to round, which is the skin
attention of Deng et al. (2019) without a skin detector.
"""

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.data.face.crops import STORED_MARGIN
from portrait3d.data.face.fits import FaceFits
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import coefficients_of_shape
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE
from portrait3d.rendering.shading import spherical_harmonics

logger = logging.getLogger(__name__)

NOISE = (0.3, 0.2, 0.12, 0.08, 0.08)
"""Colour difference (RGB in [0, 1]) beyond which a vertex is not skin, in each round."""
LIGHT_PRIOR = (0.0, 0.3, 0.3, 0.3, 1.5, 1.5, 1.5, 1.5, 1.5)
"""Strength with which each harmonic is held at zero: a face shows too little to tell light from skin."""
ALIKE = 3.0
"""How many vertices err alike: the weight of the albedo's unit Gaussian prior against single vertices."""
STRIDE = 4
"""Every fourth vertex is looked at: about 500."""


@torch.no_grad()
def explain_appearance(
    fits: FaceFits, images: UInt8[np.ndarray, "N H W 3"], head: HeadModel, chunk: int = 64
) -> Float[np.ndarray, "N 89"]:
    """Albedo (80) and lighting (9) of every stored crop; NaN where too little can be explained."""
    found = []
    skin = torch.nonzero(head.face_mask > 0.5)[::STRIDE, 0]
    for k in range(0, len(fits), chunk):
        part = slice(k, k + chunk)
        pose = Pose(torch.from_numpy(fits.rotation[part]), torch.from_numpy(fits.translation[part]))
        points = pose.apply(head.vertices(coefficients_of_shape(torch.from_numpy(fits.shape[part]))))
        normals = vertex_normals(points, head.skin_faces)[:, skin]
        points = points[:, skin]
        cosine = -(normals * F.normalize(points, dim=-1)).sum(-1)
        pixels = points[..., :2] / points[..., 2:] * (FACE_FOCAL / (FACE_SIZE / 2 * STORED_MARGIN))
        photos = torch.from_numpy(np.array(images[part])).permute(0, 3, 1, 2).float() / 255
        # Vertices lie 3 px apart: a mean over their surroundings, so that grain does not matter.
        photos = F.avg_pool2d(photos, 3, stride=1, padding=1, count_include_pad=False)
        colours = F.grid_sample(photos, pixels[:, None], align_corners=False)[:, :, 0].transpose(1, 2)
        inside = (pixels.abs().amax(-1) < 1) & (colours.sum(-1) > 0.05)
        weight = ((cosine - 0.2) / 0.4).clamp(0, 1) * inside
        found.append(
            explain_colours(colours, weight, normals, head.albedo_mean[skin], head.albedo_basis[:, skin])
        )
    return torch.cat(found).numpy()


def explain_colours(
    colours: Float[Tensor, "B N 3"],
    weight: Float[Tensor, "B N"],
    normals: Float[Tensor, "B N 3"],
    mean: Float[Tensor, "N 3"],
    basis: Float[Tensor, "80 N 3"],
) -> Float[Tensor, "B 89"]:
    """Albedo and lighting coefficients for colours seen at surface points with camera-frame normals."""
    batch, count = weight.shape
    harmonics = spherical_harmonics(normals)
    flat_basis = basis.flatten(1).T
    albedo = torch.zeros(batch, len(basis))
    lighting = torch.zeros(batch, 9)
    weight, robust = weight / NOISE[-1] ** 2 / count, torch.ones_like(weight)
    # In turns: with the light given the albedo is a linear least squares problem, and the other way round.
    for noise in NOISE:
        skin = mean + (albedo @ flat_basis.T).unflatten(1, (count, 3))
        share = weight * robust
        # Light: colour = skin * (harmonics @ lighting), three rows a point.
        gram = torch.einsum("bni,bnj,bn->bij", harmonics, harmonics, share * skin.square().sum(-1))
        side = torch.einsum("bni,bn->bi", harmonics, share * (skin * colours).sum(-1))
        lighting = torch.linalg.solve(gram + torch.diag(torch.tensor(LIGHT_PRIOR) + 1e-4), side)
        irradiance = (harmonics @ lighting[..., None])[..., 0]
        # Albedo: colour - irradiance * mean = irradiance * (basis @ albedo).
        rows = (share * irradiance.square())[..., None].expand(-1, -1, 3).flatten(1)
        residual = (share * irradiance)[..., None] * (colours - irradiance[..., None] * mean)
        gram = torch.stack([(flat_basis * row[:, None]).T @ flat_basis for row in rows])
        gram = gram + ALIKE / count * torch.eye(len(basis))
        albedo = torch.linalg.solve(gram, residual.flatten(1) @ flat_basis)
        explained = irradiance[..., None] * (mean + (albedo @ flat_basis.T).unflatten(1, (count, 3)))
        # Cauchy weights, narrower from round to round: the first fit must not throw skin out.
        robust = 1 / (1 + (colours - explained).square().sum(-1) / noise**2)
    kept = (weight * robust).sum(1) / weight.sum(1).clamp_min(1e-6)
    hopeless = (kept < 0.3) | (weight.gt(0).float().mean(1) < 0.3)
    result = torch.cat([albedo, lighting], dim=1)
    return torch.where(hopeless[:, None], torch.nan, result)


def load_or_explain(
    fits: FaceFits,
    images: UInt8[np.ndarray, "N H W 3"],
    head: HeadModel,
    cache: Path,
    name: str = "appearance",
) -> Float[np.ndarray, "N 89"] | None:
    """The coefficients in `cache`, made there if they are not of these inputs; None without albedo modes."""
    if not head.albedo_basis.any():
        return None
    digest = hashlib.sha256(head.albedo_mean.numpy().tobytes() + head.albedo_basis.numpy().tobytes())
    path, key = cache / f"{name}.npz", f"{fits.key}-{digest.hexdigest()}"
    if path.is_file():
        with np.load(path, allow_pickle=False) as table:
            if str(table["key"]) == key:
                return table["appearance"]
    logger.info("Explaining the colours of %d faces.", len(fits))
    appearance = explain_appearance(fits, images, head)
    np.savez(path, appearance=appearance, key=key)
    return appearance
