"""pause, resume, and what status says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.builders.clocks import quiet_now
from tests.builders.commands import Commands, go_to


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    go_to(tmp_path, monkeypatch)
    place = Commands(tmp_path, capsys)
    (tmp_path / "sealrun.toml").write_text(
        'version = 1\n[registry.main]\nurl = "registry"\n'
        f'[registry.cold]\nurl = "cold"\nquiet_hours = {json.dumps(quiet_now())}\n'
        '[registry.old]\nurl = "old"\nread_only = true\n[[watch]]\npath = "outbox"\n'
    )
    return place


def test_without_a_name_everything_is_paused_and_resumed(place: Commands) -> None:
    assert [(row["kind"], row["name"]) for row in place("pause", "--json").rows()] == [
        ("registry", "main"),
        ("registry", "cold"),
        ("watch", "outbox"),
    ]
    assert place("resume").out.splitlines() == [
        "registry main goes on",
        "registry cold goes on",
        "watch outbox goes on",
    ]
    assert place("resume").out.splitlines()[0] == "registry main was not paused"


def test_status_says_who_paused_what_why_and_until_when(place: Commands) -> None:
    done = place("pause", "--watch", "outbox", "--for", "90m", "--reason", "the disk\x1b[31m is moved")
    assert done.out.startswith("watch outbox is paused until 2")
    place("pause", "--registry", "main")
    status = place("status").out
    assert "until somebody resumes it: by " in status
    assert "the disk" in status
    assert "\x1b" not in status
    assert "quiet hours, until " in status
    (watch,) = place("status", "--json").json()["watches"]
    assert watch["paused"]["cause"] == "person"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--registry", "mian"), "no registry 'mian'"),
        (("--registry", "old"), "no registry 'old'"),
        (("--watch", "main"), "no watch 'main'"),
        (("--for", "soon"), "--for: expected a duration"),
        (("--for", "0s"), "a pause is for"),
        (("--for", "999999d"), "a pause is for"),
    ],
)
def test_what_cannot_be_paused_is_refused_and_nothing_is(
    place: Commands, arguments: tuple[str, ...], reason: str
) -> None:
    done = place("pause", *arguments)
    assert done.code == 2
    assert reason in done.err
    assert "since" not in place("status").out
