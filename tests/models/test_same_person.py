"""One identity from several fits: nearer to the truth, and how unlike faces are told."""

import math
from dataclasses import replace

import pytest
import torch

from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_fit import FaceFit
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.same_person import strangeness, with_joint_identity
from portrait3d.preprocessing.alignment import Crop


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


def fit_of(coefficients: FaceCoefficients, yaw: float) -> FaceFit:
    none = torch.tensor(0.0)
    turn = Pose.from_euler(torch.tensor(math.radians(yaw)), none, none, torch.tensor([3.0, -5.0, 900.0]))
    return FaceFit(Crop((112, 112), 224, 0.0, 224), coefficients, turn, torch.zeros(68, 2), 0.5, 0.5)


PEOPLE = range(12)


def noisy_fits(error: tuple[float, float], person: int = 0) -> tuple[FaceCoefficients, list[FaceFit]]:
    """A person, and fits from the front and aside whose identities are off by so many standard deviations."""
    random = torch.Generator().manual_seed(person)
    vector = torch.zeros(233)
    vector[:80] = torch.randn(80, generator=random)
    truth = FaceCoefficients.from_vector(vector)
    off = [truth.identity + e * torch.randn(80, generator=random) for e in error]
    pairs = zip(off, (0.0, 70.0), strict=True)
    return truth, [fit_of(replace(truth, identity=identity), yaw) for identity, yaw in pairs]


def distance(head: HeadModel, one: FaceCoefficients, other: FaceCoefficients) -> float:
    points = [head.vertices(c.batched)[0][head.face_mask > 0.5] for c in (one, other)]
    return float((points[0] - points[1]).norm(dim=-1).mean())


def test_the_joint_identity_is_nearer_to_the_truth_than_a_single_one(head: HeadModel) -> None:
    single, together = 0.0, 0.0
    for person in PEOPLE:
        truth, fits = noisy_fits((0.6, 0.6), person)
        joint = with_joint_identity(fits, [1.0, 1.0], head)
        assert torch.equal(joint[0].coefficients.identity, joint[1].coefficients.identity)
        single += distance(head, truth, fits[0].coefficients)
        together += distance(head, truth, joint[0].coefficients)
    assert together < 0.8 * single


def test_a_photo_of_low_quality_counts_little(head: HeadModel) -> None:
    wary, trusting = 0.0, 0.0
    for person in PEOPLE:
        truth, fits = noisy_fits((0.2, 1.0), person)
        for quality in (0.2, 1.0):
            off = distance(head, truth, with_joint_identity(fits, [1.0, quality], head)[0].coefficients)
            wary, trusting = (wary + off, trusting) if quality < 1 else (wary, trusting + off)
    assert wary < 0.6 * trusting


def test_faces_stay_where_they_are_seen(head: HeadModel) -> None:
    _, fits = noisy_fits((0.3, 0.3))
    for fit, joint in zip(fits, with_joint_identity(fits, [1.0, 1.0], head), strict=True):
        middles = []
        for one in (fit, joint):
            points = one.crop_from_model.apply(head.vertices(one.coefficients.batched)[0])
            front = points[head.face_mask > 0.5]
            middles.append((front[:, :2] / front[:, 2:]).mean(0) * 1000)
        assert float((middles[0] - middles[1]).norm()) < 0.05


def test_equal_faces_are_not_strange_and_opposite_ones_are() -> None:
    net = FaceNet()
    face = torch.randn(80, generator=torch.Generator().manual_seed(0))
    assert strangeness(face, face, net) == pytest.approx(0, abs=1e-5)
    assert strangeness(face, -face, net) == pytest.approx(2, abs=1e-5)
