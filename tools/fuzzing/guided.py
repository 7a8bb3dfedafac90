"""The part of `tools/fuzz.py` that atheris runs: `guided.py COUNT SEED OUT REPORT CORPUS`."""

import json
import sys
from pathlib import Path

import atheris  # pyright: ignore

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
with atheris.instrument_imports(include=["PIL", "portrait3d", "pillow_heif"]):  # pyright: ignore
    from PIL import Image

    from fuzzing.judging import Judge

    Image.init()  # or Pillow would import its decoders later, uninstrumented

import numpy as np

from fuzzing.damage import damaged, with_check_sums
from fuzzing.seeds import seeds


def main() -> None:
    """Fuzz, and write the account after every hundred files and every fault."""
    count, seed = map(int, sys.argv[1:3])
    out, report, corpus = map(Path, sys.argv[3:6])
    files = seeds()
    for name, content in files.items():
        (corpus / name).write_bytes(content)
    sound = list(files.values())
    faults: list[str] = []
    judge = Judge()

    def decode(content: bytes) -> None:
        number = judge.outcomes.total()
        if fault := judge.fault(content, number):
            faults.append(f"{number}: {fault}")
            (out / f"{number}.bin").write_bytes(content)
        if fault or number % 100 == 0 or number >= count - 1:
            known = {"outcomes": judge.outcomes, "faults": faults, "slowest": judge.slowest}
            report.write_text(json.dumps({**known, "peak": judge.peak}))

    def mutate(content: bytes, largest: int, seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        if rng.random() < 0.5:
            return damaged(content, sound, rng)[:largest]
        return with_check_sums(atheris.Mutate(content, largest))[:largest]

    settings = [f"-runs={count}", f"-seed={seed or 1}", "-max_len=20000", "-timeout=60", "-rss_limit_mb=2000"]
    atheris.Setup(
        [sys.argv[0], *settings, f"-artifact_prefix={out}/", str(corpus)], decode, custom_mutator=mutate
    )
    with judge:
        atheris.Fuzz()


main()
