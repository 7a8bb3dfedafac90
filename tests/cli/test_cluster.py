"""Batches on a Ray cluster of two nodes on this machine: a node that dies costs nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from skimage.data import astronaut

import cluster_work
from portrait3d.cli import batch, cluster, portraits, stores
from portrait3d.cli.batch import Options, Result
from portrait3d.cli.workers import DiedError

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'portrait3d[ray]'")
pytest.importorskip("s3fs", reason="needs an object store's client: pip install 'portrait3d[test]'")
moto_server = pytest.importorskip(
    "moto.server", reason="needs an object store: pip install 'portrait3d[test]'"
)

TESTS = Path(cluster_work.__file__).parent
PHOTO = "s3://photos/one/me.png"


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    """What this process and all that it starts find in their environment."""
    with pytest.MonkeyPatch.context() as patch:
        # Ray would look for this machine's address in the network; off Linux it stays on the loopback device,
        # and this makes it do so here.
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]))
        yield patch


@pytest.fixture(scope="module")
def store(environment: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 store on this machine with empty buckets "photos" and "heads"."""
    from s3fs import S3FileSystem

    server = moto_server.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "none")
    environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
    files = S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    for bucket in ("photos", "heads"):
        files.mkdir(bucket)
    yield files
    server.stop()


@pytest.fixture(scope="module")
def nodes(store: Any) -> Iterator[Any]:
    """A cluster with one node of one processor; every process reaches the store."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    yield found
    found.shutdown()


NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}


def listening() -> list[str]:
    """Addresses on which processes of Ray listen, as /proc writes them."""
    table = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    return [line.split()[3] for line in table.splitlines() if "ray" in line or "gcs_server" in line]


def test_a_node_that_is_killed_costs_no_task_and_none_comes_twice(nodes: Any, tmp_path: Path) -> None:
    second = nodes.add_node(**NODE)
    numbers = []
    with cluster.connected(nodes.address):
        for task, number in cluster.work_on_cluster(((tmp_path, k) for k in range(40)), cluster_work.note):
            assert task == number
            numbers.append(number)
            processes = {path.name.partition("-")[2] for path in tmp_path.iterdir()}
            if second is not None and len(processes) == 2 and len(numbers) >= 10:
                assert listening()
                assert all("127.0.0.1" in address for address in listening())
                nodes.remove_node(second, allow_graceful=False)
                second = None
    assert second is None
    assert sorted(numbers) == list(range(40))


def test_a_task_that_kills_its_process_is_given_up_in_the_end(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "RETRIES", 1)
    with cluster.connected(nodes.address):
        ((number, error),) = cluster.work_on_cluster([(tmp_path,)], cluster_work.die)
    assert number == 0
    assert isinstance(error, DiedError)
    assert "died 2 times" in str(error)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_work_raises_is_raised_here(nodes: Any) -> None:
    with cluster.connected(nodes.address), pytest.raises(ValueError, match="no such weights"):
        list(cluster.work_on_cluster([("no such weights",)], cluster_work.refuse))


@pytest.mark.slow
def test_photos_go_from_store_to_store_and_a_second_start_keeps_them(
    nodes: Any, store: Any, tmp_path: Path
) -> None:
    Image.fromarray(astronaut()).save(tmp_path / "astronaut.jpg")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "nobody.png")
    for path in tmp_path.iterdir():
        store.put_file(str(path), f"photos/some/{path.name}")
    store.pipe_file("photos/some/notes.txt", b"no photo")
    counts = []
    for _ in range(2):
        command = ["reconstruct", "s3://photos/some", "-o", "s3://heads/some", "--engine", "ray"]
        done = subprocess.run(
            [sys.executable, "-m", "portrait3d", *command, "--address", nodes.address, "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 1, done.stderr
        assert "s3://photos/some/nobody.png" in done.stderr
        counts.append(json.loads(done.stdout))
    place = "s3://heads/some/summary.parquet"
    assert counts == [
        {"done": 1, "kept": 0, "failed": 1, "summary": place},
        {"done": 0, "kept": 1, "failed": 1, "summary": place},
    ]
    rows = {row["photo"]: row for row in table(store, "heads/some")}
    row = rows["s3://photos/some/astronaut.jpg"]
    assert (row["status"], row["directory"]) == ("kept", "s3://heads/some/astronaut")
    assert abs(row["yaw"]) < 10
    assert store.cat_file("heads/some/astronaut/head.glb")[:4] == b"glTF"
    assert rows["s3://photos/some/nobody.png"]["status"] == "failed"


def table(store: Any, place: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    with store.open(f"{place}/summary.parquet") as file:
        return pq.read_table(file).to_pylist()


class Recorder:
    """Stands in for the reconstruction of a photo, in this process: one file, or the photo's error."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, model: object, photo: Path, directory: Path, options: Options, *, record: bool
    ) -> Iterator[Result]:
        self.calls += 1
        if photo.read_bytes() == b"nobody":
            yield Result(photo, directory, "failed", error=f"{photo} shows nobody.")
            return
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "head.glb").write_bytes(photo.read_bytes())
        known = {"pose": {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}, "files": [directory / "head.glb"]}
        result = Result(photo, directory, "done", 0, 1, known, 0.5)
        batch._write_record(photo, directory, options, [result])
        yield result


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(stores, "reconstruct_one", recorder)
    monkeypatch.setattr(stores, "pipeline", lambda models: None)
    return recorder


