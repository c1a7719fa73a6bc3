"""Looking at several runs: tables of an experiment, and what differs between two."""

from __future__ import annotations

import json

import pytest
from tests.unit.cli.test_verbs import Place, place

__all__ = ["place"]


def _drop(place: Place, name: str, lr: float, loss: float | None, **files: bytes) -> str:
    finished = f"2026-01-17T14:30:{10 * lr:02.0f}Z"
    said = {
        "finished_at": finished,
        "params": {"lr": lr, "seed": 1},
        **({} if loss is None else {"metrics": {"loss": loss}}),
    }
    place.drop(name, **{"run.json": json.dumps(said).encode(), **files})
    ref: str = place.publish(name)["ref"]
    return ref


@pytest.fixture
def refs(place: Place) -> list[str]:
    return [
        _drop(place, "one", 0.1, 0.5, same=b"same", text=b"a\nb\nc\n", gone=b"gone", old=b"moved"),
        _drop(place, "two", 0.2, 0.25, same=b"same", text=b"a\nB\nc", new=b"new!", renamed=b"moved"),
        _drop(place, "three", 0.3, None, same=b"same"),
    ]


def test_an_experiment_is_shown_as_a_table_of_what_its_runs_say(place: Place, refs: list[str]) -> None:
    answer = place("ls", "e", "--columns", "name,params,metrics", "--sort", "metrics.loss")
    assert answer.code == 0, answer.err
    assert [line.split() for line in answer.out.decode().splitlines()] == [
        ["name", "params.lr", "metrics.loss"],
        ["two", "0.2", "0.25"],
        ["one", "0.1", "0.5"],
        ["three", "0.3"],
    ]
    assert len(refs) == 3


@pytest.mark.usefixtures("refs")
def test_only_the_runs_asked_for_are_listed_and_json_has_the_values_as_recorded(place: Place) -> None:
    answer = place("ls", "e", "--columns", "name,metrics.loss", "--where", "params.lr<0.3", "--json")
    assert [json.loads(line) for line in answer.out.splitlines()] == [
        {"name": "one", "metrics.loss": 0.5},
        {"name": "two", "metrics.loss": 0.25},
    ]
    newest = place("ls", "e", "--limit", "1", "--json")
    assert newest.json()["name"] == "three"
    assert newest.json()["kind"] == "row"
    assert place("ls", "e", "--where", "params.lr>7", "--error-on-nothing").code == 4
    assert b"three" in place("ls", "e", "--where", "status=unknown").out


@pytest.mark.parametrize("words", [("--limit", "1"), ("--where", "a=1"), ("--sort", "a"), ("--columns", "a")])
def test_tables_are_of_one_experiment(place: Place, words: tuple[str, str]) -> None:
    answer = place("ls", *words)
    assert answer.code == 2
    assert "EXPERIMENT" in answer.err


def test_a_condition_that_cannot_be_read_is_refused(place: Place) -> None:
    answer = place("ls", "e", "--where", "loss")
    assert answer.code == 2
    assert "NAME=VALUE" in answer.err


def test_two_runs_are_compared(place: Place, refs: list[str]) -> None:
    answer = place("diff", refs[0], refs[1])
    assert answer.code == 0, answer.err
    lines = [line.strip() for line in answer.out.decode().splitlines()]
    assert lines[:2] == [f"--- {refs[0]}", f"+++ {refs[1]}"]
    assert "lr: 0.1 -> 0.2  (+0.1)" in lines
    assert "loss: 0.5 -> 0.25  (-0.25)" in lines
    assert {
        "D 4 B  gone",
        "A 4 B  new",
        "R 5 B  old -> renamed",
        "M 6 B -> 5 B  text",
        "1 unchanged (4 B)",
    } <= set(lines)
    said = place("diff", refs[0], refs[1], "--json").json()
    assert said["same"] is said["same_bytes"] is False
    assert said["metrics"] == [{"name": "loss", "before": 0.5, "after": 0.25, "delta": -0.25}]
    assert {change["path"]: change["change"] for change in said["files"]}["renamed"] == "moved"


