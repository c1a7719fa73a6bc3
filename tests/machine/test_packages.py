"""The wheel, installed by pip, pipx and uv into fresh folders, works from an empty one. Needs an index of packages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sealrun import __version__

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 600.0


def done(command: Sequence[str | Path], cwd: Path, environ: Mapping[str, str]) -> str:
    ran = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=dict(environ), capture_output=True, text=True,
        timeout=_PATIENCE_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    done([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder], ROOT, os.environ)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Surroundings in which nothing of the tests' own environment is found, but for how to reach the index."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SEALRUN_", "PYTHON", "VIRTUAL_ENV", "PIPX_", "UV_TOOL"))
    }
    (tmp_path / "home").mkdir()
    return kept | {"HOME": str(tmp_path / "home"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def by_pip(wheel: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    done([sys.executable, "-m", "venv", folder / "venv"], folder, environ)
    done([folder / "venv/bin/pip", "install", "--quiet", wheel], folder, environ)
    return folder / "venv/bin"


def by_pipx(wheel: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    done([sys.executable, "-m", "venv", folder / "tools"], folder, environ)
    done([folder / "tools/bin/pip", "install", "--quiet", "pipx"], folder, environ)
    places = {"PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(folder / "bin")}
    done([folder / "tools/bin/pipx", "install", "--python", sys.executable, wheel], folder, {**environ, **places})
    return folder / "bin"


def by_uv(wheel: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    done([sys.executable, "-m", "venv", folder / "tools"], folder, environ)
    done([folder / "tools/bin/pip", "install", "--quiet", "uv"], folder, environ)
    places = {"UV_TOOL_DIR": str(folder / "uv"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    places |= {
        "UV_SYSTEM_CERTS": "1",
        "UV_NATIVE_TLS": "1",
    }  # those that pip believes, by the name of now and of before
    done([folder / "tools/bin/uv", "tool", "install", "--python", sys.executable, wheel], folder, {**environ, **places})
    return folder / "bin"


@pytest.mark.machine
@pytest.mark.parametrize("install", [by_pip, by_pipx, by_uv], ids=lambda each: each.__name__)
def test_the_wheel_installs_into_a_fresh_folder_and_works_from_an_empty_one(
    install: object, wheel: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    assert callable(install)
    programs = install(wheel, tmp_path, environ)
    empty = tmp_path / "empty"
    empty.mkdir()
    around = {**environ, "PATH": f"{programs}:/usr/bin:/bin"}
    assert __version__ in done(["sealrun", "--version"], empty, around)
    assert "init" in done(["sealrun", "--help"], empty, around)
    done(["sealrun", "demo"], empty, around)
    assert "checked    nothing is wrong" in done(["sealrun", "init", "."], empty, around)
