from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.address import AttemptId, Digest, RunId
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.registry.indexing import Row, Rows, lines_of, merge_rows, runs_of
from sealrun.domain.shelves import use_shelves

DIGEST = Digest("0" * 64)


class Away(bytearray):
    """A shelf."""

    def append(self, body: bytes) -> int:  # type: ignore[override] # a shelf's, of many bytes at once
        begin = len(self)
        self.extend(body)
        return begin

    def read(self, begin: int, size: int) -> bytes:
        return bytes(self[begin : begin + size])


@pytest.fixture(autouse=True, params=["memory", "shelf"])
def few_are_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three rows to a block, of which two stay in memory."""
    monkeypatch.setattr("sealrun.domain.registry.indexing._IN_A_BLOCK", 3)
    monkeypatch.setattr("sealrun.domain.shelves._NEAR", 2)
    use_shelves(Away if request.param == "shelf" else None)
    yield
    use_shelves(None)


def row(number: int, again: int = 0) -> Row:
    """Row `number` in order of time, of the run's attempt `again`."""
    return Row(
        run_id=RunId(f"20260117T143052Z-{number:04}"),
        experiment="train",
        attempt=AttemptId(f"202601{17 + again:02}T143052Z-{number:016x}"),
        name=f"run {number} é",
        status="completed",
        finished_at=f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        sealed_at="2026-01-17T14:30:52Z",
        files=number,
        size=10 * number,
        tree_digest=DIGEST,
        urn=f"urn:sealrun:train:{DIGEST}",
        root_sha256=DIGEST,
        tags=("a", "b") if number % 2 else (),
    )


def rows_up_to(count: int) -> list[Row]:
    return [row(number) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 7, 20])
def test_rows_are_a_sequence_of_what_was_put_in(count: int) -> None:
    plain = rows_up_to(count)
    rows = Rows.of(plain)
    assert (len(rows), list(rows), list(reversed(rows))) == (count, plain, plain[::-1])
    assert [rows[at] for at in range(-count, count)] == [plain[at] for at in range(-count, count)]
    assert list(rows[2:9:2]) == plain[2:9:2]
    assert rows == plain
    assert rows == Rows.of(plain)
    assert rows != rows_up_to(count + 1)
    assert rows != Rows.of([*plain[:-1], row(99)])
    with pytest.raises(IndexError):
        rows[count]


def test_lines_come_out_as_they_came_in_also_with_fields_that_nobody_knows() -> None:
    lines = [msgspec.structs.replace(row(number), extra={"later": number}).line() for number in range(20)]
    lines[7] = b'  {"unusual": true, ' + lines[7][1:]
    rows = Rows(lines, "a base")
    assert list(rows.lines()) == lines
    assert bytes(rows.base()) == b"".join(lines)
    assert rows[7].extra == {"later": 7, "unusual": True}
    assert bytes(merge_rows(rows, [row(30)]).base()) == b"".join((*lines, row(30).line()))


def test_a_line_that_is_no_row_is_told_with_where_it_is_from() -> None:
    rows = Rows([*(each.line() for each in rows_up_to(9)), b"{torn\n"], "experiments/train/index/base/1.jsonl")
    assert rows[8] == row(8)
    for read in (lambda: rows[9], lambda: list(rows), lambda: merge_rows(rows, ())):
        with pytest.raises(UnsupportedFormatError, match=r"base/1\.jsonl.*rebuild the index"):
            read()


def test_a_row_that_lacks_something_is_told_with_where_it_is_from_also_after_a_merge() -> None:
    lines = [each.line() for each in rows_up_to(9)]
    lines[4] = lines[4].replace(b'"files"', b'"filez"')
    of_base = Rows(lines, "experiments/train/index/base/1.jsonl")
    merged = merge_rows(of_base, [row(12)])
    for rows in (of_base, merged, runs_of(merged), merge_rows(Rows(reversed(lines), of_base.where), ())):
        assert rows[3] == row(3)
        for read in (rows.__getitem__, lambda _, rows=rows: list(rows), lambda _, rows=rows: list(rows.sound_lines())):
            with pytest.raises(UnsupportedFormatError, match=r"base/1\.jsonl.*files"):
                read(4)


@given(st.lists(st.binary(max_size=9)), st.integers(0))
def test_lines_are_the_same_wherever_pieces_end(lines: Sequence[bytes], seed: int) -> None:
    whole = b"\n".join(lines)
    cuts = random.Random(seed)
    pieces, begin = [], 0
    while begin < len(whole):
        end = begin + cuts.randint(1, 5)
        pieces.append(whole[begin:end])
        begin = end
    expected = [line + b"\n" for line in whole.removesuffix(b"\n").split(b"\n")] if whole else []
    assert list(lines_of(pieces)) == expected


@given(st.data())
def test_rows_are_merged_as_sets_are(data: st.DataObject) -> None:
    numbers = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), unique=True)
    base, pending, dropped = (
        {row(*each).attempt: row(*each) for each in data.draw(numbers, label=name)}
        for name in ("base", "new", "dropped")
    )
    in_base = sorted(base.values(), key=lambda each: each.order)
    merged = merge_rows(Rows.of(in_base), pending.values(), dropped.keys())
    union = {attempt: each for attempt, each in (base | pending).items() if attempt not in dropped}
    assert merged == sorted(union.values(), key=lambda each: each.order)
    newest = {each.run_id: each for each in sorted(union.values(), key=lambda each: each.attempt)}
    assert runs_of(merged) == sorted(newest.values(), key=lambda each: each.order)


@given(st.permutations(range(9)))
def test_a_base_that_somebody_wrote_in_another_order_is_put_in_order(numbers: list[int]) -> None:
    rows = [row(number // 2, number % 2) for number in numbers]
    merged = merge_rows(Rows.of(rows[:-1]), rows[-1:], {row(3).attempt})
    expected = sorted(rows, key=lambda each: each.order)
    assert merged == [each for each in expected if each.attempt != row(3).attempt]
    assert [each.run_id for each in runs_of(merged)] == [row(number).run_id for number in range(5)]


def test_a_row_that_stands_twice_in_a_base_is_shown_once() -> None:
    twice = Rows.of([row(0), row(1), row(1), row(2)])
    assert merge_rows(twice, ()) == rows_up_to(3)
    assert merge_rows(twice, [msgspec.structs.replace(row(1), name="newer")])[1].name == "newer"
