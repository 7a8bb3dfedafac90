"""Wrong arguments are refused by name, at every public entry."""

import json
import subprocess
import sys

import numpy as np
import pytest

from portrait3d import arguments

# The tests' own checks of types would be first to complain: the calls are made in a process without them.
CALLS = """
import io, json, tempfile, warnings
from dataclasses import replace
import numpy as np
from skimage.data import astronaut
from portrait3d import Portrait3D
from portrait3d.app.session import Controls, open_photo, open_session, turned_photo, turned_preview
from portrait3d.data.photos.labelled import PhotoFolder
from portrait3d.data.synthetic import SyntheticHeads
from portrait3d.export import save_reconstruction
from portrait3d.export.meshes import encode_glb
from portrait3d.export.viewer import viewer_html
from portrait3d.portrait import HeadAngles
from portrait3d.preprocessing.detection import Detection, FaceDetector
from portrait3d.preprocessing.image import Photo
from portrait3d.video.animation import draw_frames
from portrait3d.video.turntable import head_views, turntable_poses
from portrait3d.video.writing import write_video

model = Portrait3D.from_pretrained()
photo = astronaut()
portrait = model.reconstruct(photo)
head = portrait.head
stages = {name: getattr(model, name) for name in
          ("head_model", "face_net", "parsing_net", "glasses_net", "earrings_net", "depth_net",
           "refinement_net", "detector")}
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
detection = portrait.detection
pose, reposer = portrait.pose, model.reposer(portrait)
odd = lambda **changes: lambda: model.reconstruct_face(portrait.photo, replace(detection, **changes))
attempt("face of array", lambda: model.reconstruct_face(photo, detection))
attempt("face of floats", lambda: model.reconstruct_face(Photo(photo / 255, "x"), detection))
attempt("face of grey", lambda: model.reconstruct_face(Photo(photo[..., 0], "x"), detection))
attempt("face of nothing", lambda: model.reconstruct_face(Photo(photo[:0], "x"), detection))
attempt("face at box", lambda: model.reconstruct_face(portrait.photo, detection.box))
attempt("box list", odd(box=[0, 0, 9, 9]))
attempt("box short", odd(box=detection.box[:3]))
attempt("box nan", odd(box=detection.box * nan))
attempt("box empty", odd(box=detection.box[[2, 3, 0, 1]]))
attempt("keypoints short", odd(keypoints=detection.keypoints[:4]))
attempt("keypoints nan", odd(keypoints=detection.keypoints * nan))
attempt("fit array", lambda: model.fit_face(photo, detection))
attempt("draw without reposer", lambda: model.draw_pose(portrait, pose))
attempt("draw yaw", lambda: model.draw_pose(reposer, 20.0))
attempt("draw text", lambda: model.draw_pose(reposer, replace(pose, yaw="20")))
attempt("draw nan", lambda: model.draw_pose(reposer, replace(pose, pitch=nan)))
attempt("draw mapping", lambda: model.draw_pose(reposer, pose, {"jawOpen": 1.0}))
attempt("draw short", lambda: model.draw_pose(reposer, pose, np.zeros(52)))
attempt("draw expression nan", lambda: model.draw_pose(reposer, pose, np.full(64, nan)))
attempt("refine array", lambda: model.refine(photo))
attempt("reposer of photo", lambda: model.reposer(photo))
attempt("build delight", lambda: portrait.build_head(delight="no"))
for name, wrong in (("portrait", photo), ("frames", 0), ("frames", 2.5), ("frames", "8"), ("yaw", "20"),
                    ("yaw", -1), ("yaw", 181), ("yaw", nan), ("pitch", True), ("pitch", 91)):
    shown = "photo" if wrong is photo else repr(wrong)
    asked = {"portrait": portrait, "frames": 4, "yaw": 20, "pitch": 4, name: wrong}
    attempt(f"turntable {name}={shown}", lambda: turntable_poses(**asked))
attempt("views frames", lambda: head_views(portrait, 0, 64))
attempt("views size", lambda: head_views(portrait, 4, 64.0))
attempt("views portrait", lambda: head_views(head, 4, 64))
frames = lambda *changes: lambda: draw_frames(*({**dict(enumerate((model, portrait, [pose], None, 64))),
                                                 **dict(changes)}).values())
attempt("frames model", frames((0, portrait)))
attempt("frames portrait", frames((1, photo)))
attempt("frames poses", frames((2, iter([pose]))))
attempt("frames pose", frames((2, [pose, 20.0])))
attempt("frames nan", frames((2, [pose, replace(pose, roll=inf)])))
attempt("frames expressions", frames((3, np.zeros((2, 64)))))
attempt("frames size", frames((4, 0)))
attempt("frames fine", lambda: next(frames()()))
out = tempfile.mkdtemp() + "/film.gif"
def film(path=out, rate=10, sound=None, frame=photo):
    def write():
        with write_video(path, rate, sound) as opened:
            opened.add(frame)
    return write
attempt("film path", film(path=3))
attempt("film rate text", film(rate="25"))
attempt("film rate 0", film(rate=0))
attempt("film rate nan", film(rate=nan))
attempt("film rate large", film(rate=1e9))
attempt("film sound", film(sound="a.mp3"))
attempt("film floats", film(frame=photo / 255))
attempt("film grey", film(frame=photo[..., 0]))
attempt("film list", film(frame=photo.tolist()))
attempt("film alpha", film(frame=np.zeros((8, 8, 4), np.uint8)))
attempt("film fine", film(frame=photo[:64, :64]))
glb = encode_glb(head)
attempt("viewer text", lambda: viewer_html("glTF"))
attempt("viewer path", lambda: viewer_html(b"head.glb"))
attempt("viewer title", lambda: viewer_html(glb, 3))
attempt("viewer fine", lambda: viewer_html(glb, "Somebody"))
attempt("glb of portrait", lambda: encode_glb(portrait))
attempt("glb lit", lambda: encode_glb(head, lit="yes"))
attempt("save turned list", lambda: save_reconstruction(portrait, out, [photo]))
attempt("save turned yaw", lambda: save_reconstruction(portrait, out, {"20": photo}))
attempt("save turned floats", lambda: save_reconstruction(portrait, out, {20.0: photo / 255}))
attempt("save lit", lambda: save_reconstruction(portrait, out, lit=1))
attempt("detector threshold", lambda: FaceDetector(threshold="0.5"))
attempt("detector threshold 2", lambda: FaceDetector(threshold=2))
attempt("detector sides", lambda: FaceDetector(sides=480))
attempt("detector no sides", lambda: FaceDetector(sides=()))
attempt("detector side", lambda: FaceDetector(sides=(480, 0)))
attempt("detect path", lambda: FaceDetector().detect("photo.jpg"))
attempt("detect floats", lambda: FaceDetector().detect(photo / 255))
attempt("detect name", lambda: FaceDetector().detect(photo, 3))
session = open_session(model, portrait.photo)
attempt("controls angles", lambda: Controls(angles=20))
attempt("controls nan", lambda: Controls(angles=HeadAngles(nan, 0, 0)))
attempt("controls names", lambda: Controls(angles=pose, expression={"jawOpen": 1}))
attempt("controls list", lambda: Controls(angles=pose, expression=["Smile"]))
attempt("controls strength", lambda: Controls(angles=pose, expression={"Smile": 1.5}))
attempt("open path", lambda: open_photo(3, "x"))
attempt("open name", lambda: open_photo(out, 3))
attempt("session model", lambda: open_session(portrait, portrait.photo))
attempt("session photo", lambda: open_session(model, photo))
attempt("session face", lambda: open_session(model, portrait.photo, "0"))
attempt("preview session", lambda: turned_preview(portrait, Controls(angles=pose)))
attempt("preview controls", lambda: turned_preview(session, pose))
attempt("turned controls", lambda: turned_photo(session, pose))
attempt("folder root", lambda: PhotoFolder(3))
attempt("folder folders", lambda: PhotoFolder("/nowhere", folders="portraits"))
attempt("heads seed", lambda: SyntheticHeads("0"))
attempt("heads size", lambda: SyntheticHeads(0, size=-1))
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


ERRORS = {
    "expression=['jawOpen']": "TypeError: expression must map names to weights",
    "expression='jawOpen'": "TypeError: expression must map names to weights",
    "expression={'jawOpen': '1'}": "TypeError: expression['jawOpen'] must be a number, got '1' (str)",
    "expression={'jawOpen': None}": "TypeError: expression['jawOpen'] must be a number",
    "expression={'jawOpen': True}": "TypeError: expression['jawOpen'] must be a number",
    "expression={1: 1.0}": "TypeError: expression must have names of expressions as keys, got 1",
    "expression={'jawOpen': nan}": "ValueError: expression['jawOpen'] must be a finite number",
    "expression={'jawOpen': 2.1}": "ValueError: expression['jawOpen'] must be from -1 to 2, got 2.1",
    "expression={'jawOpen': -1.1}": "ValueError: expression['jawOpen'] must be from -1 to 2",
    "expression={'jawopen': 1}": "ValueError: There is no expression 'jawopen'; did you mean jawOpen",
    "face='0'": "TypeError: face must be a whole number, got '0' (str).",
    "face=True": "TypeError: face must be a whole number, got True (bool).",
    "face=0.0": "TypeError: face must be a whole number",
    "face=None": "TypeError: face must be a whole number",
    "face=-1": "ValueError: face must be 0 or more, got -1.",
    "photo=None": "InvalidImageError: photo must be a path, bytes",
    "photo=3": "InvalidImageError: photo must be a path, bytes",
    "photo=['a']": "InvalidImageError: photo must be a path, bytes",
    "photo='floats'": "InvalidImageError: An array must be uint8 RGB",
    "portrait=photo": "TypeError: portrait must be a Portrait, got an object of class ndarray.",
    "light of photo": "TypeError: portrait must be a Portrait",
    "directory=3": "TypeError: directory must be a path, got 3 (int).",
    "stage head_model": "TypeError: head_model must be a HeadModel, got 'network' (str).",
    "stage face_net": "TypeError: face_net must be a FaceNet",
    "stage parsing_net": "TypeError: parsing_net must be a ParsingExperts",
    "stage glasses_net": "TypeError: glasses_net must be an AccessoryNet",
    "stage earrings_net": "TypeError: earrings_net must be an AccessoryNet",
    "stage depth_net": "TypeError: depth_net must be a DepthNet",
    "stage refinement_net": "TypeError: refinement_net must be a RefinementNet",
    "stage detector": "TypeError: detector must be a Detector",
    "export path=3": "TypeError: path must be a path, got 3 (int).",
    "export lit='no'": "TypeError: lit must be True or False, got 'no' (str).",
    "export ending": "ValueError: A head is exported to .glb, .vrm, .usdz",
    "displaced list": "TypeError: displacement must be an array of numbers",
    "displaced shape": "ValueError: displacement must have the shape [N, 3], got [4706, 2].",
    "displaced short": "ValueError: displacement must have 4",
    "displaced nan": "ValueError: displacement must be finite.",
    "kept numbers": "TypeError: faces must be an array of truth values",
    "kept short": "ValueError: faces must have the shape [",
    "save photo": "TypeError: portrait must be a Portrait",
    "save directory": "TypeError: directory must be a path",
    "save turned list": "TypeError: turned must be a Mapping",
    "save turned yaw": "TypeError: a yaw in turned must be a number, got '20' (str).",
    "save turned floats": "TypeError: turned[20.0] must be an array of uint8",
    "save lit": "TypeError: lit must be True or False, got 1 (int).",
    "face of array": "TypeError: photo must be a Photo",
    "face of floats": "TypeError: photo.pixels must be an array of uint8",
    "face of grey": "ValueError: photo.pixels must have the shape [H, W, 3], got [512, 512].",
    "face of nothing": "ValueError: photo.pixels must not be empty",
    "face at box": "TypeError: detection must be a Detection",
    "box list": "TypeError: detection.box must be an array of numbers",
    "box short": "ValueError: detection.box must have the shape [4], got [3].",
    "box nan": "ValueError: detection.box must be finite.",
    "box empty": "ValueError: detection.box must be x0, y0, x1, y1, got [",
    "keypoints short": "ValueError: detection.keypoints must have the shape [5, 2], got [4, 2].",
    "keypoints nan": "ValueError: detection.keypoints must be finite.",
    "fit array": "TypeError: photo must be a Photo",
    "draw without reposer": "TypeError: reposer must be a Reposer",
    "draw yaw": "TypeError: pose must be a HeadAngles, got 20.0 (float).",
    "draw text": "TypeError: pose.yaw must be a number, got '20' (str).",
    "draw nan": "ValueError: pose.pitch must be a finite number, got nan.",
    "draw mapping": "TypeError: expression must be an array of numbers",
    "draw short": "ValueError: expression must have the shape [64], got [52].",
    "draw expression nan": "ValueError: expression must be finite.",
    "refine array": "TypeError: turn must be a CoarseTurn",
    "reposer of photo": "TypeError: portrait must be a Portrait",
    "build delight": "TypeError: delight must be True or False, got 'no' (str).",
    "turntable portrait=photo": "TypeError: portrait must be a Portrait",
    "turntable frames=0": "ValueError: frames must be 1 or more, got 0.",
    "turntable frames=2.5": "TypeError: frames must be a whole number",
    "turntable frames='8'": "TypeError: frames must be a whole number",
    "turntable yaw='20'": "TypeError: yaw must be a number",
    "turntable yaw=-1": "ValueError: yaw must be from 0 to 180, got -1.",
    "turntable yaw=181": "ValueError: yaw must be from 0 to 180, got 181.",
    "turntable yaw=nan": "ValueError: yaw must be a finite number",
    "turntable pitch=True": "TypeError: pitch must be a number",
    "turntable pitch=91": "ValueError: pitch must be from 0 to 90",
    "views frames": "ValueError: frames must be 1 or more",
    "views size": "TypeError: size must be a whole number, got 64.0 (float).",
    "views portrait": "TypeError: portrait must be a Portrait",
    "frames model": "TypeError: model must be a Portrait3D",
    "frames portrait": "TypeError: portrait must be a Portrait",
    "frames poses": "TypeError: poses must be a Sequence",
    "frames pose": "TypeError: poses[1] must be a HeadAngles, got 20.0 (float).",
    "frames nan": "ValueError: poses[1].roll must be a finite number, got inf.",
    "frames expressions": "ValueError: expressions must have the shape [1, 64], got [2, 64].",
    "frames size": "ValueError: size must be 2 or more, got 0.",
    "film path": "TypeError: path must be a path, got 3 (int).",
    "film rate text": "TypeError: rate must be a number, got '25' (str).",
    "film rate 0": "ValueError: rate must be from 0.01 to 1000, got 0.",
    "film rate nan": "ValueError: rate must be a finite number",
    "film rate large": "ValueError: rate must be from 0.01 to 1000",
    "film sound": "TypeError: sound must be a VideoInfo",
    "film floats": "TypeError: frame must be an array of uint8",
    "film grey": "ValueError: frame must have the shape [H, W, 3], got [512, 512].",
    "film list": "TypeError: frame must be an array of uint8",
    "film alpha": "ValueError: frame must have the shape [H, W, 3], got [8, 8, 4].",
    "viewer text": "TypeError: glb must be a bytes, got 'glTF' (str).",
    "viewer path": "ValueError: glb must be the content of a GLB file",
    "viewer title": "TypeError: title must be a str, got 3 (int).",
    "glb of portrait": "TypeError: head must be a HeadMesh",
    "glb lit": "TypeError: lit must be True or False",
    "detector threshold": "TypeError: threshold must be a number",
    "detector threshold 2": "ValueError: threshold must be from 0 to 1, got 2.",
    "detector sides": "TypeError: sides must be a tuple, got 480 (int).",
    "detector no sides": "ValueError: sides must name at least one",
    "detector side": "ValueError: a side in sides must be 32 or more, got 0.",
    "detect path": "TypeError: pixels must be an array of uint8",
    "detect floats": "TypeError: pixels must be an array of uint8",
    "detect name": "TypeError: name must be a str",
    "controls angles": "TypeError: angles must be a HeadAngles, got 20 (int).",
    "controls nan": "ValueError: angles.yaw must be a finite number",
    "controls names": "ValueError: expression has no 'jawOpen' (str); known are Open jaw",
    "controls list": "TypeError: expression must map names to strengths",
    "controls strength": "ValueError: expression['Smile'] must be from 0 to 1, got 1.5.",
    "open path": "TypeError: path must be a path",
    "open name": "TypeError: name must be a str",
    "session model": "TypeError: model must be a Portrait3D",
    "session photo": "TypeError: photo must be a Photo",
    "session face": "TypeError: face must be a whole number",
    "preview session": "TypeError: session must be a Session",
    "preview controls": "TypeError: controls must be a Controls",
    "turned controls": "TypeError: controls must be a Controls",
    "folder root": "TypeError: root must be a path, got 3 (int).",
    "folder folders": "TypeError: folders must be a sequence of names, got 'portraits' (str).",
    "heads seed": "TypeError: seed must be a whole number",
    "heads size": "ValueError: size must be 1 or more, got -1.",
}
"""How the error of each call begins that has to fail."""
FINE = ("limits", "nothing", "displaced", "frames fine", "film fine", "viewer fine", "memory")
"""Calls that have to go well, without a warning."""


@pytest.mark.parametrize(("call", "error"), ERRORS.items())
def test_errors_name_the_argument(call: str, error: str, outcomes: dict[str, list[str]]) -> None:
    assert outcomes[call][0].startswith(error)


def test_every_call_that_is_made_is_judged(outcomes: dict[str, list[str]]) -> None:
    judged = set(ERRORS) | set(FINE) | {"far"}
    angles = {name for name in outcomes if name.partition("=")[0] in arguments.ANGLES}
    assert set(outcomes) - angles == judged


@pytest.mark.parametrize("call", FINE)
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
