"""A watch with ``seal = "in-place"``: the seal is in the folder, is true, and a change after it is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from tests.builders.folders import Station, a_folder, sha256sum

from sealrun.adapters.run_folders.seals import LocalSeals
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.domain.errors import AccessDeniedError, RunChangedError
from sealrun.domain.records import sha256
from sealrun.domain.watches.in_place import is_in_place_seal
from sealrun.ports import Journal
from sealrun.services.watching.accepting import Acceptor
from sealrun.services.watching.intake import Intake

SUMS = "MANIFEST.sha256"


class Dead(BaseException):
    """The process died."""


class Seals(LocalSeals):
    """Counts, does what the test wants done around a writing, and dies where the test says."""

    def __init__(self) -> None:
        self.written = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def write(self, run: str, body: bytes, mtime_ns: int) -> None:
        self.before()
        super().write(run, body, mtime_ns)
        self.written += 1
        self.after()


def station(root: Path, on_failed: str = "seal") -> tuple[Station, Seals]:
    made = Station(root, seal="in-place", on_failed=on_failed)
    seals = Seals()
    source = LocalFolderSource(made.watch, made.journal.hashes)
    acceptor = Acceptor(made.watch, source, cast("Journal", made.journal), made.clock, sealer=made.sealer, seals=seals)
    made.intake = Intake(acceptor, made.writers)
    return made, seals


def events(made: Station, kind: str) -> list[str]:
    return [event.get("reason", "") for event in made.journal.events.seen if event["kind"] == kind]


def test_the_folder_verifies_where_it_lies_and_the_seal_is_published_with_it(tmp_path: Path) -> None:
    made, seals = station(tmp_path / "runs")
    run = a_folder(tmp_path / "runs/a", {"x.csv": "1\n", "deep/y": "2\n"})
    made.settle()
    assert made.state("a") == "sealed"
    assert sha256sum(run, "--quiet", "--strict", "-c", SUMS) == b""
    body = (run / SUMS).read_bytes()
    head, root = body.rsplit(b"# ROOT_SHA256 ", 1)
    assert root == f"{sha256(head)}\n".encode()
    assert sorted(path.name for path in run.iterdir()) == [SUMS, "deep", "x.csv"]
    (envelope,) = made.envelopes()
    assert (envelope.files, envelope.completion.method) == (3, "quiet")
    assert envelope.finished_at == "2026-01-17T14:30:52Z", "sealing does not make it newer"
    made.rescan(10)
    made.rescan(made.watch.settle_s)
    assert (seals.written, len(made.envelopes())) == (1, 1)


def test_a_change_after_sealing_is_named_and_becomes_a_revision_with_a_seal_of_its_own(tmp_path: Path) -> None:
    made, _ = station(tmp_path / "runs")
    run = a_folder(tmp_path / "runs/a", {"x.csv": "1\n", "y": "2\n"})
    made.settle()
    (run / "x.csv").write_text("3\n")
    (run / "y").unlink()
    (run / "z").write_text("new")
    made.settle()
    (reason,) = events(made, "run.altered")
    assert "'y' is gone, 'z' is new, 'x.csv' changed" in reason
    assert sha256sum(run, "--quiet", "--strict", "-c", SUMS) == b""
    first, second = made.envelopes()
    assert second.supersedes == first.run_id


def test_the_producers_own_sums_are_not_written_over(tmp_path: Path) -> None:
    made, seals = station(tmp_path / "runs")
    good = a_folder(tmp_path / "runs/good", {"x": "1"})
    (good / SUMS).write_bytes(sha256sum(good, "x"))
    own = (good / SUMS).read_bytes()
    bad = a_folder(tmp_path / "runs/bad", {"x": "1"})
    (bad / SUMS).write_bytes(sha256sum(bad, "x"))
    (bad / "x").write_text("2")
    made.settle()
    made.rescan(made.watch.settle_s)
    made.rescan(made.watch.settle_s)
    assert (made.state("good"), (good / SUMS).read_bytes()) == ("sealed", own)
    assert made.state("bad") == "rejected"
    assert "'x' changed" in made.reason("bad")
    assert seals.written == 0


def test_a_file_that_changes_while_the_seal_is_written_is_not_published_under_it(tmp_path: Path) -> None:
    made, seals = station(tmp_path / "runs")
    run = a_folder(tmp_path / "runs/a", {"x": "1"})

    def change() -> None:
        seals.after = lambda: None
        (run / "x").write_text("2")

    seals.after = change
    made.settle()
    assert (made.state("a"), made.envelopes()) == ("settling", [])
    made.rescan(2)
    made.rescan(made.watch.settle_s)
    assert made.state("a") == "sealed"
    assert sha256sum(run, "--quiet", "--strict", "-c", SUMS) == b""
    assert "'x' changed" in events(made, "run.altered")[0]


@pytest.mark.parametrize("call", ["mkdir", "open", "write", "fsync", "rename"])
@pytest.mark.parametrize("nth", range(1, 5))
def test_a_crash_leaves_nothing_that_looks_sealed_or_a_true_seal(
    tmp_path: Path, call: str, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_folder(tmp_path / "runs/a", {"x": "1"})
    made, _ = station(tmp_path / "runs")
    real, count = getattr(os, call), 0

    def dying(*args: object, **options: object) -> object:
        nonlocal count
        count += 1
        if count == nth:
            raise Dead
        return real(*args, **options)

    def dies() -> None:
        # As a kill: nothing is cleaned up after it.
        monkeypatch.setattr(os, call, dying)
        monkeypatch.setattr(os, "unlink", lambda *_args, **_options: None)
        monkeypatch.setattr(os, "rmdir", lambda *_args, **_options: None)

    made.rescan()
    dies()
    try:
        LocalSeals().write(str(run), b"# sealed in place by sealrun\n", 0)
    except Dead:
        assert not (run / SUMS).exists() or (run / SUMS).read_bytes() == b"# sealed in place by sealrun\n"
    monkeypatch.undo()
    again, _ = station(tmp_path / "runs")
    again.settle()
    assert again.state("a") in {"sealed", "rejected"}
    if again.state("a") == "sealed":
        assert is_in_place_seal((run / SUMS).read_bytes())
        assert again.envelopes()[0].files == 2


def test_a_seal_that_a_crash_left_is_no_word_of_the_producer(tmp_path: Path) -> None:
    made, seals = station(tmp_path / "runs")
    a_folder(tmp_path / "runs/a", {"x": "1"})

    def die() -> None:
        raise Dead

    seals.after = die
    made.rescan()
    with pytest.raises(Dead):
        made.rescan(made.watch.settle_s)
    again, seals = station(tmp_path / "runs")
    again.settle()
    (envelope,) = again.envelopes()
    assert (envelope.completion.method, seals.written) == ("quiet", 0)


def test_a_folder_that_cannot_be_written_to_says_so_and_is_tried_again(tmp_path: Path) -> None:
    made, seals = station(tmp_path / "runs")
    a_folder(tmp_path / "runs/a", {"x": "1"})

    def deny() -> None:
        raise AccessDeniedError("'a': cannot be sealed in place (Read-only file system)")

    seals.before = deny
    made.settle()
    assert (made.state("a"), made.envelopes()) == ("settling", [])
    assert "Read-only file system" in made.reason("a")
    seals.before = lambda: None
    made.rescan(60)
    made.rescan(made.watch.settle_s)
    assert made.state("a") == "sealed"


def test_the_error_of_a_read_only_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_folder(tmp_path / "a", {"x": "1"})

    def denied(*_args: object, **_options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", denied)
    with pytest.raises(AccessDeniedError, match=r'Read-only file system.*seal = "outside"'):
        LocalSeals().write(str(run), b"", 0)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "a", {"x": "1"})
    (tmp_path / "elsewhere").mkdir()
    (run / ".sealrun").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunChangedError, match="link"):
        LocalSeals().write(str(run), b"", 0)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_runs_that_are_kept_back_are_left_as_they_are(tmp_path: Path) -> None:
    made, seals = station(tmp_path / "runs", on_failed="skip")
    run = a_folder(tmp_path / "runs/a", {"x": "1", ".sealrun/done.json": '{"status": "failed"}'})
    made.settle()
    assert made.state("a") == "skipped"
    assert (seals.written, (run / SUMS).exists()) == (0, False)
