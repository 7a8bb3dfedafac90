"""Decode thousands of damaged pictures: each must give RGB pixels or `InvalidImageError`, and print nothing.

    python tools/fuzz.py --count 500             # seeded: the same files every time
    python tools/fuzz.py --count 20000 --out faults
    python tools/fuzz.py --count 20000 --guided  # by the coverage of Python code; needs `pip install atheris`

Without `--guided` or `--seeded`, atheris is used where it is installed. Prints counts as JSON. Files that
were not decoded as they should be are written to `--out`, and the exit code is then 1.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

PATIENCE = 60.0
"""Seconds without an answer after which a file counts as one that never ends."""


def main() -> int:
    """Run, print the account, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="files to decode")
    parser.add_argument("--seed", type=int, default=0, help="where the random numbers begin")
    parser.add_argument("--out", type=Path, help="folder for files with faults")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--guided", action="store_true", help="let atheris choose what to damage")
    mode.add_argument("--seeded", action="store_true", help="draw all damage at random")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        out = chosen.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        guided = chosen.guided or (not chosen.seeded and importlib.util.find_spec("atheris") is not None)
        account = (run_guided if guided else run_seeded)(chosen.count, chosen.seed, out)
    account["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(account, indent=1))
    return 1 if account["faults"] else 0


def run_seeded(count: int, seed: int, out: Path) -> dict[str, Any]:
    """Damage at random, in a process that is started anew where a file ends it."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest, peak, number = 0.0, 0, 0
    while number < count:
        here, there = get_context("spawn").Pipe()
        worker = get_context("spawn").Process(target=work, args=(there, number, count, seed, out))
        worker.start()
        there.close()
        died = True
        try:
            while here.poll(PATIENCE):
                answer = here.recv()
                if answer is None:
                    died = False
                    break
                number, found, fault, slow, memory = answer
                outcomes += Counter(found)
                slowest, peak = max(slowest, slow), max(peak, memory)
                faults += [f"{number}: {fault}"] if fault else []
                number += 1
        except EOFError:
            pass
        worker.kill()
        worker.join()
        if died:
            (out / f"{number}.bin").write_bytes(damaged_file(number, seed))
            faults.append(f"{number}: the process died or hung")
            outcomes["died"] += 1
            number += 1
    return account_of("seeded", outcomes, faults, slowest, peak)


def work(answers: Connection, first: int, count: int, seed: int, out: Path) -> None:
    """Decode files and answer for each: number, outcome, fault, slowest (s) and peak of memory (bytes)."""
    from fuzzing.judging import Judge

    with Judge() as judge:
        for number in range(first, count):
            content = damaged_file(number, seed)
            judge.outcomes.clear()
            fault = judge.fault(content, number)
            if fault:
                (out / f"{number}.bin").write_bytes(content)
            answers.send((number, dict(judge.outcomes), fault, judge.slowest, judge.peak))
    answers.send(None)


_seeds: dict[str, bytes] = {}


def damaged_file(number: int, seed: int) -> bytes:
    """One file of the sequence that begins with a seed; the sound ones come first."""
    from fuzzing.damage import damaged
    from fuzzing.seeds import seeds

    if not _seeds:
        _seeds.update(seeds())
    files = list(_seeds.values())
    if number < len(files):
        return files[number]
    rng = np.random.default_rng([seed, number])
    return damaged(files[rng.integers(len(files))], files, rng)


def run_guided(count: int, seed: int, out: Path) -> dict[str, Any]:
    """Let libFuzzer choose by the coverage of Python code, in a process of its own, as it never returns."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        corpus = Path(scratch) / "corpus"
        corpus.mkdir()
        command = [sys.executable, Path(__file__).with_name("fuzzing") / "guided.py"]
        arguments = [str(count), str(seed), out, report, corpus]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True)
        known = json.loads(report.read_text()) if report.exists() else {}
    faults = known.get("faults", [])
    if done.returncode:
        faults.append(f"the process died: {done.stderr[-2000:]}")
    return account_of(
        "guided by coverage",
        Counter(known.get("outcomes", {})),
        faults,
        known.get("slowest", 0.0),
        known.get("peak", 0),
    )


def account_of(
    mode: str, outcomes: Counter[str], faults: list[str], slowest: float, peak: int
) -> dict[str, Any]:
    """What a run came to."""
    return {
        "mode": mode,
        "files": outcomes.total(),
        **dict(sorted(outcomes.items())),
        "faults": faults,
        "slowest_seconds": round(slowest, 2),
        "peak_megabytes": round(peak / 1e6),
    }


if __name__ == "__main__":
    sys.exit(main())
