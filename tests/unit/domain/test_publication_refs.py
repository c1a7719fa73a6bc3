"""Refs say where every digest is, and packs are named once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.address import AttemptId, Digest, object_key, pack_key
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Refs, Stored

ATTEMPT = AttemptId("20260117T143052Z-0123456789abcdef")
DIGESTS = st.binary(max_size=4).map(sha256)
ALONE = st.builds(lambda digest, size: Stored(object_key(digest, ATTEMPT), size), DIGESTS, st.integers(0, 2**50))
PACKED = st.builds(
    lambda pack, offset, size: Stored(pack_key(pack, ATTEMPT), size, offset),
    st.sampled_from([sha256(b"p"), sha256(b"q")]),
    st.integers(0, 2**32),
    st.integers(0, 2**26),
)


@given(st.dictionaries(DIGESTS, ALONE | PACKED, max_size=8))
def test_refs_are_read_back_as_they_were_written(objects: dict[Digest, Stored]) -> None:
    refs = Refs(attempt=ATTEMPT, objects=objects)
    body = refs.encode()
    assert Refs.decode(body, "refs.json") == refs
    assert Refs.decode(body, "refs.json").encode() == body
    for key in {stored.key for stored in objects.values() if stored.offset is not None}:
        assert body.count(key.encode()) == 1


def test_what_a_later_version_says_beside_is_kept() -> None:
    value = json.loads(Refs(attempt=ATTEMPT, objects={}).encode()) | {"later": [1]}
    assert json.loads(Refs.decode(json.dumps(value).encode(), "refs.json").encode()) == value


@pytest.mark.parametrize("packs", [[], {"key": []}, {"key": {"digest": [1]}}, {"key": {"digest": ["0", 1]}}])
def test_packs_that_cannot_be_read_are_refused_with_the_place(packs: object) -> None:
    value = json.loads(Refs(attempt=ATTEMPT, objects={}).encode()) | {"packs": packs}
    with pytest.raises(UnsupportedFormatError, match=r"attempts/x/refs\.json: packs"):
        Refs.decode(json.dumps(value).encode(), "attempts/x/refs.json")
