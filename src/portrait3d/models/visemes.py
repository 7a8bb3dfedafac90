"""Shapes of speech and gaze by the names that players of avatars know, made of ARKit's blendshapes."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from portrait3d.models.expressions import arkit_basis


def both(**weights: float) -> dict[str, float]:
    """The same weights on both sides of the face."""
    return {f"{name}{side}": weight for name, weight in weights.items() for side in ("Left", "Right")}


VISEMES: dict[str, Mapping[str, float]] = {
    "viseme_sil": {},
    # p, b, m: lips pressed together
    "viseme_PP": {"mouthRollLower": 0.35, "mouthRollUpper": 0.35, **both(mouthPress=0.4)},
    # f, v: the lower lip at the upper teeth
    "viseme_FF": {"jawOpen": 0.06, "mouthRollLower": 0.6, "mouthShrugLower": 0.2, **both(mouthUpperUp=0.35)},
    # th: the tongue between the teeth
    "viseme_TH": {"jawOpen": 0.14, "tongueOut": 0.35, **both(mouthLowerDown=0.15, mouthUpperUp=0.15)},
    # d, t: teeth nearly closed, lips a little open
    "viseme_DD": {"jawOpen": 0.1, **both(mouthLowerDown=0.25, mouthUpperUp=0.15, mouthStretch=0.1)},
    # k, g
    "viseme_kk": {"jawOpen": 0.2, **both(mouthLowerDown=0.2, mouthStretch=0.1)},
    # ch, sh, j: lips forward, teeth closed
    "viseme_CH": {"jawOpen": 0.06, "mouthFunnel": 0.5, "mouthPucker": 0.25, **both(mouthUpperUp=0.1)},
    # s, z: teeth closed, lips drawn wide
    "viseme_SS": {"jawOpen": 0.04, **both(mouthStretch=0.3, mouthLowerDown=0.3, mouthUpperUp=0.15)},
    # n, l
    "viseme_nn": {"jawOpen": 0.12, **both(mouthLowerDown=0.2, mouthUpperUp=0.1)},
    # r
    "viseme_RR": {"jawOpen": 0.1, "mouthFunnel": 0.35, "mouthPucker": 0.2},
    "viseme_aa": {"jawOpen": 0.5, **both(mouthLowerDown=0.15, mouthUpperUp=0.1)},
    "viseme_E": {"jawOpen": 0.25, **both(mouthStretch=0.25, mouthLowerDown=0.2, mouthUpperUp=0.1)},
    "viseme_I": {"jawOpen": 0.14, **both(mouthSmile=0.3, mouthStretch=0.25, mouthLowerDown=0.2)},
    "viseme_O": {"jawOpen": 0.28, "mouthFunnel": 0.4, "mouthPucker": 0.3},
    "viseme_U": {"jawOpen": 0.14, "mouthFunnel": 0.35, "mouthPucker": 0.6},
}
"""The 15 visemes of Oculus' lip sync, which Ready Player Me's heads have, in ARKit's weights."""
SUMS: dict[str, Mapping[str, float]] = {
    "mouthOpen": {"jawOpen": 0.6},
    "mouthSmile": both(mouthSmile=1.0),
    "eyesClosed": both(eyeBlink=1.0),
    "eyesLookUp": both(eyeLookUp=1.0),
    "eyesLookDown": both(eyeLookDown=1.0),
}
"""Targets that the same heads have beside ARKit's and the visemes."""


def viseme_moves() -> dict[str, Float[np.ndarray, "V 3"]]:
    """What `VISEMES` and `SUMS` do to the bundled head model at full strength: float32, mm, model frame."""
    names, basis = arkit_basis()
    combined = VISEMES | SUMS
    weights = np.array([[own.get(name, 0.0) for name in names] for own in combined.values()], np.float32)
    return dict(zip(combined, np.tensordot(weights, basis, axes=1), strict=True))
