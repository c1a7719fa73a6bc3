"""What fuzzing has found, each as the property that was broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz.seeds import SAMPLE
from tests.fuzz.targets import WHERE

from sealrun.domain.errors import ConfigurationError, IntegrityError, UnsupportedFormatError
from sealrun.domain.oversight.board import TablePreview
from sealrun.domain.oversight.previews import MOST_COLUMNS, table_of
from sealrun.domain.patterns import check_patterns
from sealrun.domain.records import canonical_json_without_floats, parse_object
from sealrun.domain.registry.indexing import ordering_of_line, row_of_line
from sealrun.domain.registry.publication import Outcome, Refs
from sealrun.domain.runs.manifest import Manifest
from sealrun.services.mending import comparing
from sealrun.settings import load_settings
from sealrun.settings.quantities import parse_size

OUTCOME = next(b for p in sorted(SAMPLE.glob("attempts/*/outcome.json")) if b'"sealed"' in (b := p.read_bytes()))
REFS = next(SAMPLE.glob("attempts/*/refs.json")).read_bytes()
MANIFEST = next(SAMPLE.glob("experiments/*/runs/*/manifest.json")).read_bytes()
DEEP = b'{"a": ' * 100_000


@pytest.mark.parametrize(("kind", "body"), [(Outcome, OUTCOME), (Refs, REFS), (Manifest, MANIFEST)])
def test_one_flipped_bit_inside_a_string_is_damage_and_nothing_else(kind: type[Outcome], body: bytes) -> None:
    at = body.index(b"sealrun/1")
    for place in range(at, at + 9):
        flipped = body[:place] + bytes([body[place] | 0x80]) + body[place + 1 :]
        with pytest.raises(IntegrityError):
            kind.decode(flipped, WHERE)


@pytest.mark.parametrize("kind", [Outcome, Refs, Manifest])
def test_a_record_nested_without_end_is_damage(kind: type[Outcome]) -> None:
    with pytest.raises(UnsupportedFormatError):
        kind.decode(DEEP, WHERE)


def test_a_line_of_an_index_nested_without_end_is_damage() -> None:
    for read in (row_of_line, ordering_of_line):
        with pytest.raises(UnsupportedFormatError):
            read(DEEP + b"\n", WHERE)


def test_half_a_character_in_a_field_that_nobody_knows_is_kept_when_the_record_is_written_again() -> None:
    body = REFS.replace(b'"kind": "refs"', b'"kind": "refs",\n  "unknown": "\\ud800"')
    assert Refs.decode(Refs.decode(body, WHERE).encode(), WHERE).extra == {"unknown": "\ud800"}
    assert canonical_json_without_floats({"a": "\ud800"}) == b'{\n  "a": "\\ud800"\n}\n'


def test_half_a_character_where_a_word_of_a_list_is_expected_is_damage() -> None:
    with pytest.raises(UnsupportedFormatError):
        Outcome.decode(OUTCOME.replace(b'"sealed"', b'"\\ud800"'), WHERE)


def test_a_number_beyond_every_float_is_no_json() -> None:
    with pytest.raises(UnsupportedFormatError, match="1e999"):
        parse_object(b'{"a": 1e999}', WHERE)


def test_a_sidecar_nested_without_end_says_nothing() -> None:
    assert comparing._digest_in(DEEP) is None


@pytest.mark.parametrize("text", [f"{'9' * 400}GiB", f"{'9' * 400}"])
def test_a_size_beyond_every_float_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


def test_a_table_of_a_hundred_thousand_columns_makes_no_rows_of_as_many() -> None:
    lines = [b"{" + b",".join(b'"%d_%d":0' % (row, n) for n in range(400)) + b"}" for row in range(200)]
    found = table_of("x.jsonl", b"\n".join(lines), truncated=False)
    assert isinstance(found, TablePreview)
    assert len(found.columns) == MOST_COLUMNS
    assert found.truncated


@pytest.mark.parametrize("value", ["[" * 5000, "{a=" * 5000, "9" * 5000])
def test_settings_nested_without_end_or_with_endless_numbers_are_refused(tmp_path: Path, value: str) -> None:
    file = tmp_path / "sealrun.toml"
    file.write_text(f"version = 1\nstate = {value}\n")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load_settings(file, {}, tmp_path)


def test_a_pattern_with_an_impossible_range_names_its_file() -> None:
    with pytest.raises(ConfigurationError, match=r"\.sealignore"):
        check_patterns(["[b-a]"], ".sealignore")
