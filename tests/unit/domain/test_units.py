from __future__ import annotations

import pytest

from sealrun.domain.oversight.units import (
    Places,
    command_line,
    condition_of,
    is_ours,
    places_text,
    stamped,
    unit_text,
)


def test_what_the_unit_reaches_anyway_needs_no_drop_in() -> None:
    assert places_text(Places(written=("/var/lib/sealrun",), read=("/data/outputs", "/usr"))) == ""


def test_what_is_written_to_is_named_and_may_be_missing() -> None:
    text = places_text(Places(written=("/srv/registry", "/srv/registry")))
    assert text == "[Service]\nReadWritePaths=-/srv/registry\n"


def test_of_a_home_only_what_is_named_is_seen() -> None:
    text = places_text(Places(written=("/home/ann/registry",), read=("/home/ann/outputs", "/data")))
    assert text.splitlines() == [
        "[Service]",
        "ProtectHome=tmpfs",
        "BindPaths=-/home/ann/registry",
        "BindReadOnlyPaths=-/home/ann/outputs",
    ]


def test_what_lies_inside_a_folder_that_is_written_to_is_not_made_read_only() -> None:
    text = places_text(Places(written=("/home/ann",), read=("/home/ann/outputs",)))
    assert "BindReadOnlyPaths" not in text


def test_a_folder_that_only_begins_like_a_hidden_one_is_not_hidden() -> None:
    assert places_text(Places(read=("/homework", "/rooted"))) == ""


def test_a_watched_folder_in_tmp_is_seen() -> None:
    assert "PrivateTmp=no" in places_text(Places(read=("/tmp/outputs",)))  # noqa: S108 - a name


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        (("/opt/a/sealrun", "daemon"), "/opt/a/sealrun daemon"),
        (("/opt/my tools/sealrun",), '"/opt/my tools/sealrun"'),
        (("/x", "50%", "$HOME", 'a"b', "c\\d"), '/x "50%%" "$$HOME" "a\\"b" "c\\\\d"'),
        (("/x", ""), '/x ""'),
    ],
)
def test_a_command_is_spelled_as_systemd_reads_it(words: tuple[str, ...], spelled: str) -> None:
    assert command_line(words) == spelled


def test_only_the_command_of_a_unit_is_replaced() -> None:
    template = "[Service]\nExecStart=/old daemon\nExecReload=/bin/kill\n"
    assert unit_text(template, ["/a\\1", "x"]) == '[Service]\nExecStart="/a\\\\1" x\nExecReload=/bin/kill\n'


def test_what_an_installation_wrote_is_told_from_what_somebody_edited() -> None:
    ours, newer = stamped("[Service]\n"), stamped("[Service]\nNice=1\n")
    assert condition_of(None, newer) == "absent"
    assert condition_of(newer, newer) == "same"
    assert condition_of(ours, newer) == "older"
    assert condition_of(ours + "# mine\n", newer) == "edited"
    assert condition_of("[Service]\n", newer) == "foreign"
    assert is_ours(ours)
    assert not is_ours(ours + "\n")
    assert not is_ours("")


def test_a_path_with_a_line_end_writes_no_setting_of_its_own() -> None:
    hostile = "/srv/a\nExecStartPre=+/bin/evil\r"
    assert "\nExecStartPre" not in places_text(Places(written=(hostile,), read=(f"/home{hostile}",)))
    assert len(command_line(["sealrun", "--config", hostile]).splitlines()) == 1
