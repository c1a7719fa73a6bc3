from __future__ import annotations

import msgspec
import pytest

from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import Entry, Link, Manifest
from sealrun.domain.upkeep.reclaiming import ReclaimPlan, SourceFacts, difference, plan_reclaim
from sealrun.domain.watches.watch import ReclaimRule

A_DAY = 86400.0
SOURCE = SourceFacts(
    watch="w",
    path="/outbox/r",
    ref="e/r",
    rule=ReclaimRule(after_s=A_DAY, copies=2),
    sealed_at=0.0,
    published={"main": 10.0, "cloud": 20.0},
    unpublished={},
)


def judged(now: float, **facts: object) -> tuple[bool, str]:
    plan: ReclaimPlan = plan_reclaim([msgspec.structs.replace(SOURCE, **facts)], now)
    (source,) = plan.sources
    assert (source in plan.due) == source.due
    return source.due, "; ".join(source.reasons)


def test_a_source_is_due_the_configured_time_after_the_last_registry_got_it() -> None:
    assert judged(19.0 + A_DAY) == (False, "not before 1970-01-02T00:00:20Z")
    assert judged(20.0 + A_DAY) == (True, "published to cloud, main, due 1970-01-02T00:00:20Z")


def test_a_folder_that_came_back_later_counts_from_then() -> None:
    assert not judged(20.0 + A_DAY, sealed_at=30.0)[0]
    assert judged(30.0 + A_DAY, sealed_at=30.0)[0]


@pytest.mark.parametrize("state", ["queued", "parked"])
def test_a_registry_that_does_not_have_the_run_yet_keeps_the_source(state: str) -> None:
    due, why = judged(99 * A_DAY, published={"main": 1.0, "b": 1.0}, unpublished={"cloud": state})
    assert not due
    assert why == f"registry 'cloud' does not have it yet ({state})"


def test_too_few_registries_keep_the_source() -> None:
    assert judged(9 * A_DAY, published={"main": 1.0}) == (False, "1 registries have it, 2 are asked for")
    assert not judged(9 * A_DAY, published={})[0]


def test_whatever_else_is_wrong_keeps_the_source_and_is_said() -> None:
    assert judged(9 * A_DAY, readers=("sealed run 7 is queued",))[1].endswith("sealed run 7 is queued")
    assert judged(9 * A_DAY, problem="changed since it was sealed") == (False, "changed since it was sealed")


def test_what_was_refused_is_left_alone_for_a_while_unless_somebody_insists() -> None:
    source = msgspec.structs.replace(SOURCE, refused_until=10 * A_DAY, refusal="no")
    assert not plan_reclaim([source], 9 * A_DAY).due
    assert plan_reclaim([source], 9 * A_DAY, patient=False).due
    assert plan_reclaim([source], 10 * A_DAY).due


ENTRIES = (Entry("a", 1, sha256(b"1")), Entry("b/c", 1, sha256(b"2"), executable=True))
OTHER = Entry("b/c", 1, sha256(b"3"), executable=True)
LINKS = (Link("l", "a"),)
MANIFEST = Manifest.build(ENTRIES, ["empty"], LINKS)


def test_a_source_that_is_as_it_was_sealed_does_not_differ() -> None:
    assert difference(MANIFEST, ENTRIES, LINKS, ["empty"]) is None
    assert difference(MANIFEST, ENTRIES, LINKS, ["empty", "excluded and empty"]) is None


@pytest.mark.parametrize(
    ("entries", "links", "directories", "why"),
    [
        ((*ENTRIES, Entry("x", 0, sha256(b""))), LINKS, ("empty",), "holds files that no registry has: 'x'"),
        (ENTRIES, (*LINKS, Link("m", "a")), ("empty",), "holds files that no registry has: 'm'"),
        ((ENTRIES[0], OTHER), LINKS, ("empty",), "changed since it was sealed: 'b/c'"),
        ((ENTRIES[0], Entry("b/c", 1, sha256(b"2"))), LINKS, ("empty",), "changed since it was sealed: 'b/c'"),
        (ENTRIES, (Link("l", "b/c"),), ("empty",), "changed since it was sealed: 'l'"),
        (ENTRIES[:1], LINKS, ("empty",), "changed since it was sealed: 'b/c' is missing"),
        (ENTRIES, (), ("empty",), "changed since it was sealed: 'l' is missing"),
        (ENTRIES, LINKS, (), "changed since it was sealed: 'empty' is missing"),
    ],
)  # fmt: skip
def test_every_difference_is_named(
    entries: tuple[Entry, ...], links: tuple[Link, ...], directories: tuple[str, ...], why: str
) -> None:
    assert difference(MANIFEST, entries, links, directories) == why
    missing = why.endswith("is missing")
    assert (difference(MANIFEST, entries, links, directories, begun=True) is None) == missing
