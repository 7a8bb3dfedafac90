"""Groups get the means of their own photos, and ratios compare what they lack."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.evaluation.bias import PhotoScores, evaluate_bias, group_means, overlap, worst_over_best
from portrait3d.pipeline import Portrait3D

NAN = float("nan")


def astronaut_folder(root: Path, model: Portrait3D) -> Path:
    """The astronaut as a validation photo whose labels are the networks' own, and a wall."""
    folder = root / "people"
    for kind in ("images", "hair", "figure"):
        (folder / kind).mkdir(parents=True)
    pixels = data.astronaut()[:300, 80:380]
    portrait = model.reconstruct(pixels)
    maps = {"hair": portrait.parsing == 2, "figure": portrait.parsing != 0}
    rows = ["id,source,original,licence,width,height,person,split,yaw,pitch,roll"]
    for name, picture in (("astronaut", pixels), ("wall", np.full_like(pixels, 90))):
        Image.fromarray(picture).save(folder / "images" / f"{name}.jpg", quality=98)
        for kind, shown in maps.items():
            Image.fromarray((255 * shown).astype(np.uint8)).save(folder / kind / f"{name}.png")
        rows.append(f"{name},here,{name},cc0,300,300,{name},val,0,0,0")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    points = np.pad(portrait.landmarks - 0.5, ((0, 0), (0, 1)))[None].repeat(2, 0)
    box = np.append(portrait.detection.box, 1.0)[None].repeat(2, 0)
    np.savez(folder / "landmarks.npz", ids=np.array(["astronaut", "wall"]), points=points, box=box)
    return root


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Portrait3D, Path]:
    model = Portrait3D.from_pretrained()
    return model, astronaut_folder(tmp_path_factory.mktemp("bias"), model)


def test_labels_that_are_the_networks_own_are_agreed_with(labelled: tuple[Portrait3D, Path]) -> None:
    report = evaluate_bias(*labelled)
    everybody = report.groups[0]
    assert (everybody.group, everybody.photos, everybody.found) == ("all", 2, 50.0)
    assert everybody.nme < 1
    assert everybody.hair > 90
    assert everybody.person > 90
    assert everybody.warned == 0
    assert {"skin", "hair"} <= {row.by for row in report.groups}
    assert json.dumps(asdict(report))


def test_means_are_those_of_the_group_and_leave_out_what_is_unknown(
    labelled: tuple[Portrait3D, Path],
) -> None:
    photos = photos_of(labelled[1], 20)
    scores = [PhotoScores(1.0, 1.0 + k % 2, 80.0 if k else NAN, 90.0, 0.5, k % 2) for k in range(20)]
    rows = {(row.by, row.group): row for row in group_means(photos, scores)}
    women, men = rows["gender", "female"], rows["gender", "male"]
    assert (women.photos, women.nme, women.warned) == (10, 1.0, 0.0)
    assert (men.nme, men.warned, men.found) == (2.0, 100.0, 100.0)
    assert women.hair == 80.0
    ratios = {(row.by, row.measure): row for row in worst_over_best(list(rows.values()))}
    assert (ratios["gender", "nme"].worst, ratios["gender", "nme"].ratio) == ("male", 2.0)
    assert ratios["gender", "hair"].ratio == pytest.approx(1.0)
    assert ("everybody", "nme") not in ratios


def test_small_groups_are_not_compared(labelled: tuple[Portrait3D, Path]) -> None:
    photos = photos_of(labelled[1], 8)
    scores = [PhotoScores(1.0, 1.0 + k % 2, 80.0, 90.0, 0.5, 0.0) for k in range(8)]
    assert not list(worst_over_best(group_means(photos, scores)))


def photos_of(root: Path, count: int) -> list[LabelledPhoto]:
    from portrait3d.data.photos.labelled import people_photos

    photo = people_photos(root)[0]
    return [replace(photo, gender=("female", "male")[k % 2]) for k in range(count)]


def test_overlap_is_intersection_over_union() -> None:
    found, wanted = np.array([[1, 1, 0]], bool), np.array([[0, 1, 1]], bool)
    assert overlap(found, wanted) == pytest.approx(100 / 3)
    assert np.isnan(overlap(found & False, wanted & False))
