"""Content by URN, and builds that happen once, on a directory registry."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from tests.builders.places import a_place

from sealrun.api.content import Built, build_once, exists, get, get_metadata, put
from sealrun.bootstrap.products import local_copies
from sealrun.bootstrap.products.content import Build
from sealrun.cli.main import run
from sealrun.domain.address import Digest
from sealrun.domain.errors import (
    BuildFailedError,
    ConfigurationError,
    ConflictError,
    DigestMismatchError,
    HeldError,
    NotFoundError,
    RunRejectedError,
    UsageError,
)

NOWHERE = f"urn:sealrun:table:sha256:{'0' * 64}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return a_place(tmp_path, monkeypatch)


def folder(name: str = "made", **files: str) -> Path:
    for path, text in (files or {"data": "1", "sub/more": "2"}).items():
        (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
        (Path(name) / path).write_text(text)
    return Path(name)


def content(path: Path) -> dict[str, str]:
    return {str(file.relative_to(path)): file.read_text() for file in path.rglob("*") if file.is_file()}


def inodes(path: Path) -> set[int]:
    return {file.stat().st_ino for file in path.rglob("*") if file.is_file()}


def retire(ref: str) -> None:
    """Retire a run, which must not be the latest one: so another finishes later."""
    later = folder("later", file="later")
    os.utime(later / "file", (2_000_000_000, 2_000_000_000))
    put(later, "later")
    assert run(["retire", ref, "--why", "a test"]) == 0


def test_a_folder_is_got_in_place_by_its_urn(place: Path) -> None:
    urn = put(folder(), "target", {"key": 1.5, "deep": {"er": [None]}})
    path = get(urn)
    assert content(path) == {"data": "1", "sub/more": "2"}
    assert place / "registry" in path.parents
    assert inodes(path) <= inodes(place / "registry/store/objects")
    assert get_metadata(urn) == {"key": 1.5, "deep": {"er": [None]}}
    assert not (place / "cache").exists()


def test_a_file_is_got_as_a_file(place: Path) -> None:
    (place / "table.csv").write_text("1")
    urn = put("table.csv", "table")
    assert urn.startswith("urn:sealrun:table:sha256:")
    assert (get(urn).name, get(urn).read_text()) == ("table.csv", "1")


def test_the_same_content_has_the_same_urn_and_is_stored_once(place: Path) -> None:
    first = put(folder(), "target", {"who": "first"})
    before = sorted((place / "registry").rglob("*"))
    os.utime(folder("again") / "data", (1, 1))
    assert put("again", "target", {"who": "second"}) == first
    assert sorted((place / "registry").rglob("*")) == before
    assert get_metadata(first) == {"who": "first"}


@pytest.mark.usefixtures("place")
def test_the_type_is_part_of_the_name_and_not_of_the_bytes() -> None:
    one, two = put(folder(), "one"), put("made", "two")
    assert one.rpartition(":")[2] == two.rpartition(":")[2]
    assert inodes(get(one)) == inodes(get(two))


@pytest.mark.usefixtures("place")
def test_content_exists_from_when_it_is_put_until_it_is_retired() -> None:
    urn = put(folder(), "target")
    assert exists(urn)
    assert not exists(urn.replace(":target:", ":other:"))
    retire(f"content/target-{urn.rpartition(':')[2]}")
    assert not exists(urn)
    with pytest.raises(NotFoundError, match="no artifact urn"):
        get(urn)
    assert put("made", "target") == urn
    assert exists(urn)


@pytest.mark.usefixtures("place")
def test_a_run_is_content_too() -> None:
    assert run(["publish", str(folder()), "--experiment", "e", "--run-id", "r1"]) == 0
    digest = put("made", "target").rpartition(":")[2]
    assert exists(f"urn:sealrun:run:sha256:{digest}")
    assert content(get(f"urn:sealrun:run:sha256:{digest}")) == content(get("e@latest")) == content(Path("made"))
    assert get("e/r1:data").read_text() == "1"


def test_what_is_damaged_in_place_is_not_handed_out(place: Path) -> None:
    urn = put(folder(), "target")
    (bad,) = [path for path in get(urn).rglob("data") if path.is_file()]
    bad.chmod(0o644)
    bad.write_text("X")
    with pytest.raises(DigestMismatchError, match="is not what was sealed"):
        get(urn)
    assert (get(urn, verify=False) / "data").read_text() == "X"
    assert place in bad.parents


def test_what_cannot_be_shown_in_place_is_fetched_and_verified_every_time(place: Path) -> None:
    settings = place / "sealrun.toml"
    settings.write_text(settings.read_text() + "\n[registry.packed]\nurl = 'packed'\npacks = { least = 1 }\n")
    made = folder()
    (made / "empty").mkdir()
    (made / "link").symlink_to("data")
    (made / "data").chmod(0o755)
    urn = put(made, "target", registry="packed")
    path = get(urn, registry="packed")
    assert place / "cache" in path.parents
    assert content(path) == {"data": "1", "sub/more": "2", "link": "1"}
    assert (path / "empty").is_dir()
    assert os.access(path / "data", os.X_OK)
    fetched = inodes(path)
    assert inodes(get(urn, registry="packed")) == fetched
    (path / "data").chmod(0o755)
    (path / "data").write_text("X")
    assert content(get(urn, registry="packed")) == content(path) == {"data": "1", "sub/more": "2", "link": "1"}
    assert get(f"{urn}:data", registry="packed").read_text() == "1"


def test_content_that_is_collected_while_it_is_got_is_said_to_be_gone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = place / "sealrun.toml"
    settings.write_text(settings.read_text() + '\n[gc]\ngrace = "0s"\nmax_delete_ratio = 1.0\n')
    urn = put(folder(), "target")
    digest = local_copies._sha256
    calls: list[Path] = []

    def collecting(path: Path) -> Digest:
        calls.append(path)
        if len(calls) == 2:  # one file is compared, the other is not
            retire(f"content/target-{urn.rpartition(':')[2]}")
            assert run(["gc"]) == 0
        return digest(path)

    monkeypatch.setattr(local_copies, "_sha256", collecting)
    with pytest.raises(ConflictError, match="went away while it was read"):
        get(urn)
    assert not exists(urn)


@pytest.mark.usefixtures("place")
def test_what_cannot_be_content_is_refused() -> None:
    with pytest.raises(UsageError, match=r"metadata\.k: is nan"):
        put(folder(), "target", {"k": float("nan")})
    with pytest.raises(UsageError, match="not a valid type"):
        put("made", "a type")
    with pytest.raises(UsageError, match="not an artifact URN"):
        exists("target")
    Path("empty").mkdir()
    with pytest.raises(RunRejectedError, match="holds no files"):
        put("empty", "target")
    assert not exists(NOWHERE)


def fill(text: str = "built") -> Build:
    def build(into: Path) -> None:
        (into / "out.txt").write_text(text)

    return build


@pytest.mark.usefixtures("place")
def test_the_same_configuration_is_built_once() -> None:
    calls: list[Path] = []

    def build(into: Path) -> None:
        calls.append(into)
        (into / "out.txt").write_text("built")

    first = build_once({"lr": 0.1, "layers": [1, 2]}, "model", build)
    second = build_once({"layers": (1, 2), "lr": 0.1}, "model", build)
    assert len(calls) == 1
    assert (first.reused, second.reused) == (False, True)
    assert (first.urn, first.path, first.ref) == (second.urn, second.path, second.ref)
    assert content(Path(second)) == {"out.txt": "built"}
    assert get_metadata(first.urn) == {"config": {"lr": 0.1, "layers": [1, 2]}}
    assert list(Path(".sealrun/scratch").iterdir()) == []
    build_once({"lr": 0.2, "layers": [1, 2]}, "model", build)
    build_once({"lr": 0.1, "layers": [1, 2]}, "other", build)
    assert len(calls) == 3


@pytest.mark.usefixtures("place")
def test_a_build_may_say_which_file_or_folder_is_meant() -> None:
    def one(into: Path) -> str:
        (into / "keep.csv").write_text("1")
        (into / "rest").write_text("2")
        return "keep.csv"

    def elsewhere(_into: Path) -> Path:
        return folder("elsewhere").absolute()

    assert build_once(1, "table", one).path.read_text() == "1"
    assert content(build_once(2, "table", elsewhere).path) == {"data": "1", "sub/more": "2"}
    assert Path("elsewhere").is_dir()


@pytest.mark.usefixtures("place")
def test_the_error_of_a_build_is_raised_and_the_next_call_tries_again() -> None:
    def fail(_into: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build_once({}, "model", fail)
    assert list(Path(".sealrun/scratch").iterdir()) == []
    assert not build_once({}, "model", fill()).reused


@pytest.mark.usefixtures("place")
def test_whoever_waits_is_told_of_the_failure_and_does_not_build() -> None:
    begun, may_fail = threading.Event(), threading.Event()
    told: list[BaseException] = []

    def fail(_into: Path) -> None:
        begun.set()
        may_fail.wait()
        raise ZeroDivisionError

    def first() -> None:
        with pytest.raises(ZeroDivisionError):
            build_once({}, "model", fail)

    def second() -> None:
        try:
            build_once({}, "model", fail)
        except BuildFailedError as error:
            told.append(error)

    builder, waiter = threading.Thread(target=first), threading.Thread(target=second)
    builder.start()
    begun.wait()
    with pytest.raises(HeldError, match="still being built"):
        build_once({}, "model", fail, wait=0.0)
    waiter.start()
    waiter.join(0.5)  # by now it waits, or it will find the failure and be the next to try: both end
    may_fail.set()
    builder.join()
    waiter.join()
    assert len(told) == 1
    assert "failed with ZeroDivisionError" in str(told[0])


def test_why_a_build_failed_is_told_without_secrets(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2-and-more")

    def fail(_into: Path) -> None:
        msg = "cannot log in to postgres://ann:s3cret@db/x with hunter2-and-more"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="cannot log in"):
        build_once({}, "model", fail)
    (said,) = (path.read_text() for path in (place / "registry/builds").rglob("*.json") if "failed" in path.read_text())
    assert "ValueError: cannot log in to postgres://***@db/x with ***" in said
    assert "s3cret" not in said


@pytest.mark.usefixtures("place")
def test_what_was_retired_is_built_again() -> None:
    first = build_once({}, "model", fill())
    retire(first.ref)
    second = build_once({}, "model", fill())
    assert (second.reused, second.urn) == (False, first.urn)
    assert build_once({}, "model", fill()).reused


def test_what_was_collected_is_built_again_as_if_it_never_was(place: Path) -> None:
    settings = place / "sealrun.toml"
    settings.write_text(settings.read_text() + '\n[gc]\ngrace = "0s"\nmax_delete_ratio = 1.0\n')
    first = build_once({}, "model", fill())
    retire(first.ref)
    assert run(["gc"]) == 0
    second = build_once({}, "model", fill())
    assert (second.reused, content(second.path)) == (False, {"out.txt": "built"})
    assert run(["verify", "--all"]) == 0


def test_a_registry_that_never_was_is_made_by_the_first_build(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "sealrun.toml").unlink()
    monkeypatch.setenv("SEALRUN_STORE", str(place / "fresh"))
    assert not build_once({}, "model", fill()).reused
    assert (place / "fresh/registry.json").is_file()


def test_a_read_only_registry_gives_what_is_built_and_builds_nothing(place: Path) -> None:
    done = build_once({}, "model", fill())
    settings = place / "sealrun.toml"
    settings.write_text("version = 1\n[registry.main]\nurl = 'registry'\nread_only = true\n")
    again = build_once({}, "model", fill())
    assert again == Built(urn=done.urn, ref=done.ref, path=done.path, reused=True)
    with pytest.raises(ConfigurationError, match="is read-only"):
        build_once({"other": 1}, "model", fill())


@pytest.mark.usefixtures("place")
def test_a_lease_has_to_leave_time_for_signs_of_life() -> None:
    with pytest.raises(UsageError, match="too short"):
        build_once({}, "model", fill(), lease=0.1)


@pytest.mark.usefixtures("place")
def test_everything_that_was_put_or_built_verifies() -> None:
    put(folder(), "target")
    build_once({}, "model", fill())
    assert run(["verify", "--all"]) == 0
