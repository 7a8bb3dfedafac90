"""The solid part of a synthetic person: head, neck and clothes, coloured and labelled."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int64, UInt8

from portrait3d.data.synthetic.torso import Torso
from portrait3d.geometry.pixels import smoothstep
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass

SMOOTH_NECK = (62.0, 112.0)
"""Heights between which the neck takes up the turn between head and body, mm."""


@dataclass(frozen=True, slots=True)
class Solid:
    """A coloured triangle mesh in the model frame, mm."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int64[np.ndarray, "F 3"]
    albedo: Float[np.ndarray, "V 3"]
    labels: UInt8[np.ndarray, " V"]


@lru_cache(maxsize=2)
def skin_labels(head: HeadModel) -> UInt8[np.ndarray, " V"]:
    """The parsing class of every vertex of the head model."""
    mean, parts = head.mean.numpy(), head.part_of_vertex.numpy()
    labels = np.full(len(mean), ParsingClass.FACE, np.uint8)
    low = ((mean[:, 1] > 60) & (head.face_mask.numpy() < 0.5)) | (mean[:, 1] > 88)
    labels[low] = ParsingClass.NECK
    ears = head.ears_mask.numpy() > 0.5
    labels[ears & (mean[:, 0] < 0)] = ParsingClass.LEFT_EAR
    labels[ears & (mean[:, 0] > 0)] = ParsingClass.RIGHT_EAR
    inner = [head.part_names.index(n) for n in ("mouth_cavity", "upper_teeth", "lower_teeth", "tongue")]
    labels[np.isin(parts, inner)] = ParsingClass.INNER_MOUTH
    return labels


@dataclass(frozen=True, slots=True)
class Clothes:
    """Colours of what a person wears."""

    coat: Float[np.ndarray, "3"]
    shirt: Float[np.ndarray, "3"]
    tie: Float[np.ndarray, "3"]
    lapel: float
    """Slope of a coat's opening (mm across for each mm down); 0 for a plain shirt."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Clothes":
        """A random outfit: half of them suits."""
        plain = rng.uniform(0.05, 0.9, 3) * rng.uniform(0.5, 1)
        dark = np.array([0.12, 0.13, 0.17]) * rng.uniform(0.5, 2.2) + rng.normal(0, 0.015, 3)
        white = np.array([0.9, 0.9, 0.92]) * rng.uniform(0.75, 1) + rng.normal(0, 0.03, 3)
        if rng.random() < 0.5:
            return cls(dark.clip(0, 1), white.clip(0, 1), rng.uniform(0.05, 0.7, 3), rng.uniform(0.25, 0.6))
        return cls(plain, plain, plain, 0.0)

    def colors(self, vertices: Float[np.ndarray, "V 3"], below: Float[np.ndarray, " V"]) -> np.ndarray:
        """Colours of the torso's vertices, `below` mm under the collar."""
        x, front = np.abs(vertices[:, 0]), vertices[:, 2] < 40
        color = np.repeat(self.coat[None], len(vertices), axis=0)
        if self.lapel:
            shirt = front & (x < 42 - self.lapel * 0.5 * np.clip(below - 20, 0, None))
            color[shirt] = self.shirt
            color[shirt & (x < 10 + 0.06 * below)] = self.tie
        return color


def build_solid(
    head: HeadModel,
    vertices: Float[np.ndarray, "V 3"],
    albedo: Float[np.ndarray, "V 3"],
    torso: Torso,
    clothes: Clothes,
) -> Solid:
    """Head and torso as one mesh; the torso's bare skin has the neck's colour."""
    labels = skin_labels(head)
    body, faces, below = torso.mesh()
    tone = albedo[(labels == ParsingClass.NECK) & (head.part_of_vertex.numpy() == 0)].mean(axis=0)
    colors = np.where((below > 0)[:, None], clothes.colors(body, below), tone)
    shade = 1 - 0.28 * np.clip((vertices[:, 1] - 58) / 30, 0, 1) * np.clip(
        (labels == ParsingClass.NECK) * 1.0, 0, 1
    )
    shade = np.where(labels == ParsingClass.INNER_MOUTH, 0.6, shade)
    neck = np.where(below > 0, 1, 0.72 + 0.28 * np.clip((body[:, 1] - 90) / 40, 0, 1))
    return Solid(
        vertices=np.concatenate([vertices, body]),
        faces=np.concatenate([head.faces.numpy(), faces + len(vertices)]),
        albedo=np.concatenate([albedo * shade[:, None], colors * neck[:, None]]),
        labels=np.concatenate(
            [labels, np.where(below > 0, ParsingClass.BODY, ParsingClass.NECK).astype(np.uint8)]
        ),
    )


def press_ears(head: HeadModel, vertices: Float[np.ndarray, "V 3"], reach: float) -> Float[np.ndarray, "V 3"]:
    """Vertices with ears that stand out at most `reach` mm, as hair presses them."""
    ears = head.ears_mask.numpy()
    base = np.abs(vertices[(ears > 0.05) & (ears < 0.4), 0]).mean()
    side, far = np.sign(vertices[:, 0]), np.abs(vertices[:, 0])
    pressed = base + reach * np.tanh(np.maximum(far - base, 0) / reach)
    x = np.where((ears > 0.4) & (far > base), side * pressed, vertices[:, 0])
    return np.column_stack([x, vertices[:, 1:]])


def twist(points: Float[np.ndarray, "N 3"], angle: float) -> Float[np.ndarray, "N 3"]:
    """Turn everything below the neck about its axis by `angle` (radians, to x > 0), the neck in part."""
    share = smoothstep((points[:, 1] - SMOOTH_NECK[0]) / (SMOOTH_NECK[1] - SMOOTH_NECK[0]))
    cos, sin = np.cos(-angle * share), np.sin(-angle * share)
    x, z = points[:, 0], points[:, 2] - 66.0
    return np.column_stack([cos * x + sin * z, points[:, 1], -sin * x + cos * z + 66.0])
