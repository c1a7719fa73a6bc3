"""File systems on which a run and its copy in a registry share their blocks, made for the occasion."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.machine

MIB = 1 << 20
SIZE = 96 * MIB


def call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(params=["xfs", "btrfs"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    kind = request.param
    tool = shutil.which(f"mkfs.{kind}")
    assert tool is not None, f"mkfs.{kind} is not installed: apt-get install xfsprogs btrfs-progs"
    image, place = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(512 * MIB)
    call(tool, "-q", str(image))
    place.mkdir()
    call("mount", "-o", "loop", "-t", kind, str(image), str(place))
    try:
        yield place
    finally:
        call("umount", str(place))


def used(place: Path) -> int:
    """Bytes that are taken, once everything is on the disk."""
    os.sync()
    facts = os.statvfs(place)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def test_a_published_file_takes_no_room_and_stays_what_it_was(mounted: Path) -> None:
    run = mounted / "run"
    run.mkdir()
    body = os.urandom(MIB) * (SIZE // MIB)
    (run / "model.bin").write_bytes(body)
    watch = {"name": "outbox", "path": str(mounted / "outbox"), "experiment": "e"}
    here = Deployment(mounted, {"main": {"url": str(mounted / "registry")}}, watch)
    before = used(mounted)
    here.run("publish", str(run), "--experiment", "e")
    assert used(mounted) - before < SIZE // 4

    with (run / "model.bin").open("r+b") as file:  # whatever becomes of the run
        file.write(b"changed")
    (run / "other.bin").write_bytes(body)
    here.run("verify", "--all")
    here.run("get", "e@latest", str(mounted / "out"))
    restored = (mounted / "out/model.bin").read_bytes()
    assert hashlib.sha256(restored).digest() == hashlib.sha256(body).digest()
