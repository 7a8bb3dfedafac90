"""Drawn people with exact labels, weak labels of photos, and rounds of self-training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.data.face.fits import project_points
from portrait3d.data.parsing.label_sets import (
    UNSURE,
    bit,
    certain,
    collect,
    exact_sets,
    label_path,
    mirrored_sets,
    read_sets,
    save_sets,
)
from portrait3d.data.parsing.preparation import DRAWN_FOLDERS, drawn_people, prepare_parsing
from portrait3d.data.parsing.rounds import agreed, prepare_labels
from portrait3d.data.parsing.scenes import ParsedAvatars, ParsedHeads
from portrait3d.data.parsing.weak_labels import FaceFrame, possible_classes, weak_sets
from portrait3d.data.people.avatars import HELD_OUT, read_avatars
from portrait3d.data.people.ornaments import hang_earrings
from portrait3d.data.people.outfits import under_headgear, with_headgear
from portrait3d.data.photos.labelled import PhotoFolder, real_photos
from portrait3d.data.photos.people_free import LEAST, PeopleFreeBackgrounds, largest_empty_square
from portrait3d.data.synthetic import STYLES_TRAIN, STYLES_VALIDATION
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.data.synthetic.headgear import CLOSED, KINDS, Headgear
from portrait3d.data.synthetic.heads import draw_coefficients
from portrait3d.geometry.pose import Pose
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.parsing_classes import ParsingClass
from tiny_avatars import write_avatars
from tiny_photos import photo_folder

BACKGROUND, FACE, HAIR, LEFT_EAR, RIGHT_EAR, MOUTH, NECK, BODY = range(8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of noise: hair above, a figure in the middle, nobody in the corners."""
    root = photo_folder(tmp_path_factory.mktemp("photos"), HeadModel.load())
    hair, figure = np.zeros((2, 200, 200), np.uint8)
    hair[10:40, 80:160], figure[10:, 80:160] = 255, 255
    for kind, values in (("hair", hair), ("figure", figure)):
        (root / "portraits" / kind).mkdir()
        for k in range(6):
            Image.fromarray(values).save(root / "portraits" / kind / f"p{k}.png")
    return root


