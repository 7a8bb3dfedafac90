"""Other people's face models on the head model's vertices, tried on files made in the layout of theirs."""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from scipy.io import loadmat, savemat

from portrait3d.data.face.fits import FitConfig, fit_points, project_points
from portrait3d.errors import WeightsError
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.geometry.similarity import Similarity
from portrait3d.models.adapters import AdaptedModel, LinearModel, adapt
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, coefficients_of_shape

MODES = 30
SIZE = 1.08
"""Of the other heads, over the bundled one's."""


@dataclass(frozen=True)
class Truth:
    """A made-up model in the head model's own vertices and frame, and what a file of it would hold."""

    mean: Float[np.ndarray, "V 3"]
    shapes: Float[np.ndarray, "K V 3"]
    colour_mean: Float[np.ndarray, "V 3"]
    colours: Float[np.ndarray, "K V 3"]


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def truth(head: HeadModel) -> Truth:
    """Mixtures of the bundled modes, and bumps of 20 to 40 mm that no bundled mode has."""
    random = np.random.default_rng(3)
    points = head.mean.double().numpy()
    skin = np.flatnonzero(head.face_mask.numpy() > 0.5)

    def bumps(count: int, height: float) -> np.ndarray:
        centre = points[random.choice(skin, count)]
        width = random.uniform(20, 40, (count, 1))
        near = np.exp(-(((points - centre[:, None]) ** 2).sum(-1)) / (2 * width**2))
        return near[..., None] * random.normal(0, height, (count, 1, 3))

    mix = random.normal(0, 1, (MODES, 80)) / np.sqrt(MODES)
    shapes = np.tensordot(mix, head.identity_basis.double().numpy(), 1) + bumps(MODES, 0.4)
    even = bumps(6, 1.5).sum(axis=0)
    mean = points + np.tensordot(random.normal(0, 0.5, 80), head.identity_basis.double().numpy(), 1) + even
    mean = (mean + mean[head.mirror.numpy()] * [-1, 1, 1]) / 2
    tones = np.tensordot(mix, head.albedo_basis.double().numpy(), 1)
    return Truth(mean, shapes, np.clip(head.albedo_mean.double().numpy() + 0.05, 0, 1), tones)


def other_mesh(
    head: HeadModel, fields: Float[np.ndarray, "M V 3"], lowest: float, deepest: float
) -> tuple[Float[np.ndarray, "M N 3"], np.ndarray]:
    """Fields over other vertices: the skin subdivided, cut off below and behind, and shuffled."""
    values = head.subdivide(torch.from_numpy(fields).float()).double().numpy()
    faces = head.subdivided_faces.numpy()
    place = head.subdivide(head.mean[None])[0].numpy()
    kept = (place[:, 1] < lowest) & (place[:, 2] < deepest)
    faces = faces[kept[faces].all(axis=1)]
    used = np.random.default_rng(0).permutation(np.unique(faces))
    number = np.full(len(place), -1)
    number[used] = np.arange(len(used))
    return values[:, used], number[faces]


def in_their_frame(points: Float[np.ndarray, "... 3"], unit: float) -> Float[np.ndarray, "... 3"]:
    """Millimetres of the head model in a frame with y up and z toward the viewer."""
    return points * [1, -1, -1] * SIZE * unit


