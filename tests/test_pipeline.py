"""The whole line on the portrait that scikit-image ships, with the bundled weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from PIL import Image

from portrait3d import (
    InvalidImageError,
    NoFaceError,
    PoorFitWarning,
    Portrait,
    Portrait3D,
    WeightsError,
    pipeline,
)
from portrait3d.errors import DifferentPeopleError
from portrait3d.geometry import HeadMesh, HeadPart, HeadPiece
from portrait3d.head.frame import texture_size
from portrait3d.models.fit_quality import LEAST_QUALITY
from portrait3d.parsing_classes import PARSING_CLASSES
from portrait3d.preprocessing.detection import Detection
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.view import frame_head
from portrait3d.reposing import CoarseTurn

FEATURES = {
    "left eye": slice(36, 42),
    "right eye": slice(42, 48),
    "nose": slice(30, 31),
    "mouth": slice(48, 68),
}


def test_the_landmarks_lie_on_the_detected_features(portrait: Portrait) -> None:
    left, right, nose, *corners = portrait.detection.keypoints
    wanted = {"left eye": left, "right eye": right, "nose": nose, "mouth": np.mean(corners, axis=0)}
    size = np.sqrt(portrait.detection.area)
    for name, points in FEATURES.items():
        distance = np.linalg.norm(portrait.landmarks[points].mean(axis=0) - wanted[name])
        assert distance < 0.1 * size, f"{name} is {distance:.1f} px off"


def test_results_have_the_types_that_users_rely_on(
    portrait: Portrait, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    assert portrait.landmarks.dtype == np.float32
    assert portrait.landmarks.shape == (68, 2)
    assert portrait.parsing.dtype == np.uint8
    assert portrait.parsing.shape == astronaut.shape[:2]
    assert portrait.parsing.max() < len(PARSING_CLASSES)
    assert portrait.head.vertices.dtype == np.float32
    assert portrait.head.faces.dtype == np.int64
    assert portrait.head.part.dtype == np.uint8
    assert portrait.head.camera_from_head is portrait.camera_from_model
    assert float(portrait.camera.focal) > 0
    assert all(isinstance(getattr(portrait.pose, angle), float) for angle in ("yaw", "pitch", "roll"))


def test_the_parsing_finds_face_and_hair_around_the_landmarks(portrait: Portrait) -> None:
    column, row = np.floor(portrait.landmarks[17:].mean(axis=0)).astype(int)
    assert PARSING_CLASSES[portrait.parsing[row, column]] == "face"
    top = portrait.landmarks[:, 1].min()
    hair_rows = np.nonzero(portrait.parsing == PARSING_CLASSES.index("hair"))[0]
    assert hair_rows.min() < top


def test_the_head_is_one_sound_mesh_of_human_size(portrait: Portrait) -> None:
    head = portrait.head
    assert np.isfinite(head.vertices).all()
    assert head.faces.min() >= 0
    assert head.faces.max() < len(head.vertices)
    assert {HeadPart.FACE, HeadPart.HAIR} <= set(head.part.tolist())
    width, height, depth = np.ptp(head.vertices, axis=0)
    assert 120 < width < 500
    assert 180 < height < 500
    assert 120 < depth < 400


def test_the_head_projects_onto_the_parsed_head(portrait: Portrait) -> None:
    face = portrait.head.vertices[portrait.head.part == HeadPart.FACE]
    pixels = portrait.camera.project(torch.from_numpy(face)).numpy()
    column, row = np.floor(pixels).astype(int).T
    head = np.isin(portrait.parsing, (1, 2, 3, 4, 5, 6, 8))
    assert head[row, column].mean() > 0.95


def test_the_same_photo_gives_the_same_head(
    model: Portrait3D, portrait: Portrait, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    again = model.reconstruct(astronaut)
    assert np.array_equal(again.head.vertices, portrait.head.vertices)
    assert np.array_equal(again.head.texture, portrait.head.texture)
    assert np.array_equal(model.repose(again, yaw=20), model.repose(portrait, yaw=20))


def test_the_photos_own_pose_gives_the_photo_back(model: Portrait3D, portrait: Portrait) -> None:
    assert np.array_equal(model.repose(portrait), portrait.photo.pixels)
    pose = portrait.pose
    own = model.repose(portrait, yaw=pose.yaw, pitch=pose.pitch, roll=pose.roll)
    assert np.array_equal(own, portrait.photo.pixels)


@pytest.mark.parametrize("yaw", [-20.0, 20.0])
def test_a_turned_photo_shows_the_head_at_the_asked_yaw(
    model: Portrait3D, portrait: Portrait, yaw: float
) -> None:
    turned = model.repose(portrait, yaw=yaw, pitch=0.0, roll=0.0)
    assert turned.dtype == np.uint8
    assert turned.shape == portrait.photo.pixels.shape
    found = model.reconstruct(turned)
    assert abs(found.pose.yaw - yaw) < 7
    assert abs(found.pose.pitch) < 7
    assert abs(found.pose.roll) < 5


def test_the_network_sees_no_more_than_what_was_drawn_with_the_same_result(
    model: Portrait3D, portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = model.reposer(portrait).coarse_turn(
        replace(portrait.pose, yaw=portrait.pose.yaw + 20), guided=True
    )
    part = model.refine(turn)
    monkeypatch.setattr(CoarseTurn, "box", lambda _: (slice(None), slice(None)))
    assert turn.box() == (slice(None), slice(None))
    whole = model.refine(turn)
    assert float((part - turn.image).abs().max()) > 0.05
    assert float((part - whole).abs().max()) < 0.02


def test_turning_leaves_the_far_background_alone(model: Portrait3D, portrait: Portrait) -> None:
    turned = model.repose(portrait, yaw=portrait.pose.yaw + 15)
    reach = portrait.head_crop.side * 0.6
    x, y = portrait.head_crop.centre
    rows, columns = np.indices(turned.shape[:2])
    far = np.hypot(columns - x, rows - y) > reach
    assert far.any()
    assert np.array_equal(turned[far], portrait.photo.pixels[far])


def test_a_mirrored_photo_gives_the_mirrored_pose(
    model: Portrait3D, portrait: Portrait, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    mirrored = model.reconstruct(np.ascontiguousarray(astronaut[:, ::-1])).pose
    assert abs(mirrored.yaw + portrait.pose.yaw) < 4
    assert abs(mirrored.roll + portrait.pose.roll) < 3
    assert abs(mirrored.pitch - portrait.pose.pitch) < 3


def test_a_covered_face_has_a_low_quality_and_is_warned_about(
    model: Portrait3D, portrait: Portrait, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    assert LEAST_QUALITY < portrait.quality <= 1
    covered = astronaut.copy()
    low, high = portrait.landmarks.min(axis=0).astype(int), portrait.landmarks.max(axis=0).astype(int)
    covered[(low[1] + high[1]) // 2 : high[1] + 5, low[0] - 5 : high[0] + 5] = (20, 60, 20)
    one = Portrait3D(
        head_model=model.head_model,
        face_net=model.face_net,
        parsing_net=model.parsing_net,
        glasses_net=model.glasses_net,
        earrings_net=model.earrings_net,
        depth_net=model.depth_net,
        refinement_net=model.refinement_net,
        detector=TwoFaces(portrait.detection),
    )
    with pytest.warns(PoorFitWarning, match="quality 0"):
        poor = one.reconstruct(covered)
    assert 0 < poor.quality < LEAST_QUALITY


def test_a_face_of_few_pixels_has_a_low_quality(
    model: Portrait3D, portrait: Portrait, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    size = np.ptp(portrait.landmarks, axis=0).prod() ** 0.5
    side = round(len(astronaut) * 30 / size)
    small = Image.fromarray(astronaut).resize((side, side), Image.Resampling.LANCZOS)
    with pytest.warns(PoorFitWarning, match="small"):
        assert model.reconstruct(small).quality < LEAST_QUALITY


def test_a_head_without_light_has_the_same_shape_and_other_skin(
    model: Portrait3D, portrait: Portrait
) -> None:
    head = model.head_without_light(portrait)
    np.testing.assert_allclose(head.vertices, portrait.head.vertices, atol=1e-3)
    assert np.array_equal(head.faces, portrait.head.faces)
    skin = (head.part == 0) & head.seen
    before, after = (h.colors[skin].mean(axis=1) for h in (portrait.head, head))
    assert np.abs(after - before).mean() > 2
    assert abs(after.mean() / before.mean() - 1) < 0.25
    hair = (head.part == 1) & head.seen
    changed = [np.abs(head.colors[k].astype(float) - portrait.head.colors[k]).mean() for k in (hair, skin)]
    assert changed[0] < changed[1] / 2


def test_a_picture_without_a_face_gives_no_head(model: Portrait3D) -> None:
    with pytest.raises(NoFaceError, match="No face"):
        model.reconstruct(np.full((200, 300, 3), 128, np.uint8))


def test_a_face_that_is_not_there_is_refused(
    model: Portrait3D, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    with pytest.raises(NoFaceError, match="there is no face 5"):
        model.reconstruct(astronaut, face=5)


def test_a_file_that_is_no_picture_is_refused_by_name(model: Portrait3D, tmp_path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    with pytest.raises(InvalidImageError, match=r"notes\.jpg"):
        model.reconstruct(path)


def test_an_infinite_angle_is_refused_by_name(model: Portrait3D, portrait: Portrait) -> None:
    with pytest.raises(ValueError, match="pitch"):
        model.repose(portrait, pitch=float("nan"))


class TwoFaces:
    """A detector that finds one face twice, the second a little larger crop."""

    def __init__(self, detection: Detection) -> None:
        self.detection = detection

    def detect(self, pixels: UInt8[np.ndarray, "H W 3"], name: str = "") -> list[Detection]:
        """Return both."""
        grown = self.detection.box + np.array([-2, -2, 2, 2], np.float32)
        return [replace(self.detection, box=grown), self.detection]


def test_everybody_in_a_photo_gets_a_head_as_if_alone(
    model: Portrait3D, portrait: Portrait, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    both = Portrait3D(
        head_model=model.head_model,
        face_net=model.face_net,
        parsing_net=model.parsing_net,
        glasses_net=model.glasses_net,
        earrings_net=model.earrings_net,
        depth_net=model.depth_net,
        refinement_net=model.refinement_net,
        detector=TwoFaces(portrait.detection),
    )
    first, second = both.reconstruct_all(astronaut)
    assert first is not second
    assert np.array_equal(second.head.vertices, portrait.head.vertices)


def test_many_photos_give_what_each_gives_alone_in_their_order(
    model: Portrait3D, portrait: Portrait, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    smaller = astronaut[:400, 60:420]
    photos = [smaller, np.zeros((64, 64, 3), np.uint8), astronaut, b"no picture", astronaut[:, ::-1].copy()]
    results = list(model.reconstruct_many(iter(photos), batch=3))
    kinds = [Portrait, NoFaceError, Portrait, InvalidImageError, Portrait]
    assert [type(each) for each in results] == kinds
    for found, alone in ((results[0], model.reconstruct(smaller)), (results[2], portrait)):
        assert isinstance(found, Portrait)
        np.testing.assert_allclose(found.landmarks, alone.landmarks, atol=1e-3)
        assert (found.parsing != alone.parsing).mean() < 1e-4
        torch.testing.assert_close(found.depth.front, alone.depth.front, atol=0.05, rtol=0)
        assert found.quality == pytest.approx(alone.quality, abs=1e-4)


def test_photos_are_taken_as_they_are_needed(
    model: Portrait3D, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    crops = []
    hook = model.face_net.register_forward_pre_hook(lambda _, given: crops.append(len(given[0])))
    taken = []
    photos = (taken.append(k) or astronaut for k in range(4))
    results = model.reconstruct_many(photos, batch=2)
    assert not taken
    next(results)
    hook.remove()
    assert taken == [0, 1]
    # The networks see both at once: their crops, then the better placed ones and their mirror images.
    assert crops == [2, 4]


def test_a_photo_that_networks_fail_at_leaves_the_others(
    model: Portrait3D, astronaut: UInt8[np.ndarray, "H W 3"], monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller = astronaut[:400, 60:420]
    fit_faces = pipeline.fit_faces

    def failing(net, head, photos, crops):
        if any(len(pixels) == 400 for pixels in photos):
            raise WeightsError("broken")
        return fit_faces(net, head, photos, crops)

    monkeypatch.setattr(pipeline, "fit_faces", failing)
    first, second = model.reconstruct_many([smaller, astronaut])
    assert isinstance(first, WeightsError)
    assert isinstance(second, Portrait)


def test_a_single_photo_is_not_many(model: Portrait3D) -> None:
    with pytest.raises(TypeError, match="photos must be several photos, got str"):
        model.reconstruct_many("photo.jpg")
    with pytest.raises(ValueError, match="batch must be"):
        model.reconstruct_many([], batch=0)


def test_weights_that_are_nowhere_are_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="face"):
        Portrait3D.from_pretrained(tmp_path)


def test_the_astronauts_neutral_head_hides_her_teeth(portrait: Portrait) -> None:
    def teeth(head: HeadMesh) -> int:
        pose, camera = frame_head(head, 0, 0, 512)
        screen = camera.screen(pose.apply(torch.from_numpy(head.vertices)))
        shown = rasterize(screen[None], torch.from_numpy(head.faces), 512, 512).face_index[0].numpy()
        inner = np.isin(head.piece[head.faces[shown, 0]], (HeadPiece.TEETH, HeadPiece.MOUTH_CAVITY))
        return int((inner & (shown >= 0)).sum())

    head = portrait.head
    assert teeth(head) > 100
    assert teeth(head.neutral()) < 5


def test_the_astronaut_closes_her_mouth_and_goes_on_looking(model: Portrait3D, portrait: Portrait) -> None:
    calm = model.repose(portrait, expression={"neutral": 1.0})
    again = model.reconstruct(calm)
    names = model.head_model.expression_names

    def strength(person: Portrait, name: str) -> float:
        return float(person.coefficients.expression[names.index(name)])

    def inner_mouth(person: Portrait) -> int:
        return int((person.parsing == PARSING_CLASSES.index("inner mouth")).sum())

    assert inner_mouth(again) < 0.25 * inner_mouth(portrait)
    for side in ("Left", "Right"):
        assert strength(again, f"mouthSmile{side}") < 0.7 * strength(portrait, f"mouthSmile{side}")
        assert strength(again, f"eyeBlink{side}") < 0.3
    np.testing.assert_allclose(
        [again.pose.yaw, again.pose.pitch, again.pose.roll],
        [portrait.pose.yaw, portrait.pose.pitch, portrait.pose.roll],
        atol=4,
    )
    half = model.repose(portrait, expression={"neutral": 0.5})
    whole, part = (np.abs(p.astype(int) - portrait.photo.pixels).mean() for p in (calm, half))
    assert 0.1 * whole < part < whole


def test_a_texture_is_as_fine_as_the_photo_up_to_what_was_asked(portrait: Portrait) -> None:
    own = len(portrait.head.texture)  # a small photo: less than the usual bound
    assert own == 4 * np.ceil(portrait.head_crop.side / 2)
    assert portrait.build_head(texture=512).texture.shape == (512, 512, 3)
    fine = replace(portrait.head_crop, side=3000.0)
    sizes = {largest: 2 * texture_size(fine, largest) for largest in (512, 2048, 4096)}
    assert sizes == {512: 512, 2048: 2048, 4096: 4096}
    for wrong in (256, 8192):
        with pytest.raises(ValueError, match="texture"):
            portrait.build_head(texture=wrong)


def mirrored(astronaut: UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(astronaut[:, ::-1]))


def test_one_photo_of_a_person_is_a_plain_reconstruction(
    model: Portrait3D, portrait: Portrait, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    alone = model.reconstruct_person([astronaut])
    assert alone.others == ()
    assert torch.equal(alone.coefficients.to_vector(), portrait.coefficients.to_vector())
    assert np.array_equal(alone.head.vertices, portrait.head.vertices)
    assert np.array_equal(alone.head.texture, portrait.head.texture)


def test_photos_of_one_person_share_an_identity_in_whatever_order(
    model: Portrait3D, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    photos = [astronaut, mirrored(astronaut)]
    one, other = model.reconstruct_person(photos), model.reconstruct_person(photos[::-1])
    assert np.array_equal(one.photo.pixels, other.photo.pixels)
    assert torch.equal(one.coefficients.to_vector(), other.coefficients.to_vector())
    assert torch.equal(one.coefficients.identity, one.others[0].coefficients.identity)
    assert np.array_equal(one.head.texture, other.head.texture)
    with pytest.raises(ValueError, match="several photos"):
        one.save("person.npz")


def test_photos_of_different_people_are_refused_unless_told_otherwise(
    model: Portrait3D, astronaut: UInt8[np.ndarray, "H W 3"], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, faces = pipeline.fit_faces, []

    def somebody_else(*given):
        (fit,) = fitted(*given)
        opposite = 2 * model.face_net.shape_mean[:80] - fit.coefficients.identity
        faces.append(fit)
        second = len(faces) == 2
        return [replace(fit, coefficients=replace(fit.coefficients, identity=opposite)) if second else fit]

    monkeypatch.setattr(pipeline, "fit_faces", somebody_else)
    with pytest.raises(DifferentPeopleError, match="different people"):
        model.reconstruct_person([astronaut, mirrored(astronaut)])
    faces.clear()
    assert len(model.reconstruct_person([astronaut, mirrored(astronaut)], check=False).others) == 1


def test_a_photo_without_a_face_among_several_is_named(
    model: Portrait3D, astronaut: UInt8[np.ndarray, "H W 3"], tmp_path
) -> None:
    back = tmp_path / "back.png"
    Image.new("RGB", (200, 200), "grey").save(back)
    with pytest.raises(NoFaceError, match=r"back\.png"):
        model.reconstruct_person([astronaut, back])
    for wrong in ("front.jpg", []):
        with pytest.raises((TypeError, ValueError), match="photos must"):
            model.reconstruct_person(wrong)
