"""The documentation names only what exists: modules, functions, classes, settings, files and links."""

import ast
import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "portrait3d"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PAGES.remove(ROOT / "CHANGELOG.md")  # names what there was
PACKAGES = {path.name.removesuffix(".py") for path in SOURCE.iterdir()} - {"assets", "__pycache__"}
ENDINGS = {".py", ".json", ".html", ".npz", ".obj", ".ply"}
FILES = re.compile(r"(?:src/portrait3d|tests|tools|configs|docs)/[\w/.-]+\.(?:py|toml|md|jpg|npz)")

OBJECTS = {"portrait": ("portrait.py", "Portrait"), "head": ("geometry/mesh.py", "HeadMesh")}
"""Objects that pages call like modules, and their classes."""


def quoted(text: str) -> Iterator[str]:
    """What stands between backticks, blocks of code left out."""
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


@functools.cache
def names_in(path: Path) -> dict[str, ast.AST]:
    """Everything that a module defines or imports at its top, by name."""
    return _names(ast.parse(path.read_text(encoding="utf-8")).body)


def _names(body: list[ast.stmt]) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                attributes = (part for part in ast.walk(node) if isinstance(part, ast.Attribute))
                found.update((part.attr, part) for part in attributes if isinstance(part.ctx, ast.Store))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update((alias.asname or alias.name, node) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (part for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
            found.update((name.id, node) for name in names)
        elif isinstance(node, ast.If | ast.Try):
            found.update(_names(node.body))
    return found


def exists(dotted: str) -> bool:
    """Whether a name below the package leads to a module or to something that one defines."""
    place, parts = SOURCE, dotted.split(".")
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").is_file():
        names = names_in(place / f"{parts.pop(0)}.py")
    elif (place / "__init__.py").is_file():
        names = names_in(place / "__init__.py")
    else:
        return False
    for i, part in enumerate(parts):
        if part not in names:
            return False
        node = names[part]
        if i + 1 < len(parts) and not isinstance(node, ast.ClassDef):
            return True  # an attribute of an object: nothing that the source alone tells
        names = _names(node.body) if isinstance(node, ast.ClassDef) else {}
    return True


def is_member(dotted: str) -> bool:
    """Whether a name is that of something that one of `OBJECTS` has."""
    name, member = dotted.split(".")[:2]
    if name not in OBJECTS:
        return False
    file, kind = OBJECTS[name]
    node = names_in(SOURCE / file)[kind]
    return isinstance(node, ast.ClassDef) and member in _names(node.body)


def test_names_that_exist_are_told_from_others() -> None:
    for name in (
        "geometry.pose.Pose",
        "geometry.pose.Pose.from_euler",
        "models.head_model",
        "pipeline.NETWORKS",
    ):
        assert exists(name), name
    for name in ("geometry.pose.Posed", "geometry.pose.Pose.from_nothing", "models.nothing", "geometry.limb"):
        assert not exists(name), name
    assert is_member("head.front_only")
    assert is_member("portrait.quality")
    assert not is_member("portrait.beauty")


def test_modules_functions_and_classes_that_pages_name_exist() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for text in quoted(page.read_text(encoding="utf-8"))
        for name in re.findall(r"^(?:portrait3d\.)?([a-z_]\w*(?:\.\w+)+)", text)
        if name.split(".")[0] in PACKAGES and f".{name.split('.')[-1]}" not in ENDINGS
        if not (exists(name) or is_member(name))
    ]
    assert not missing, "\n".join(missing)


def test_files_that_pages_name_exist() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in FILES.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / name).is_file()
    ]
    assert not missing, "\n".join(missing)


def test_links_and_pictures_of_pages_exist() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not target.startswith(("http://", "https://")) and not (page.parent / target).exists()
    ]
    assert not missing, "\n".join(missing)


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every command line of a page after `portrait3d`, from blocks of code and from prose."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    lines = [*blocks.replace("\\\n", " ").splitlines(), *quoted(text)]
    for line in lines:
        if line.startswith("portrait3d "):
            yield re.split("#|&&", line)[0].split()[1:]


def unknown_words(words: list[str]) -> list[str]:
    """Words of a command line that no command and no option has; `train face|depth` stands for several."""
    from typer.main import get_command

    from portrait3d.cli import app

    command: Any = get_command(app)
    for word in words:
        group = getattr(command, "commands", None)
        if group is None or not re.fullmatch("[a-z]+", word):
            break
        if word not in group:
            return [word]
        command = group[word]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    is_group = hasattr(command, "commands")
    return [
        word
        for word in words
        if re.fullmatch("--?[a-z][a-z-]*", word) and word not in options and not is_group
    ]


def test_commands_and_options_that_pages_name_exist() -> None:
    assert unknown_words(["repose", "photo.jpg", "--jaw", "20"]) == ["--jaw"]
    assert unknown_words(["evaluate", "beauty"]) == ["beauty"]
    wrong = [
        f"{page.relative_to(ROOT)}: portrait3d {' '.join(words)}"
        for page in PAGES
        for words in command_lines(page.read_text(encoding="utf-8"))
        if unknown_words(words)
    ]
    assert not wrong, "\n".join(wrong)


CLAIMS = re.findall(
    r"^\| (.*?) \| .*? \| `(python -.*)` \| (.*) \|$",
    (ROOT / "docs" / "quality.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
"""Claims of the page on quality, their commands and what these print."""


def test_ten_claims_have_a_command() -> None:
    assert len(CLAIMS) == 10


@pytest.mark.parametrize("row", [row for row in CLAIMS if " -c " in row[1]], ids=lambda row: row[0][:40])
def test_a_claims_command_prints_what_the_page_says(row: tuple[str, str, str]) -> None:
    _, command, printed = row
    words = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == printed


def test_the_tests_that_hold_a_claim_exist() -> None:
    for _, command, _ in CLAIMS:
        if " -m pytest " in command:
            name, _, test = command.split()[-1].partition("::")
            assert test in names_in(ROOT / name) or not test
