"""retire, undo, pin, unpin, pins and gc on a directory registry: what they do, print and refuse."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from tests.builders.commands import Commands, go_to

from sealrun.adapters.stores.posix_removal import PosixRemover


class Place(Commands):
    """A folder made by ``sealrun init`` with a policy that keeps one run, in which commands are run."""

    def publish(self, number: int) -> str:
        """Publish a run with one file of its own, and one that every run has."""
        folder = self.folder / f"run-{number}"
        (folder / ".sealrun").mkdir(parents=True)
        (folder / "model.bin").write_bytes(bytes([number]) * 5000)
        (folder / "config.json").write_text("{}")
        (folder / ".sealrun" / "done.json").write_text(f'{{"finished_at": "2026-01-{number + 1:02d}T00:00:00Z"}}')
        answer = self("publish", str(folder), "--experiment", "e", "--json")
        assert answer.code == 0, answer.err
        ref: str = json.loads(answer.out)["ref"]
        return ref

    def digest(self, number: int) -> str:
        return hashlib.sha256(bytes([number]) * 5000).hexdigest()

    def listed(self) -> list[str]:
        return [f"e/{row['run_id']}" for row in self("ls", "e", "--json").rows()]

    def files(self) -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (self.folder / "registry").rglob("*") if path.is_file()}

    def stored(self, number: int) -> bool:
        return any(self.digest(number)[4:] in path for path in self.files())


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Place:
    go_to(tmp_path, monkeypatch)
    made = Place(tmp_path, capsys)
    with (tmp_path / "sealrun.toml").open("a") as settings:
        settings.write("\n[retention.default]\nkeep_last = 1\n")
    return made


def test_from_a_policy_to_bytes_that_are_gone_with_a_way_back_until_then(place: Place) -> None:
    first, second, third = (place.publish(number) for number in range(3))

    before = place.files()
    dry = place("retire", "--all", "-n", "--json").rows()
    assert {row["ref"]: row["action"] for row in dry} == {first: "retire", second: "retire", third: "keep"}
    assert all(row["why"] and row["size"] for row in dry)
    assert place.files() == before

    done = place("retire", "--all")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("2 runs, ")
    assert place.listed() == [third]

    assert place("undo", first).code == 0
    assert set(place.listed()) == {first, third}

    before = place.files()
    young = place("gc", "-n", "--json").rows()
    assert young[-1]["summary"]["objects"] == 0, "the grace time is not over"
    foretold = place("gc", "-n", "--grace", "0", "--json").rows()
    assert [row["ref"] for row in foretold[:-1]] == [second]
    assert [file["paths"] for file in foretold[0]["files"]] == [["model.bin"]], "config.json is in other runs, too"
    assert foretold[-1]["summary"]["size"] == 5000
    assert place.files() == before

    collected = place("gc", "--grace", "0s", "--max-delete-ratio", "50%")
    assert (collected.code, collected.err) == (0, "")
    assert collected.out.startswith("deleted 1 objects, 4.9 KiB")
    assert [place.stored(number) for number in range(3)] == [True, False, True]

    (said,) = place("gc", "explain", place.digest(1), "--json").rows()
    assert said["state"] == "deleted"
    assert second in said["reasons"][0]
    assert f"run {first} uses it" in place("gc", "explain", place.digest(0)).out
    shutil.rmtree(place.folder / "run-1")
    lost = place("undo", second)
    assert lost.code == 1
    assert "model.bin" in lost.err
    assert place("verify", "--all").code == 0


def test_old_records_are_named_with_their_bytes_by_a_dry_run_and_deleted(place: Place) -> None:
    place.publish(0)
    base = place.folder / "registry/experiments/e/index/base"
    (row,) = (place.folder / "registry/experiments/e/index/pending").glob("*.json")
    line = json.dumps(json.loads(row.read_text())) + "\n"
    base.mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        (base / f"{999_999_999_999 - number:012}.jsonl").write_text(line)
    before = place.files()

    named = place("gc", "-n", "--grace", "0", "--json").rows()
    said = place("gc", "-n", "--grace", "0").out
    assert place.files() == before
    key = "experiments/e/index/base/999999999998.jsonl"
    assert named[0] == {"residue": {"key": key, "size": len(line)}}
    assert named[-1]["summary"]["residue"] == {"keys": 1, "size": len(line)}
    assert key in said

    assert "1 old records" in place("gc", "--grace", "0").out
    assert [found.name for found in base.iterdir()] == ["999999999997.jsonl"]
    assert len(place.listed()) == 1


def test_a_retirement_by_name_is_refused_where_a_pointer_stands_and_says_which(place: Place) -> None:
    first, second = place.publish(0), place.publish(1)
    refused = place("retire", second)
    assert refused.code == 2
    assert "pointer e@latest" in refused.err
    assert place("retire", first, "-m", "wrong data").code == 0
    assert place.listed() == [second]
    again = place("retire", first)
    assert again.code == 1
    assert "wrong data" in again.err


WRONG = [
    ["retire"],
    ["retire", "e/x", "--all"],
    ["retire", "--experiment", "e", "--all"],
    ["undo"],
    ["gc", "--grace", "soon"],
    ["gc", "--max-delete-ratio", "lots"],
    ["gc", "--max-delete-ratio", "120%"],
    ["gc", "explain", "neither"],
    ["pin", "e@latest", "--expires", "tomorrow"],
    ["pin", "e@latest", "--expires", "2020-01-01"],
    ["pin", "e@latest", "--expires", "99999999999d"],
    ["pin", "e@latest", "--expires", "1d", "--hold"],
]


def test_wrong_usage_is_refused_before_anything_is_done(place: Place) -> None:
    place.publish(0)
    before = place.files()
    for arguments in WRONG:
        assert place(*arguments).code == 2, arguments
    assert place.files() == before
    assert place("retire", "-n").code == 0, "looking at everything harms nobody"


def test_a_pinned_run_outlives_its_policy_and_a_hold_outlives_an_unpin(place: Place) -> None:
    first, second = place.publish(0), place.publish(1)
    assert place("pin", first, "-m", "figure 3", "--expires", "30d").code == 0
    assert place("retire", first).code == 2
    (pin,) = place("pins", "--json").rows()
    assert (pin["run_id"], pin["why"], pin["hold"]) == (first.partition("/")[2], "figure 3", False)
    assert "figure 3" in place("retire", "--all", "-n").out
    assert place("retire", "--all").out.endswith("0 runs, 0 B, retired\n")

    assert place("pin", first, "--hold", "-m", "audit").code == 0
    assert {line.split()[0] for line in place("pins", "e").out.splitlines()} == {"kind", "pin", "hold"}
    assert place("unpin", first).code == 0
    assert place("unpin", first).code == 2, "only holds are left"
    assert place("retire", "--experiment", "e").code == 0
    assert set(place.listed()) == {first, second}
    assert place("unpin", first, "--holds").code == 0
    assert place("pins").out == ""
    assert place("retire", "--experiment", "e").code == 0
    assert place.listed() == [second]


def test_without_a_policy_nothing_is_retired_and_that_is_said(place: Place) -> None:
    place.publish(0)
    place.publish(1)
    settings = place.folder / "sealrun.toml"
    settings.write_text(settings.read_text().replace("keep_last = 1", ""))
    answer = place("retire", "--all", "--error-on-nothing")
    assert answer.code == 4
    assert "the policy is empty" in answer.err
    assert len(place.listed()) == 2


def test_a_collection_beyond_the_ratio_is_refused_and_deletes_nothing(place: Place) -> None:
    place.publish(0)
    place.publish(1)
    place("retire", "--all")
    dry = place("gc", "-n", "--grace", "0")
    assert dry.code == 0
    assert "would be refused" in dry.out
    refused = place("gc", "--grace", "0")
    assert refused.code == 1
    assert "max_delete_ratio" in refused.err
    assert place.stored(0)


def test_what_could_not_be_deleted_is_named_and_answered_with_3(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.publish(0)
    place.publish(1)
    place("retire", "--all")
    monkeypatch.setattr(PosixRemover, "delete", lambda _self, keys: dict.fromkeys(keys, "access denied"))
    answer = place("gc", "--grace", "0", "--max-delete-ratio", "1")
    assert answer.code == 3
    assert f"{place.digest(0)[4:]}" in answer.err
    assert "access denied" in answer.err
    monkeypatch.undo()
    monkeypatch.chdir(place.folder)
    assert place("gc", "--grace", "0", "--max-delete-ratio", "1").code == 0
    assert not place.stored(0)


def test_nothing_to_collect_is_0_or_4_for_who_asks(place: Place) -> None:
    place.publish(0)
    assert place("gc").code == 0
    assert place("gc", "--error-on-nothing").code == 4
    assert place("gc", "-n", "--error-on-nothing").code == 4


def test_an_undo_of_several_runs_goes_on_after_one_that_is_gone(place: Place) -> None:
    first, second, third = (place.publish(number) for number in range(3))
    place("retire", "--all")
    answer = place("undo", first, "e/never-was", second)
    assert answer.code == 3
    assert "never-was" in answer.err
    assert set(place.listed()) == {first, second, third}
    assert "nothing to do" in place("undo", first, "-n").out


def test_an_undo_that_cannot_work_says_beforehand_which_files_are_gone(place: Place) -> None:
    first, _ = place.publish(0), place.publish(1)
    place("retire", "--all")
    assert "would be brought back" in place("undo", first, "-n").out
    place("gc", "--grace", "0", "--max-delete-ratio", "1")
    (said,) = place("undo", first, "-n", "--json").rows()
    assert [entry["path"] for entry in said["missing"]] == ["model.bin"]
    assert said["bytes_missing"] == 5000
    assert "have to come from elsewhere" in place("undo", first, "-n").out


def test_an_undo_takes_bytes_that_are_gone_from_the_folder_that_was_dropped_if_they_are_the_same(place: Place) -> None:
    first, second = place.publish(0), place.publish(1)
    place("retire", "--all")
    place("gc", "--grace", "0", "--max-delete-ratio", "1")
    model = place.folder / "run-0" / "model.bin"
    body = model.read_bytes()
    model.write_bytes(b"x" + body[1:])
    lost = place("undo", first)
    assert lost.code == 1
    assert "model.bin" in lost.err
    assert place.listed() == [second]
    model.write_bytes(body)
    assert place("undo", first).code == 0
    assert set(place.listed()) == {first, second}
    assert place("verify", "--all").code == 0


def test_a_dry_run_leaves_no_state_folder_behind(place: Place) -> None:
    place.publish(0)
    url = str(place.folder / "registry")
    (place.folder / "sealrun.toml").unlink()
    (place.folder / "new").mkdir()
    settings = place.folder / "new" / "sealrun.toml"
    settings.write_text("version = 1\n")
    for command in (["retire", "--all", "-n"], ["gc", "-n"], ["pins"], ["gc", "explain", place.digest(0)]):
        assert place(*command, "--registry", url, "--config", str(settings)).code == 0
    assert [path.name for path in (place.folder / "new").iterdir()] == ["sealrun.toml"]
