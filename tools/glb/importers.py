"""What other programs read of a GLB: meshes, bones, morph targets, and how far these move vertices."""

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from portrait3d.export.glb_check import Glb

FOLDER = Path(__file__).resolve().parent
MODULES = FOLDER / "node_modules"
PATIENCE = 120
"""Seconds that Godot's import may take."""
NEAR = 2e-5
"""Metres by which a program may find a target to move less or more than the file says."""


@dataclass(frozen=True)
class Seen:
    """A head as a program, or the file itself, describes it."""

    moves: dict[str, dict[str, float]]
    """By mesh and by morph target, in order: how far it moves a vertex at most, metres."""
    bones: list[str]

    @classmethod
    def of_report(cls, report: dict[str, Any]) -> "Seen":
        """As the scripts that run inside other programs tell it."""
        return cls(report["meshes"], report["bones"])

    @classmethod
    def in_file(cls, content: bytes) -> "Seen":
        """What the file says, read by the project's own code."""
        glb = Glb.read(content)
        document = glb.document
        moves = {
            node["name"]: _moves(glb, document["meshes"][node["mesh"]])
            for node in document["nodes"]
            if "mesh" in node
        }
        joints = [joint for skin in document.get("skins", []) for joint in skin["joints"]]
        return cls(moves, [document["nodes"][joint]["name"] for joint in joints])

    def differences(self, wanted: "Seen") -> list[str]:
        """Where this isn't what the file says; the order of names doesn't count."""
        problems = unlike("meshes", self.moves, wanted.moves) + unlike("bones", self.bones, wanted.bones)
        for mesh, targets in wanted.moves.items():
            found = self.moves.get(mesh, {})
            problems += unlike(f"{mesh}: targets", found, targets)
            wrong = [name for name in set(found) & set(targets) if abs(found[name] - targets[name]) > NEAR]
            problems += [
                f"{mesh}: {name} moves {found[name]:.5f} m, not {targets[name]:.5f}" for name in wrong[:1]
            ]
        return problems


def unlike(what: str, found: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Names that lack or that are too many."""
    lacking, additional = set(wanted) - set(found), set(found) - set(wanted)
    problems = [f"{what} {sorted(lacking)} are missing"] if lacking else []
    return problems + ([f"{what} {sorted(additional)} are not in the file"] if additional else [])


def _moves(glb: Glb, mesh: dict[str, Any]) -> dict[str, float]:
    """How far a mesh's targets move a vertex at most, by their names or, if they have none, numbers."""
    targets = mesh["primitives"][0].get("targets", [])
    names = mesh.get("extras", {}).get("targetNames") or [str(number) for number in range(len(targets))]
    far = [float(np.linalg.norm(glb.array(target["POSITION"]), axis=1).max()) for target in targets]
    return dict(zip(names, far, strict=True))


def by_gltf_transform(file: Path) -> Seen:
    """The file in glTF-Transform."""
    command = ["node", str(FOLDER / "transform.mjs"), str(MODULES), str(file)]
    return Seen.of_report(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def by_assimp(file: Path, wanted: Seen) -> Seen:
    """The file read by assimp and written again, which loses targets' names: they are the wanted ones."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.glb"
        subprocess.run(["assimp", "export", file, copy, "-fglb2"], capture_output=True, check=True)
        found = Seen.in_file(copy.read_bytes())
    named = {
        name: dict(zip(wanted.moves.get(name, targets), targets.values(), strict=False))
        for name, targets in found.moves.items()
    }
    return Seen(named, found.bones)


def by_godot(file: Path) -> Seen:
    """The file in a new project of Godot 3, whose editor imports it without a display."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        shutil.copy(file, project / "head.glb")
        (project / "project.godot").write_text('config_version=4\n[application]\nconfig/name="head"\n')
        command = ["godot3-server", "--path", str(project)]
        editor = subprocess.Popen([*command, "-e"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + PATIENCE
            # The file that is written last. The editor doesn't end by itself.
            while not list(project.glob(".import/head.glb-*.md5")):
                if time.monotonic() > deadline or editor.poll() is not None:
                    raise RuntimeError("Godot didn't import the file")
                time.sleep(0.2)
        finally:
            editor.kill()
            editor.wait()
        script = [*command, "-s", str(FOLDER / "godot_look.gd")]
        run = subprocess.run(script, capture_output=True, text=True, timeout=PATIENCE)
    lines = [line for line in run.stdout.splitlines() if line.startswith("IMPORTED ")]
    if not lines:
        raise RuntimeError(f"Godot found no scene: {run.stdout[-300:]}{run.stderr[-300:]}")
    return Seen.of_report(json.loads(lines[0].removeprefix("IMPORTED ")))


def named_by_godot(wanted: Seen) -> Seen:
    """What Godot 3 should find: it writes bones' names in lower case, with `_` between words."""
    bones = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", bone).lower() for bone in wanted.bones]
    return replace(wanted, bones=bones)
