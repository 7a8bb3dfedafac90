"""Leaves one step of head assembly or turning out at a time, and asks the tests whether they notice.

    python tools/mutation.py                          # all steps
    python tools/mutation.py --only "ears" "rounded"  # those whose names contain one of these
    python tools/mutation.py --list

`mutations.toml` says which piece of the source each step is, what stands there when it is left out, and the
tests that should fail then. A step counts as caught only if an assertion of a test fails: code that stops
with another error shows nothing about what the step is for. Exits with 1 if a step survives.

No file is changed: the package is imported once, and a forked process for every step gives its functions
other code before it runs the tests.
"""

import argparse
import importlib
import inspect
import io
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "portrait3d"
TABLE = Path(__file__).with_name("mutations.toml")


@dataclass(frozen=True)
class Mutation:
    """A step, and the source without it."""

    name: str
    module: str
    """Its file below the package."""
    old: str
    new: str
    tests: tuple[str, ...]
    """Files below `tests` that should notice, the likeliest first."""

    @property
    def source(self) -> str:
        """The module's source without the step. Raises `ValueError` unless the step stands there once."""
        source = (SOURCE / self.module).read_text(encoding="utf-8")
        if (count := source.count(self.old)) != 1:
            raise ValueError(f"{self.name}: {self.old!r} stands {count} times in {self.module}")
        return source.replace(self.old, self.new)

    def apply(self) -> None:
        """Take the step out of the imported module, wherever its functions are known already."""
        name = ".".join(["portrait3d", *Path(self.module).with_suffix("").parts])
        module = importlib.import_module(name)
        known = {function.__qualname__: function for function in functions_of(module)}
        for code in codes_of(compile(self.source, module.__file__ or name, "exec")):
            known[code.co_qualname].__code__ = code


def mutations() -> Iterator[Mutation]:
    """All of the table; names begin with the module's."""
    for group in tomllib.loads(TABLE.read_text(encoding="utf-8"))["group"]:
        for step, (old, new) in group["steps"].items():
            name = f"{Path(group['module']).stem}: {step}"
            yield Mutation(name, group["module"], old, new, tuple(group["tests"]))


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """Code of a module's functions and of its classes' methods."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType) and inner.co_flags & inspect.CO_OPTIMIZED:
            if not inner.co_name.startswith("<"):
                yield inner
        elif isinstance(inner, CodeType):
            yield from codes_of(inner)


def functions_of(owner: Any) -> Iterator[FunctionType]:
    """A module's own functions and its classes' methods, without what decorators put around them."""
    name = getattr(owner, "__module__", owner.__name__)
    for member in vars(owner).values():
        if isinstance(member, type) and member.__module__ == name:
            yield from functions_of(member)
        for inner in ("fget", "func", "__func__", "py_func", "__wrapped__"):
            member = getattr(member, inner, member)
        if isinstance(member, FunctionType) and member.__module__ == name:
            yield member


class Witness:
    """Plugin of pytest that remembers the first test that fails, and why."""

    test = ""
    asserted = False

    def pytest_exception_interact(self, node: Any, call: Any) -> None:
        """Called by pytest for whatever a test raises."""
        self.test = node.nodeid.removeprefix("tests/")
        self.asserted = call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
        if not self.asserted:
            self.test += f" crashed: {call.excinfo.exconly()}"


def run_tests(tests: tuple[str, ...]) -> Witness:
    """What the tests say in this process."""
    witness = Witness()
    with redirect_stdout(io.StringIO()):
        options = ["-x", "-q", "--rootdir", str(ROOT), "-p", "no:cacheprovider"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported before
        status = pytest.main([*options, *(str(ROOT / "tests" / name) for name in tests)], plugins=[witness])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not witness.test:
        witness.test = f"pytest ended with {status!r}"
    return witness


def leave_out(step: Mutation | tuple[str, ...]) -> tuple[str, bool, float]:
    """Which test notices that a step is missing, whether by an assertion, and seconds.

    Instead of a step, the tests alone: with every step in place.
    """
    started = time.monotonic()
    if isinstance(step, Mutation):
        step.apply()
        step = step.tests
    witness = run_tests(step)
    return witness.test, witness.asserted, time.monotonic() - started


def main() -> int:
    """Print one row for every step; 1 if one survives, 0 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="steps whose names contain one of these")
    parser.add_argument("--list", action="store_true", help="print the steps' names")
    parser.add_argument("--jobs", type=int, default=1, help="steps that are left out side by side")
    arguments = parser.parse_args()
    chosen = [m for m in mutations() if not arguments.only or any(part in m.name for part in arguments.only)]
    if not chosen:
        parser.error("no step has such a name")
    if arguments.list:
        print("\n".join(step.name for step in chosen))
        return 0
    torch.set_num_threads(1)  # a forked process lacks its parent's threads
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    for module in ("portrait3d.reposing", "portrait3d.export", "synthetic_head"):
        importlib.import_module(module)
    missed = 0
    with get_context("fork").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        everything = tuple(dict.fromkeys(test for step in chosen for test in step.tests))
        if noticed := pool.apply(leave_out, (everything,))[0]:
            print(f"With every step in place: {noticed}", file=sys.stderr)
            return 1
        for step, (test, asserted, seconds) in zip(chosen, pool.imap(leave_out, chosen), strict=True):
            missed += not asserted
            print(f"{step.name:55} {seconds:4.0f} s  {test or 'SURVIVED'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} caught")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
