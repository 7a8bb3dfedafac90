"""Levels of detail: fewer triangles over the head's own vertices."""

import numpy as np
import pytest

from portrait3d.export.detail import LEVELS, at_detail
from portrait3d.export.glb_check import Glb, glb_problems
from portrait3d.export.meshes import encode_glb
from portrait3d.export.rig import morph_targets
from portrait3d.geometry.mesh import HeadMesh, HeadPiece
from synthetic_head import synthetic_portrait


@pytest.fixture(scope="module")
def head() -> HeadMesh:
    return synthetic_portrait(style="long").head


def triangles(head: HeadMesh) -> int:
    return len(head.faces) + (0 if head.hair_sheet is None else len(head.hair_sheet.faces))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_level_has_its_triangles_and_every_piece(head: HeadMesh, level: int) -> None:
    fewer = head.simplified(level)
    assert 0.98 * LEVELS[level] <= triangles(fewer) <= LEVELS[level] < triangles(head)
    assert set(fewer.piece[fewer.faces[:, 0]]) == set(HeadPiece)
    glb = encode_glb(fewer, visemes=True, bones=True)
    assert glb_problems(glb) == []
    wanted = {mesh["name"]: mesh["extras"] for mesh in Glb.read(encode_glb(head)).document["meshes"]}
    found = {mesh["name"]: mesh["extras"] for mesh in Glb.read(encode_glb(fewer)).document["meshes"]}
    assert found["Head"] == wanted["Head"]
    assert set(found) == set(wanted)


def test_vertices_keep_their_places_colours_and_targets(head: HeadMesh) -> None:
    fewer = at_detail(head, 2)
    rows = {row.tobytes(): number for number, row in enumerate(np.c_[head.vertices, head.uv])}
    at = np.array([rows[row.tobytes()] for row in np.c_[fewer.vertices, fewer.uv]])
    whole, own = morph_targets(head.binding), morph_targets(fewer.binding)
    for name in ("jawOpen", "eyeBlinkLeft"):
        np.testing.assert_array_equal(own[name], whole[name][at])


def test_the_face_gives_way_less_than_the_hair(head: HeadMesh) -> None:
    fewer = at_detail(head, 1)

    def share(piece: HeadPiece) -> float:
        return (fewer.piece[fewer.faces[:, 0]] == piece).sum() / (head.piece[head.faces[:, 0]] == piece).sum()

    assert share(HeadPiece.SURFACE) > 2 * share(HeadPiece.HAIR)


def test_heads_of_few_triangles_stay_and_unknown_levels_are_refused(model_head: HeadMesh) -> None:
    assert at_detail(model_head, 1) is model_head
    with pytest.raises(ValueError, match="level must be 0 to 3, got 4"):
        at_detail(model_head, 4)
