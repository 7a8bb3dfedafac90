"""Many photos on a Ray cluster of two nodes on this machine, of which one is killed in the middle.

    python tools/measure_cluster.py --count 24              # the whole pipeline
    python tools/measure_cluster.py --count 1000 --stand-in # without networks, which take 0.1 s instead

Photos are the portrait that scikit-image ships, each in another light and size. Prints how many photos have
results, rows and records, how many were begun more than once, and the time.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.data import astronaut

from portrait3d.cli import batch, stores
from portrait3d.cli.batch import Options, Result

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Keeps Ray on the loopback device, and from reporting."""
NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}
BEGUN = "PORTRAIT3D_BEGUN"
"""Environment variable with the folder in which processes note what they begin."""


def draw_photos(folder: Path, count: int) -> None:
    """Write the portrait in `count` variants, no two alike."""
    random = np.random.default_rng(0)
    original = Image.fromarray(astronaut())
    for number in range(count):
        size = int(random.integers(320, 513))
        pixels = np.asarray(original.resize((size, size)), np.float32)
        light = random.uniform(0.7, 1.2, 3)
        Image.fromarray((pixels * light).clip(0, 255).astype(np.uint8)).save(folder / f"{number:04}.jpg")


def noted(photo: str, out: str, place: str, options: Options) -> list[stores.Row]:
    """Reconstruct a photo, leaving a file that tells which process began it."""
    (Path(os.environ[BEGUN]) / f"{place}-{os.getpid()}").touch()
    return stores.reconstruct_from_store(photo, out, place, options)


def noted_stand_in(photo: str, out: str, place: str, options: Options) -> list[stores.Row]:
    """The same without networks: a head of a few bytes."""
    stores.pipeline = lambda models: None  # pyright: ignore[reportAttributeAccessIssue]
    stores.reconstruct_one = stand_in
    return noted(photo, out, place, options)


def stand_in(
    model: Any, photo: Path, directory: Path, options: Options, *, record: bool = False
) -> Iterator[Result]:
    """In the place of `reconstruct_one`; it takes a moment, or one node would do it all."""
    time.sleep(0.1)
    directory.mkdir(parents=True)
    (directory / "head.glb").write_bytes(photo.read_bytes()[:100])
    result = Result(photo, directory, batch.DONE, portrait={"files": [directory / "head.glb"]})
    batch._write_record(photo, directory, options, [result])
    yield result


def begun_by(folder: Path) -> dict[str, int]:
    """How many photos each process began."""
    return dict(Counter(path.name.rpartition("-")[2] for path in folder.iterdir()))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--stand-in", action="store_true")
    arguments = parser.parse_args()
    os.environ |= LOOPBACK
    import pyarrow.parquet as pq
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as directory:
        photos, out, begun = (Path(directory) / name for name in ("photos", "out", "begun"))
        photos.mkdir()
        begun.mkdir()
        draw_photos(photos, arguments.count)
        os.environ[BEGUN] = str(begun)
        tools = str(Path(__file__).resolve().parent)
        os.environ["PYTHONPATH"] = os.pathsep.join([tools, os.environ.get("PYTHONPATH", "")])
        import measure_cluster  # by its name, as other processes import it

        cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
        second = cluster.add_node(**NODE)
        stores.reconstruct_from_store = (
            measure_cluster.noted_stand_in if arguments.stand_in else measure_cluster.noted
        )
        counts: Counter[str] = Counter()
        started = time.perf_counter()
        rows = stores.reconstruct_in_stores([str(photos)], str(out), Options(), str(cluster.address))
        for row in rows:
            counts[row["status"]] += 1
            both = begun_by(begun)
            # In the middle of its work, so it must have some.
            if second is not None and len(both) == 2 and min(both.values()) > arguments.count // 10:
                cluster.remove_node(second, allow_graceful=False)
                second = None
                print(f"one node killed after {counts.total()} rows; begun by each process: {both}")
        seconds = time.perf_counter() - started
        cluster.shutdown()
        table = pq.read_table(out / "summary.parquet").to_pylist()
        starts = Counter(path.name.rpartition("-")[0] for path in begun.iterdir())
        print(f"{dict(counts)}; {len(table)} rows, {len({row['photo'] for row in table})} photos among them")
        print(f"{len(list(out.glob(f'*/{batch.RECORD}')))} records; begun by each process: {begun_by(begun)}")
        print(f"{sum(number > 1 for number in starts.values())} photos begun twice; {seconds:.1f} s")


if __name__ == "__main__":
    main()
