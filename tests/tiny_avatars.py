"""A directory of made-up avatars, laid out as `portrait3d.data.people.avatars` reads it."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SKIN, HAIR, SHIRT = (200, 150, 120), (60, 40, 20), (40, 80, 160)
FACE, LEFT_EAR, RIGHT_EAR, NECK, BODY, EYE = 1, 3, 4, 6, 7, 9
SKULL = np.array([75.0, 115.0, 95.0])
"""Half axes of the head, mm; its middle lies at the origin."""
HAIR_DEPTH = 10.0
"""Hair begins this far behind the head's middle, and covers the head down to `HAIR_END`, mm."""
HAIR_END = 60.0


def write_avatars(folder: Path, names: dict[str, str]) -> Path:
    """Write heads by name and hair style; "long ..." has hair as a mesh of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "source", "gender", "group", "hair_style"])
        for name, style in names.items():
            table.writerow([name, "drawn", "female", "made up", style])
            write_avatar(folder, name, style)
    return folder


def write_avatar(folder: Path, name: str, style: str) -> None:
    """An ellipsoid with hair behind, ears, eyes, neck and body; half of its texture is skin, half hair."""
    vertices, faces = ellipsoid((0, 0, 0), SKULL)
    middle = vertices[faces].mean(axis=1)
    hair = (middle[:, 2] > HAIR_DEPTH) & (middle[:, 1] < HAIR_END)
    if style == "bald":
        hair[:] = False
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray | int, int]]
    parts = [(vertices, faces, np.where(hair, 2, FACE), 0)]
    for side, label in ((-1, LEFT_EAR), (1, RIGHT_EAR)):
        parts.append((*ellipsoid((side * 74, 10, 5), (10, 25, 15)), label, 0))
        parts.append((*ellipsoid((side * 32, -10, -76), (12, 12, 12)), EYE, 0))
    parts.append((*ellipsoid((0, 130, 15), (50, 70, 50)), NECK, 0))
    parts.append((*ellipsoid((0, 255, 15), (200, 120, 70)), BODY, 1))
    if style.startswith("long"):
        parts.append((*ellipsoid((0, 60, 60), (95, 170, 60)), 2, 2))
    points, triangles, classes, materials = [], [], [], []
    for vertices, faces, label, material in parts:
        triangles.append(faces + sum(map(len, points)))
        points.append(vertices)
        classes.append(np.broadcast_to(label, len(faces)))
        materials.append(np.full(len(faces), material))
    vertices, faces, label, material = map(np.concatenate, (points, triangles, classes, materials))
    # Triangles have corners of their own, as at a seam of the texture.
    corners = vertices[faces].reshape(-1, 3).astype(np.float32)
    column = np.where((label == 2) & (material == 0), 0.75, 0.25).repeat(3)
    np.savez(
        folder / f"{name}.npz",
        vertices=corners,
        faces=np.arange(len(corners), dtype=np.int32).reshape(-1, 3),
        uv=np.stack([column, np.full(len(corners), 0.5)], axis=1).astype(np.float32),
        face_class=label.astype(np.uint8),
        face_material=material.astype(np.uint8),
        morph_names=np.array(["nod", "sneer"]),
        morph_offset=np.array([0, 2, 3], np.int32),
        morph_vertex=np.array([0, 1, 5], np.uint16),
        morph_delta=np.array([[0, 1, 0], [0, 2, 0], [3, 0, 0]], np.float16),
    )
    pictures = {"head": (SKIN, HAIR), "rest": (SHIRT, SHIRT), "hair": (HAIR, HAIR)}
    for kind in ("head", "rest", "hair")[: material.max() + 1]:
        halves = np.repeat(np.array(pictures[kind], np.uint8), 16, axis=0)
        Image.fromarray(np.repeat(halves[None], 32, axis=0)).save(
            folder / f"{name}_{kind}.jpg", quality=98, subsampling=0
        )


def ellipsoid(middle, axes, rings: int = 24, segments: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (mm) and triangles that face outward."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rings), np.arange(segments) * 2 * np.pi / segments, indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], axis=-1)
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(segments), indexing="ij")
    a, b = i * segments + j, i * segments + (j + 1) % segments
    c, d = a + segments, b + segments
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).reshape(-1, 3)
    return unit.reshape(-1, 3) * np.asarray(axes, float) + np.asarray(middle, float), faces
