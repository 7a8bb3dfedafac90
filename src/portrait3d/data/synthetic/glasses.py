"""Glasses for synthetic people and for photos: rims, bridge, temples, and lenses of any tint."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from portrait3d.data.synthetic.drawing import Drawing
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose

DARK = 0.3
"""Share of the glasses that are sunglasses."""
THIN = 0.5
"""Share with frames of wire."""
STYLES = {"rims": 0.64, "upper rims": 0.14, "heavy brows": 0.06, "no rims": 0.06, "lenses' edges": 0.1}
"""Share of each kind of frame."""
OPAQUE = 0.5
"""Lenses of more opacity hide the eyes: they count as frame."""
FINER = 2
"""Everything is drawn at this many times the resolution."""
SUNK = (9.0, 4.0)
"""How far (mm) the front and the temples may lie below the drawn surface before they are hidden: heads that
are fitted, and faces that press against their glasses, are no more exact."""
DISTANCE = 13.0
"""From the eyes to the lenses, mm."""
CORNERS = 48
"""Of a rim."""
Points = Float[np.ndarray, "N 3"]


@dataclass(frozen=True, slots=True)
class Glasses:
    """One pair of glasses."""

    width: float
    """Half of a lens's width, mm."""
    height: float
    """Half of a lens's height, mm."""
    power: float
    """Exponent of the rim's superellipse: 2 is round, 4 nearly square."""
    thickness: float
    """Of the frame, mm."""
    frame: Float[np.ndarray, "3"]
    lens: Float[np.ndarray, "3"]
    opacity: float
    """Of the lenses, 0 to 1."""
    brow: float = 1.0
    """How much thicker the frame is along its upper edge."""
    rimmed: tuple[bool, bool] = (True, True)
    """Whether there are rims above and below the lenses."""
    second: Float[np.ndarray, "3"] | None = None
    """Another colour of the frame, in spots or mixed with it."""
    spots: float = 0.0
    """Size of the spots (mm) in which the second colour appears; 0 mixes both."""
    gloss: float = 0.0
    """How bright highlights on the frame are, 0 to 1."""
    arm: float = 3.0
    """Height of the temples at their hinges, mm."""
    hinge: float = -0.4
    """Where the temples begin: -1 at the top of the rims, 1 at the bottom."""
    tilt: float = 0.0
    """By how much (radians) the lenses' lower edges are nearer to the face."""
    bend: float = 1000.0
    """Radius (mm) of the curve that the front follows round the face."""
    reflection: float = 0.0
    """How bright the reflection is that lies across the lenses, 0 to 1."""
    shadow: float = 0.0
    """How dark the frame's shadow on the face is, 0 to 1."""
    strength: float = 1.0
    """How far the frame hides what is behind it: little where it is a lens's bare edge, 0 to 1."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Glasses":
        """Random glasses."""
        dark = rng.random() < DARK
        thin = rng.random() < THIN
        style = str(rng.choice(list(STYLES), p=list(STYLES.values())))
        edges = style == "lenses' edges"
        frame = rng.uniform(0, 1, 3) * rng.choice([0.15, 0.4, 1.0], p=(0.5, 0.3, 0.2))
        if rng.random() < 0.4:  # metal: silver, gold, gun
            frame = rng.uniform(0.2, 0.9) * np.array([1, rng.uniform(0.75, 1), rng.uniform(0.5, 1)])
        return cls(
            width=rng.uniform(20, 29),
            height=rng.uniform(12, 24),
            power=rng.uniform(2, 4.5),
            thickness=rng.uniform(0.6, 1.5) if thin or edges else rng.uniform(1.5, 5.5),
            frame=frame,
            lens=rng.uniform(0, 0.25, 3) if dark else rng.uniform(0.5, 1, 3),
            opacity=rng.uniform(0.55, 0.99) if dark else rng.choice([0.0, rng.uniform(0, 0.3)]),
            brow=rng.uniform(1.3, 2) if style == "heavy brows" else rng.uniform(0.9, 1.4),
            rimmed=(style != "no rims", style not in ("no rims", "upper rims")),
            second=rng.uniform(0, 0.8, 3) if rng.random() < 0.3 else None,
            spots=rng.choice([0.0, rng.uniform(2, 10)]),
            gloss=rng.choice([0.0, rng.uniform(0.1, 0.9)]),
            arm=rng.uniform(1, 3) if thin else rng.uniform(2, 8),
            hinge=rng.uniform(-0.9, 0.1),
            tilt=np.radians(rng.uniform(0, 12)),
            bend=rng.uniform(150, 800),
            reflection=rng.uniform(0.1, 0.8) if rng.random() < 0.3 else 0.0,
            shadow=rng.uniform(0, 0.5) if rng.random() < 0.7 else 0.0,
            strength=rng.uniform(0.25, 0.7) if edges else rng.uniform(0.6, 1) if thin else 1.0,
        )

    def lenses(self, landmarks: Float[np.ndarray, "68 3"]) -> Float[np.ndarray, "2 C 3"]:
        """The lenses' outlines before the picture's left and right eye, in the landmarks' frame (mm)."""
        return np.stack([self._outline(landmarks, eye, 0.0) for eye in range(2)])

    def _outline(self, landmarks: Float[np.ndarray, "68 3"], eye: int, outwards: float) -> Points:
        """A lens's outline, grown by `outwards` times the frame's thickness."""
        angle = np.linspace(0, 2 * np.pi, CORNERS + 1)
        grown = outwards * self.thickness * np.where(np.sin(angle) < 0, self.brow, 1.0)
        across = (self.width + grown) * _superellipse(np.cos(angle), self.power)
        down = (self.height + grown) * _superellipse(np.sin(angle), self.power) + 5
        return self._before(landmarks, landmarks[(slice(36, 42), slice(42, 48))[eye]].mean(0), across, down)

    def _before(
        self,
        landmarks: Float[np.ndarray, "68 3"],
        eye: Float[np.ndarray, "3"],
        across: np.ndarray,
        down: np.ndarray,
    ) -> Points:
        """Points of the front, from their place beside and below an eye."""
        middle = landmarks[36:48].mean(0)
        aside = eye[0] + across - middle[0]
        back = aside**2 / (2 * self.bend) + np.tan(self.tilt) * (down - 5) - DISTANCE
        return np.stack([middle[0] + aside, eye[1] + down, middle[2] + back], axis=-1)

    def bands(self, landmarks: Float[np.ndarray, "68 3"]) -> list[tuple[Points, Points]]:
        """Both edges of rims, bridge and temples, in the landmarks' frame (mm)."""
        bands, inner, outer = [], [], []
        for eye in range(2):
            inner.append(self._outline(landmarks, eye, 0.0))
            outer.append(self._outline(landmarks, eye, 1.0))
            half = CORNERS // 2
            for rim, part in zip(self.rimmed[::-1], (slice(0, half + 1), slice(half, None)), strict=True):
                if rim:
                    bands.append((inner[eye][part], outer[eye][part]))
        left, right = (inner[0][0], inner[1][CORNERS // 2])
        way = np.linspace(0, 1, 9)[:, None]
        bridge = left + way * (right - left)
        bridge[:, 1:2] -= self.height * 0.35 + 3 * np.sin(np.pi * way)
        bridge[:, 2] = np.minimum(bridge[:, 2], landmarks[27, 2] - 3)
        bands.append((bridge, bridge + np.array([0, max(self.thickness, 1.0), 0])))
        for ear, side, rim in ((0, -1, outer[0]), (16, 1, outer[1])):
            place = rim[:, 1].min() + (self.hinge + 1) / 2 * np.ptp(rim[:, 1])
            sides = rim[side * (rim[:, 0] - rim[:, 0].mean()) > 0]
            hinge = sides[np.abs(sides[:, 1] - place).argmin()]
            tip = landmarks[ear] + [side * 3, hinge[1] - landmarks[ear, 1], 8]
            knee = hinge + np.array([side * 2, 0, 4])
            line = np.concatenate([np.linspace(hinge, knee, 3)[:-1], np.linspace(knee, tip, 24)])
            high = np.array([0, 0.5, 0]) * self.arm * np.linspace(1, 0.7, len(line))[:, None]
            bands.append((line - high, line + high))
        return bands

    def colours(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "N 3"]:
        """Of the pieces along a band: spots and highlights."""
        mixed = np.repeat(self.frame[None], count, 0)
        if self.second is not None:
            size = max(1, round(self.spots / 3))
            share = (
                np.repeat(rng.random(count // size + 1), size)[:count] if self.spots else np.full(count, 0.5)
            )
            mixed = mixed + share[:, None] * (self.second - mixed)
        wave = np.sin(np.linspace(0, rng.uniform(2, 12), count) + rng.uniform(0, 6))
        light = self.gloss * np.clip(wave, 0, 1)[:, None] ** 4
        return mixed + light * (1 - mixed)


@dataclass(frozen=True, slots=True, eq=False)
class WornGlasses:
    """A picture of glasses on a head, to be laid over a picture of the head."""

    colour: Float[np.ndarray, "3 H W"]
    """RGB in [0, 1], straight, not premultiplied."""
    alpha: Float[np.ndarray, "H W"]
    """How far it hides the picture: frame, lenses as far as they are tinted."""
    cover: Float[np.ndarray, "H W"]
    """How much of each pixel is frame, or a lens that hides the eyes."""
    shade: Float[np.ndarray, "H W"]
    """How much light reaches the head, 0 to 1."""

    def behind(self, before: Float[np.ndarray, "H W"]) -> "WornGlasses":
        """The same with something before it, such as hair: how far that hides each pixel."""
        return replace(self, alpha=self.alpha * (1 - before), cover=self.cover * (1 - before))

    def over(self, picture: Float[np.ndarray, "3 H W"]) -> Float[np.ndarray, "3 H W"]:
        """The picture of the head with its glasses."""
        picture = picture * self.shade
        return (picture + self.alpha * (self.colour - picture)).clip(0, 1)


def wear(
    glasses: Glasses,
    landmarks: Float[np.ndarray, "68 3"],
    screen: Callable[[Points], Points],
    depth: Float[np.ndarray, "H W"],
    rng: np.random.Generator,
) -> WornGlasses:
    """Glasses on a head.

    Args:
        glasses: What is worn.
        landmarks: The head's, in its own frame (mm).
        screen: From the head's frame to pixels of the picture (x, y) and depth (mm).
        depth: Of what the picture shows (mm), which hides what lies further back.
        rng: Of spots, highlights and reflections.
    """
    height, width = depth.shape
    size = width * FINER, height * FINER

    def hidden(points: Points, sunk: float) -> np.ndarray:
        column, row = (points[:, k].astype(int).clip(0, side - 1) for k, side in ((0, width), (1, height)))
        return points[:, 2] > depth[row, column] + sunk

    lenses, glare = Image.new("L", size), Image.new("L", size)
    for lens in map(screen, glasses.lenses(landmarks)):
        if not hidden(lens, SUNK[0]).all():
            ImageDraw.Draw(lenses).polygon((lens[:, :2] * FINER).ravel().tolist(), fill=255, outline=255)
            if glasses.reflection:
                _reflect(ImageDraw.Draw(glare), lens[:, :2] * FINER, rng)
    picture, frame = Image.new("RGB", size), Image.new("L", size)
    paint, mark = ImageDraw.Draw(picture), ImageDraw.Draw(frame)
    bands = glasses.bands(landmarks)
    for number, edges in enumerate(bands):
        upper, lower = map(screen, edges)
        sunk = SUNK[number >= len(bands) - 2]
        behind = hidden(upper, sunk) & hidden(lower, sunk)
        for k, colour in enumerate(255 * glasses.colours(len(upper) - 1, rng)):
            if not behind[k : k + 2].any():
                corners = np.concatenate([upper[k : k + 2, :2], lower[k : k + 2, :2][::-1]]) * FINER
                mark.polygon(corners.ravel().tolist(), fill=255, outline=255)
                paint.polygon(corners.ravel().tolist(), fill=tuple(colour.astype(int).clip(0, 255).tolist()))

    def reduced(image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((width, height), Image.Resampling.BOX), np.float32) / 255

    solid, clear, bright = reduced(frame), reduced(lenses), reduced(glare)
    opacity = clear * glasses.opacity
    tint = glasses.lens[:, None, None] * np.linspace(rng.uniform(0.6, 1), 1, height)[:, None]
    reflected = np.minimum(bright, clear) * glasses.reflection
    lens_colour = tint + reflected * (1 - tint)
    lens_alpha = opacity + reflected * (1 - opacity)
    # Straight colours of frame over lens.
    own = reduced(picture).transpose(2, 0, 1) / np.maximum(solid, 1e-3)
    shown = glasses.strength * solid
    alpha = shown + lens_alpha * (1 - shown)
    colour = (own * shown + lens_colour * lens_alpha * (1 - shown)) / np.maximum(alpha, 1e-3)
    shift = rng.uniform(-2, 2), rng.uniform(0, 4)
    soft = frame.filter(ImageFilter.GaussianBlur(FINER * rng.uniform(1, 3)))
    dark = np.roll(reduced(soft), [round(shift[1]), round(shift[0])], (0, 1))
    cover = np.minimum(solid + clear * (glasses.opacity > OPAQUE), 1)
    return WornGlasses(
        colour.astype(np.float32),
        alpha.astype(np.float32),
        cover.astype(np.float32),
        (1 - glasses.shadow * dark).astype(np.float32),
    )


def put_on(
    drawing: Drawing, glasses: Glasses, landmarks: Float[Tensor, "68 3"], pose: Pose, camera: Camera
) -> Float[Tensor, "3 H W"]:
    """The drawing's image with glasses; `landmarks` are the head's, in the model's frame (mm)."""

    def screen(points: Points) -> Points:
        return camera.screen(pose.apply(torch.from_numpy(points).float())).numpy()

    # What else is random about glasses follows from themselves: the same in every picture of a person.
    rng = np.random.default_rng(int(glasses.width * 1e6))
    worn = wear(glasses, landmarks.double().numpy(), screen, drawing.depth.numpy(), rng)
    return torch.from_numpy(worn.over(drawing.image.numpy())).float()


def _superellipse(side: np.ndarray, power: float) -> np.ndarray:
    return np.sign(side) * np.abs(side) ** (2 / power)


def _reflect(pen: ImageDraw.ImageDraw, outline: Float[np.ndarray, "C 2"], rng: np.random.Generator) -> None:
    """A bright bar across a lens."""
    low, high = outline.min(0), outline.max(0)
    x = low[0] + rng.uniform(-0.2, 1) * (high[0] - low[0])
    wide, lean = rng.uniform(0.05, 0.5) * (high[0] - low[0]), rng.uniform(-1, 1) * (high[1] - low[1])
    corners = [(x, low[1]), (x + wide, low[1]), (x + wide + lean, high[1]), (x + lean, high[1])]
    pen.polygon([(float(a), float(b)) for a, b in corners], fill=255)
