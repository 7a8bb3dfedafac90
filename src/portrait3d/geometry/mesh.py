"""Triangle meshes: the face model's, and the head that users export."""

import os
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from scipy.sparse import csr_array
from torch import Tensor

from portrait3d import arguments
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.topology import renumbered


class HeadPart(IntEnum):
    """What a vertex of a `HeadMesh` belongs to."""

    FACE = 0
    HAIR = 1
    EAR = 2
    REST = 3


class HeadPiece(IntEnum):
    """Which separate surface a vertex of a `HeadMesh` belongs to; left and right are the picture's."""

    SURFACE = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    TEETH = 3
    TONGUE = 4
    MOUTH_CAVITY = 5
    HAIR = 6


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles over vertices in millimetres.

    Seen from outside, a triangle's corners a, b, c run counter-clockwise in the picture, so that
    (b - a) x (c - a) points out of the surface.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "F 3"]


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """How every vertex of a mesh follows up to three vertices of the head model."""

    index: Int64[np.ndarray, "V 3"]
    """Vertices of the head model."""
    weight: Float[np.ndarray, "V 3"]
    """float32; a vertex's weights sum to 1 on the face, to less where hair follows the scalp only partly, and
    are 0 where nothing moves."""

    def __post_init__(self) -> None:
        if self.index.shape != self.weight.shape:
            raise ValueError(
                f"A binding needs as many weights as indices, got {self.weight.shape} and {self.index.shape}."
            )

    @classmethod
    def to_vertices(cls, vertices: Int64[np.ndarray, " V"], share: float = 1.0) -> "Binding":
        """Every vertex moves with one vertex of the head model, all the way or by a share."""
        weight = np.zeros((len(vertices), 3), np.float32)
        weight[:, 0] = share
        return cls(np.repeat(vertices[:, None], 3, axis=1).astype(np.int64), weight)

    @classmethod
    def joined(cls, *bindings: "Binding") -> "Binding":
        """The bindings of several meshes, one after the other."""
        return cls(
            np.concatenate([binding.index for binding in bindings]),
            np.concatenate([binding.weight for binding in bindings]),
        )

    def chosen(self, vertices: Int64[np.ndarray, " N"]) -> "Binding":
        """The binding of some vertices of the mesh."""
        return Binding(self.index[vertices], self.weight[vertices])

    def apply(self, displacement: Float[np.ndarray, "M ..."]) -> Float[np.ndarray, "V ..."]:
        """What the mesh's vertices take on of values at the head model's vertices, in the same frame."""
        # A sparse matrix with three entries a row, built without sorting: one product moves all targets at
        # once.
        rows = np.arange(self.index.size + 1, step=self.index.shape[1])
        follow = csr_array(
            (self.weight.ravel(), self.index.ravel(), rows), (len(self.index), len(displacement))
        )
        moved = follow @ displacement.reshape(len(displacement), -1)
        return moved.reshape(len(self.index), *displacement.shape[1:])


@dataclass(frozen=True, slots=True, eq=False)
class SeeThrough:
    """A part of the photo at its own resolution, such as hair: triangles with a picture that has opacity.

    They lie in the head's frame and are seen from both sides.
    """

    vertices: Float[np.ndarray, "V 3"]
    """float32, mm."""
    faces: Int64[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "V 2"]
    """Texture coordinates in [0, 1], float32; (0, 0) is the texture's top left corner."""
    texture: UInt8[np.ndarray, "Ht Wt 4"]
    """RGB and alpha, the opacity; straight colours, not premultiplied."""
    binding: Binding
    """How the vertices follow the head model's expressions."""

    def __post_init__(self) -> None:
        arguments.points(self.vertices, "vertices")


SEE_THROUGH = {"HairSheet": "hair_sheet", "Glasses": "glasses", "Earrings": "earrings"}
"""What of a `HeadMesh` is seen through: names in files, and its fields."""


