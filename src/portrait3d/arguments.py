"""What callers may pass: the one home of checks on arguments, whose errors name the argument."""

import math
import numbers
import operator
import os
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

ANGLES = {"yaw": 180.0, "pitch": 90.0, "roll": 180.0}
"""Largest size of each angle of a pose, degrees; all poses are within."""
SEEN_YAW = 90.0
"""Beyond this yaw (degrees) a head shows nothing of what a photo of the face shows."""
SCALES = (0.01, 100.0)
"""Least and largest factor by which a head is exported smaller or larger."""
EYE_DISTANCES = (1.0, 1000.0)
"""The same for the distance of its eyes, mm."""
WEIGHTS = (-1.0, 2.0)
"""Least and largest weight of an expression; 1 is full strength, below 0 is its opposite."""


def number(value: object, name: str, least: float = -math.inf, largest: float = math.inf) -> float:
    """A finite real number within limits; also of numpy's kinds.

    Raises `TypeError` for anything else (text, truth values, arrays) and `ValueError` outside the limits.
    """
    if isinstance(value, (str, bytes)) or is_truth_value(value) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {shown(value)}.")
    result = float(value)
    if not math.isfinite(result):
        raise ValueError(f"{name} must be a finite number, got {result}.")
    if not least <= result <= largest:
        raise ValueError(f"{name} must be from {least:g} to {largest:g}, got {result:g}.")
    return result


def whole_number(value: object, name: str, least: int = 0) -> int:
    """A whole number of at least `least`; raises `TypeError` for anything else and `ValueError` below."""
    try:
        if is_truth_value(value):
            raise TypeError
        result = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {shown(value)}.") from None
    if result < least:
        raise ValueError(f"{name} must be {least} or more, got {result}.")
    return result


def angle(value: object, name: str) -> float:
    """An angle of a pose in degrees, by its name in `ANGLES`; errors as of `number`."""
    return number(value, name, -ANGLES[name], ANGLES[name])


def weights(value: object, name: str) -> dict[str, float]:
    """Weights of expressions by name, within `WEIGHTS`; errors as of `number`, naming the weight."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must map names to weights, as {{'jawOpen': 0.3}}, got {shown(value)}.")
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{name} must have names of expressions as keys, got {shown(key)}.")
    return {key: number(weight, f"{name}[{key!r}]", *WEIGHTS) for key, weight in value.items()}


def strengths(value: object, name: str, known: Collection[str]) -> dict[str, float]:
    """Numbers from 0 to 1 by known names; errors as of `number`, and `ValueError` for another name."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must map names to strengths, got {shown(value)}.")
    for key in value:
        if key not in known:
            raise ValueError(f"{name} has no {shown(key)}; known are {', '.join(known)}.")
    return {key: number(strength, f"{name}[{key!r}]", 0.0, 1.0) for key, strength in value.items()}


def truth_value(value: object, name: str) -> bool:
    """True or False; raises `TypeError` for anything else."""
    if not is_truth_value(value):
        raise TypeError(f"{name} must be True or False, got {shown(value)}.")
    return bool(value)


def path(value: object, name: str) -> str | os.PathLike[str]:
    """A path as text or `PathLike`; raises `TypeError` for anything else."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {shown(value)}.")
    return value


def text(value: object, name: str) -> str:
    """Text; raises `TypeError` for anything else."""
    return instance(value, str, name)


def numbers_of(value: object, name: str, *shape: int | str) -> np.ndarray:
    """An array of finite numbers; letters in `shape` stand for any length.

    Raises `TypeError` for what is none, `ValueError` for another shape and numbers that aren't finite.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be an array of numbers, got {shown(value)}.")
    _check_shape(value, name, shape)
    if not np.isfinite(value).all():
        raise ValueError(f"{name} must be finite.")
    return value


def points(value: object, name: str, count: int | None = None) -> np.ndarray:
    """An array of finite numbers [N, 3], or of `count` rows; errors as of `numbers_of`."""
    return numbers_of(value, name, "N" if count is None else count, 3)


def picture(value: object, name: str) -> np.ndarray:
    """A uint8 RGB array [H, W, 3] that is not empty; raises `TypeError` or `ValueError` otherwise."""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        raise TypeError(f"{name} must be an array of uint8, got {shown(value)}.")
    _check_shape(value, name, ("H", "W", 3))
    if not value.size:
        raise ValueError(f"{name} must not be empty, got the shape {list(value.shape)}.")
    return value


def mask(value: object, name: str, count: int) -> np.ndarray:
    """A bool array [count]; raises `TypeError` or `ValueError` otherwise."""
    if not isinstance(value, np.ndarray) or value.dtype != bool:
        raise TypeError(f"{name} must be an array of truth values, got {shown(value)}.")
    _check_shape(value, name, (count,))
    return value


def _check_shape(array: np.ndarray, name: str, shape: tuple[int | str, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        isinstance(wanted, str) or length == wanted for length, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} must have the shape [{wanted}], got {list(array.shape)}.")


def instance(value: Any, kind: type[T], name: str) -> T:
    """An object of a class; raises `TypeError` for anything else."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{name} must be {article} {kind.__name__}, got {shown(value)}.")
    return value


def is_truth_value(value: object) -> bool:
    """Whether this is Python's or numpy's True or False, which count as numbers elsewhere."""
    return isinstance(value, (bool, np.bool_))


def shown(value: object) -> str:
    """A value as a message gives it: short ones in full, others by their class."""
    text = repr(value)
    kind = type(value).__name__
    return f"{text} ({kind})" if len(text) <= 40 and "\n" not in text else f"an object of class {kind}"
