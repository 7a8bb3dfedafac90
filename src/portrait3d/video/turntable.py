"""The smooth closed paths of a turntable: the photo from side to side, the head all the way round."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from portrait3d import arguments
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.rendering.view import frame_head, render_view

HEAD_PITCH = 5.0
"""From how far above the head is looked at on its way round, degrees: the face looks down a little."""


def turntable_poses(portrait: Portrait, frames: int, yaw: float, pitch: float) -> list[HeadAngles]:
    """A closed path from the photo's own pose: once to either side, with a gentle nod, slow at the ends.

    `yaw` is the largest absolute yaw, `pitch` the largest change of pitch, both in degrees. A photo that is
    turned further than `yaw` starts at `yaw`. The last frame comes one step before the first.

    Raises `TypeError` for what is no portrait or number, `ValueError` for less than one frame, a yaw outside
    0 to 180 and a pitch outside 0 to 90.
    """
    arguments.instance(portrait, Portrait, "portrait")
    frames = arguments.whole_number(frames, "frames", 1)
    yaw = arguments.number(yaw, "yaw", 0.0, arguments.ANGLES["yaw"])
    pitch = arguments.number(pitch, "pitch", 0.0, arguments.ANGLES["pitch"])
    now = portrait.pose
    start = np.arcsin(np.clip(now.yaw / yaw, -1, 1)) if yaw else 0.0
    phases = 2 * np.pi * np.arange(frames) / frames
    return [
        HeadAngles(
            yaw=float(yaw * np.sin(start + phase)),
            pitch=float(now.pitch + pitch * np.sin(2 * phase)),
            roll=now.roll,
        )
        for phase in phases
    ]


def head_views(
    portrait: Portrait, frames: int, size: int, chosen: range | None = None
) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
    """The 3D head once all the way round at an even pace, in front of white: all of the frames, or the chosen
    ones.

    Raises `TypeError` or `ValueError` for less than one frame or pixel.
    """
    arguments.instance(portrait, Portrait, "portrait")
    frames, size = arguments.whole_number(frames, "frames", 1), arguments.whole_number(size, "size", 1)
    chosen = range(frames) if chosen is None else arguments.instance(chosen, range, "chosen")
    return _views(portrait, [360.0 * index / frames for index in chosen], size)


def _views(
    portrait: Portrait, yaws: Sequence[float], size: int
) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
    for yaw in yaws:
        pose, camera = frame_head(portrait.head, yaw, -HEAD_PITCH, size)
        yield render_view(portrait.head, pose, camera)