@dataclass(frozen=True, slots=True)
class HeadMesh:
    """The reconstructed head: a textured triangle mesh in the photo's camera frame (OpenCV axes, mm).

    Raises `ValueError` for vertices that are not finite, as one of them would spoil every picture and file,
    and for properties of more or fewer vertices.
    """

    vertices: Float[np.ndarray, "V 3"]
    """Camera coordinates, float32, mm."""
    faces: Int64[np.ndarray, "F 3"]
    part: UInt8[np.ndarray, " V"]
    """`HeadPart` of every vertex."""
    uv: Float[np.ndarray, "V 2"]
    """Texture coordinates in [0, 1], float32; (0, 0) is the texture's top left corner."""
    texture: UInt8[np.ndarray, "Ht Wt 3"]
    """RGB."""
    camera_from_head: Pose = field(default_factory=Pose.identity)
    """The head's pose in the mesh's frame; by default it looks straight at the camera."""
    binding: Binding | None = None
    """How the vertices follow the head model's expressions; None for a mesh that can't move."""
    piece: UInt8[np.ndarray, " V"] = field(default_factory=lambda: np.zeros(0, np.uint8))
    """`HeadPiece` of every vertex; if left out, all are the surface's. No triangle joins two pieces."""
    seen: Bool[np.ndarray, " V"] = field(default_factory=lambda: np.zeros(0, bool))
    """Vertices that the photo shows; if left out, all."""
    hair_sheet: SeeThrough | None = None
    """The photographed hair, which GLBs and pictures show over the hair's body; whole without it."""
    glasses: SeeThrough | None = None
    """Frame and dark lenses, if any are worn; the head's own texture shows the face without them."""
    earrings: SeeThrough | None = None
    """The earrings, if any are worn; the head's own texture shows what is behind them."""
    expression: Float[np.ndarray, "M 3"] | None = None
    """What the photo's own expression does to the head model's vertices: float32, model frame, mm. None for a
    mesh that doesn't know."""
    is_neutral: bool = False
    """Whether the photo's own expression has been taken out."""
    normal_map: UInt8[np.ndarray, "Hn Wn 3"] | None = None
    """How a head of more triangles takes light, from which this one was `simplified`: its normals in this
    one's tangent space, as glTF's `normalTexture` holds them, in the texture's coordinates."""

    def __post_init__(self) -> None:
        count = len(arguments.points(self.vertices, "vertices"))
        for name, default in (("piece", np.zeros(count, np.uint8)), ("seen", np.ones(count, bool))):
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, default)
            elif len(getattr(self, name)) != count:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {count} vertices.")
        if self.binding is not None and len(self.binding.index) != count:
            raise ValueError(f"The binding has {len(self.binding.index)} entries for {count} vertices.")

    @property
    def colors(self) -> UInt8[np.ndarray, "V 3"]:
        """RGB of every vertex: the texture's nearest pixel."""
        height, width = self.texture.shape[:2]
        column = np.clip((self.uv[:, 0] * width).astype(np.int64), 0, width - 1)
        row = np.clip((self.uv[:, 1] * height).astype(np.int64), 0, height - 1)
        return self.texture[row, column]

    def displaced(self, displacement: Float[np.ndarray, "M 3"]) -> "HeadMesh":
        """The head after the head model's vertices have moved, e.g. by an expression.

        `displacement` is in the model's frame, mm; `models.expressions` makes it from weights. What the photo
        shows is the start: its own expression stays in. Raises `ValueError` for a head without binding and
        for displacements that are not finite or of too few vertices.
        """
        arguments.points(displacement, "displacement")
        if self.binding is None:
            raise ValueError("This head has no binding to the head model, so it can't change its expression.")
        needed = int(self.binding.index.max(initial=-1)) + 1
        if len(displacement) < needed:
            raise ValueError(f"displacement must have {needed} rows or more, got {len(displacement)}.")
        rotation = self.camera_from_head.rotation.numpy()
        # Displacements are directions: the pose turns them and does not shift them.
        move = displacement.astype(np.float32) @ rotation.T.astype(np.float32)
        sheet = self.hair_sheet
        if sheet is not None:
            sheet = replace(sheet, vertices=sheet.vertices + sheet.binding.apply(move).astype(np.float32))
        moved = self.vertices + self.binding.apply(move)
        # What is worn stays as it is, whatever the face does.
        return replace(self, vertices=moved.astype(np.float32), hair_sheet=sheet)

    @property
    def see_through(self) -> dict[str, SeeThrough]:
        """What is seen through, by the names that files give it."""
        layers = {name: getattr(self, field) for name, field in SEE_THROUGH.items()}
        return {name: layer for name, layer in layers.items() if layer is not None}

    def neutral(self) -> "HeadMesh":
        """The head with the head model's neutral expression: lips closed, eyes open, nobody smiles.

        Its GLB has one more morph target, `photo`, which brings the photo's own expression back. Raises
        `ValueError` for a head that doesn't know that expression.
        """
        if self.is_neutral:
            return self
        if self.expression is None:
            raise ValueError("This head doesn't know its photo's expression, so it has no neutral one.")
        return replace(self.displaced(-self.expression), is_neutral=True)

    def front_only(self) -> "HeadMesh":
        """The paper's representation: only what the photo shows, without the completed sides and back.

        Eyes and mouth stay whole, as expressions uncover more of them.
        """
        inner = ~np.isin(self.piece[self.faces[:, 0]], (HeadPiece.SURFACE, HeadPiece.HAIR))
        return self.kept(np.all(self.seen[self.faces], axis=1) | inner)

    def kept(self, faces: Bool[np.ndarray, " F"]) -> "HeadMesh":
        """A part of the head: the chosen triangles and their vertices, without what is seen through."""
        arguments.mask(faces, "faces", len(self.faces))
        used, corners = renumbered(self.faces[faces], len(self.vertices))
        binding = self.binding
        return replace(
            self,
            vertices=self.vertices[used],
            faces=corners,
            part=self.part[used],
            uv=self.uv[used],
            binding=None if binding is None else binding.chosen(used),
            piece=self.piece[used],
            seen=self.seen[used],
            **dict.fromkeys(SEE_THROUGH.values()),
        )

    def simplified(self, level: int) -> "HeadMesh":
        """The head with about 30,000, 12,000, 5,000 or 2,000 triangles, for levels of detail 0 to 3.

        Its vertices are some of the head's own: texture coordinates, morph targets and weights stay exact. A
        normal map keeps how the whole head takes light, in files that are `lit`.
        """
        # Imported here because `export` lies above `geometry` in the order of packages.
        from portrait3d.export.detail import at_detail

        return at_detail(self, level)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        lit: bool = False,
        visemes: bool = False,
        bones: bool = False,
        scale: float = 1.0,
        dense_targets: bool = False,
        texture_format: str = "png",
        author: str = "unnamed",
    ) -> Path:
        """Write the head as `.glb`, `.vrm`, `.usdz`, `.usd` (with `.png` beside it), `.obj` (with `.mtl` and
        `.png`) or `.ply`; returns the path.

        Files are written in metres with y up and the face along +z, as glTF asks, whatever the head's pose
        in the photo. A GLB's material shows the texture as it is, with the photo's light in it, or with `lit`
        takes the light of the scene. With `visemes` it has targets for those of Oculus too, with `bones` a
        skeleton. `scale` makes the head larger or smaller. `dense_targets` is for programs that can't read
        sparse accessors; with `texture_format="webp"` a GLB is smaller, for programs that read WebP. `author`
        is whom a VRM names. Raises `ValueError` for any other ending.
        """
        # As in `simplified`: `export` lies above this package.
        from portrait3d.export import export_mesh

        return export_mesh(
            self,
            arguments.path(path, "path"),
            lit=lit,
            visemes=visemes,
            bones=bones,
            scale=scale,
            dense_targets=dense_targets,
            texture_format=texture_format,
            author=author,
        )