def test_the_exit_code_says_whether_runs_differ_if_it_is_asked_to(place: Place, refs: list[str]) -> None:
    assert place("diff", refs[0], refs[1], "--exit-code").code == 1
    assert place("diff", refs[0], refs[0], "--exit-code").code == 0
    assert place("diff", f"{refs[0]}:same", f"{refs[1]}:same", "--exit-code").code == 0
    assert place("diff", f"{refs[0]}:text", f"{refs[1]}:text", "--exit-code").code == 1


def test_two_text_files_are_compared_line_by_line(place: Place, refs: list[str]) -> None:
    answer = place("diff", f"{refs[0]}:text", f"{refs[1]}:text")
    assert answer.out.decode().splitlines()[2:] == [
        "@@ -1,3 +1,3 @@",
        " a",
        "-b",
        "-c",
        "+B",
        "+c",
        "\\ No newline at end of file",
    ]


def test_what_cannot_be_compared_is_refused(place: Place, refs: list[str]) -> None:
    assert place("diff", refs[0], f"{refs[1]}:text").code == 2
    assert place("diff", f"{refs[0]}:text", f"{refs[1]}:nothing").code == 1
    binary = _drop(place, "binary", 1.0, None, text=b"\xff\xfe")
    answer = place("diff", f"{refs[0]}:text", f"{binary}:text")
    assert answer.code == 2
    assert "not text" in answer.err


@pytest.mark.parametrize("words", [("ls",), ("pointer", "ls"), ("ls", "--json")])
@pytest.mark.usefixtures("refs")
def test_a_listing_of_an_unknown_experiment_names_those_that_there_are(place: Place, words: tuple[str, ...]) -> None:
    answer = place(*words, "nope")
    assert (answer.code, answer.out) == (1, b"")
    assert "no experiment 'nope'; there are: e" in answer.err
    awaited = place("ls", "nope", "--error-on-nothing")
    assert (awaited.code, awaited.out) == (4, b"")
    assert "there are: e" in awaited.err


@pytest.mark.usefixtures("refs")
def test_the_history_of_an_unknown_pointer_names_those_that_there_are(place: Place) -> None:
    answer = place("pointer", "history", "e", "lastest")
    assert (answer.code, answer.out) == (1, b"")
    assert "no pointer 'e@lastest'; there are: e@latest" in answer.err
    assert "no experiment 'f'" in place("pointer", "history", "f", "latest").err


@pytest.mark.usefixtures("refs")
def test_a_verification_names_its_registry(place: Place) -> None:
    url = str(place.folder / "registry")
    assert place("verify", "--all").out.decode().startswith(f"main {url}: 3 runs, ")
    assert place("verify", "--all", "--registry", url).out.decode().startswith(f"main {url}: ")
    assert place("verify", "--all", "--json").json()["registry"] == "main"


def test_a_mark_says_what_the_watch_still_waits_for(place: Place) -> None:
    text = (place.folder / "sealrun.toml").read_text()
    (place.folder / "sealrun.toml").write_text(text.replace("[[watch]]", '[[watch]]\nrequire = ["metrics.json"]'))
    place.drop("outbox/one", a=b"1")
    answer = place("mark", "outbox/one")
    assert answer.code == 0, answer.err
    assert "waiting: " in answer.err
    assert "metrics.json" in answer.err
    (place.folder / "outbox/one/metrics.json").write_bytes(b"{}")
    assert place("mark", "outbox/one", "--json").json()["awaited"] is not None
    assert place("mark", place.drop("elsewhere", a=b"1"), "--json").json()["awaited"] is None
    (place.folder / "sealrun.toml").write_text("version = 9")
    assert place("mark", "outbox/one", "--json").json()["awaited"] is None


@pytest.mark.parametrize("words", [(), ("--format", "zip")])
def test_an_export_without_a_format_lists_them(place: Place, refs: list[str], words: tuple[str, ...]) -> None:
    answer = place("export", refs[0], "there", *words)
    assert answer.code == 2
    assert [line.split()[1] for line in answer.err.splitlines()[1:]] == ["bagit", "ro-crate", "in-toto"]
