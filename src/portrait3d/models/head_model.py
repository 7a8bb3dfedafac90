"""The linear head model: coefficients to vertices, landmarks and skin colour."""

from importlib import resources
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from portrait3d.errors import WeightsError
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.subdivision import catmull_clark, triangle_corners
from portrait3d.weights import read_arrays

ARRAYS = {
    "mean": ("f", "V 3"),
    "identity_basis": ("f", "80 V 3"),
    "identity_parity": ("i", "80"),
    "expression_basis": ("f", "64 V 3"),
    "expression_names": ("U", "64"),
    "expression_mirror": ("iu", "64"),
    "expression_parity": ("i", "64"),
    "mirror": ("iu", "V"),
    "quads": ("iu", "Q 4"),
    "quad_uvs": ("iu", "Q 4"),
    "quad_parts": ("iu", "Q"),
    "part_names": ("U", "P"),
    "uvs": ("f", "U 2"),
    "face_mask": ("f", "V"),
    "ears_mask": ("f", "V"),
    "lips_mask": ("f", "V"),
    "lids_mask": ("f", "V"),
    "mesh_point_vertices": ("iu", "468 3"),
    "mesh_point_weights": ("f", "468 3"),
    "landmark_vertices": ("iu", "68 3"),
    "landmark_weights": ("f", "68 3"),
    "albedo_mean": ("f", "V 3"),
    "albedo_basis": ("fi", "80 V 3"),
    "albedo_scale": ("f", "80"),
    "albedo_parity": ("i", "80"),
}
"""The arrays of an asset: kinds and shapes as `read_arrays` takes them."""
NUMBERED = {
    "mirror": "mean",
    "quads": "mean",
    "quad_uvs": "uvs",
    "quad_parts": "part_names",
    "expression_mirror": "expression_names",
    "mesh_point_vertices": "mean",
    "landmark_vertices": "mean",
}
"""Arrays that hold positions in another one."""
LIGHT_PARITY = (1, 1, 1, -1, -1, 1, 1, -1, 1)
"""Signs that the nine spherical harmonics take when x changes sign."""


Values = TypeVar("Values", Tensor, np.ndarray)
CHIN, NECK = 85.0, 60.0
"""Where the head ends below, mm downward in the model's frame: in the face and behind it."""


