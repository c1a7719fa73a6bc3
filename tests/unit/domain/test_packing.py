from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.errors import ConfigurationError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import LOCAL_SIZE, Digesting, PackFacts, PackOptions, PackWriter, plan_packs, spans

_OVERHEAD = 2 * 64 + 30 + 46
"""What a member costs beside its bytes: two headers, each with the name."""


def a_pack(bodies: Sequence[bytes]) -> tuple[bytes, PackFacts]:
    chunks: list[bytes] = []
    writer = PackWriter(Digesting(chunks.append))
    for body in bodies:
        writer.add(sha256(body), body)
    facts = writer.finish()
    return b"".join(chunks), facts


_BODIES = st.lists(st.binary(max_size=300), unique=True, max_size=20)


@given(_BODIES)
def test_a_pack_says_what_it_is_and_where_its_members_are(bodies: list[bytes]) -> None:
    pack, facts = a_pack(bodies)
    assert (facts.digest, facts.size) == (hashlib.sha256(pack).hexdigest(), len(pack))
    assert [member.digest for member in facts.members] == [sha256(body) for body in bodies]
    for member, body in zip(facts.members, bodies, strict=True):
        assert pack[member.offset : member.offset + member.size] == body


@given(_BODIES)
def test_any_reader_of_zip_reads_a_pack(bodies: list[bytes]) -> None:
    pack, facts = a_pack(bodies)
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [sha256(body) for body in bodies]
        for info, member, body in zip(archive.infolist(), facts.members, bodies, strict=True):
            assert info.header_offset + LOCAL_SIZE == member.offset
            assert info.compress_type == zipfile.ZIP_STORED
            assert archive.read(info) == body


@pytest.mark.parametrize("bodies", [[b""], [b"one", b"", b"x" * 70_000]], ids=["an-empty-file", "three"])
def test_a_tool_for_zip_finds_no_fault_in_a_pack(bodies: list[bytes], tmp_path: Path) -> None:
    """Info-ZIP's where it is installed, else the one that comes with Python."""
    at = tmp_path / "pack.zip"
    at.write_bytes(a_pack(bodies)[0])
    tool = ["unzip"] if shutil.which("unzip") else [sys.executable, "-m", "zipfile"]
    done = subprocess.run([*tool, "-t", str(at)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bad" not in (done.stdout + done.stderr).lower()


def test_the_bytes_of_a_pack_depend_on_nothing_but_its_members_and_their_order() -> None:
    assert a_pack([b"1", b"2"]) == a_pack([b"1", b"2"])
    assert a_pack([b"1", b"2"])[1].digest != a_pack([b"2", b"1"])[1].digest
    stored_for_ever = "4639caa13654142e4992f8c85b8a65b9168c5d7c4a6fa6535ec9ae47579dd05f"
    assert a_pack([b"1", b"2"])[1].digest == stored_for_ever


def test_what_is_written_comes_in_pieces_of_a_bounded_size() -> None:
    pieces: list[int] = []
    writer = PackWriter(Digesting(lambda piece: pieces.append(len(piece))))
    for number in range(40):
        body = number.to_bytes(2, "big") * 50_000
        writer.add(sha256(body), body)
        assert writer.members == number + 1
    writer.finish()
    assert len(pieces) > 2
    assert max(pieces) < (1 << 20) + 101_000


# ---------------------------------------------------------------- planning

_OPTIONS = st.builds(PackOptions, below=st.integers(1, 500), size=st.integers(300, 3_000), least=st.integers(1, 4))


@given(st.lists(st.integers(0, 700), max_size=60), _OPTIONS)
def test_every_small_file_is_in_one_pack_and_packs_are_bounded(sizes: list[int], options: PackOptions) -> None:
    files = list(enumerate(sizes))
    packs = plan_packs(files, options)
    small = [number for number, size in files if size < options.below]
    assert [number for pack in packs for number in pack] == (small if len(small) >= options.least else [])
    for pack in packs:
        assert pack
        weight = sum(sizes[number] + _OVERHEAD for number in pack)
        assert weight < options.size + options.below + _OVERHEAD
    assert packs == plan_packs(iter(files), options)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), _OPTIONS)
def test_packs_of_one_run_are_about_equally_large(sizes: list[int], options: PackOptions) -> None:
    packs = plan_packs(enumerate(sizes), options)
    weights = [sum(sizes[number] + _OVERHEAD for number in pack) for pack in packs]
    assert all(abs(one - other) <= 2 * (options.below + _OVERHEAD) for one, other in pairwise(weights[:-1]))


def test_no_pack_has_more_members_than_a_plain_zip_can_have() -> None:
    packs = plan_packs(((number, 0) for number in range(150_000)), PackOptions(size=1 << 30))
    assert sum(map(len, packs)) == 150_000
    assert max(map(len, packs)) <= 60_000


def test_a_pack_of_as_many_members_as_are_planned_is_a_plain_zip() -> None:
    pack, _ = a_pack([number.to_bytes(4, "big") for number in range(60_000)])
    assert b"PK\x06\x06" not in pack  # the mark of the larger kind
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        assert len(archive.namelist()) == 60_000


@pytest.mark.parametrize(
    "wrong",
    [
        PackOptions(below=0),
        PackOptions(below=(64 << 20) + 1),
        PackOptions(size=(1 << 20) - 1),
        PackOptions(size=(1 << 30) + 1),
        PackOptions(least=0),
    ],
    ids=["below-0", "below-too-much", "size-too-small", "size-too-large", "least-0"],
)
def test_options_with_which_no_good_pack_can_be_made_are_refused(wrong: PackOptions) -> None:
    with pytest.raises(ConfigurationError, match="packs"):
        wrong.check()
    assert PackOptions().check() == PackOptions()


# ---------------------------------------------------------------- reading several members at once


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60)), max_size=30),
    st.integers(0, 40),
    st.integers(1, 200),
)
def test_spans_cover_every_member_once_and_in_order(steps: list[tuple[int, int]], gap: int, most: int) -> None:
    members, at = [], 0
    for skip, size in steps:
        members.append((at + skip, size))
        at += skip + size
    found = spans(members, gap=gap, most=most)
    assert [number for first, last in found for number in range(first, last)] == list(range(len(members)))
    for first, last in found:
        end = members[last - 1][0] + members[last - 1][1]
        assert last - first == 1 or end - members[first][0] <= most
        joined = members[first:last]
        assert all(after[0] - (before[0] + before[1]) <= gap for before, after in pairwise(joined))
    for (first, _), (begin, _) in pairwise(found):  # nothing that might be joined is read apart
        before, after = members[begin - 1], members[begin]
        too_far = after[0] - (before[0] + before[1]) > gap
        assert too_far or after[0] + after[1] - members[first][0] > most
