"""Previews of foreign files: bounded, inert, and never more than what the first bytes prove."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.previews import (
    MOST_COLUMNS,
    MOST_ROWS,
    MOST_TEXT,
    TEXT_BYTES,
    kind_of,
    picture_type,
    table_of,
    text_of,
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/b.PNG", "picture"),
        ("b.jpeg", "picture"),
        ("x.svg", "text"),
        ("index.html", "text"),
        ("t.csv", "table"),
        ("t.TSV", "table"),
        ("t.ndjson", "table"),
        ("t.parquet", "other"),
        ("model.bin", "other"),
        ("png", "other"),
        ("x.png/README", "text"),
    ],
)
def test_a_name_tells_what_a_preview_would_be(path: str, kind: str) -> None:
    assert kind_of(path) == kind
    assert kind_of("t.parquet", parquet=True) == "table"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"<html>", None),
        (b"\x89PNG", None),
        (b"", None),
    ],
)
def test_a_picture_is_told_by_its_first_bytes(body: bytes, media_type: str | None) -> None:
    assert picture_type(body) == media_type


def test_a_table_is_cut_to_what_is_shown() -> None:
    body = "\n".join(",".join([str(number)] * 150) for number in range(1000)).encode()
    table = table_of("t.csv", body, truncated=False)
    assert (len(table.columns), len(table.rows), table.rows_total) == (MOST_COLUMNS, MOST_ROWS, 999)
    assert table.truncated


def test_a_table_of_which_only_the_beginning_is_there_ends_with_a_whole_line() -> None:
    table = table_of("t.csv", b"a,b\n1,2\n3,4\n5,", truncated=True)
    assert (table.columns, table.rows, table.rows_total, table.truncated) == (
        ["a", "b"],
        [["1", "2"], ["3", "4"]],
        None,
        True,
    )


def test_rows_of_other_lengths_make_a_table_all_the_same() -> None:
    table = table_of("t.tsv", b"a\tb\n1\n1\t2\t3\n", truncated=False)
    assert table.columns == ["a", "b", "column 3"]
    assert table.rows == [["1", "", ""], ["1", "2", "3"]]


def test_json_lines_make_columns_of_every_name() -> None:
    body = b'{"a": 1}\n{"b": {"c": [1, null]}}\n\n3\n'
    table = table_of("t.jsonl", body, truncated=False)
    assert table.columns == ["a", "b", "value"]
    assert table.rows == [["1", "", ""], ["", '{"c": [1, null]}', ""], ["", "", "3"]]


def test_very_many_names_make_no_more_columns_than_are_shown() -> None:
    lines = (json.dumps({f"{row}-{name}": 1 for name in range(50)}) for row in range(MOST_ROWS))
    table = table_of("t.jsonl", "\n".join(lines).encode(), truncated=False)
    assert (len(table.columns), len(table.rows), table.truncated) == (MOST_COLUMNS, MOST_ROWS, True)


@pytest.mark.parametrize("body", [b'{"a": ', b"[" * 100_000, b'"' + b"x" * 10])
def test_what_is_no_table_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        table_of("t.jsonl", body, truncated=False)


def test_a_field_that_is_longer_than_any_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        table_of("t.csv", b"a\n" + b"x" * 200_000, truncated=False)


def test_a_long_cell_is_cut() -> None:
    table = table_of("t.csv", b"a\n" + b"x" * 1000, truncated=False)
    assert table.rows == [["x" * MOST_TEXT + "…"]]


def test_a_text_is_shown_from_its_beginning_whatever_its_bytes() -> None:
    assert text_of(b"a\xffb", truncated=False).text == "a\ufffdb"
    long = text_of(b"x" * (TEXT_BYTES + 1), truncated=False)
    assert (len(long.text), long.truncated) == (TEXT_BYTES, True)
    with pytest.raises(UsageError, match="NUL"):
        text_of(b"a\0b", truncated=False)


@given(st.binary(max_size=300), st.sampled_from(["t.csv", "t.tsv", "t.jsonl"]), st.booleans())
def test_no_bytes_make_anything_but_a_table_or_a_refusal(body: bytes, name: str, truncated: bool) -> None:  # noqa: FBT001 - drawn
    try:
        table = table_of(name, body, truncated=truncated)
    except UsageError:
        return
    json.dumps(table.rows).encode()
    assert all(len(row) == len(table.columns) for row in table.rows)
