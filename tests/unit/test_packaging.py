"""What is built: everything the program needs is in it, it reads well on an index, and it is the same each time."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from sealrun import __version__

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"


def built(folder: Path) -> dict[str, bytes]:
    """Wheel and sdist, by name."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    assert len(built(folder)) == 2
    return folder


def wheel_of(dist: Path) -> zipfile.ZipFile:
    (path,) = dist.glob("*.whl")
    return zipfile.ZipFile(path)


def metadata_of(dist: Path) -> Message:
    with wheel_of(dist) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(dist: Path) -> None:
    ours = {
        path.relative_to(SOURCES).as_posix()
        for path in (SOURCES / "sealrun").rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(SOURCES).parts)
    }
    with wheel_of(dist) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert ours - packed == set()
    assert packed - ours <= {"sealrun/runbook.md"}
    assert {Path(name).suffix for name in packed} >= {".py", ".json", ".html", ".css", ".js", ".typed"} - {""}


def test_the_sdist_holds_what_the_tests_read_and_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", path, "-C", tmp_path], check=True)
    (root,) = tmp_path.iterdir()
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "Makefile", "pyproject.toml", "docs/tutorial.md", "config"):
        assert (root / name).exists(), name
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "again")]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (again,) = (tmp_path / "again").iterdir()
    assert again.read_bytes() == (dist / again.name).read_bytes()


def test_two_builds_are_the_same_to_the_byte(dist: Path, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in dist.iterdir()}
    if built(tmp_path) != first:  # a source was edited between the two: then two that follow each other count
        assert built(tmp_path / "a") == built(tmp_path / "b")


def test_an_index_takes_it_and_the_readme_renders(dist: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, sorted(dist.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_metadata_says_what_it_is_and_what_it_needs(dist: Path) -> None:
    metadata = metadata_of(dist)
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    classifiers = metadata.get_all("Classifier", [])
    versions = {line.rpartition(" ")[2] for line in classifiers if re.search(r"Python :: 3\.\d+$", line)}
    assert versions >= {"3.11", "3.12", "3.13"}
    assert "Typing :: Typed" in classifiers


def test_every_extra_that_users_may_want_is_documented() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"]) - {"test", "dev"}
    page = (ROOT / "docs/how-to/install.md").read_text()
    documented = set(re.findall(r"(?m)^\| `(\w+)` \|", page))
    assert documented == extras
