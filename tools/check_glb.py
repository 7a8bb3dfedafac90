"""Open heads in other programs: validators, importers, engines, browsers.

    npm install --prefix tools/glb      # once: gltf-validator, three, glTF-Transform
    apt-get install blender python3-numpy chromium assimp-utils godot3-server     # Debian
    pip install playwright
    python tools/check_glb.py head.glb ... --out pictures

Prints one line for each file and program, with `--table` a table with the programs' versions. Exit code 1:
one of them finds a fault; 2: a program is missing.
"""

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from glb.importers import (
    FOLDER,
    MODULES,
    Seen,
    by_assimp,
    by_gltf_transform,
    by_godot,
    named_by_godot,
    unlike,
)
from portrait3d.export.glb_check import glb_problems
from portrait3d.export.viewer import viewer_html
from portrait3d.export.vrm import PRESETS
from portrait3d.models.expressions import arkit_basis

POSE = {"jawOpen": 1.0, "eyeBlinkLeft": 1.0}
"""The expression that pictures are taken with."""
TURNS = {"Head": [0.0, 0.4, 0.0], "Jaw": [0.2, 0.0, 0.0], "LeftEye": [0.0, 0.3, 0.0]}
"""And how bones are turned in them, radians about x, y and z; for heads that have bones."""

Found = Iterator[tuple[Path, list[str]]]


def structure(files: list[Path], out: Path) -> Found:
    """Offsets, bounds, counts and names, read by the project's own code."""
    for file in files:
        yield file, glb_problems(file.read_bytes())


def validator(files: list[Path], out: Path) -> Found:
    """The Khronos validator: errors and warnings count, hints don't."""
    command = ["node", str(FOLDER / "validate.mjs"), str(MODULES), *map(str, files)]
    reports = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for file, report in zip(files, reports, strict=True):
        messages = report["issues"]["messages"]
        yield file, [f"{m['code']}: {m['message']}" for m in messages if m["severity"] < 2]


def blender(files: list[Path], out: Path) -> Found:
    """Blender's importer, without a display: objects, shape keys, pictures."""
    script = ["--background", "--python-exit-code", "1", "--python", str(FOLDER / "blender_import.py")]
    command = ["blender", *script, "--", str(out), json.dumps(POSE), *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True)
    line = next((line for line in run.stdout.splitlines() if line.startswith("IMPORTED ")), None)
    if run.returncode or line is None:
        wrong = [line for line in (run.stdout + run.stderr).splitlines() if "Error" in line]
        yield from ((file, wrong[-1:] or [f"exit code {run.returncode}"]) for file in files)
        return
    reports = json.loads(line.removeprefix("IMPORTED "))
    for file, report in zip(files, reports, strict=True):
        yield file, Seen.of_report(report).differences(in_file(file))


def three(files: list[Path], out: Path) -> Found:
    """three.js in Chromium: meshes, names of morph targets, a picture with two of them."""
    from glb.browsers import page, served

    for file in files:
        folders = {"modules": MODULES, "page": FOLDER, "glb": file.parent}
        with served(folders) as address, page(600, 600) as (three, complaints):
            three.goto(f"{address}/page/three_page.html")
            three.wait_for_function("() => !!window.show")
            meshes = three.evaluate(f"show('/glb/{file.name}', {json.dumps(POSE)}, {json.dumps(TURNS)})")
            three.screenshot(path=out / f"{file.stem}_three.png")
            moves = {name: mesh["moves"] for name, mesh in meshes.items()}
            found = Seen(moves, next(iter(meshes.values()))["bones"])
            yield file, found.differences(in_file(file)) + complaints


def viewer(files: list[Path], out: Path) -> Found:
    """viewer.html in Chromium: it draws, turns, moves the mouth and asks for nothing from the network."""
    from glb.browsers import page

    for file in files:
        place = out / f"{file.stem}_viewer.html"
        place.write_text(viewer_html(file.read_bytes(), file.name), encoding="utf-8")
        with page(900, 700) as (shown, found):
            asked: list[str] = []
            shown.on("request", lambda request, asked=asked: asked.append(request.url))
            shown.goto(place.as_uri())
            shown.wait_for_selector("body[data-state]", state="attached")
            if shown.get_attribute("body", "data-state") != "ready":
                found.append(shown.inner_text("#note"))
                yield file, found
                continue
            shown.mouse.move(350, 350)
            pictures = [shown.screenshot(path=out / f"{file.stem}_viewer.png")]
            shown.mouse.down()
            shown.mouse.move(280, 350, steps=2)
            shown.mouse.up()
            pictures.append(shown.screenshot(path=out / f"{file.stem}_viewer_turned.png"))
            for name in POSE:
                shown.locator(f"input[name={name}]").fill("1")
            pictures.append(shown.screenshot(path=out / f"{file.stem}_viewer_expression.png"))
            shown.locator("[data-mode='2']").click()
            pictures.append(shown.screenshot(path=out / f"{file.stem}_viewer_shape.png"))
            if len(set(pictures)) < len(pictures):
                found.append("turning, an expression or the plain shape changed nothing in the picture")
            shown.locator("[data-mode='0']").click()
            shown.locator("#reset").click()
            shown.mouse.move(350, 350)
            if shown.screenshot() != pictures[0]:
                found.append("Reset doesn't bring the first view back")
            beyond = [url for url in asked if not url.startswith(("file:", "blob:", "data:"))]
            yield file, found + [f"the page asked for {url}" for url in beyond]


