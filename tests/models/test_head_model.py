"""The bundled head model: its conventions, symmetry and derivatives."""

import io
import zipfile
from importlib.resources import files

import numpy as np
import pytest
import torch

from portrait3d.errors import WeightsError
from portrait3d.models.coefficients import LENGTHS, FaceCoefficients
from portrait3d.models.head_model import ARRAYS, HeadModel

# Apple's blend shapes (ARFaceAnchor.BlendShapeLocation), without sides.
# fmt: off
PAIRED = [
    "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut",
    "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress",
    "mouthSmile",
    "mouthStretch", "mouthUpperUp", "noseSneer",
]
SINGLE = [
    "browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel",
    "mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "tongueOut",
]
# fmt: on
FLIP_X = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


def random_face(batch: int = 1) -> FaceCoefficients:
    return FaceCoefficients.from_vector(0.5 * torch.randn(batch, sum(LENGTHS.values())))


def test_coefficients_survive_a_round_trip_through_one_vector():
    vector = torch.randn(3, 233)
    assert torch.equal(FaceCoefficients.from_vector(vector).to_vector(), vector)


def test_the_asset_reads_without_pickle_and_is_small():
    path = files("portrait3d") / "assets" / "head_model.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        for name in arrays:
            values = arrays[name]
            assert values.dtype.kind != "O"
            assert values.dtype.kind not in "f" or np.isfinite(values).all()
    assert len(path.read_bytes()) < 5_000_000


def test_a_missing_asset_names_itself_and_the_script_that_builds_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz.*build_head_model"):
        HeadModel.load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("mean", None, "mean is missing"),
        ("mean", lambda a: a * np.nan, "mean has values that aren't finite"),
        ("mean", lambda a: a.astype(int), "mean is stored as int64, expected"),
        ("mean", lambda a: a.astype(np.complex64), "mean is stored as complex64, expected"),
        ("mean", lambda a: a[:-1], r"has the shape .*, expected \[.*V"),
        ("identity_basis", lambda a: a[:79], r"identity_basis has the shape \(79, .*expected \[80 V 3\]"),
        ("albedo_scale", lambda a: a[:0], r"albedo_scale has the shape \(0,\)"),
        ("quads", lambda a: a * 0 - 1, "quads is stored as|quads has numbers beyond the 4706 of mean"),
        ("mirror", lambda a: a + 1, "mirror has numbers beyond the 4706 of mean"),
        ("part_names", lambda a: a.astype(object), "part_names is stored as object"),
        ("part_names", lambda a: a.astype("U1000"), "part_names is stored as <U1000"),
    ],
)
def test_arrays_that_make_no_head_model_are_named_by_file_and_entry(name, change, complaint, tmp_path):
    asset = files("portrait3d") / "assets" / "head_model.npz"
    with asset.open("rb") as file, np.load(file) as arrays:
        given = {key: arrays[key] for key in ARRAYS if key != name or change is not None}
    if change is not None:
        given[name] = change(given[name])
    np.savez(tmp_path / "mine.npz", **given)
    with pytest.raises(WeightsError, match=rf"mine\.npz: .*{complaint}"):
        HeadModel.load(tmp_path / "mine.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", "half", "array", "giant"])
def test_what_is_no_archive_of_arrays_is_refused(content, tmp_path):
    whole, path = (files("portrait3d") / "assets" / "head_model.npz").read_bytes(), tmp_path / "mine.npz"
    if content == "array":
        stream = io.BytesIO()
        np.save(stream, np.ones(3))
        content = stream.getvalue()
    path.write_bytes(
        whole[: len(whole) // 2] if content == "half" else b"" if content == "giant" else content
    )
    if content == "giant":  # a header that promises terabytes
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3), }".ljust(117) + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("mean.npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(WeightsError, match=r"mine\.npz(: mean has the shape| is no npz file)"):
        HeadModel.load(path)


def test_neutral_coefficients_give_the_mean_head(head):
    neutral = FaceCoefficients.neutral()
    assert torch.equal(head.vertices(neutral)[0], head.mean)
    assert torch.equal(head.albedo(neutral)[0], head.albedo_mean)


def test_the_mean_head_looks_along_minus_z_with_y_down_in_millimetres(head):
    marks = head.landmarks(head.mean[None])[0]
    nose_tip, chin, left_eye, right_eye, ear_to_ear = marks[30], marks[8], marks[36], marks[45], head.mean
    assert nose_tip[2] < chin[2] < head.mean[:, 2].median()
    assert chin[1] > nose_tip[1] > left_eye[1]
    assert left_eye[0] < 0 < right_eye[0]
    assert 130 < ear_to_ear[:, 0].max() - ear_to_ear[:, 0].min() < 190


