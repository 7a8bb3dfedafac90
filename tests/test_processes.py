"""A model that has been used works on as a copy, in several threads, and in other processes."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8

from portrait3d import Portrait, Portrait3D

Picture = UInt8[np.ndarray, "H W 3"]

OTHER_PROCESS = """
    import multiprocessing
    import pickle
    import sys

    import numpy as np
    import torch
    from skimage.data import astronaut

    from portrait3d import Portrait3D


    def turned(model, portrait):
        return model.repose(portrait or model.reconstruct(astronaut()), yaw=20)


    def work(pickled, pipe):
        model, portrait = pickle.loads(pickled)
        pipe.send([turned(model, portrait), turned(model, None)])


    if __name__ == "__main__":
        # MKL's factorisations wait for each other for ever on some machines where torch has two threads.
        torch.set_num_threads(1)
        model = Portrait3D.from_pretrained()
        portrait = model.reconstruct(astronaut())
        expected = turned(model, portrait)
        # OpenMP's threads, which a forked process lacks.
        torch.set_num_threads(2)
        torch.rand(2_000_000).exp()
        context = multiprocessing.get_context(sys.argv[1])
        receiver, sender = context.Pipe(duplex=False)
        # As bytes: torch sends every tensor as a file of its own, and a fork server takes 256 at most.
        pickled = pickle.dumps((model, portrait))
        process = context.Process(target=work, args=(pickled, sender), daemon=True)
        process.start()
        if not receiver.poll(240):
            sys.exit("the other process hangs")
        assert all((picture == expected).all() for picture in receiver.recv())
        process.join(60)
        sys.exit(process.exitcode)
"""


@pytest.fixture(scope="module")
def turned(model: Portrait3D, portrait: Portrait) -> Picture:
    return model.repose(portrait, yaw=20)


def through_pickle(value: object) -> object:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("duplicate", [through_pickle, copy.deepcopy, copy.copy])
def test_a_copy_of_a_used_model_and_portrait_gives_the_same_picture(
    model: Portrait3D, portrait: Portrait, turned: Picture, duplicate: Callable
) -> None:
    again, same = duplicate(model), duplicate(portrait)
    assert (again.repose(same, yaw=20) == turned).all()
    assert (again.reconstruct(portrait.photo.pixels).landmarks == portrait.landmarks).all()


def test_threads_that_share_a_model_get_the_same_pictures(
    model: Portrait3D, portrait: Portrait, turned: Picture
) -> None:
    def work(own: Portrait) -> Picture:
        return model.repose(own, yaw=20)

    with ThreadPoolExecutor(4) as pool:
        portraits = list(pool.map(model.reconstruct, [portrait.photo.pixels] * 4))
        pictures = list(pool.map(work, [portrait, *portraits]))
    assert all((own.head.vertices == portrait.head.vertices).all() for own in portraits)
    assert all((picture == turned).all() for picture in pictures)


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")),
        pytest.param("forkserver", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")),
        "spawn",
    ],
)
def test_another_process_goes_on_with_a_used_model(start: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(OTHER_PROCESS), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, program, start], env=environment, capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stderr