def coinciding(vertices: Float[np.ndarray, "V 3"]) -> Int64[np.ndarray, " V"]:
    """For each vertex the first one at the same place: vertices that differ in their texture coordinates."""
    # Rows are compared as raw bytes, which is faster than `unique` over an axis; adding 0.0 turns -0.0 into
    # 0.0, whose bytes differ.
    places = np.ascontiguousarray(vertices + 0.0).view(f"V{vertices.itemsize * 3}").ravel()
    _, first, same = np.unique(places, return_index=True, return_inverse=True)
    return first[same.ravel()]


def welded_normals(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    same: Int64[np.ndarray, " V"] | None = None,
) -> Float[np.ndarray, "V 3"]:
    """Unit normals at the vertices of a mesh with seams: those that coincide share theirs.

    `same` are the `coinciding` vertices, if they are known. Vertices of no triangle get the zero vector.
    """
    same = coinciding(vertices) if same is None else same
    return vertex_normals(torch.from_numpy(vertices), torch.from_numpy(same[faces])).numpy()[same]


def vertex_normals(
    vertices: Float[Tensor, "*batch V 3"], faces: Int64[Tensor, "F 3"]
) -> Float[Tensor, "*batch V 3"]:
    """Unit normals at the vertices, outward for the winding of `Mesh`: area-weighted mean of the triangles'.

    Vertices of no triangle get the zero vector. Differentiable.
    """
    a, b, c = (vertices[..., faces[:, k], :] for k in range(3))
    # Not normalised: the cross product is as long as twice the area, so the sum is weighted by area.
    face_normals = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices)
    for k in range(3):
        normals = normals.index_add(-2, faces[:, k], face_normals)
    return F.normalize(normals, dim=-1)