@pytest.fixture(scope="module")
def basel_files(head: HeadModel, truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file like Basel's: micrometres, unit modes, triangles from 1 on, a face with ears alone."""
    folder = tmp_path_factory.mktemp("basel")
    fields = np.concatenate([truth.mean[None], truth.shapes, truth.colour_mean[None], truth.colours])
    values, faces = other_mesh(head, fields, lowest=95.0, deepest=75.0)
    mean, shapes, tone, tones = np.split(values, [1, MODES + 1, MODES + 2])
    table: dict[str, np.ndarray] = {"tl": faces[:, ::-1].astype(float) + 1}
    for kind, average, modes in (
        ("shape", in_their_frame(mean + np.array([0, 5, -20]), 1e3), in_their_frame(shapes, 1e3)),
        ("tex", 255 * tone, 255 * tones),
    ):
        flat = modes.reshape(MODES, -1).T
        length = np.linalg.norm(flat, axis=0)
        table |= {f"{kind}MU": average.reshape(-1, 1), f"{kind}EV": length[:, None].astype(np.float32)}
        table |= {f"{kind}PC": (flat / length).astype(np.float32)}
    savemat(folder / "01_MorphableModel.mat", table)
    marks = head.landmarks(torch.from_numpy(truth.mean).float()[None])[0].double().numpy()
    gap = np.linalg.norm(marks[:, None] - mean[0], axis=-1)
    lines = "\n".join(str(number + 1) for number in gap.argmin(axis=1))
    (folder / "Landmarks68_BFM.anl").write_text(f"%68 Landmark points\n{lines}\n")
    return folder / "01_MorphableModel.mat", folder / "Landmarks68_BFM.anl"


@pytest.fixture(scope="module")
def flame_file(head: HeadModel, truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like FLAME's: metres, a whole head, eyeballs as pieces of their own."""
    path = tmp_path_factory.mktemp("flame") / "flame.npz"
    fields = np.concatenate([truth.mean[None], truth.shapes])
    values, faces = other_mesh(head, fields, lowest=1e9, deepest=1e9)
    ball = np.unique(head.faces[head.face_part == head.part_names.index("left_eyeball")].numpy())
    balls = head.faces[head.face_part == head.part_names.index("left_eyeball")].numpy()
    faces = np.concatenate([faces, np.searchsorted(ball, balls) + values.shape[1]])
    values = np.concatenate([values, fields[:, ball]], axis=1)
    marks = head.landmarks(torch.from_numpy(truth.mean).float()[None])[0, 17:].double().numpy()
    np.savez(
        path,
        v_template=in_their_frame(values[0] + np.array([2, 10, 30]), 1e-3),
        shapedirs=in_their_frame(values[1:], 1e-3).transpose(1, 2, 0),
        f=faces.astype(np.uint32),
        landmarks=in_their_frame(marks + np.array([2, 10, 30]), 1e-3),
    )
    return path


@pytest.fixture(scope="module")
def basel(basel_files: tuple[Path, Path]) -> AdaptedModel:
    return adapt(LinearModel.read_basel(*basel_files))


@pytest.fixture(scope="module")
def flame(flame_file: Path) -> AdaptedModel:
    return adapt(LinearModel.read_flame(flame_file))


@pytest.fixture(params=["basel", "flame"])
def adapted(request: pytest.FixtureRequest) -> AdaptedModel:
    return request.getfixturevalue(request.param)


def face_of(head: HeadModel) -> np.ndarray:
    return np.flatnonzero(head.face_mask.numpy() > 0.5)


def distance(a: Float[np.ndarray, "V 3"], b: Float[np.ndarray, "V 3"], chosen: np.ndarray) -> float:
    """Mean distance of vertices (mm) in the best pose and size."""
    motion = Similarity.between(a[chosen], b[chosen])
    return float(np.linalg.norm(motion.apply(a[chosen]) - b[chosen], axis=1).mean())


def people(truth: Truth, count: int) -> Float[np.ndarray, "B V 3"]:
    weight = np.random.default_rng(5).normal(0, 1, (count, MODES))
    return truth.mean + np.tensordot(weight, truth.shapes, 1)


def test_the_mean_head_becomes_the_other_models_place_by_place(
    head: HeadModel, truth: Truth, adapted: AdaptedModel
) -> None:
    before, after = head.mean.double().numpy(), adapted.arrays["mean"].astype(float)
    assert adapted.error < 0.1  # on the other surface ...
    for chosen in (face_of(head), np.flatnonzero(head.lips_mask.numpy() > 0.5)):  # ... and at the right place
        assert distance(after, truth.mean, chosen) < 0.5 * distance(before, truth.mean, chosen)


def test_what_the_other_model_lacks_is_completed_by_the_bundled_one(
    head: HeadModel, truth: Truth, basel: AdaptedModel
) -> None:
    lacking = np.flatnonzero(basel.known == 0)
    before, after = head.mean.double().numpy(), basel.arrays["mean"].astype(float)
    assert head.mean[lacking, 2].max() > 100  # the back of the head, mm
    motion = Similarity.between(truth.mean[face_of(head)], after[face_of(head)])
    gap = np.linalg.norm(after - motion.apply(truth.mean), axis=1)
    assert gap[lacking].mean() < np.linalg.norm(before - motion.apply(truth.mean), axis=1)[lacking].mean()
    skin = head.skin_faces.numpy()
    edges = np.linalg.norm(after[skin[:, 0]] - after[skin[:, 1]], axis=1)
    assert (edges / np.linalg.norm(before[skin[:, 0]] - before[skin[:, 1]], axis=1)).max() < 3  # no tear


def test_eyes_stay_behind_their_lids(head: HeadModel, adapted: AdaptedModel) -> None:
    lids = np.flatnonzero(head.lids_mask.numpy() > 0.5)
    balls = np.isin(
        head.part_of_vertex.numpy(), [head.part_names.index(f"{s}_eyeball") for s in ("left", "right")]
    )
    before, after = head.mean.double().numpy(), adapted.arrays["mean"].astype(float)
    for side in (-1, 1):
        lid, ball = lids[side * before[lids, 0] > 0], np.flatnonzero(balls & (side * before[:, 0] > 0))
        step = [x[ball].mean(axis=0) - x[lid].mean(axis=0) for x in (before, after)]
        assert np.linalg.norm(step[1] - step[0]) < 1.5  # mm


def test_people_of_the_other_model_are_people_of_the_adapted_one(
    head: HeadModel, truth: Truth, adapted: AdaptedModel
) -> None:
    face = face_of(head)
    mean, basis = (adapted.arrays[name].astype(float) for name in ("mean", "identity_basis"))
    rows = basis[:, face].reshape(80, -1).T
    for person in people(truth, 4):
        found = mean
        for _ in range(3):
            moved = Similarity.between(person[face], found[face]).apply(person)
            system = np.concatenate([rows, 2.0 * np.eye(80)])
            weight = np.linalg.lstsq(system, np.append((moved - mean)[face].ravel(), np.zeros(80)))[0]
            found = mean + np.tensordot(weight, basis, 1)
        assert distance(person, found, face) < 0.9 < 2.0 < distance(person, mean, face)
        assert weight.std() < 1.2  # standard deviations, as the other model's own


def test_modes_neither_move_nor_turn_nor_enlarge_the_face(adapted: AdaptedModel) -> None:
    known = adapted.known[:, None]
    mean, basis = (adapted.arrays[name].astype(float) for name in ("mean", "identity_basis"))
    arm = mean - (mean * known).sum(axis=0) / known.sum()
    size = np.linalg.norm(basis * known, axis=(1, 2)) + 1e-9
    for motion in (
        *(np.broadcast_to(axis, arm.shape) for axis in np.eye(3)),
        *np.cross(np.eye(3)[:, None], arm),
        arm,
    ):
        along = (basis * motion * known).sum(axis=(1, 2)) / np.linalg.norm(motion * known)
        assert (np.abs(along) / size).max() < 0.02


def test_the_mirror_of_a_face_is_exact(adapted: AdaptedModel) -> None:
    model = HeadModel(adapted.arrays)
    face = FaceCoefficients.from_vector(0.5 * torch.randn(1, 233))
    for values, sign in ((model.vertices, -1.0), (model.albedo, 1.0)):
        flipped = values(face)[:, model.mirror] * torch.tensor([sign, 1.0, 1.0])
        torch.testing.assert_close(values(model.mirrored(face)), flipped, atol=2e-3, rtol=0)


def test_basel_brings_its_colours_and_flame_keeps_the_bundled_ones(
    head: HeadModel, truth: Truth, basel: AdaptedModel, flame: AdaptedModel
) -> None:
    face = face_of(head)
    assert np.abs(basel.arrays["albedo_mean"] - truth.colour_mean)[face].mean() < 0.01
    spread = [
        np.sqrt((colours[:, face] ** 2).sum(axis=0)).mean()
        for colours in (truth.colours, basel.arrays["albedo_basis"])
    ]
    assert spread[1] == pytest.approx(spread[0], rel=0.1)
    np.testing.assert_array_equal(HeadModel(flame.arrays).albedo_mean, head.albedo_mean)


def test_the_size_stays_the_bundled_ones_and_is_told(head: HeadModel, adapted: AdaptedModel) -> None:
    extent = [np.ptp(mean, axis=0)[1] for mean in (head.mean.numpy(), adapted.arrays["mean"])]
    assert extent[1] == pytest.approx(extent[0], rel=0.05)
    assert adapted.scale == pytest.approx(SIZE, rel=0.05)


def test_the_points_of_a_photo_tell_more_of_the_other_models_people_through_the_adapted_one(
    head: HeadModel, truth: Truth, basel: AdaptedModel, tmp_path: Path
) -> None:
    """The labels that the face network learns from: fits to the 468 points."""
    np.savez(tmp_path / "mine.npz", **basel.arrays)  # pyright: ignore[reportArgumentType]
    given = people(truth, 12)
    yaw = torch.linspace(-0.4, 0.4, len(given))
    pose = Pose(
        rotation_from_euler(yaw, 0 * yaw, 0 * yaw), torch.tensor([0.0, 0.0, 1500.0]).repeat(len(given), 1)
    )
    seen = pose.apply(head.mesh_points(torch.from_numpy(given).float()))
    pixels = 112 + 1015 * seen[..., :2] / seen[..., 2:]
    pixels = pixels + 0.3 * torch.randn_like(pixels)
    outline = torch.zeros(468, dtype=torch.bool)
    error = {}
    for name, model in (("bundled", head), ("adapted", HeadModel.load(tmp_path / "mine.npz"))):
        points = MeshPoints.from_head_model(model)
        shape, found = fit_points(points, pixels, outline=outline, config=FitConfig())
        assert (project_points(points, shape, found) - pixels).norm(dim=-1).mean() < 1.0
        heads = model.vertices(coefficients_of_shape(shape)).double().numpy()
        pairs = zip(heads, given, strict=True)
        error[name] = np.mean([distance(mine, true, face_of(head)) for mine, true in pairs])
    assert error["adapted"] < 0.75 * error["bundled"]


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("texPC", None, "texPC is missing or holds no numbers"),
        ("shapePC", lambda a: a[:-3], r"shapePC \(\d+, 30\).* expected \[3 N, 1\]"),
        ("shapeEV", lambda a: a[:-1], r"shapeEV \(29, 1\), expected"),
        ("shapeMU", lambda a: a * np.nan, "shapeMU has values that aren't finite"),
        ("tl", lambda a: a - 1, "tl has numbers beyond the"),
        ("tl", lambda a: a[:, :2], r"tl has the shape .* expected \[F, 3\]"),
    ],
)
def test_a_file_that_is_not_basels_is_named_with_what_is_wrong(
    name, change, complaint, basel_files, tmp_path
):
    table = {key: value for key, value in loadmat(basel_files[0]).items() if not key.startswith("__")}
    value = table.pop(name)
    if change is not None:
        table[name] = change(value)
    savemat(tmp_path / "mine.mat", table)
    with pytest.raises(WeightsError, match=rf"mine\.mat: .*{complaint}"):
        LinearModel.read_basel(tmp_path / "mine.mat", basel_files[1])


