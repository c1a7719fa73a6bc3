"""`sealrun get` as a process: killed and gone on with, linked, and refused where it cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World
from tests.fakes.clock import FakeEntropy

from sealrun.adapters.machine.clock import SystemClock
from sealrun.adapters.stores import open_store
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.consuming import Consumer
from sealrun.domain.errors import UsageError
from sealrun.services.storage.opening import create_registry

FILES = {**{f"part/{n:02}": bytes([n]) * 100_000 for n in range(30)}, "model.bin": bytes(range(256)) * 40_000}
DIE = """
import os, signal, sys
from pathlib import Path
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.verbs.consuming import Consumer
from sealrun.bootstrap.registries import RegistrySpec
told = []
def advance(size):
    told.extend([size] * (size == {piece}))
    if len(told) == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
spec = RegistrySpec(name="main", url={url!r})
Consumer(spec, SystemClock(), SystemEntropy()).restore({ref!r}, Path({out!r}), advance=advance)
"""


class Place:
    """A directory registry with one run, asked through the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = folder / "registry"
        self.run = folder / "run"
        for path, body in FILES.items():
            (self.run / path).parent.mkdir(parents=True, exist_ok=True)
            (self.run / path).write_bytes(body)
        (folder / "sealrun.toml").write_text(f'version = 1\n[registry.main]\nurl = "{self.registry}"\npacks = false\n')
        self("publish", str(self.run), "--experiment", "e")

    def __call__(self, *arguments: str) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SEALRUN_")}
        environment |= {"SEALRUN_CONFIG": str(self.folder / "sealrun.toml"), "SEALRUN_HOME": str(self.folder / "state")}
        command = [sys.executable, "-m", "sealrun", *arguments, "--json"]
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def killed(self, out: Path, after: int, ref: str = "e@latest", piece: int = 100_000) -> None:
        """Restore in a process that is killed once so many files, or pieces of a large one, are there."""
        program = DIE.format(url=str(self.registry), out=str(out), after=after, ref=ref, piece=piece)
        done = subprocess.run([sys.executable, "-c", program], cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()

    def clones(self) -> bool:
        """Tell whether this file system lets files share blocks."""
        copied = subprocess.run(
            ["cp", "--reflink=always", "sealrun.toml", "clone"], cwd=self.folder, capture_output=True, check=False
        )
        return copied.returncode == 0

    def rooms(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.name.startswith(".sealrun-")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_get_that_was_killed_is_gone_on_with_by_the_next(place: Place) -> None:
    out = place.folder / "out"
    for after in (5, 12):
        place.killed(out, after)
        assert not out.exists()
        assert len(place.rooms()) == 1
    said = place("get", "e@latest", str(out))
    assert said["files"] == len(FILES)
    assert 12 <= said["kept"] < len(FILES)
    assert tree(out) == FILES
    assert not place.rooms()


def test_a_large_file_that_was_killed_is_gone_on_with_by_the_next(place: Place) -> None:
    out = place.folder / "model"
    place.killed(out, 6, "e@latest:model.bin", 1 << 20)
    assert not out.exists()
    (room,) = place.rooms()
    begun = (room / "model.bin").stat()
    assert 6 << 20 <= begun.st_size < len(FILES["model.bin"])
    assert place("get", "e@latest:model.bin", str(out))["kept"] == 0
    assert out.read_bytes() == FILES["model.bin"]
    assert out.stat().st_ino == begun.st_ino
    assert not place.rooms()


def test_a_linked_run_shares_its_bytes_with_the_registry(place: Place) -> None:
    out = place.folder / "out"
    said = place("get", "e@latest", str(out), "--link")
    assert said["linked"] == len(FILES)
    assert tree(out) == FILES
    hard = [path for path in out.rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    assert hard or place.clones()  # the one or the other, as the file system likes
    assert not any(path.stat().st_mode & 0o222 for path in hard)
    assert place("verify", "e@latest")["damages"] == []
    assert place("get", "e@latest", str(place.folder / "copied"))["linked"] == 0
    assert all(path.stat().st_nlink == 1 for path in (place.folder / "copied").rglob("*") if path.is_file())


def test_one_file_is_linked_under_its_name(place: Place) -> None:
    (place.folder / "into").mkdir()
    assert place("get", "e@latest:model.bin", "into", "--link")["linked"] == 1
    assert (place.folder / "into/model.bin").read_bytes() == FILES["model.bin"]


def test_links_out_of_what_is_no_directory_are_refused(tmp_path: Path) -> None:
    url = f"memory://{uuid4().hex}"
    store = open_store(url)
    create_registry(store, SystemClock(), FakeEntropy())
    World().machine("m1").publish(*a_run({"a": b"1"}, experiment="e"), store)
    consumer = Consumer(RegistrySpec(name="main", url=url), SystemClock(), FakeEntropy())
    with pytest.raises(UsageError, match="directory registry"):
        consumer.restore("e@latest", tmp_path / "out", link=True)
    assert list(tmp_path.iterdir()) == []
    assert consumer.restore("e@latest", tmp_path / "out").restored.files == 1
