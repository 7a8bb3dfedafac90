"""Peak memory after films of some lengths, printed in MiB for the tests of videos.

python long_films.py FOLDER COUNT..., in a process of its own, as peaks never fall: of Python and ffmpeg for
films that are written (`mp4`, `gif`), of Python for films that are read and followed (`track`). The networks
alone are left out; their work is the same for every frame. Two more rows say what the measure shows where
every frame waits in memory: of an ffmpeg that makes a GIF in one pass (`hoard`), and of Python (`keep`).
"""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from portrait3d.memory import peak_memory
from portrait3d.video.ffmpeg import PIPE, ffmpeg
from portrait3d.video.reading import open_video
from portrait3d.video.writing import write_video

HEIGHT, WIDTH = 64, 96


def pictures(count: int) -> list[np.ndarray]:
    """A picture that moves; views of few arrays, however many."""
    picture = np.kron(np.random.default_rng(0).integers(0, 256, (8, 12, 3)), np.ones((8, 8, 1)))
    turned = [np.roll(picture, k, axis=1).astype(np.uint8) for k in range(WIDTH)]
    return [turned[k % WIDTH] for k in range(count)]


def write(folder: Path, kind: str, count: int) -> None:
    """Write a film."""
    with write_video(folder / f"{count}.{kind}", 25) as film:
        for frame in pictures(count):
            film.add(frame)


def hoard(folder: Path, count: int) -> None:
    """Let ffmpeg make a GIF in one pass: frames wait for the palette, which is known at the end."""
    frames = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-i", "-")
    filters = "split[a][b];[a]palettegen[palette];[b][palette]paletteuse"
    with ffmpeg(*frames, "-filter_complex", filters, folder / "hoard.gif", stdin=PIPE) as process:
        assert process.stdin is not None
        for frame in pictures(count):
            process.stdin.write(frame.data)


def programs() -> list[int]:
    """The programs that this process has started and that still run."""
    tasks = Path("/proc/self/task").glob("*/children")
    started = [int(number) for task in tasks for number in task.read_text().split()]
    return [number for number in started if program(number) != program(os.getpid())]


def program(number: int) -> str:
    """The file that a process runs; until it has loaded its own, that of its parent."""
    try:
        return os.readlink(f"/proc/{number}/exe")
    except OSError:
        return program(os.getpid()) if number != os.getpid() else ""


def peak_with_programs(work: Callable[[], None]) -> float:
    """The MiB that this process and the largest of the programs that some work starts have held."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max([peak, *(peak_memory(number) or 0 for number in programs())])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return own_peak() + peak / 2**20


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
    return own_peak()


def keep(path: Path) -> float:
    """Keep all frames of a film; the MiB that this process has taken so far."""
    frames = [frame.copy() for frame in open_video(path)[1]]
    assert len(frames) == int(path.stem)
    return own_peak()


def own_peak() -> float:
    """What this process has held, MiB."""
    return (peak_memory() or 0) / 2**20


if __name__ == "__main__":
    folder, counts = Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]
    for kind in ("mp4", "gif"):
        print(kind, *(peak_with_programs(lambda: write(folder, kind, count)) for count in counts))  # noqa: B023
    print("hoard", *(peak_with_programs(lambda: hoard(folder, count)) for count in counts))  # noqa: B023
    print("track", *(follow(folder / f"{count}.mp4") for count in counts))
    print("keep", *(keep(folder / f"{count}.mp4") for count in counts))
