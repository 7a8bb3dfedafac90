"""Draw the documentation's pictures of rigged heads: expressions, pieces, the viewer, and other programs.

    python tools/draw_rig_pictures.py                  # the viewer's picture needs playwright and Chromium
    python tools/draw_rig_pictures.py --only programs  # Blender and three.js, see tools/check_glb.py

Everything is made from the portrait that scikit-image ships and from drawn people, who don't exist.
"""

import argparse
import io
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from glb.browsers import page, served
from glb.importers import FOLDER, MODULES
from portrait3d import Portrait3D
from portrait3d.data.synthetic import SyntheticHeads
from portrait3d.export.images import save_image
from portrait3d.export.meshes import encode_glb
from portrait3d.export.rig import PIECE_NAMES
from portrait3d.export.sheets import contact_sheet
from portrait3d.export.viewer import viewer_html
from portrait3d.geometry.mesh import HeadMesh, HeadPiece
from portrait3d.geometry.pictures import as_bytes
from portrait3d.models.expressions import expression_displacement
from portrait3d.rendering.view import frame_head, render_view

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = 300
"""Pixels of a panel's side."""
EXPRESSIONS = {
    "the photo's own": {},
    "jawOpen 1": {"jawOpen": 1.0},
    "mouthPucker 1": {"mouthPucker": 1.0},
    "eyeBlinkLeft 1": {"eyeBlinkLeft": 1.0},
    "eyeLookOutLeft 1, eyeLookInRight 1": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "browInnerUp 1, jawOpen 0.3": {"browInnerUp": 1.0, "jawOpen": 0.3},
}
SEEDS = (3, 30, 12, 21)
"""Of the drawn people."""
SPOKEN = {"viseme_aa": 1.0, "eyeBlinkRight": 1.0}
"""What heads say and do in other programs."""
TURNS = {"Head": [0.0, 0.4, 0.0], "Jaw": [0.2, 0.0, 0.0], "LeftEye": [0.0, 0.3, 0.0]}
"""And how their bones are turned, radians about x, y and z."""


def main() -> None:
    """Write the pictures that were asked for, all by default, to the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=PICTURES, nargs="+", default=list(PICTURES))
    model = Portrait3D.from_pretrained()
    for name in parser.parse_args().only:
        PICTURES[name](model)


def draw_rig(model: Portrait3D) -> None:
    """`rig.jpg`: expressions, and what is inside."""
    head = model.reconstruct(astronaut()).head
    pictures = [draw(head, weights) for weights in EXPRESSIONS.values()]
    pictures += [draw(head, {"jawOpen": 1.0}, yaw=40.0), draw(pieces(head), {}, yaw=40.0)]
    labels = [*EXPRESSIONS, "jawOpen 1, from the side", ", ".join(list(PIECE_NAMES.values())[1:])]
    save_image(contact_sheet(pictures, 4, labels), IMAGES / "rig.jpg")


def draw_viewer(model: Portrait3D) -> None:
    """`viewer.jpg`: the viewer with an open mouth."""
    head = model.reconstruct(astronaut()).head
    with page(1000, 640) as (shown, _):
        shown.set_content(viewer_html(encode_glb(head), "portrait3d"))
        shown.wait_for_selector("body[data-state=ready]")
        shown.locator("input[name=jawOpen]").fill("0.7")
        shown.keyboard.press("Tab")
        for _ in range(4):
            shown.locator("canvas").press("ArrowRight")
        picture = Image.open(io.BytesIO(shown.screenshot()))
    save_image(np.array(picture.convert("RGB")), IMAGES / "viewer.jpg")


def draw_programs(model: Portrait3D) -> None:
    """`programs.jpg`: five people in Blender and in three.js, with bones turned and a viseme played."""
    with tempfile.TemporaryDirectory() as name:
        out, files = Path(name), []
        for number, photo in enumerate(photos()):
            head = model.reconstruct(photo).head.neutral().simplified(0)
            files.append(head.export(out / f"person{number}.glb", visemes=True, bones=True))
        pictures = [*in_blender(files, out), *in_three(files)]
    size = SIZE * 3 // 5
    labels = [program for program in ("Blender", "three.js") for _ in files]
    save_image(contact_sheet(pictures, len(files), labels, cell=(size, size)), IMAGES / "programs.jpg")


def photos() -> Iterator[np.ndarray]:
    """One real photo and four drawn ones."""
    yield astronaut()
    for seed in SEEDS:
        yield as_bytes(SyntheticHeads(seed, size=512).pair(0).first.image)


def in_blender(files: list[Path], out: Path) -> Iterator[np.ndarray]:
    """Blender's renderings, one of each file."""
    script = ["--background", "--python-exit-code", "1", "--python", str(FOLDER / "blender_import.py")]
    command = ["blender", *script, "--", str(out), json.dumps(SPOKEN), *map(str, files)]
    subprocess.run(command, check=True, capture_output=True)
    for file in files:
        yield np.array(Image.open(out / f"{file.stem}_blender_expression.png").convert("RGB"))


def in_three(files: list[Path]) -> Iterator[np.ndarray]:
    """Pictures that three.js draws in Chromium, one of each file."""
    folders = {"modules": MODULES, "page": FOLDER, "glb": files[0].parent}
    for file in files:
        with served(folders) as address, page(400, 400) as (shown, complaints):
            shown.goto(f"{address}/page/three_page.html")
            shown.wait_for_function("() => !!window.show")
            shown.evaluate(f"show('/glb/{file.name}', {json.dumps(SPOKEN)}, {json.dumps(TURNS)})")
            picture = shown.screenshot()
        if complaints:
            raise RuntimeError(f"{file.name}: {'; '.join(complaints)}")
        yield np.array(Image.open(io.BytesIO(picture)).convert("RGB"))


def draw(head: HeadMesh, weights: dict[str, float], yaw: float = 15.0) -> np.ndarray:
    """The head with an expression, its frame that of the head at rest."""
    pose, camera = frame_head(head, yaw, 0.0, SIZE)
    return render_view(head.displaced(expression_displacement(weights)), pose, camera)


def pieces(head: HeadMesh) -> HeadMesh:
    """Eyes and mouth without the surface around them."""
    return head.kept(~np.isin(head.piece[head.faces[:, 0]], (HeadPiece.SURFACE, HeadPiece.HAIR)))


PICTURES: dict[str, Callable[[Portrait3D], None]] = {
    "rig": draw_rig,
    "viewer": draw_viewer,
    "programs": draw_programs,
}


if __name__ == "__main__":
    main()
