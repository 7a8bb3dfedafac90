"""What the page does with a photo: limits, previews, files, and who may have them."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.app import session as sessions_module
from portrait3d.app.session import (
    EXPRESSIONS,
    Controls,
    ExpiredError,
    Session,
    Sessions,
    findings,
    head_file,
    open_photo,
    open_session,
    turned_photo,
    turned_preview,
    viewer_file,
)
from portrait3d.errors import InvalidImageError, NoFaceError
from portrait3d.models.expressions import ARKIT_COUNT
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles

TURNED = Controls(angles=HeadAngles(25.0, 0.0, 0.0))


def test_messages_call_a_file_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "0f3a.jpg"
    path.write_bytes(b"this is no picture")
    with pytest.raises(InvalidImageError, match=r"^holiday\.jpg can't be read") as caught:
        open_photo(path, "holiday.jpg")
    assert "0f3a" not in str(caught.value)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (40, 40)).save(path)
    monkeypatch.setattr(sessions_module, "MAX_FILE_BYTES", path.stat().st_size - 1)
    with pytest.raises(InvalidImageError, match=r"large\.png is too large: .* MB"):
        open_photo(path, "large.png")


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (8000, 6000)).save(path)
    assert path.stat().st_size < 10_000
    with pytest.raises(InvalidImageError, match=r"bomb\.png has 8000 x 6000 = 48 million .* 40 million"):
        open_photo(path, "bomb.png")


def test_a_picture_without_a_face_is_named(model: Portrait3D, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), (90, 120, 160)).save(tmp_path / "x.png")
    photo = open_photo(tmp_path / "x.png", "sky.png")
    with pytest.raises(NoFaceError, match=r"sky\.png"):
        open_session(model, photo)


def test_the_preview_is_reduced_and_the_file_is_not(model: Portrait3D, astronaut: np.ndarray) -> None:
    large = np.kron(astronaut[:400, :450], np.ones((2, 2, 1), np.uint8))
    opened = open_session(model, sessions_module.Photo(large, "large"))
    assert turned_preview(opened, TURNED).shape == (569, 640, 3)
    assert turned_photo(opened, TURNED).shape == (800, 900, 3)


def test_at_rest_the_preview_is_the_photo(session: Session) -> None:
    assert np.array_equal(turned_preview(session, session.resting), session.portrait.photo.pixels)


def test_turning_and_expressions_change_the_picture(session: Session) -> None:
    rest = session.portrait.photo.pixels.astype(float)
    smiling = replace(session.resting, expression={"Open jaw": 0.7})
    for controls in (TURNED, smiling):
        changed = np.abs(turned_preview(session, controls) - rest).max(axis=-1) > 20
        assert 500 < changed.sum() < 0.5 * changed.size


def test_expressions_are_arkit_weights(model: Portrait3D) -> None:
    known = set(model.head_model.expression_names[:ARKIT_COUNT])
    for shapes in EXPRESSIONS.values():
        assert set(shapes) <= known
    everything = Controls(angles=TURNED.angles, expression=dict.fromkeys(EXPRESSIONS, 1.0))
    assert all(0 < weight <= 1 for weight in everything.weights.values())
    assert not Controls(angles=TURNED.angles, expression=dict.fromkeys(EXPRESSIONS, 0.0)).weights


def test_findings_are_small_pictures(session: Session) -> None:
    found = findings(session)
    for picture in (found.landmarks, found.parsing, found.depth):
        assert picture.shape[0] == picture.shape[1] <= 400
        assert picture.std() > 10


def test_the_head_is_a_glb_with_morph_targets(session: Session) -> None:
    content = head_file(session)
    magic, version, length, json_length = struct.unpack_from("<4sIII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    document = json.loads(content[20 : 20 + json_length])
    assert document["meshes"]


def test_the_viewer_names_the_photo_and_needs_no_network(session: Session) -> None:
    page = viewer_file(session).decode()
    assert "<title>astronaut.jpg" in page
    assert "http://" not in page
    assert "https://" not in page


def test_two_sessions_do_not_share_what_they_turn(model: Portrait3D, session: Session) -> None:
    other = open_session(model, session.portrait.photo)
    assert other.model is not session.model
    assert other.model.face_net is session.model.face_net
    assert np.array_equal(turned_preview(other, TURNED), turned_preview(session, TURNED))


def test_the_session_used_longest_ago_is_forgotten_first(session: Session) -> None:
    sessions = Sessions(capacity=2)
    first, second = sessions.add(session), sessions.add(session)
    sessions.get(first)
    third = sessions.add(session)
    assert len({first, second, third}) == 3
    assert sessions.get(first) is sessions.get(third) is session
    with pytest.raises(ExpiredError):
        sessions.get(second)


def test_a_dropped_session_is_gone_and_dropping_it_twice_is_fine(session: Session) -> None:
    sessions = Sessions()
    key = sessions.add(session)
    sessions.drop(key)
    sessions.drop(key)
    assert not len(sessions)


def test_keys_are_long_and_differ(session: Session) -> None:
    sessions = Sessions(capacity=100)
    keys = {sessions.add(session) for _ in range(100)}
    assert len(keys) == 100
    assert min(map(len, keys)) >= 22
