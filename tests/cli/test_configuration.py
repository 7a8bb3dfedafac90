"""Defaults, TOML files and flags become one configuration."""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from portrait3d.cli.configuration import build_config, merged, parse_settings, read_settings

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Loop:
    out: Path
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    angle: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Shares:
    photos: float
    clips: float


@dataclass(frozen=True, kw_only=True)
class Training:
    data: Path
    loop: Loop
    batch: int = 8
    preset: Literal["light", "paper"] = "light"
    weights: tuple[float, ...] = (1.0,)
    augmentation: Augmentation = field(default_factory=Augmentation)
    shares: Shares = field(default_factory=lambda: Shares(photos=0.75, clips=0.25))


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "training.toml"
    path.write_text(
        'batch = 4\nweights = [1, 2.5]\n[loop]\nout = "a"\nminutes = 3\n[augmentation]\nangle = 20\n'
    )
    flags = {
        "data": Path("photos"),
        "batch": None,
        "preset": "paper",
        "loop": {"out": Path("b"), "minutes": None},
    }
    assert build_config(Training, merged(read_settings(path), flags)) == Training(
        data=Path("photos"),
        batch=4,
        preset="paper",
        weights=(1.0, 2.5),
        loop=Loop(out=Path("b"), minutes=3.0),
        augmentation=Augmentation(angle=20.0),
    )


def test_a_part_of_a_table_leaves_the_rest_at_its_default() -> None:
    given = parse_settings(["data=d", "loop.out=o", "shares.clips=0"])
    assert build_config(Training, given).shares == Shares(photos=0.75, clips=0.0)


def test_single_settings_have_the_types_of_toml() -> None:
    texts = ["batch=16", "preset=paper", "weights=[1, 2]", "augmentation.angle=5", "loop.out=runs/a=b"]
    assert parse_settings(texts) == {
        "batch": 16,
        "preset": "paper",
        "weights": [1, 2],
        "augmentation": {"angle": 5},
        "loop": {"out": "runs/a=b"},
    }
    assert parse_settings([]) == {}
    for text in ("batch", "=3", "loop..out=a"):
        with pytest.raises(ValueError, match="--set wants NAME=VALUE"):
            parse_settings([text])


def test_no_file_means_no_settings() -> None:
    assert read_settings(None) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "photos", "loop": {"out": "a"}, "bach": 4}, "no setting bach"),
        ({"data": "photos", "loop": {"out": "a", "hours": 4}}, r"no setting loop\.hours"),
        ({"data": "photos", "loop": {"out": "a"}, "batch": "many"}, "batch must be of type int, got 'many'"),
        ({"data": "photos", "loop": {"out": "a"}, "batch": True}, "batch must be of type int"),
        ({"data": "photos", "loop": {"out": "a"}, "preset": "big"}, "preset must be one of light, paper"),
        ({"loop": {"out": "a"}}, "setting data is missing"),
        ({"data": "photos"}, r"setting loop\.out is missing"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_config(Training, settings)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("batch = = 4")
    with pytest.raises(ValueError, match=r"broken\.toml is no TOML file"):
        read_settings(path)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_in_the_repository_is_valid(path: Path) -> None:
    from portrait3d.cli.training import STAGES

    module, name = STAGES[path.stem.split("-")[0]]
    kind = getattr(importlib.import_module(f"portrait3d.training.{module}"), name)
    flags = {"data": Path("photos"), "loop": {"out": Path("run")}}
    assert build_config(kind, merged(read_settings(path), flags)).loop.out == Path("run")