def gltf_transform(files: list[Path], out: Path) -> Found:
    """glTF-Transform in node: names, and how far morph targets move."""
    for file in files:
        yield file, by_gltf_transform(file).differences(in_file(file))


def assimp(files: list[Path], out: Path) -> Found:
    """assimp's importer: names, and how far morph targets move."""
    for file in files:
        wanted = in_file(file)
        yield file, by_assimp(file, wanted).differences(wanted)


def godot(files: list[Path], out: Path) -> Found:
    """Godot 3's importer: names, and how far morph targets move."""
    for file in files:
        yield file, by_godot(file).differences(named_by_godot(in_file(file)))


def vrm(files: list[Path], out: Path) -> Found:
    """three-vrm in Chromium: expressions, bones and gaze of those files that are VRM."""
    from glb.browsers import page, served

    for file in (file for file in files if file.suffix == ".vrm"):
        folders = {"modules": MODULES, "page": FOLDER, "glb": file.parent}
        with served(folders) as address, page(600, 600) as (shown, found):
            shown.goto(f"{address}/page/three_page.html")
            shown.wait_for_function("() => !!window.wear")
            worn = shown.evaluate(f"wear('/glb/{file.name}', 'happy')")
            shown.screenshot(path=out / f"{file.stem}_vrm.png")
        found += unlike("expressions", worn["expressions"], [*PRESETS, *arkit_basis()[0]])
        if {name: round(weight, 6) for name, weight in worn["weights"].items()} != PRESETS["happy"]:
            found.append(f"the expression happy is {worn['weights']}")
        if not worn["gaze"][0] > 0.2:
            found.append(f"eyes that should look to the side of +x look along {worn['gaze']}")
        before, after = worn["eye"]
        if not after[0] - before[0] > 0.02:
            found.append("turning the head doesn't move the eyes")
        yield file, found


def in_file(file: Path) -> Seen:
    """What a file says that programs should see."""
    return Seen.in_file(file.read_bytes())


PROGRAMS = {"blender": "blender", "assimp": "assimp", "godot": "godot3-server"}
"""The programs that checks start, by the checks' names."""
PACKAGES = {
    "validator": "gltf-validator",
    "three": "three",
    "gltf_transform": "@gltf-transform/core",
    "vrm": "@pixiv/three-vrm",
}
"""The packages of npm that checks use."""


def missing(name: str) -> str | None:
    """What a check needs and this machine lacks."""
    program = "node" if name in ("validator", "gltf_transform") else PROGRAMS.get(name)
    if program and not shutil.which(program):
        return f"{program} is not installed"
    if name in PACKAGES and not (MODULES / PACKAGES[name]).is_dir():
        return f"{MODULES} lacks {PACKAGES[name]}: run `npm install --prefix tools/glb`"
    if name in ("three", "viewer", "vrm"):
        if importlib.util.find_spec("playwright") is None:
            return "the Python package playwright is not installed"
        from glb.browsers import find_browser

        if find_browser() is None:
            return "no Chromium is installed"
    return None


def version(name: str) -> str:
    """The version of the program that a check uses; empty for the project's own code."""
    if name in PACKAGES:
        return json.loads((MODULES / PACKAGES[name] / "package.json").read_text())["version"]
    if name not in PROGRAMS:
        return ""
    command = [PROGRAMS[name], "version" if name == "assimp" else "--version"]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+[\w.]*", text)
    return found[0] if found else ""


CHECKS: dict[str, Callable[[list[Path], Path], Found]] = {
    check.__name__: check
    for check in (structure, validator, blender, three, viewer, gltf_transform, assimp, godot, vrm)
}


def main() -> int:
    """Run the checks that were asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="GLB")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="Checks to run.")
    parser.add_argument("--out", type=Path, default=Path("glb-check"), help="Folder for pictures.")
    parser.add_argument("--table", action="store_true", help="Print a table in Markdown, with versions.")
    arguments = parser.parse_args()
    files = [file.resolve(strict=True) for file in arguments.files]
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    faults = absent = 0
    if arguments.table:
        print("| program | version | file | finds |\n|---|---|---|---|")
    for name in arguments.only:
        if reason := missing(name):
            print(f"| {name} | | | {reason} |" if arguments.table else f"{name}: not checked, {reason}")
            absent += 1
            continue
        for file, problems in CHECKS[name](files, out):
            says = "; ".join(problems) or "ok"
            row = f"| {name} | {version(name)} | {file.name} | {says} |"
            print(row if arguments.table else f"{name}: {file.name}: {says}", flush=True)
            faults += len(problems)
    return 1 if faults else 2 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
