from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain import address, urn
from sealrun.domain.address import AttemptId, Digest
from sealrun.domain.errors import SealrunError, UnsupportedFormatError, UsageError

DIGEST = Digest("0123456789abcdef" * 4)
ATTEMPT = AttemptId("20260117T143052Z-0123456789abcdef")
_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
_DIGESTS = st.binary(min_size=32, max_size=32).map(lambda body: Digest(body.hex()))


@given(_DIGESTS)
def test_an_object_key_tells_whose_bytes_and_who_wrote_them(digest: Digest) -> None:
    key = address.object_key(digest, ATTEMPT)
    assert address.parse_object_key(key) == (digest, ATTEMPT)
    assert key.startswith(f"store/objects/sha256/{digest[:2]}/{digest[2:4]}/")


@pytest.mark.parametrize(
    "key",
    [
        "store/objects/sha256/01/23/short." + ATTEMPT,
        address.object_key(DIGEST, ATTEMPT) + "x",
        address.object_key(DIGEST, ATTEMPT) + "\n",
        address.object_key(DIGEST, ATTEMPT).upper(),
        "attempts/x",
        "",
    ],
)
def test_what_is_no_object_key_is_refused(key: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        address.parse_object_key(key)


@given(st.integers(1, 999_999_999_998), st.integers(1, 999_999_999_998))
def test_the_newest_generation_sorts_first(one: int, other: int) -> None:
    keys = {n: address.generation_key("log/", n) for n in (one, other)}
    assert address.generation_of(keys[one]) == one
    assert (keys[one] < keys[other]) == (one > other)


@pytest.mark.parametrize("generation", [0, -1, 10**12])
def test_generations_outside_their_range_are_refused(generation: int) -> None:
    with pytest.raises(UsageError):
        address.generation_key("log/", generation)


@pytest.mark.parametrize("key", ["log/x.json", "log/1.json", "log/000000000001.txt", "log/000000000001.json\n"])
def test_what_is_no_generation_is_refused(key: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        address.generation_of(key)


def test_a_base_is_a_generation_too() -> None:
    key = address.generation_key(address.base_log("e"), 3, ".jsonl")
    assert address.generation_of(key) == 3
    assert key.endswith(".jsonl")


@pytest.mark.parametrize("parse", [address.parse_digest, address.parse_attempt, urn.parse_urn])
@given(text=st.text())
def test_parsing_anything_either_works_or_is_a_usage_error(parse: Callable[[str], object], text: str) -> None:
    try:
        parsed = parse(text)
    except UsageError:
        return
    assert str(parsed) == text


@pytest.mark.parametrize("bad", ["", "x" * 64, "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"])
def test_a_digest_is_64_lower_case_hexadecimal_digits(bad: str) -> None:
    with pytest.raises(UsageError):
        address.parse_digest(bad)


def test_attempt_ids_are_built_and_checked() -> None:
    assert address.attempt_id("20260117T143052Z", "0123456789abcdef") == ATTEMPT
    for bad in ("2026-01-17", "20260117T143052Z-xyz", ATTEMPT + "0", ATTEMPT + "\n"):
        with pytest.raises(UsageError):
            address.parse_attempt(bad)


@given(_NAMES)
def test_names_are_safe_in_keys(name: str) -> None:
    assert address.is_name(name)
    assert address.parse_name(name, "run id") == name
    assert "/" not in name
    assert name not in {".", ".."}


@pytest.mark.parametrize("bad", ["", ".", "..", ".a", "-a", "_a", "a/b", "a b", "é", "a\n", "x" * 129, "a:b", "a@b"])
def test_other_names_are_refused_and_the_message_says_of_what(bad: str) -> None:
    assert not address.is_name(bad)
    with pytest.raises(UsageError, match="not a valid experiment"):
        address.parse_name(bad, "experiment")


@pytest.mark.parametrize("good", ["profile.csv", "a b", "é.csv", "_x", ".hidden", "x" * 200])
def test_artifacts_have_names_that_files_have(good: str) -> None:
    assert address.parse_artifact_name(good) == good


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "a/b", "a:b", "a@b", "a\n", "\udc80", "x" * 201, "é" * 101, "a.meta.json"]
)
def test_artifact_names_that_references_or_stores_cannot_take_are_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        address.parse_artifact_name(bad)


@given(_NAMES, _DIGESTS)
def test_a_urn_is_read_back_as_it_was_written(kind: str, digest: Digest) -> None:
    made = urn.Urn(kind, digest)
    assert urn.parse_urn(str(made)) == made


@pytest.mark.parametrize(
    "bad",
    [
        "urn:lh:x:sha256:" + DIGEST,
        "urn:sealrun:x:md5:" + DIGEST,
        "urn:sealrun:x:sha256:abc",
        f"urn:sealrun:x:sha256:{DIGEST}:",
    ],
)
def test_other_urns_are_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        urn.parse_urn(bad)


def test_only_intents_pending_rows_and_probes_may_be_discarded() -> None:
    may = [address.intent_key(ATTEMPT), address.pending_key("e", ATTEMPT), "probe/x/y"]
    may_not = [
        address.REGISTRY,
        address.outcome_key(ATTEMPT),
        address.refs_key(ATTEMPT),
        address.retired_key(ATTEMPT),
        address.object_key(DIGEST, ATTEMPT),
        address.run_key("e", "r", "run.json"),
        address.run_key("index", "pending", "run.json"),
        address.artifact_key("e", "r", "index/pending/x"),
        address.seal_key("e", "r", ATTEMPT),
        address.generation_key(address.pointer_log("e", "latest"), 1),
        address.generation_key(address.base_log("e"), 1, ".jsonl"),
        address.pointer_projection("e", "latest"),
        "attempts/intent.json",
        f"attempts/{ATTEMPT}/x/intent.json",
        "experiments/e/index/pendingx/a.json",
        "probe",
    ]
    assert [key for key in may + may_not if address.is_discardable(key)] == may


def test_every_key_of_an_attempt_names_the_attempt() -> None:
    for key in (address.intent_key(ATTEMPT), address.outcome_key(ATTEMPT), address.refs_key(ATTEMPT)):
        assert address.attempt_of(key) == ATTEMPT
    with pytest.raises(SealrunError):
        address.attempt_of("attempts/nobody/intent.json")
