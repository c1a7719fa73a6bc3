"""Printing: tables for people, JSON Lines for programs, nothing that could confuse a terminal."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from sealrun.cli.output import human_size, print_json, print_rows, printable, progress, waiting
from sealrun.domain.long_json import Many

ROWS = [{"name": "a", "size": 1, "more": None}, {"name": "longer", "size": 22, "more": [1]}]


def test_a_table_is_aligned_and_has_no_trailing_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, ("name", "size"), as_json=False)
    assert capsys.readouterr().out == "name    size\na       1\nlonger  22\n"


def test_the_last_row_of_many_may_widen_a_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealrun.cli.output._TOGETHER", 2)
    names = ["b", "", "c\x1fd", "é", "the longest"]
    assert print_rows(({"name": name, "size": 1} for name in names), ("name", "size"), as_json=False) == len(names)
    assert capsys.readouterr().out.splitlines() == [
        "name         size", "b            1", "             1", "c\\x1fd       1", "é            1", "the longest  1",
    ]  # fmt: skip


def test_json_lines_hold_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, ("name",), as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


@pytest.mark.parametrize("as_json", [True, False])
def test_no_rows_print_nothing(capsys: pytest.CaptureFixture[str], *, as_json: bool) -> None:
    print_rows([], ("name",), as_json=as_json)
    assert capsys.readouterr().out == ""


def test_names_from_outside_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"name": "a\x1b[2Jb\nc\udcff"}], ("name",), as_json=False)
    line = capsys.readouterr().out.splitlines()[1]
    assert line == "a\\x1b[2Jb\\nc\\udcff"
    assert printable("grüße.txt") == "grüße.txt"


def test_sizes_are_written_as_people_read_them() -> None:
    assert [human_size(size) for size in (0, 1023, 1024, 1536, 5 << 30, 3 << 60)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB", "3072.0 PiB",
    ]  # fmt: skip


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (False, False), (True, True)])
def test_progress_is_shown_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool, quiet: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with progress("reading", quiet=quiet) as advance:
        advance(2048)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("reading: 2.0 KiB" in shown.err) is (terminal and not quiet)


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (False, False), (True, True)])
def test_what_is_waited_for_is_shown_on_a_terminal_only_and_wiped_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool, quiet: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with waiting("making registry main", quiet=quiet):
        pass
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("making registry main …" in shown.err) is (terminal and not quiet)
    assert shown.err == "" or shown.err.endswith("\r\x1b[K")


def test_json_is_text_wherever_stdout_was_redirected_to() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_json({"b": [1, "ü"], "a": Many(lambda: iter([{"x": None}]))})
    assert out.getvalue() == '{"a": [{"x": null}], "b": [1, "\\u00fc"]}\n'
