"""What the wheel holds: small, typed, and no file that runs code when it is read."""

import re
import tomllib
from importlib import metadata, resources
from pathlib import Path

import portrait3d

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(str(resources.files("portrait3d")))
MEGABYTE = 1_000_000
NETWORKS = ("detector", "face", "parsing", "glasses", "earrings", "depth", "refinement")


def package_files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_the_package_is_under_60_megabytes() -> None:
    # An upper bound of the wheel, which compresses these files.
    assert sum(path.stat().st_size for path in package_files()) < 60 * MEGABYTE


def test_the_package_holds_only_known_kinds_of_files() -> None:
    kinds = {".py", ".typed", ".npz", ".safetensors", ".json", ".md", ".html", ".js", ".css", ".jpg"}
    odd = [path for path in package_files() if path.suffix not in kinds and path.name != "py.typed"]
    odd = [path for path in odd if path.suffix not in {".nbi", ".nbc"}]  # numba's cache
    assert not odd


def test_every_network_ships_weights_a_config_and_a_card() -> None:
    for name in NETWORKS:
        folder = PACKAGE / "assets" / name
        weights = list(folder.glob("*.safetensors"))
        assert len(weights) == 1, f"{name} has {weights}"
        assert (folder / "config.json").is_file()
        card = (folder / "README.md").read_text(encoding="utf-8").lower()
        for word in ("licen", "data", "portrait3d train"):
            assert word in card, f"the card of {name} says nothing about {word!r}"


def test_no_network_learned_from_what_is_for_research_alone() -> None:
    for name in NETWORKS:
        card = (PACKAGE / "assets" / name / "README.md").read_text(encoding="utf-8").lower()
        assert "research-only" not in card, name
        assert "non-commercial" not in card, name


def test_the_page_on_networks_gives_their_true_sizes() -> None:
    page = (ROOT / "docs" / "models" / "networks.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[(\w+)\].*?\| ([\d.]+) MB", page, re.MULTILINE))
    assert set(rows) == set(NETWORKS) - {"detector"}
    for name, size in rows.items():
        weights = (PACKAGE / "assets" / name).rglob("*.safetensors")
        assert f"{sum(path.stat().st_size for path in weights) / MEGABYTE:.1f}" == size, name


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == portrait3d.__version__ == metadata.version("portrait3d")
    assert f"version: {project['version']}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    pins = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    for requirement in [
        *project["dependencies"],
        *extras["train"],
        *extras["app"],
        *extras["browser"],
        *extras["test"],
    ]:
        name = requirement.split(">")[0].split("[")[0].strip()
        assert name == "portrait3d" or name in pins, f"{name} is not pinned"


def test_constraints_hold_no_local_versions() -> None:
    assert "+" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")
