"""Synthetic people: the head model with hair, neck and clothes, drawn with exact depth, as pairs of views."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d import arguments
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.data.synthetic.beard import grow_beard
from portrait3d.data.synthetic.drawing import Person, draw_view
from portrait3d.data.synthetic.drawn_hair import Hair
from portrait3d.data.synthetic.hair import grow
from portrait3d.data.synthetic.hair_mesh import HairMesh
from portrait3d.data.synthetic.light import draw_light
from portrait3d.data.synthetic.scalp import map_scalp
from portrait3d.data.synthetic.skin import Clothes, build_solid, press_ears, twist
from portrait3d.data.synthetic.strands import HairLook
from portrait3d.data.synthetic.styles import STYLES_TRAIN, HairStyle
from portrait3d.data.synthetic.torso import Torso
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.geometry.skin import HEAD_CENTRE, HEAD_PIVOT
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_depth import render_face_depth
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import (
    FACE_FOCAL,
    FACE_MARGIN,
    FACE_SIZE,
    HEAD_SIZE,
    HEAD_ZOOM,
    crop_camera,
)

PIVOT = torch.tensor(HEAD_PIVOT, dtype=torch.float32)
"""The point (model frame, mm) about which heads turn."""
COVERS_EARS = 12.0
"""Hair thicker than this at the sides (mm) presses the ears to the head when it hangs."""

EXPRESSIONS = {
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.3, "eyeSquint": 0.4, "mouthUpperUp": 0.3},
    "open": {"jawOpen": 0.35, "mouthLowerDown": 0.2},
    "brow": {"browInnerUp": 0.5, "browOuterUp": 0.5},
    "blink": {"eyeBlink": 0.6},
}
"""Full strengths of blendshapes that appear together, by the name without its side."""


@dataclass(frozen=True, slots=True)
class SyntheticView:
    """One picture of a synthetic head in the head crop's camera, with its truth."""

    image: Float[Tensor, "3 H W"]
    """RGB in [0, 1]."""
    depth: Float[Tensor, "H W"]
    """mm, inf in the background."""
    labels: UInt8[Tensor, "H W"]
    """Parsing classes."""
    face_depth: Float[Tensor, "H W"]
    """Depth of the bare face (mm) whatever lies before it, inf where there is none."""
    landmarks: Float[Tensor, "68 2"]
    """Projected landmarks, pixels."""
    camera_from_model: Pose
    coefficients: FaceCoefficients
    center_depth: float
    """Depth of the head's centre, mm."""


@dataclass(frozen=True, slots=True)
class SyntheticPair:
    """Two views of one person in one light and one camera, whose head has turned in between."""

    first: SyntheticView
    second: SyntheticView
    style: str


class SyntheticHeads:
    """An endless list of pairs of views; pair i depends on i and the seed alone.

    Args:
        seed: Of everything that is drawn.
        styles: Hair styles to draw from, by name.
        size: Side of the pictures, pixels.
    """

    def __init__(
        self, seed: int, styles: Mapping[str, HairStyle] | None = None, size: int = HEAD_SIZE
    ) -> None:
        self.seed = arguments.whole_number(seed, "seed")
        arguments.whole_number(size, "size", 1)
        self.styles = dict(styles if styles is not None else STYLES_TRAIN)
        if not self.styles:
            raise ValueError("There are no hair styles to draw from.")
        self.head = _head_model()
        self.camera = head_camera(size)

    @torch.no_grad()
    def pair(self, index: int) -> SyntheticPair:
        """The pair with this number."""
        arguments.whole_number(index, "index")
        rng = np.random.default_rng([self.seed, index])
        style = list(self.styles)[rng.integers(len(self.styles))]
        coefficients = draw_coefficients(self.head, rng)
        first, second = draw_poses(rng)
        person, coefficients = self.dress(coefficients, self.styles[style], first, rng)
        background = draw_background(rng, self.camera.height)
        first = place(self.head, coefficients, first, self.camera, rng)
        second = turn_about(second, first)
        views = [self._view(person, coefficients, pose, background, rng) for pose in (first, second)]
        return SyntheticPair(views[0], views[1], style)

    def dress(
        self,
        coefficients: FaceCoefficients,
        style: HairStyle,
        rotation: Tensor,
        rng: np.random.Generator,
        worn: Callable[[Float[np.ndarray, "V 3"]], HairMesh] | None = None,
    ) -> tuple[Person, FaceCoefficients]:
        """A person with hair, clothes and light, and the coefficients with that light.

        `worn` gives hair to wear over the style's for the head's vertices (model frame, mm).
        """
        scalp = map_scalp(self.head)
        torso, hair, look = Torso.draw(rng), Hair.draw(style, rng), HairLook.draw(rng)
        light = draw_light(rng)
        coefficients = FaceCoefficients(
            identity=coefficients.identity,
            expression=coefficients.expression,
            albedo=coefficients.albedo,
            lighting=torch.from_numpy(light.mean(0)).float()[None],
        )
        vertices = self.head.vertices(coefficients)[0].double().numpy()
        albedo = self.head.albedo(coefficients)[0].clamp(0.02, 0.98).double().numpy()
        if "hang" in hair.values and hair.get("side") > COVERS_EARS:
            vertices = press_ears(self.head, vertices, 0.4 * hair.get("side"))
        sheets = grow(hair, scalp, vertices, torso, (1.0, 0.55, 0.15))
        if worn is not None:
            sheets.append(worn(vertices))
        beard = grow_beard(self.head, vertices, hair)
        solid = build_solid(self.head, vertices, albedo, torso, Clothes.draw(rng))
        yaw = float(Pose(rotation, torch.zeros(3)).euler()[0])
        angle = float(rng.uniform(0.4, 1.0)) * yaw
        person = Person.assemble(solid, sheets, beard, look, light, hair.inside(scalp))
        return person.moved(lambda points: twist(points, -angle)).prepared(), coefficients

    def _view(
        self,
        person: Person,
        coefficients: FaceCoefficients,
        pose: Pose,
        background: Float[np.ndarray, "3 H W"],
        rng: np.random.Generator,
    ) -> SyntheticView:
        drawn = draw_view(person, pose, self.camera, background, rng)
        batched = pose.batched
        face = render_face_depth(self.head, coefficients, batched, self.camera)
        marks = batched.apply(self.head.landmarks(self.head.vertices(coefficients)))[0]
        return SyntheticView(
            image=drawn.image,
            depth=drawn.depth,
            labels=drawn.labels,
            face_depth=face.depth[0],
            landmarks=self.camera.project(marks),
            camera_from_model=pose,
            coefficients=coefficients,
            center_depth=float(face.center[0]),
        )


