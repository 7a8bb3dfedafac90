"""The public names, which programs outside this repository call."""

import dataclasses
import inspect

import portrait3d
from portrait3d.geometry import Camera, HeadMesh
from portrait3d.portrait import HeadAngles


def parameters(function: object) -> list[str]:
    assert callable(function)
    return list(inspect.signature(function).parameters)


def test_the_public_names_are_these() -> None:
    assert portrait3d.__all__ == [
        "InvalidImageError",
        "NoFaceError",
        "PoorFitWarning",
        "Portrait",
        "Portrait3D",
        "WeightsError",
        "__version__",
    ]
    assert set(portrait3d.__all__) <= set(dir(portrait3d))
    for name in portrait3d.__all__:
        assert getattr(portrait3d, name) is not None


def test_the_pipeline_is_called_like_this() -> None:
    Portrait3D = portrait3d.Portrait3D
    assert parameters(Portrait3D.from_pretrained)[:1] == ["directory"]
    assert parameters(Portrait3D.reconstruct)[:3] == ["self", "photo", "face"]
    assert parameters(Portrait3D.reconstruct_all)[:2] == ["self", "photo"]
    assert parameters(Portrait3D.repose)[:5] == ["self", "portrait", "yaw", "pitch", "roll"]
    for angle in ("yaw", "pitch", "roll"):
        assert inspect.signature(Portrait3D.repose).parameters[angle].default is None


def test_a_portrait_has_these_parts() -> None:
    for name in ("landmarks", "pose", "parsing", "head", "camera", "quality"):
        assert name in dir(portrait3d.Portrait) or name in portrait3d.Portrait.__dataclass_fields__
    assert [field.name for field in dataclasses.fields(HeadAngles)] == ["yaw", "pitch", "roll"]
    assert {"vertices", "faces", "part"} <= {field.name for field in dataclasses.fields(HeadMesh)}
    assert parameters(HeadMesh.export)[:2] == ["self", "path"]
    assert {"focal", "principal"} <= {field.name for field in dataclasses.fields(Camera)}


def test_the_errors_are_value_errors() -> None:
    assert issubclass(portrait3d.NoFaceError, ValueError)
    assert issubclass(portrait3d.InvalidImageError, ValueError)
