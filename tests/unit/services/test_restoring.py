from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

import msgspec
import pytest
from tests.builders.runs import BytesSource, a_run
from tests.builders.worlds import World

from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.domain.errors import DigestMismatchError, IntegrityError, NotFoundError, UsageError
from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import MANIFEST_FILE, SUMS_FILE, Entry, Link, Manifest, Sums
from sealrun.services.access.reading import Reader, RunView
from sealrun.services.access.restoring import restore, restore_file

FILES = {"a.txt": b"alpha", "bin/tool": b"#!/bin/sh\n", "d/ü \\n.txt": b"odd", "empty": b""}


def a_view(world: World) -> tuple[Reader, RunView]:
    run, sources = a_run(
        FILES, executable=["bin/tool"], links={"bin/again": "tool", "top": "d"}, directories=["void/deep"]
    )
    done = world.machine("m1").publish(run, sources)
    reader = world.reader()
    return reader, reader.load(reader.resolve(done.ref))


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_a_restored_run_is_exactly_the_folder_that_was_dropped(tmp_path: Path) -> None:
    reader, view = a_view(World())
    told: list[int] = []
    restore(reader, view, LocalDestination(tmp_path / "out"), sealed=False, advance=told.append)
    out = tmp_path / "out"
    assert tree(out) == FILES
    assert os.access(out / "bin/tool", os.X_OK)
    assert not os.access(out / "a.txt", os.X_OK)
    assert (out / "bin/again").readlink() == Path("tool")
    assert (out / "top").readlink() == Path("d")
    assert list((out / "void/deep").iterdir()) == []
    assert sum(told) == sum(map(len, FILES.values()))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_restored_sealed_run_is_verified_with_sha256sum(tmp_path: Path) -> None:
    reader, view = a_view(World())
    restore(reader, view, LocalDestination(tmp_path / "out"), sealed=True)
    out = tmp_path / "out"
    assert tree(out / "artifacts") == FILES
    check = ["sha256sum", "-c", "--strict", SUMS_FILE]
    checked = subprocess.run(check, cwd=out, capture_output=True, check=False)
    assert checked.returncode == 0, checked
    assert checked.stdout.count(b": OK\n") == len(FILES) + 2


def test_one_file_is_restored_under_a_name(tmp_path: Path) -> None:
    reader, view = a_view(World())
    restore_file(reader, view, view.entry("bin/tool"), LocalDestination(tmp_path / "t", single=True), "t")
    assert (tmp_path / "t").read_bytes() == FILES["bin/tool"]
    assert os.access(tmp_path / "t", os.X_OK)


def test_a_run_without_files_is_an_empty_folder(tmp_path: Path) -> None:
    world = World()
    done = world.machine("m1").publish(*a_run({}))
    reader = world.reader()
    restore(reader, reader.load(reader.resolve(done.ref)), LocalDestination(tmp_path / "out"), sealed=False)
    assert tree(tmp_path / "out") == {}


def test_an_existing_destination_is_refused_and_untouched(tmp_path: Path) -> None:
    reader, view = a_view(World())
    out = tmp_path / "out"
    destination = LocalDestination(out)
    out.mkdir()
    (out / "mine").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        restore(reader, view, destination, sealed=False)
    with pytest.raises(UsageError, match="exists already"):
        LocalDestination(out)
    assert tree(tmp_path) == {"out/mine": b"mine"}


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("body", [None, b"alphb", b"alp"])
def test_a_damaged_object_leaves_nothing_behind(tmp_path: Path, body: bytes | None, single: bool) -> None:  # noqa: FBT001 - a case
    world = World()
    reader, view = a_view(world)
    world.store.damage(view.objects[view.entry("a.txt").sha256].key, body)
    destination = LocalDestination(tmp_path / "out", single=single)
    entry = view.entry("a.txt")
    act = (
        partial(restore_file, reader, view, entry, destination, "out")
        if single
        else partial(restore, reader, view, destination, sealed=False)
    )
    with pytest.raises(NotFoundError if body is None else DigestMismatchError):
        act()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../up", "/etc/x", "a//b", "a/./b", "..", "a/../../b", "nul\0"])
def test_a_hostile_path_in_a_manifest_is_refused_before_anything_is_written(path: str, tmp_path: Path) -> None:
    world = World()
    run, _ = a_run({"a": b"1"})
    entry = Entry(path, 1, sha256(b"1"))
    manifest = Manifest(entries=(entry,), tree_digest=run.manifest().tree_digest, size=1)
    body = manifest.encode()
    forged = msgspec.structs.replace(
        run,
        manifest_json=body,
        run_json=msgspec.structs.replace(run.envelope(), manifest_sha256=sha256(body)).encode(),
    )
    with pytest.raises(IntegrityError):
        world.machine("m1").publish(forged, lambda _entry: BytesSource(b"1"))
    assert not world.store.bodies
    reader, view = a_view(world)
    hostile = msgspec.structs.replace(view, manifest=manifest, objects={entry.sha256: view.objects[sha256(b"alpha")]})
    with pytest.raises(UsageError):
        restore(reader, hostile, LocalDestination(tmp_path / "out"), sealed=False)
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "up").exists()


@pytest.mark.parametrize("target", ["../../up", "/etc/passwd", "d/../../x"])
def test_a_hostile_link_in_a_manifest_is_refused(target: str, tmp_path: Path) -> None:
    reader, view = a_view(World())
    manifest = msgspec.structs.replace(
        view.manifest, links=(Link("d/l", target) if "d/" not in target else Link("l", target),)
    )
    hostile = msgspec.structs.replace(view, manifest=manifest)
    with pytest.raises(UsageError):
        restore(reader, hostile, LocalDestination(tmp_path / "out"), sealed=False)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_was_altered_in_the_store_never_reaches_the_destination() -> None:
    world = World()
    _, view = a_view(world)
    key = f"experiments/train/runs/{view.target.run_id}/{MANIFEST_FILE}"
    world.store.damage(key, world.store.bodies[key].replace(b'"a.txt"', b'"../a"'))
    with pytest.raises(IntegrityError):
        world.reader().load(view.target)
    assert Sums.build(view.run_json, view.manifest_json, view.manifest).lines == view.sums.lines