def test_missing_and_foreign_files_are_named(basel_files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mat is missing; docs/models/adapters\.md"):
        LinearModel.read_basel(tmp_path / "nowhere.mat", basel_files[1])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz is missing; docs/models/adapters\.md"):
        LinearModel.read_flame(tmp_path / "nowhere.npz")
    (tmp_path / "mine.mat").write_bytes(b"no Matlab file")
    with pytest.raises(WeightsError, match=r"mine\.mat is no Matlab file that can be read"):
        LinearModel.read_basel(tmp_path / "mine.mat", basel_files[1])
    for text, complaint in (("1\n2\n", "holds 2 numbers, expected"), ("%\na\n", "is no list of vertices")):
        (tmp_path / "marks.anl").write_text(text)
        with pytest.raises(WeightsError, match=rf"marks\.anl {complaint}"):
            LinearModel.read_basel(basel_files[0], tmp_path / "marks.anl")


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match=r"generic_model\.pkl is no npz file"):
        LinearModel.read_flame(tmp_path / "generic_model.pkl")
    assert not (tmp_path / "ran").exists()


def test_the_page_says_how_to_make_an_npz_file_of_flames_pickle(
    flame_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "models" / "adapters.md"
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    with np.load(flame_file) as table:
        model = {name: table[name] for name in ("v_template", "shapedirs", "f")}
    spare = 300 - model["shapedirs"].shape[2]  # expressions come after 300 modes of shape
    model["shapedirs"] = np.pad(model["shapedirs"], [(0, 0), (0, 0), (0, spare + 100)])
    weights = np.array([0.2, 0.3, 0.5])
    marks = {"lmk_face_idx": np.arange(51, dtype=np.uint32), "lmk_b_coords": np.tile(weights, (51, 1))}
    for name, content in (("flame2023_Open", model), ("flame_static_embedding", marks)):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(content))
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    made = LinearModel.read_flame(tmp_path / "flame.npz")
    corners = made.mean[model["f"][:51].astype(np.int64)]
    expected = (corners * weights[:, None]).sum(axis=1)
    np.testing.assert_allclose(made.landmarks, expected, atol=1e-9)
    assert len(made.shapes) == 300
