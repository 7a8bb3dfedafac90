"""What commands print about warnings."""

import warnings

import pytest

from portrait3d.cli.console import show_warning
from portrait3d.errors import PoorFitWarning


def shown(category: type[Warning], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show_warning
        warnings.warn("the face in [a] is covered", category, stacklevel=1)
    return capsys.readouterr().err.strip().splitlines()


def test_a_poor_fit_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(PoorFitWarning, capsys) == ["warning: the face in [a] is covered"]


def test_other_warnings_look_as_python_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = shown(UserWarning, capsys)
    assert first.endswith("UserWarning: the face in [a] is covered")
    assert "test_console.py" in first