class HeadModel(nn.Module):
    """Shape S = mean + B_id a + B_exp b and skin colour T = mean + B_t d of a head, Eq. 1.

    Model frame: a frontal face in the camera's axes (x right in the picture, y down, z away from the viewer),
    millimetres; the origin lies on the symmetry plane, inside the head. 4,706 vertices: skin, eye and mouth
    cavities, eyeballs, teeth and tongue. Everything is a buffer: the model has nothing to learn. Left and
    right in names of parts and expressions are the person's own.
    """

    mean: Float[Tensor, "V 3"]
    """The mean head, exactly symmetric in x."""
    identity_basis: Float[Tensor, "80 V 3"]
    """Millimetres per standard deviation; each mode is symmetric or changes sign in the mirror."""
    expression_basis: Float[Tensor, "64 V 3"]
    """Millimetres at full strength."""
    albedo_mean: Float[Tensor, "V 3"]
    """RGB in [0, 1], in the photo's own (sRGB) values."""
    albedo_basis: Float[Tensor, "80 V 3"]
    """RGB per standard deviation."""
    faces: Int64[Tensor, "F 3"]
    """Triangles of all parts, outward; those of the skin come first."""
    face_part: Int64[Tensor, " F"]
    """Position in `part_names` of every triangle."""
    skin_faces: Int64[Tensor, "S 3"]
    """Triangles of the skin alone, without eye and mouth cavities."""
    subdivided_faces: Int64[Tensor, "R 3"]
    """Triangles over the vertices that `subdivide` returns."""
    uv: Float[Tensor, "U 2"]
    """Texture coordinates in [0, 1], (0, 0) at the top left; no two triangles overlap."""
    uv_faces: Int64[Tensor, "F 3"]
    """Corners of `faces` as indices into `uv`, which has more points than the mesh: it has seams."""
    face_mask: Float[Tensor, " V"]
    """1 on the face, 0 off it, soft at the border. As the other masks 0 off the skin."""
    ears_mask: Float[Tensor, " V"]
    lips_mask: Float[Tensor, " V"]
    lids_mask: Float[Tensor, " V"]
    mirror: Int64[Tensor, " V"]
    """The vertex on the other side."""
    identity_parity: Float[Tensor, "80"]
    """1 for symmetric modes, -1 for those that change sign in the mirror; likewise for the other bases."""
    expression_parity: Float[Tensor, "64"]
    albedo_parity: Float[Tensor, "80"]
    expression_mirror: Int64[Tensor, "64"]
    """The expression on the other side."""
    landmark_vertices: Int64[Tensor, "68 3"]
    """Corners of the triangles that the landmarks lie in, and their barycentric weights."""
    landmark_weights: Float[Tensor, "68 3"]
    mesh_point_vertices: Int64[Tensor, "468 3"]
    mesh_point_weights: Float[Tensor, "468 3"]
    part_of_vertex: Int64[Tensor, " V"]
    """Position in `part_names` of the first part that a vertex belongs to: the skin at cavities' rims."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over the arrays of the asset that `tools/build_head_model.py` writes."""
        super().__init__()
        self.part_names: tuple[str, ...] = tuple(arrays["part_names"].tolist())
        self.expression_names: tuple[str, ...] = tuple(arrays["expression_names"].tolist())
        """ARKit's 52 blendshapes in alphabetical order, then `unit0` to `unit11`."""
        for name in ("mean", "identity_basis", "expression_basis", "albedo_mean"):
            self._keep(name, arrays[name].astype(np.float32))
        scale = arrays["albedo_scale"].astype(np.float32)[:, None, None]
        self._keep("albedo_basis", arrays["albedo_basis"].astype(np.float32) * scale)
        for name in ("face_mask", "ears_mask", "lips_mask", "lids_mask"):
            self._keep(name, arrays[name].astype(np.float32))
        for name in ("identity_parity", "expression_parity", "albedo_parity"):
            self._keep(name, arrays[name].astype(np.float32))
        for name in ("mirror", "expression_mirror", "landmark_vertices", "mesh_point_vertices"):
            self._keep(name, arrays[name].astype(np.int64))
        for name in ("landmark_weights", "mesh_point_weights"):
            self._keep(name, arrays[name].astype(np.float32))

        quads, parts = arrays["quads"].astype(np.int64), arrays["quad_parts"].astype(np.int64)
        self._keep("uv", arrays["uvs"].astype(np.float32))
        # Positions in the flattened quads, so that vertices and texture coordinates are split along the same
        # diagonal.
        corners = triangle_corners(quads)
        self._keep("faces", quads.ravel()[corners])
        self._keep("uv_faces", arrays["quad_uvs"].astype(np.int64).ravel()[corners])
        self._keep("face_part", parts[corners[:, 0] // 4])
        self._keep("skin_faces", quads.ravel()[corners[parts[corners[:, 0] // 4] == 0]])
        # Parts share vertices along their borders: the first part, the skin, wins.
        part_of_vertex = np.full(len(arrays["mean"]), len(self.part_names))
        np.minimum.at(part_of_vertex, quads, parts[:, None])
        self._keep("part_of_vertex", part_of_vertex)

        # Subdivision is linear in the vertices, so one sparse matrix serves shapes, colours and gradients.
        matrix, subdivided = catmull_clark(quads[parts == 0], len(arrays["mean"]))
        self._keep("subdivided_faces", subdivided.ravel()[triangle_corners(subdivided)])
        matrix = matrix.tocoo()
        self.register_buffer(
            "subdivision",
            torch.sparse_coo_tensor(
                torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64)),
                torch.from_numpy(matrix.data.astype(np.float32)),
                matrix.shape,
                check_invariants=True,
            ).coalesce(),
            persistent=False,
        )

    @classmethod
    def load(cls, path: str | Path | None = None) -> "HeadModel":
        """The bundled model, or another asset with the same arrays.

        Raises `FileNotFoundError` if it is missing, `WeightsError` if it can't be used.
        """
        source = Path(path) if path else resources.files("portrait3d") / "assets" / "head_model.npz"
        if not source.is_file():
            raise FileNotFoundError(f"{source} is missing; tools/build_head_model.py builds it.")
        arrays = read_arrays(source, ARRAYS)
        for name, other in NUMBERED.items():
            count = len(arrays[other])
            if not 0 <= arrays[name].min() <= arrays[name].max() < count:
                raise WeightsError(f"{source}: {name} has numbers beyond the {count} of {other}.")
        return cls(arrays)

    def vertices(self, coefficients: FaceCoefficients) -> Float[Tensor, "B V 3"]:
        """Vertices of all parts in the model frame, mm."""
        identity = coefficients.identity @ self.identity_basis.flatten(1)
        expression = coefficients.expression @ self.expression_basis.flatten(1)
        return self.mean + (identity + expression).unflatten(-1, (-1, 3))

    def albedo(self, coefficients: FaceCoefficients) -> Float[Tensor, "B V 3"]:
        """RGB of the vertices in even light, not clamped to [0, 1]."""
        return self.albedo_mean + (coefficients.albedo @ self.albedo_basis.flatten(1)).unflatten(-1, (-1, 3))

    def landmarks(self, vertices: Float[Tensor, "B V 3"]) -> Float[Tensor, "B 68 3"]:
        """The 68 landmarks in iBUG order, as points of the skin."""
        return _points(vertices, self.landmark_vertices, self.landmark_weights)

    def mesh_points(self, vertices: Float[Tensor, "B V 3"]) -> Float[Tensor, "B 468 3"]:
        """The 468 points of MediaPipe's face mesh, as points of the skin."""
        return _points(vertices, self.mesh_point_vertices, self.mesh_point_weights)

    def subdivide(self, values: Float[Tensor, "B V C"]) -> Float[Tensor, "B N C"]:
        """One Catmull-Clark step of the skin: 12,910 smoother vertices, or colours at them."""
        flat = values.transpose(0, 1).flatten(1)
        return torch.sparse.mm(self.subdivision, flat).unflatten(1, (len(values), -1)).transpose(0, 1)

    def mirrored(self, coefficients: FaceCoefficients) -> FaceCoefficients:
        """Coefficients of the mirror image of a face and its light; exact, by how the bases were built."""
        return FaceCoefficients(
            identity=coefficients.identity * self.identity_parity,
            expression=coefficients.expression[..., self.expression_mirror] * self.expression_parity,
            albedo=coefficients.albedo * self.albedo_parity,
            lighting=coefficients.lighting * coefficients.lighting.new_tensor(LIGHT_PARITY),
        )

    def _keep(self, name: str, value: np.ndarray) -> None:
        # Not persistent: the model is an asset, and no part of a network's or a run's weights.
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value)), persistent=False)


def _points(
    vertices: Float[Tensor, "B V 3"], corners: Int64[Tensor, "P 3"], weights: Float[Tensor, "P 3"]
) -> Float[Tensor, "B P 3"]:
    """Barycentric points of triangles of vertices."""
    return (vertices[:, corners] * weights[..., None]).sum(dim=2)


def neck_vertices(mean: Values, face_mask: Values) -> Values:
    """Which of the mean shape's vertices [V, 3] are below the head: neck and the chin's underside."""
    height = mean[:, 1]
    return ((height > NECK) & (face_mask < 0.5)) | (height > CHIN)