@pytest.mark.parametrize("change", ["nothing", "photo", "options", "file", "record"])
@pytest.mark.parametrize("place", ["store", "folder"])
def test_a_photo_is_done_again_only_if_something_has_changed(
    place: str, change: str, store: Any, work: Recorder, tmp_path: Path
) -> None:
    out = f"s3://heads/{change}" if place == "store" else f"file://{tmp_path}/out"
    store.pipe_file(PHOTO, b"me")
    (first,) = stores.reconstruct_from_store(PHOTO, out, "me", Options())
    assert first["status"] == "done"
    assert (first["photo"], first["directory"], first["yaw"]) == (PHOTO, f"{out}/me", 1.0)
    if change == "photo":
        store.pipe_file(PHOTO, b"she")
    for name in {"file": ["head.glb"], "record": ["result.json"]}.get(change, []):
        if place == "store":
            store.rm(f"{out}/me/{name}")
        else:
            (tmp_path / "out" / "me" / name).unlink()
    options = Options(face=None) if change == "options" else Options()
    (second,) = stores.reconstruct_from_store(PHOTO, out, "me", options)
    assert second["status"] == ("kept" if change == "nothing" else "done")
    assert work.calls == (1 if change == "nothing" else 2)


def test_what_fails_is_named_by_its_url_and_leaves_nothing(store: Any, work: Recorder) -> None:
    store.pipe_file(PHOTO, b"nobody")
    (row,) = stores.reconstruct_from_store(PHOTO, "s3://heads/failed", "me", Options())
    assert (row["status"], row["error"]) == ("failed", f"{PHOTO} shows nobody.")
    missing = "s3://photos/missing.png"
    (row,) = stores.reconstruct_from_store(missing, "s3://heads/failed", "missing", Options())
    assert row["status"] == "failed"
    assert row["error"].startswith(f"{missing}: ")
    assert store.find("heads/failed") == []


def test_the_record_is_written_last(work: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    put = MemoryFileSystem.put_file

    def put_file(self: MemoryFileSystem, here: str, there: str) -> None:
        names.append(there)
        put(self, here, there)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    (tmp_path / "me.png").write_bytes(b"me")
    stores.reconstruct_from_store(f"{tmp_path}/me.png", "memory://heads", "me", Options())
    assert names == ["/heads/me/head.glb", "/heads/me/result.json"]


def test_folders_and_lists_stand_for_their_photos(store: Any, tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "notes.md"):
        store.pipe_file(f"photos/listed/{name}", b"x")
    (tmp_path / "list.txt").write_text(f"s3://photos/listed/b.jpg\n\n{tmp_path}/me.png\n")
    assert list(stores.photos_in(["s3://photos/listed"])) == [
        "s3://photos/listed/a.PNG",
        "s3://photos/listed/b.jpg",
    ]
    assert list(stores.photos_in([str(tmp_path / "list.txt")])) == [
        "s3://photos/listed/b.jpg",
        f"file://{tmp_path}/me.png",
    ]
    store.pipe_file("photos/empty/notes.md", b"x")
    with pytest.raises(FileNotFoundError, match="empty holds no picture"):
        list(stores.photos_in(["s3://photos/empty"]))


def test_a_batch_that_is_stopped_tells_what_is_left(
    store: Any, monkeypatch: pytest.MonkeyPatch, environment: pytest.MonkeyPatch
) -> None:
    def work_on_cluster(tasks: Any, work: Any) -> Iterator[tuple[int, Any]]:
        photo, out, place, _ = list(tasks)[1]
        yield 1, [stores._row(photo, f"{out}/{place}", "done")]
        yield 0, DiedError("its process died")
        raise KeyboardInterrupt

    monkeypatch.setattr(stores, "connected", lambda address: environment.context())
    monkeypatch.setattr(stores, "work_on_cluster", work_on_cluster)
    photos = [f"s3://photos/{folder}/me.png" for folder in "abc"]
    with pytest.raises(KeyboardInterrupt):
        list(stores.reconstruct_in_stores(photos, "s3://heads/stopped", Options(), "auto"))
    found = {row["directory"]: (row["photo"], row["status"]) for row in table(store, "heads/stopped")}
    assert found == {
        "s3://heads/stopped/me": (photos[0], "failed"),
        "s3://heads/stopped/me-2": (photos[1], "done"),
        "s3://heads/stopped/me-3": (photos[2], "left"),
    }


def test_what_ray_tells_does_not_get_into_the_commands_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reconstruct_in_stores(*given: object) -> Iterator[stores.Row]:
        print("(raylet) The node with node id 44a9 has been marked dead.")
        yield {"status": "done", "error": None}

    monkeypatch.setattr(stores, "reconstruct_in_stores", reconstruct_in_stores)
    portraits._reconstruct_on_cluster(["s3://photos"], "s3://heads", Options(), "auto", json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["done"] == 1
    assert "marked dead" in printed.err


def test_without_a_cluster_the_command_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "portrait3d", "reconstruct", "x.jpg", "-o", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    for options, code, message in (
        (["--engine", "ray", "--jobs", "2"], 2, "--jobs"),
        (["--engine", "ray", "--address", "127.0.0.1"], 1, "127.0.0.1"),
    ):
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=False, env=environment, timeout=120
        )
        assert done.returncode == code, done.stderr
        assert message in done.stderr