def test_the_mean_head_is_its_own_mirror_image(head):
    assert torch.equal(head.mirror[head.mirror], torch.arange(len(head.mirror)))
    torch.testing.assert_close(head.mean[head.mirror] * FLIP_X, head.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(head.albedo_mean[head.mirror], head.albedo_mean, atol=1e-3, rtol=0)


def test_mirrored_coefficients_give_the_mirrored_head(head):
    face = random_face(2)
    mirrored = head.mirrored(face)
    expected = head.vertices(face)[:, head.mirror] * FLIP_X
    torch.testing.assert_close(head.vertices(mirrored), expected, atol=0.02, rtol=0)
    torch.testing.assert_close(head.albedo(mirrored), head.albedo(face)[:, head.mirror], atol=0.02, rtol=0)
    torch.testing.assert_close(head.mirrored(mirrored).to_vector(), face.to_vector())


def test_mirrored_light_lights_mirrored_normals_alike(head):
    from portrait3d.rendering.shading import shade

    face = random_face()
    normals = torch.nn.functional.normalize(torch.randn(1, 50, 3), dim=-1)
    albedo = torch.ones(1, 50, 3)
    torch.testing.assert_close(
        shade(albedo, normals * FLIP_X, head.mirrored(face).lighting), shade(albedo, normals, face.lighting)
    )


def test_the_first_52_expressions_are_those_of_arkit(head):
    names = [name + side for name in PAIRED for side in ("Left", "Right")] + SINGLE
    assert len(names) == 52
    assert list(head.expression_names[:52]) == sorted(names)
    assert head.expression_basis.shape[0] == len(head.expression_names) == 64


def test_left_in_an_expression_is_the_persons_left(head):
    blink = head.expression_basis[head.expression_names.index("eyeBlinkLeft")].norm(dim=-1)
    assert head.mean[blink.argmax(), 0] > 0


def test_opening_the_jaw_lowers_the_chin_and_not_the_brows(head):
    expression = torch.zeros(1, 64)
    expression[0, head.expression_names.index("jawOpen")] = 1.0
    neutral = FaceCoefficients.neutral()
    opened = FaceCoefficients(neutral.identity, expression, neutral.albedo, neutral.lighting)
    moved = head.landmarks(head.vertices(opened))[0] - head.landmarks(head.mean[None])[0]
    assert moved[8, 1] > 10
    assert moved[17:27].norm(dim=-1).max() < 0.5


def test_a_batch_equals_one_by_one(head):
    face = random_face(3)
    together = head.vertices(face)
    for k in range(3):
        alone = FaceCoefficients.from_vector(face.to_vector()[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], head.vertices(alone), atol=1e-3, rtol=0)
        torch.testing.assert_close(
            head.subdivide(together)[k : k + 1], head.subdivide(head.vertices(alone)), atol=1e-3, rtol=0
        )


def test_landmarks_and_mesh_points_lie_on_the_surface_and_mirror_each_other(head):
    triangles = {tuple(sorted(face)) for face in head.skin_faces.tolist()}
    edges = {tuple(sorted(pair)) for a, b, c in triangles for pair in ((a, b), (b, c), (a, c))}
    for corners, weights in (
        (head.landmark_vertices, head.landmark_weights),
        (head.mesh_point_vertices, head.mesh_point_weights),
    ):
        assert weights.min() >= 0
        torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
        for triple in corners.tolist():
            assert tuple(sorted(triple)) in triangles or tuple(sorted(set(triple))) in edges
    points = head.mesh_points(head.mean[None])[0]
    gaps = torch.cdist(points * FLIP_X, points, compute_mode="donot_use_mm_for_euclid_dist")
    assert gaps.amin(1).max() < 0.01


def test_landmarks_follow_the_ibug_order(head):
    marks = head.landmarks(head.mean[None])[0]
    assert (marks[:9, 1].diff() > 0).all()  # down the right side of the jaw
    assert (marks[:17, 0].diff() > 0).all()  # from the picture's left to its right
    torch.testing.assert_close(marks[torch.arange(16, -1, -1)] * FLIP_X, marks[:17], atol=0.01, rtol=0)
    assert (marks[31:36, 0].diff() > 0).all()
    assert marks[36, 0] < marks[39, 0] < marks[42, 0] < marks[45, 0]
    assert marks[48, 0] < marks[51, 0] < marks[54, 0]
    assert marks[51, 1] < marks[57, 1]


def test_subdivision_smooths_the_skin_to_12910_vertices(head):
    finer = head.subdivide(head.mean[None])
    assert finer.shape == (1, 12_910, 3)
    assert head.subdivided_faces.max() == 12_909
    coarse = head.mean[head.skin_faces.unique()]
    assert (finer[0, : len(coarse)] - coarse).norm(dim=-1).max() < 4
    torch.testing.assert_close(finer.amax(1), coarse.amax(0)[None], atol=3.0, rtol=0)
    constant = torch.ones(1, len(head.mean), 1)
    torch.testing.assert_close(head.subdivide(constant), torch.ones(1, 12_910, 1))


def test_triangles_of_the_skin_face_outward(head):
    a, b, c = (head.mean[head.skin_faces[:, k]] for k in range(3))
    normals = torch.linalg.cross(b - a, c - a)
    outward = (a + b + c) / 3 - torch.tensor([0.0, 0.0, 40.0])
    above = ((a + b + c) / 3)[:, 1] < -40
    assert ((normals * outward).sum(-1)[above] > 0).all()


def test_texture_triangles_do_not_overlap(head):
    from portrait3d.rendering.rasterizer import rasterize

    size = 1024
    screen = torch.cat([head.uv * size, torch.ones(len(head.uv), 1)], dim=1)
    drawn = (rasterize(screen[None], head.uv_faces, size, size).face_index >= 0).sum()
    corners = head.uv[head.uv_faces] * size
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).abs().sum() / 2
    assert abs(drawn / area - 1) < 0.002


def test_gradients_through_vertices_and_landmarks_are_exact(head):
    double = HeadModel.load().double()
    vector = torch.randn(1, 233, dtype=torch.float64, requires_grad=True)

    def some_landmarks(v: torch.Tensor) -> torch.Tensor:
        return double.landmarks(double.vertices(FaceCoefficients.from_vector(v)))[:, ::17]

    assert torch.autograd.gradcheck(some_landmarks, (vector,), fast_mode=True)
    finer = double.subdivide(double.vertices(FaceCoefficients.from_vector(vector)))
    finer[0, ::997].sum().backward()
    assert vector.grad is not None
    assert vector.grad[:, :144].abs().sum() > 0
