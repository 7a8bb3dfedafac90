"""Every equation of the paper has exactly one home in the code, and docs/paper.md says where."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EQUATIONS = range(1, 14)
Documented = ast.FunctionDef | ast.ClassDef


def equations_in(docstring: str) -> list[int]:
    """Return the numbers at the end of the first sentence: "..., Eq. 4." or "..., Eq. 6 and 8."."""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    match = re.match(
        r"(?:(?!\. [A-Z]).)*?\b(Eq\. \d+(?:(?:,| and|, and) (?:Eq\. )?\d+)*)\.(?:\s|$)", paragraph
    )
    return [int(number) for number in re.findall(r"\d+", match[1])] if match else []


@functools.cache
def homes() -> dict[int, list[str]]:
    """Return the qualified names of the functions and classes whose docstring claims each equation."""
    found: dict[int, list[str]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, Documented):
                for number in equations_in(ast.get_docstring(node) or ""):
                    module = path.relative_to(ROOT / "src").with_suffix("").as_posix().replace("/", ".")
                    found.setdefault(number, []).append(f"{module}.{node.name}")
    return found


@pytest.mark.parametrize(
    ("docstring", "numbers"),
    [
        ("Brightness constancy between two views, Eq. 4.", [4]),
        ("Brightness constancy, Eq. 4.\n\nSee also Eq. 5.", [4]),
        ("Smoothness of depth, Eq. 6 and Eq. 8.", [6, 8]),
        ("Not one of them. Only like Eq. 4.", []),
        ("Weights of Eq. 4 and more of it.", []),
    ],
)
def test_the_end_of_the_first_sentence_names_the_equation(docstring: str, numbers: list[int]) -> None:
    assert equations_in(docstring) == numbers


@pytest.mark.parametrize("number", EQUATIONS)
def test_an_equation_has_exactly_one_home(number: int) -> None:
    assert len(homes().get(number, [])) == 1, f"Eq. {number} lives in {homes().get(number, [])}"


@pytest.mark.parametrize("number", EQUATIONS)
def test_the_page_on_the_paper_says_where_an_equation_lives(number: int) -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "paper.md").read_text(encoding="utf-8").splitlines()
        if re.match(rf"\| *Eq\. {number} *\|", line)
    ]
    assert len(rows) == 1, f"docs/paper.md needs one row for Eq. {number}"
    for home in homes().get(number, ["missing"]):
        assert home.rsplit(".", 1)[-1] in rows[0], f"the row of Eq. {number} must name {home}"


def test_no_equation_is_claimed_that_the_paper_does_not_have() -> None:
    assert set(homes()) <= set(EQUATIONS)
