"""Wrong arguments are refused by name, at every public entry."""

import json
import subprocess
import sys

import numpy as np
import pytest

from portrait3d import arguments

# The tests' own checks of types would be first to complain: the calls are made in a process without them.
CALLS = """
import io, json, warnings
import numpy as np
from skimage.data import astronaut
from portrait3d import Portrait3D
from portrait3d.export import save_reconstruction

model = Portrait3D.from_pretrained()
photo = astronaut()
portrait = model.reconstruct(photo)
head = portrait.head
stages = {name: getattr(model, name) for name in
          ("head_model", "face_net", "parsing_net", "depth_net",
           "two_sided_net", "refinement_net", "detector")}
nan, inf = float("nan"), float("inf")
outcomes = {}

def attempt(name, call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
            outcome = "fine"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
    places = [f"{type(w.message).__name__} at {w.filename}" for w in caught]
    outcomes[name] = [outcome, *places]

repose = lambda **asked: lambda: model.repose(portrait, **asked)
for name in ("yaw", "pitch", "roll"):
    for value in ("20", True, [20], photo, 1j, nan, inf, -inf, 181, -1e9):
        shown = "photo" if value is photo else repr(value)
        attempt(f"{name}={shown}", repose(**{name: value}))
for value in (["jawOpen"], "jawOpen", {"jawOpen": "1"}, {"jawOpen": None}, {"jawOpen": True}, {1: 1.0},
              {"jawOpen": nan}, {"jawOpen": 2.1}, {"jawOpen": -1.1}, {"jawopen": 1}):
    attempt(f"expression={value!r}", repose(expression=value))
for value in ("0", True, 0.0, None, -1):
    attempt(f"face={value!r}", lambda: model.reconstruct(photo, value))
for value in (None, 3, ["a"], photo.astype(float)):
    attempt(f"photo={value if value is None or isinstance(value, (int, list)) else 'floats'!r}",
            lambda: model.reconstruct(value))
attempt("portrait=photo", lambda: model.repose(photo, yaw=10))
attempt("light of photo", lambda: model.head_without_light(photo))
attempt("directory=3", lambda: Portrait3D.from_pretrained(3))
for stage in stages:
    attempt(f"stage {stage}", lambda: Portrait3D(**{**stages, stage: "network"}))
attempt("export path=3", lambda: head.export(3))
attempt("export lit='no'", lambda: head.export("/nowhere/head.glb", lit="no"))
attempt("export ending", lambda: head.export("/nowhere/head.stl"))
attempt("displaced list", lambda: head.displaced([[0, 0, 0]]))
attempt("displaced shape", lambda: head.displaced(np.zeros((4706, 2))))
attempt("displaced short", lambda: head.displaced(np.zeros((5, 3))))
attempt("displaced nan", lambda: head.displaced(np.full((4706, 3), nan)))
attempt("kept numbers", lambda: head.kept(np.arange(3)))
attempt("kept short", lambda: head.kept(np.ones(3, bool)))
attempt("save photo", lambda: save_reconstruction(photo, "/nowhere"))
attempt("save directory", lambda: save_reconstruction(portrait, 3))
attempt("limits", repose(yaw=np.float32(90), pitch=-90, roll=180, expression={"jawOpen": np.int64(2)}))
attempt("far", repose(yaw=-91))
attempt("nothing", repose(yaw=None, expression=None))
attempt("displaced", lambda: head.displaced(np.zeros((4706, 3))))
photo[:] = 0
attempt("memory", lambda: (_ for _ in ()).throw(AssertionError()) if not portrait.photo.pixels.any() else 0)
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[str]]:
    """What came of every call: the error or `fine`, then the warnings."""
    done = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["yaw", "pitch", "roll"])
def test_angles_are_finite_numbers_of_degrees_within_limits(
    name: str, outcomes: dict[str, list[str]]
) -> None:
    for value in ("'20'", "True", "[20]", "photo", "1j"):
        assert outcomes[f"{name}={value}"][0].startswith(f"TypeError: {name} must be a number, got")
    for value in ("nan", "inf", "-inf"):
        assert outcomes[f"{name}={value}"][0] == f"ValueError: {name} must be a finite number, got {value}."
    limit = f"{arguments.ANGLES[name]:.0f}"
    for value in ("181", "-1000000000.0"):
        assert outcomes[f"{name}={value}"][0].startswith(
            f"ValueError: {name} must be from -{limit} to {limit}"
        )


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("expression=['jawOpen']", "TypeError: expression must map names to weights"),
        ("expression='jawOpen'", "TypeError: expression must map names to weights"),
        ("expression={'jawOpen': '1'}", "TypeError: expression['jawOpen'] must be a number, got '1' (str)"),
        ("expression={'jawOpen': None}", "TypeError: expression['jawOpen'] must be a number"),
        ("expression={'jawOpen': True}", "TypeError: expression['jawOpen'] must be a number"),
        ("expression={1: 1.0}", "TypeError: expression must have names of expressions as keys, got 1"),
        ("expression={'jawOpen': nan}", "ValueError: expression['jawOpen'] must be a finite number"),
        ("expression={'jawOpen': 2.1}", "ValueError: expression['jawOpen'] must be from -1 to 2, got 2.1"),
        ("expression={'jawOpen': -1.1}", "ValueError: expression['jawOpen'] must be from -1 to 2"),
        ("expression={'jawopen': 1}", "ValueError: There is no expression 'jawopen'; did you mean jawOpen"),
        ("face='0'", "TypeError: face must be a whole number, got '0' (str)."),
        ("face=True", "TypeError: face must be a whole number, got True (bool)."),
        ("face=0.0", "TypeError: face must be a whole number"),
        ("face=None", "TypeError: face must be a whole number"),
        ("face=-1", "ValueError: face must be 0 or more, got -1."),
        ("photo=None", "InvalidImageError: photo must be a path, bytes"),
        ("photo=3", "InvalidImageError: photo must be a path, bytes"),
        ("photo=['a']", "InvalidImageError: photo must be a path, bytes"),
        ("photo='floats'", "InvalidImageError: An array must be uint8 RGB"),
        ("portrait=photo", "TypeError: portrait must be a Portrait, got an object of class ndarray."),
        ("light of photo", "TypeError: portrait must be a Portrait"),
        ("directory=3", "TypeError: directory must be a path, got 3 (int)."),
        ("stage head_model", "TypeError: head_model must be a HeadModel, got 'network' (str)."),
        ("stage face_net", "TypeError: face_net must be a FaceNet"),
        ("stage parsing_net", "TypeError: parsing_net must be a ParsingExperts"),
        ("stage depth_net", "TypeError: depth_net must be a DepthNet"),
        ("stage two_sided_net", "TypeError: two_sided_net must be a TwoSidedDepthNet"),
        ("stage refinement_net", "TypeError: refinement_net must be a RefinementNet"),
        ("stage detector", "TypeError: detector must be a Detector"),
        ("export path=3", "TypeError: path must be a path, got 3 (int)."),
        ("export lit='no'", "TypeError: lit must be True or False, got 'no' (str)."),
        ("export ending", "ValueError: A head is exported to .glb, .obj or .ply"),
        ("displaced list", "TypeError: displacement must be an array of numbers"),
        ("displaced shape", "ValueError: displacement must have the shape [N, 3], got [4706, 2]."),
        ("displaced short", "ValueError: displacement must have 4"),
        ("displaced nan", "ValueError: displacement must be finite."),
        ("kept numbers", "TypeError: faces must be an array of truth values"),
        ("kept short", "ValueError: faces must have the shape ["),
        ("save photo", "TypeError: portrait must be a Portrait"),
        ("save directory", "TypeError: directory must be a path"),
    ],
)
def test_errors_name_the_argument(call: str, error: str, outcomes: dict[str, list[str]]) -> None:
    assert outcomes[call][0].startswith(error)


@pytest.mark.parametrize("call", ["limits", "nothing", "displaced", "memory"])
def test_what_is_right_is_taken_without_a_warning(call: str, outcomes: dict[str, list[str]]) -> None:
    assert outcomes[call] == ["fine"]


def test_turning_to_the_unseen_side_warns_the_caller(outcomes: dict[str, list[str]]) -> None:
    assert outcomes["far"] == ["fine", "UnseenPoseWarning at <string>"]


def test_numbers_of_numpy_are_numbers_and_its_truth_values_are_not() -> None:
    assert arguments.number(np.float32(0.5), "x") == 0.5
    assert arguments.whole_number(np.int64(3), "x") == 3
    for truth in (True, np.True_):
        with pytest.raises(TypeError, match="x must be a number"):
            arguments.number(truth, "x")
        with pytest.raises(TypeError, match="x must be a whole number"):
            arguments.whole_number(truth, "x")