@lru_cache(maxsize=1)
def _head_model() -> HeadModel:
    return HeadModel.load()


def head_camera(size: int = HEAD_SIZE) -> Camera:
    """The head crop's virtual camera."""
    return crop_camera(size, HEAD_ZOOM)


def draw_coefficients(head: HeadModel, rng: np.random.Generator) -> FaceCoefficients:
    """A random face in no particular light: normal identity and albedo, some blendshapes at work."""
    names = head.expression_names
    expression = np.zeros(64)
    for name in ("smile", "open", "brow", "blink", "any"):
        if rng.random() < 0.4:
            strength = rng.beta(1.3, 2.5)
            chosen = EXPRESSIONS.get(name) or {
                names[rng.integers(52)].removesuffix("Left").removesuffix("Right"): 0.6
            }
            for k, given in enumerate(names):
                expression[k] += strength * chosen.get(given.removesuffix("Left").removesuffix("Right"), 0.0)
    expression[52:] = rng.normal(0, 0.1, 12)
    numbers = (rng.normal(0, 0.6, 80), expression, rng.normal(0, 0.7, 80), np.zeros(9))
    return FaceCoefficients(*(torch.from_numpy(part).float()[None] for part in numbers))


def draw_poses(rng: np.random.Generator) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3 3"]]:
    """Two head rotations 5 to 15 degrees apart: yaw mostly within 40 degrees, one in ten within 60."""
    spread = 60 if rng.random() < 0.1 else 40
    yaw = np.clip(rng.normal(0, 0.5 * spread), -spread, spread)
    pitch, roll = np.clip(rng.normal(0, 8), -22, 22), np.clip(rng.normal(0, 3), -9, 9)
    step, direction = rng.uniform(5, 15), rng.normal(0, 0.45) + (np.pi if rng.random() < 0.5 else 0)
    yaws, pitches = (yaw, yaw + step * np.cos(direction)), (pitch, pitch + step * np.sin(direction))
    angles = torch.tensor(np.radians([yaws, pitches, (roll, roll)])).float()
    first, second = rotation_from_euler(angles[0], angles[1], angles[2])
    return first, second


def place(
    head: HeadModel,
    coefficients: FaceCoefficients,
    rotation: Float[Tensor, "3 3"],
    camera: Camera,
    rng: np.random.Generator,
) -> Pose:
    """The pose at which the landmarks' box has the scale of the crops' cameras, give or take a little."""
    marks = head.landmarks(head.vertices(coefficients))[0]
    center = torch.tensor(HEAD_CENTRE, dtype=torch.float32)
    wanted = float(camera.focal) * FACE_SIZE / (FACE_FOCAL * FACE_MARGIN) * float(np.exp(rng.normal(0, 0.05)))
    shift = torch.from_numpy(rng.normal(0, 0.012, 2)).float() * camera.height
    depth = torch.tensor(900.0)
    # Fixed point: the size in the picture is nearly inverse to the depth.
    for _ in range(3):
        aside = shift * depth / camera.focal
        pose = Pose(rotation, torch.stack([aside[0], aside[1], depth]) - rotation @ center)
        box = camera.project(pose.apply(marks))
        extent = (box.amax(0) - box.amin(0)).prod().sqrt()
        depth = depth * extent / wanted
    return pose


def turn_about(rotation: Float[Tensor, "3 3"], first: Pose) -> Pose:
    """The pose with another rotation that keeps the pivot of the neck where it is."""
    pivot = first.apply(PIVOT[None])[0]
    return Pose(rotation, pivot - rotation @ PIVOT)
