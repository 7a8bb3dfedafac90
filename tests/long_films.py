"""Peak memory after films of some lengths, printed for the tests of videos.

python long_films.py FOLDER COUNT..., in a process of its own, as peaks never fall: of ffmpeg for films that
are written, then of Python for films that are read and followed. The networks alone are left out; their work
is the same for every frame.
"""

import resource
import sys
from pathlib import Path

import numpy as np

from portrait3d.video.reading import open_video
from portrait3d.video.writing import write_video


def write(folder: Path, kind: str, count: int) -> float:
    """Write a film of a picture that moves; the MiB that the largest ffmpeg has taken so far."""
    picture = np.kron(np.random.default_rng(0).integers(0, 256, (8, 12, 3)), np.ones((8, 8, 1)))
    with write_video(folder / f"{count}.{kind}", 25) as film:
        for k in range(count):
            film.add(np.roll(picture, k, axis=1).astype(np.uint8))
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def follow(path: Path) -> float:
    """Follow a face through a film; the MiB that this process has taken so far."""
    from types import SimpleNamespace

    import torch

    from portrait3d.preprocessing.detection import Detection
    from portrait3d.video.tracking import FaceTracker

    class Tracker(FaceTracker):
        def _fit_crops(self, frames: list, crops: list) -> list:
            spread = torch.rand(68, 2) - 0.5
            return [(np.eye(3), np.zeros(64), torch.tensor(c.centre) + c.side / 2 * spread) for c in crops]

    class OneFace:
        def detect(self, pixels: np.ndarray, name: str = "") -> list[Detection]:
            eyes_nose_mouth = np.array([[24, 20], [40, 20], [32, 28], [26, 34], [38, 34]], np.float32)
            return [Detection(np.array([16, 8, 48, 40], np.float32), 0.9, eyes_nose_mouth)]

    _, frames = open_video(path)
    tracked = Tracker(SimpleNamespace(detector=OneFace()), near=OneFace()).track(frames)  # pyright: ignore
    assert len(tracked.known) == int(path.stem)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    folder, counts = Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]
    # A child begins as large as its parent: ffmpeg comes before torch is loaded.
    print("mp4", *(write(folder, "mp4", count) for count in counts))
    print("gif", *(write(folder, "gif", count) for count in counts))
    print("track", *(follow(folder / f"{count}.mp4") for count in counts))
