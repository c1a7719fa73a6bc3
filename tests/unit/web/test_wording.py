"""How values are written: nothing that comes from outside changes what is around it."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.builders.boards import HOSTILE_NAMES
from tests.builders.pages import Taken

from sealrun.web.wording import absolute, ago, count, flat, lines, relative, run_url, shown, size, state, url, visible

NOW = "2026-03-14T15:09:26Z"


@given(st.text())
@example("\ud800 \udcff\x00\x7f\u2066\r\n")
def test_any_text_is_shown_as_one_isolated_name_of_signs_that_can_be_seen(text: str) -> None:
    taken = Taken(str(shown(text)))
    assert {element.tag for element in taken.elements} <= {"bdi", "span"}
    assert all(sign.isprintable() for sign in "".join(taken.words))
    assert "".join(taken.words) == (visible(text) or "(empty)")


@given(st.text(min_size=1))
def test_a_file_s_text_is_escaped_and_keeps_its_lines(text: str) -> None:
    taken = Taken(f"<pre>{lines(text)}</pre>")
    assert [element.tag for element in taken.elements] == ["pre"]
    assert "".join(taken.words).count("\n") == text.replace("\r\n", "\n").count("\n")


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert "".join(Taken(str(shown("a" * 500 + "z" * 500, 20))).words) == "a" * 10 + "…" + "z" * 10


@given(st.lists(st.text(min_size=1), min_size=1), st.text(min_size=1))
@example(["..", ".", "a/b"], "#?&%2F")
def test_a_part_of_an_address_stays_one_part_whatever_is_in_it(parts: list[str], value: str) -> None:
    made = url(*parts, path=value)
    found = urlsplit(made)
    assert made.isascii()
    assert found.path.count("/") == len(parts)
    assert not {".", "..", ""} & set(map(unquote, found.path.split("/")[1:]))
    sent = value.encode("utf-8", "replace").decode()
    assert parse_qs(found.query, keep_blank_values=True)["path"] == [sent]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_part_comes_back_as_it_was(name: str) -> None:
    assert unquote(url("runs", name).removeprefix("/runs/")) == name


def test_a_reference_that_is_no_run_has_no_address() -> None:
    assert run_url("training/run-1", "main") == "/runs/main/training/run-1"
    assert run_url("training", "main") is None
    assert run_url("training/", "main") is None
    assert run_url("/data/outbox/run-1", "main") is None
    assert run_url("<b>/run-1", "main") is None


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-14T15:09:26Z", "0 s ago"),
        ("2026-03-14T15:08:27Z", "59 s ago"),
        ("2026-03-14T15:08:26Z", "1 min ago"),
        ("2026-03-14T13:09:27Z", "119 min ago"),
        ("2026-03-14T13:09:26Z", "2 h ago"),
        ("2026-03-12T15:09:26Z", "2 days ago"),
        ("2026-03-14T15:39:26+00:00", "in 30 min"),
        ("2026-03-14T17:09:26+02:00", "0 s ago"),
        ("not <b>a</b> time", "not <b>a</b> time"),
    ],
)
def test_a_time_is_told_relative_to_now(at: str, expected: str) -> None:
    assert relative(at, NOW) == expected


def test_a_time_has_its_absolute_self_beside_it() -> None:
    (element,) = Taken(str(ago("2026-03-14T13:09:26+01:00", NOW))).elements
    assert element.attributes["title"] == absolute("2026-03-14T13:09:26+01:00") == "2026-03-14 12:09:26 UTC"
    assert ago(None, NOW) == "never"
    assert ago("<img>", NOW) == "&lt;img&gt;"


def test_sizes_and_counts_have_their_units() -> None:
    assert [size(number) for number in (0, 1023, 1024, 1536, 5 << 40, 3 << 60, None)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "5.0 TiB",
        "3072.0 PiB",
        "not known",
    ]
    assert [count(1, "run"), count(50_000, "run"), count(2, "folder")] == ["1 run", "50,000 runs", "2 folders"]


def test_a_status_is_read_without_its_colour() -> None:
    words = {word: "".join(Taken(str(state(word))).words) for word in ("up", "down", "parked", "settling")}
    assert words == {"up": "✓up", "down": "■down", "parked": "▲parked", "settling": "○settling"}


def test_nested_values_are_flat_and_in_their_order() -> None:
    assert list(flat({"b": {"x": 1, "y": {"z": [1, None]}}, "a": "<b>", "e": {}})) == [
        ("b.x", "1"),
        ("b.y.z", "[1, null]"),
        ("a", "<b>"),
        ("e", "{}"),
    ]
