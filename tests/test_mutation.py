"""The table of steps that `tools/mutation.py` leaves out fits the source."""

import ast
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_step_of_the_table_stands_in_the_source_once() -> None:
    specification = importlib.util.spec_from_file_location("mutation", ROOT / "tools" / "mutation.py")
    assert specification is not None
    assert specification.loader is not None
    tool = importlib.util.module_from_spec(specification)
    sys.modules["mutation"] = tool  # dataclasses look their module up
    specification.loader.exec_module(tool)
    steps = list(tool.mutations())
    assert len({step.name for step in steps}) == len(steps) > 100
    for step in steps:
        source = (tool.SOURCE / step.module).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(step.source)) != ast.dump(ast.parse(source)), step.name
        assert all((ROOT / "tests" / name).exists() for name in step.tests), step.name
