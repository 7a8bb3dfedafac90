"""Count the package's code: lines, files, long functions, constants, comments, and functions of tests.

python tools/count_code.py              # the row of docs/quality.md for the sources that are there
python tools/count_code.py DIRECTORY    # the same for another checkout
"""

import ast
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONG = 40
"""Lines of a function, its signature and docstring among them, beyond which it counts as long."""


@dataclass(frozen=True)
class Counts:
    """What a reader of the package has before them."""

    lines: int
    """Of Python below src, blank ones too."""
    files: int
    """With Python in them: empty `__init__.py` don't count."""
    long_functions: int
    constants: int
    """Names in capitals at the top of modules."""
    comments: int
    """Lines that hold a comment."""
    tests: int
    """Functions that pytest collects; those with parameters count once."""

    @property
    def row(self) -> str:
        """As docs/quality.md has it."""
        share = 100 * self.comments / self.lines
        numbers = f"{self.lines:,} | {self.files} | {self.long_functions} | {self.constants} | {share:.1f} %"
        return f"{numbers} | {self.tests:,}"


def count(root: Path) -> Counts:
    """Count a checkout."""
    lines = files = long_functions = constants = comments = 0
    for path in sorted((root / "src").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        files += bool(text)
        lines += text.count("\n")
        tree = ast.parse(text)
        long_functions += sum(_is_long(node) for node in ast.walk(tree))
        constants += sum(_constants(node) for node in tree.body)
        with path.open("rb") as file:
            comments += sum(token.type == tokenize.COMMENT for token in tokenize.tokenize(file.readline))
    tests = 0
    for path in (root / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tests += sum(isinstance(n, ast.FunctionDef) and n.name.startswith("test_") for n in ast.walk(tree))
    return Counts(lines, files, long_functions, constants, comments, tests)


def _is_long(node: ast.AST) -> bool:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return (node.end_lineno or 0) - node.lineno >= LONG


def _constants(node: ast.stmt) -> int:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return 0
    names = (part for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
    return sum(name.id.isupper() for name in names)


if __name__ == "__main__":
    print(count(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT).row)
