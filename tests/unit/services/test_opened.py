from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.errors import DigestMismatchError
from sealrun.domain.records import sha256
from sealrun.services.access.opened import OpenFile

_BODY = bytes(range(256)) * 3 + b"line one\nline two\nthe last line"


class Asked:
    """A file whose bytes are asked for, and what was asked."""

    def __init__(self, body: bytes = _BODY, *, sealed: bytes | None = None, window: int | None = None) -> None:
        self.body = body
        self.ranges: list[tuple[int, int]] = []
        digest = sha256(body if sealed is None else sealed)
        self.file = OpenFile("f", len(body), digest, self.fetch, lambda: DigestMismatchError("damaged"), window)

    def fetch(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert 0 < length <= len(self.body) - offset
        self.ranges.append((offset, length))
        return self.body[offset : offset + length]

    @property
    def fetched(self) -> int:
        return sum(length for _, length in self.ranges)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 900)),
        st.tuples(st.just("read1"), st.integers(-1, 900)),
        st.tuples(st.just("seek"), st.integers(0, 1000)),
        st.tuples(st.just("end"), st.integers(-800, 10)),
        st.tuples(st.just("line"), st.just(0)),
        st.tuples(st.just("into"), st.integers(0, 300)),
    )
)


@given(_STEPS, st.sampled_from([1, 7, 64, 5000]))
def test_it_reads_like_any_other_file(steps: list[tuple[str, int]], window: int) -> None:
    ours, other = Asked(window=window).file, io.BytesIO(_BODY)
    for step, number in steps:
        if step == "read":
            assert ours.read(number) == other.read(number)
        elif step == "read1":
            got = ours.read1(number)
            expected = other.read(len(got))
            assert got == expected
            assert got or number == 0 or other.tell() >= len(_BODY)
        elif step == "seek":
            assert ours.seek(number) == other.seek(number)
        elif step == "end":
            ours.seek(max(0, len(_BODY) + number))
            other.seek(max(0, len(_BODY) + number))
        elif step == "line":
            assert ours.readline() == other.readline()
        else:
            mine, theirs = bytearray(number), bytearray(number)
            assert ours.readinto(mine) == other.readinto(theirs)
            assert mine == theirs
        assert ours.tell() == other.tell()


def test_looking_here_and_there_fetches_little_more_than_was_asked_for() -> None:
    asked = Asked(bytes(10_000_000))
    asked.file.seek(-8, io.SEEK_END)
    asked.file.read(8)
    for at in (5_000_000, 100, 7_000_000):
        asked.file.seek(at)
        asked.file.read(1_000_000)
    assert asked.fetched <= 8 + 3_000_000 + 4 * (64 << 10)
    assert len(asked.ranges) == 4


def test_reading_on_needs_few_requests() -> None:
    asked = Asked(bytes(40_000_000))
    while asked.file.read(10_000):
        pass
    assert asked.fetched == 40_000_000
    assert len(asked.ranges) < 15


def test_what_is_read_to_the_end_is_verified() -> None:
    asked = Asked(bytes(300_000), sealed=b"something else")
    asked.file.read(200_000)
    with pytest.raises(DigestMismatchError):
        asked.file.read()
    good = Asked(bytes(300_000))
    good.file.read(5)
    good.file.seek(0)
    assert len(good.file.read()) == 300_000


def test_a_part_of_a_damaged_file_can_be_read_and_a_gap_is_not_verified() -> None:
    asked = Asked(bytes(300_000), sealed=b"something else")
    asked.file.seek(10)
    assert len(asked.file.read()) == 299_990


def test_text_and_csv_readers_take_it() -> None:
    asked = Asked("a,b\n1,ä\n".encode())
    assert list(csv.reader(io.TextIOWrapper(asked.file, "utf-8"))) == [["a", "b"], ["1", "ä"]]


def test_a_closed_file_says_so() -> None:
    file = Asked().file
    with file:
        pass
    for use in (file.read, file.tell, file.peek, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            use()
    with pytest.raises(ValueError, match="cannot seek"):
        Asked().file.seek(-1)
    assert not file.writable()


def test_a_thread_reads_where_it_has_sought_whatever_others_did_meanwhile() -> None:
    file = Asked(window=64).file
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for read in (file.read, file.read1):
            one.submit(file.seek, 300).result()
            other.submit(file.seek, 20).result()
            assert one.submit(read, 10).result() == _BODY[300:310]
            assert other.submit(read, 10).result() == _BODY[20:30]


def test_threads_that_take_turns_share_one_position() -> None:
    file = Asked(window=64).file
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        assert one.submit(file.seek, 0, io.SEEK_END).result() == len(_BODY)
        other.submit(file.seek, 100).result()
        assert one.submit(file.read, 10).result() == _BODY[100:110]
        assert other.submit(file.read, 10).result() == _BODY[110:120]
        one.submit(file.seek, 0).result()
        assert other.submit(file.read, 5).result() == _BODY[:5]
        assert one.submit(file.read, 5).result() == _BODY[5:10]
        one.submit(file.seek, 200).result()
        assert other.submit(file.tell).result() == 200
        other.submit(file.seek, 50).result()
        other.submit(file.tell).result()
        assert one.submit(file.read, 5).result() == _BODY[50:55]