@pytest.fixture(scope="module")
def drawn(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of each source."""
    names = {"Plain_F_1": "short crop", HELD_OUT[0]: "long wavy"}
    avatars = write_avatars(tmp_path_factory.mktemp("avatars"), names)
    out = tmp_path_factory.mktemp("drawn")
    made = prepare_parsing(
        photos, out, avatars=avatars, hairstyles=None, avatar_views=2, synthetic_views=2, hairstyle_views=0
    )
    assert [folder.relative_to(out).as_posix() for folder in made] == [DRAWN_FOLDERS[0], DRAWN_FOLDERS[2]]
    return out


def test_sets_are_bits_of_the_classes() -> None:
    labels = np.array([[0, 8], [3, 1]])
    sets = exact_sets(labels)
    assert sets.tolist() == [[1, 256], [8, 2]]
    assert certain(sets).tolist() == labels.tolist()
    both = sets | np.uint16(bit("hair"))
    assert certain(both).tolist() == [[UNSURE] * 2] * 2
    assert certain(np.zeros(1, np.uint16)).tolist() == [UNSURE]
    allowed = np.zeros((9, 2, 2), bool)
    allowed[2] = allowed[0, 0, 0] = allowed[8, 0, 1] = allowed[3, 1, 0] = allowed[1, 1, 1] = True
    np.testing.assert_array_equal(collect(allowed), both)


def test_mirrored_sets_exchange_the_ears() -> None:
    sets = np.array([0b000001000, 0b000010010, 0b100000101], np.uint16)
    assert mirrored_sets(sets).tolist() == [0b000010000, 0b000001010, 0b100000101]


def test_sets_survive_the_disk_and_other_pictures_are_refused(tmp_path: Path) -> None:
    sets = np.arange(512, dtype=np.uint16).reshape(16, 32)
    save_sets(sets, tmp_path / "deep" / "a.png")
    np.testing.assert_array_equal(read_sets(tmp_path / "deep" / "a.png"), sets)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="holds no label sets"):
        read_sets(tmp_path / "b.png")


def face_frame() -> FaceFrame:
    """A round face of radius 50 in a picture of 200 x 200, in its middle, with a mouth, ears and neck."""
    y, x = np.mgrid[:200, :200] + 0.5 - 100
    return FaceFrame(
        right=x / 100,
        up=(50 - y) / 100,
        beyond=(np.hypot(x, y) - 50) / 100,
        mouth=(np.hypot(x / 2, y - 25) - 6) / 100,
        opening=0.12,
        ear=10 / 100 - np.hypot(np.abs(x) - 52, y) / 100,
        neck=np.minimum(20 - np.abs(x), np.minimum(y - 40, 80 - y)) / 100,
        tint=np.zeros(x.shape),
    )


def test_weak_labels_say_what_maps_and_mesh_know_and_no_more() -> None:
    hair, figure = np.zeros((2, 200, 200), np.float32)
    figure[20:, 30:170] = 1
    hair[20:60, 40:160] = 1
    hair[115:155, 60:140] = 1  # a beard
    sets = possible_classes(hair, figure, face_frame())
    assert sets[5, 5] == bit("background")
    assert sets[30, 100] == bit("hair")
    assert sets[95, 100] == bit("face")
    assert sets[140, 100] == bit("face"), "beards are face"
    assert sets[63, 100] == bit("face"), "a forehead without hair"
    assert sets[58, 100] == bit("hair"), "a fringe"
    assert sets[125, 100] == bit("inner mouth")
    assert sets[100, 50] == bit("left ear"), "well inside an ear of the fitted head"
    assert sets[100, 150] == bit("right ear")
    assert sets[109, 51] == bit("face") | bit("left ear"), "its border may be off"
    assert sets[195, 100] & bit("body")
    assert not sets[195, 100] & (bit("face") | bit("hair") | bit("background") | bit("headwear"))


def test_skin_beside_the_outline_is_ear_near_a_fitted_ear_and_hair_may_cover_it() -> None:
    hair, figure = np.zeros((200, 200), np.float32), np.ones((200, 200), np.float32)
    sets = possible_classes(hair, figure, face_frame())
    assert sets[100, 39] == bit("left ear") | bit("headwear")
    assert sets[60, 50] & bit("face"), "a bald temple"
    assert not sets[60, 50] & bit("left ear")
    hair[:] = 0.95
    assert possible_classes(hair, figure, face_frame())[100, 50] == bit("hair")


def test_skin_on_the_fitted_neck_is_neck_and_a_collar_may_be_either() -> None:
    hair, figure = np.zeros((200, 200), np.float32), np.ones((200, 200), np.float32)
    assert possible_classes(hair, figure, face_frame())[170, 100] == bit("neck")
    dressed = replace(face_frame(), tint=np.full((200, 200), 0.5))
    sets = possible_classes(hair, figure, dressed)
    assert sets[170, 100] & bit("neck")
    assert sets[170, 100] & bit("body")


def test_what_lies_outside_the_neck_and_does_not_look_like_skin_is_body() -> None:
    hair, figure = np.zeros((200, 200), np.float32), np.ones((200, 200), np.float32)
    beside = possible_classes(hair, figure, face_frame())[190, 60]
    assert beside & bit("neck"), "a bare shoulder"
    assert beside & bit("body"), "a jacket in the colour of skin"
    dressed = replace(face_frame(), tint=np.full((200, 200), 0.5))
    assert possible_classes(hair, figure, dressed)[190, 60] == bit("body")
    hair[:] = 0.3
    assert possible_classes(hair, figure, dressed)[190, 60] & bit("hair")


def test_ears_and_neck_are_those_of_the_head_that_fits_the_points(photos: Path) -> None:
    points = MeshPoints.from_head_model(HeadModel.load())
    pose = Pose(torch.eye(3)[None], torch.tensor([[0.0, 0.0, 2000.0]]))
    mean = project_points(points, torch.zeros(1, 144), pose)[0].numpy() - [12, 12]
    photo = replace(real_photos(photos, "val")[0], points=np.pad(mean, ((0, 0), (0, 1))).astype(np.float32))
    frame = FaceFrame.of(photo)
    row, column = np.nonzero(frame.ear > 0)
    middle, top, chin = mean[:, 0].mean(), mean[10, 1], mean[152, 1]
    for side in (column < middle, column > middle):
        assert side.sum() > 20
        assert top < row[side].mean() < chin
    row, column = np.nonzero(frame.neck > 0)
    assert len(row) > 100
    assert np.abs(column.mean() - middle) < 5
    assert row.mean() > chin


def test_other_people_are_not_labelled() -> None:
    hair, figure = np.zeros((2, 200, 200), np.float32)
    figure[20:, 40:160] = figure[60:, 180:] = 1
    sets = possible_classes(hair, figure, face_frame())
    assert (sets[100:, 185:] == 0).all()
    assert (sets[100:, 45:150] > 0).all()


def test_a_photo_without_a_face_in_it_has_no_labels_that_crash(photos: Path) -> None:
    photo = real_photos(photos, "val")[0]
    sets = weak_sets(photo)
    assert sets.shape == (200, 200)
    assert (sets[100:, :20] == bit("background")).all()


def test_a_round_narrows_sets_where_all_networks_are_sure() -> None:
    weak = np.array([[bit("face") | bit("left ear")] * 4], np.uint16)
    one, other = np.zeros((2, 1, 4, 9), np.float32)
    one[0, 0, LEFT_EAR] = other[0, 0, LEFT_EAR] = 0.9  # both: an ear
    one[0, 1, LEFT_EAR], other[0, 1, FACE] = 0.9, 0.9  # one each
    one[0, 2, HAIR] = other[0, 2, HAIR] = 0.9  # both, against the maps
    one[0, 3, FACE] = other[0, 3, FACE] = 0.5  # neither is sure
    result = agreed(weak, [one, other])
    assert result.tolist() == [[bit("left ear"), weak[0, 1], 0, weak[0, 3]]]


def test_rounds_write_sets_of_the_training_photos_alone(photos: Path, tmp_path: Path) -> None:
    weak = list(prepare_labels(photos, tmp_path / "weak", None))
    assert [path.stem for path in weak] == ["p0", "p1", "p2", "p3"]
    torch.manual_seed(0)
    experts = ParsingExperts([ParsingNet(0.25, (8,) * 5), ParsingNet(0.25, (8,) * 5, framing="tanh")]).eval()
    for photo, path in zip(real_photos(photos, "train"), weak, strict=True):
        np.testing.assert_array_equal(read_sets(path), weak_sets(photo))
    told = list(prepare_labels(photos, tmp_path / "told", experts))
    for before, after in zip(weak, told, strict=True):
        sets, narrowed = read_sets(before), read_sets(after)
        assert ((narrowed & ~sets) == 0).all(), "a round only takes classes away"
    assert label_path(tmp_path / "told", real_photos(photos, "train")[0]) == told[0]


def test_backgrounds_show_nobody(photos: Path) -> None:
    learned = real_photos(photos, "train")
    backgrounds = PeopleFreeBackgrounds(learned)
    assert len(backgrounds.pieces) == 4
    assert all(len(piece) >= LEAST for piece in backgrounds.pieces)
    noise = {learned[0].pixels()[row, :80].tobytes() for row in range(200)}
    assert len(noise) == 200
    drawn = backgrounds.draw(np.random.default_rng(0), 64)
    assert drawn.shape == (3, 64, 64)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_the_empty_square_is_empty() -> None:
    empty = np.ones((300, 400), bool)
    empty[60:, 100:300] = False
    found = largest_empty_square(empty, np.random.default_rng(0))
    assert found is not None
    top, left, side = found
    assert empty[top : top + side, left : left + side].all()
    assert side >= 90
    assert largest_empty_square(np.zeros((300, 400), bool), np.random.default_rng(0)) is None


def test_the_two_splits_share_no_head_no_style_and_no_wall(drawn: Path) -> None:
    people = drawn_people(drawn)
    persons = {
        split: {photo.person for photo in people if photo.split == split} for split in ("train", "val")
    }
    assert not persons["train"] & persons["val"]
    assert not persons["train"] & set(HELD_OUT)
    assert persons["val"] >= {HELD_OUT[0]}
    assert persons["train"] - {"Plain_F_1"} <= set(STYLES_TRAIN)
    assert persons["val"] - {HELD_OUT[0]} <= set(STYLES_VALIDATION)


def test_drawn_people_are_read_like_photos(drawn: Path) -> None:
    for photo in drawn_people(drawn):
        labels = photo.parsing()
        assert labels.shape == photo.pixels().shape[:2] == (photo.height, photo.width)
        assert (labels == FACE).sum() > 1000
        assert (labels == BACKGROUND).sum() > 1000
        assert photo.has_mesh_points
        face = np.argwhere(labels == FACE).mean(0)[::-1]
        assert np.abs(photo.points[:, :2].mean(0) - face).max() < 0.15 * photo.width
    with pytest.raises(FileNotFoundError, match="prepare parsing"):
        drawn_people(drawn / "nowhere")


def test_pictures_that_are_there_are_kept(drawn: Path, photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in drawn.rglob("images/*.jpg")}
    list(prepare_parsing(photos, drawn, avatars=None, hairstyles=None, synthetic_views=3))
    after = {path: path.stat().st_mtime_ns for path in drawn.rglob("images/*.jpg")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert len(PhotoFolder(drawn, folders=[DRAWN_FOLDERS[2]], split="train")) == 3


def test_a_scene_depends_on_its_number_alone() -> None:
    heads = ParsedHeads(0, {"short": STYLES_TRAIN["short"]}, draw_background)
    first = heads.scene(5)
    heads.scene(2)
    again = heads.scene(5)
    np.testing.assert_array_equal(first.picture, again.picture)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_avatars_turn_to_profiles_with_the_ear_that_is_seen(tmp_path: Path) -> None:
    heads = ParsedAvatars(0, read_avatars(write_avatars(tmp_path, {"A": "bald"})), draw_background)
    seen = 0
    for number in range(12):
        scene = heads.scene(number)
        yaw = np.degrees(scene.angles[0])
        if abs(yaw) > 60 and not (scene.labels == ParsingClass.HEADWEAR).any():
            near, far = (LEFT_EAR, RIGHT_EAR) if yaw > 0 else (RIGHT_EAR, LEFT_EAR)
            assert (scene.labels == near).sum() > 50
            assert (scene.labels == near).sum() > 5 * (scene.labels == far).sum()
            seen += 1
    assert seen


@pytest.mark.parametrize("kind", KINDS)
def test_headgear_encloses_the_hair_that_it_covers(kind: str) -> None:
    heads = ParsedHeads(0, {"afro": STYLES_TRAIN["afro"]}, draw_background).heads
    rng = np.random.default_rng(3)
    gear = next(gear for gear in (Headgear.draw(rng) for _ in range(200)) if gear.kind == kind)
    person, _ = heads.dress(draw_coefficients(heads.head, rng), heads.styles["afro"], torch.eye(3), rng)
    dressed = with_headgear(person, gear)
    shell = dressed.layers[-1]
    assert (shell.labels == ParsingClass.HEADWEAR).all()
    assert np.isfinite(shell.attributes).all()
    hair = [layer.vertices for layer in dressed.layers[1:-1] if (layer.labels == HAIR).all()]
    if kind in CLOSED:
        assert not hair
        return
    top = shell.vertices[:, 1].min()
    if kind != "band":
        assert np.concatenate(hair)[:, 1].min() > top


def test_avatars_hair_is_pressed_under_a_beanie(tmp_path: Path) -> None:
    (avatar,) = read_avatars(write_avatars(tmp_path, {"A": "long wavy"}))
    rng = np.random.default_rng(0)
    gear = next(gear for gear in (Headgear.draw(rng) for _ in range(200)) if gear.kind == "hood")
    worn, _ = under_headgear(avatar, gear)
    assert ((worn.labels == HAIR) & (worn.face_material == 2)).sum() == 0
    assert (avatar.face_material == 2).any()


def test_earrings_hang_from_whole_ears_and_are_body() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[20:70, 10:25], labels[50:70, 75:90] = LEFT_EAR, RIGHT_EAR  # the right one is half hidden
    image = np.full((3, 100, 100), 0.5, np.float32)
    drawn, found = hang_earrings(image, labels, 1.0, np.random.default_rng(0))
    rows, columns = np.nonzero(found == BODY)
    assert len(rows) > 5
    assert columns.max() < 40
    assert abs(rows.min() - 67) < 8
    assert (drawn[:, found == BODY] != 0.5).any()
    np.testing.assert_array_equal(labels[:, 75:90], found[:, 75:90])
