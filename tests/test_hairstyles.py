"""A drawn head of every kind of hair through the whole pipeline, beside its exact truth."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float, UInt8

from portrait3d.data.depth.scenes import SIDE, picture_camera
from portrait3d.data.synthetic import STYLES_TRAIN, STYLES_VALIDATION, SyntheticHeads
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.data.synthetic.drawing import draw_view
from portrait3d.data.synthetic.heads import draw_coefficients, place
from portrait3d.geometry.mesh import HeadPart
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import rotation_from_euler
from portrait3d.parsing_classes import ParsingClass
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.rendering.rasterizer import rasterize

STYLES = {**STYLES_TRAIN, **STYLES_VALIDATION}


@dataclass(frozen=True, slots=True, eq=False)
class DrawnHead:
    """A picture of a synthetic person, its truth, and what became of it."""

    labels: UInt8[np.ndarray, "S S"]
    hair: Float[np.ndarray, "N 3"]
    """The true hair, model frame, mm."""
    portrait: Portrait

    @property
    def found_hair(self) -> Float[np.ndarray, "M 3"]:
        """The head's hair in the model frame, mm."""
        head = self.portrait.head
        points = torch.from_numpy(head.vertices[head.part == HeadPart.HAIR])
        return self.portrait.camera_from_model.inverse().apply(points).numpy()

    @property
    def hair_in_front(self) -> Bool[np.ndarray, "S S"]:
        """Where the head's first surface is hair, seen by the photo's camera."""
        head = self.portrait.head
        screen = self.portrait.camera.screen(torch.from_numpy(head.vertices))
        drawn = rasterize(screen[None], torch.from_numpy(head.faces), SIDE, SIDE).face_index[0].numpy()
        return np.append((head.part == HeadPart.HAIR)[head.faces].any(axis=1), False)[drawn]


def drawn_head(model: Portrait3D, style: str, yaw: float) -> DrawnHead:
    """A person with hair of this style who looks aside by `yaw` degrees, reconstructed."""
    heads, rng = SyntheticHeads(1, {style: STYLES[style]}), np.random.default_rng([1, 7])
    rotation = rotation_from_euler(*torch.tensor(np.radians([yaw, 0.0, 0.0])).float())
    camera = picture_camera(3.2)
    with torch.no_grad():
        drawn = draw_coefficients(heads.head, rng)
        person, coefficients = heads.dress(drawn, heads.styles[style], rotation, rng)
        pose = place(heads.head, coefficients, rotation, camera, rng)
        view = draw_view(person, pose, camera, draw_background(rng, SIDE), rng)
    hair = [layer.vertices[layer.labels == ParsingClass.HAIR] for layer in person.layers]
    portrait = model.reconstruct(as_bytes(view.image))
    return DrawnHead(view.labels.numpy(), np.concatenate(hair), portrait)


@pytest.fixture(scope="module")
def model() -> Portrait3D:
    return Portrait3D.from_pretrained()


@pytest.mark.parametrize("style", ["bald", "bald_beard"])
def test_bald_heads_have_no_hair_and_beards_stay_skin(model: Portrait3D, style: str) -> None:
    assert not len(drawn_head(model, style, 0.0).found_hair)


# Someone who looks aside is warned about, rightly.
@pytest.mark.filterwarnings("ignore::portrait3d.errors.PoorFitWarning")
@pytest.mark.parametrize(
    ("style", "yaw", "overlap", "reach"),
    [
        ("receding", 0.0, 0.75, 25.0),
        ("beard", 0.0, 0.8, 20.0),
        ("bob_fringe", 0.0, 0.85, 20.0),
        ("side_part", 0.0, 0.85, 20.0),
        ("top_bun", 0.0, 0.8, 20.0),
        ("low_bun", 50.0, 0.8, 35.0),
        # Its end hides behind the neck.
        ("ponytail", 50.0, 0.8, 55.0),
        ("afro", 0.0, 0.85, 20.0),
        # Strands: the body between them and the sheet before it show less.
        ("long_straight", 0.0, 0.6, 20.0),
    ],
)
def test_hair_begins_at_its_line_and_reaches_as_far_as_the_true_one(
    model: Portrait3D, style: str, yaw: float, overlap: float, reach: float
) -> None:
    head = drawn_head(model, style, yaw)
    true, found = head.labels == ParsingClass.HAIR, head.hair_in_front
    assert (true & found).sum() / (true | found).sum() > overlap
    # The extent along all three axes: front and back, left and right, top and end.
    ends, true_ends = (
        np.stack([hair.min(axis=0), hair.max(axis=0)]) for hair in (head.found_hair, head.hair)
    )
    np.testing.assert_allclose(ends, true_ends, atol=reach)
