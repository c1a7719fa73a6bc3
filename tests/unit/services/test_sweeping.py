"""The look after the deletes: whatever it costs least to ask, what is still there is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.store import ModelStore

from sealrun.domain.address import AttemptId, Digest, Key, batch_key, object_key
from sealrun.domain.records import sha256
from sealrun.domain.upkeep.collection import Condemned, CondemnedObject, Verdict
from sealrun.services.collection.sweeping import DELETED_FILE, Sweeper
from sealrun.services.storage.certainty import Certainty

_OURS, _OTHERS = AttemptId("20260117T150000Z-aaaaaaaaaaaaaaaa"), AttemptId("20260117T150000Z-bbbbbbbbbbbbbbbb")
_BATCH = "20260118T150000Z-cccccccccccccccc"


class _Forgetful(ModelStore):
    """Says that it deleted every key, and keeps some."""

    kept: frozenset[Key] = frozenset()

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        return super().delete([key for key in keys if key not in self.kept])


def _keys(count: int, attempt: AttemptId, part: str) -> list[Key]:
    return [object_key(Digest(part + sha256(b"%d" % number)[2:]), attempt) for number in range(count)]


@pytest.mark.parametrize("links", [False, True], ids=["bucket", "directory"])
@pytest.mark.parametrize("neighbours", [0, 300, 3000])
@pytest.mark.parametrize("condemned", [3, 40])
def test_a_key_that_is_still_there_is_named_whatever_lies_around_it(
    condemned: int,
    neighbours: int,
    links: bool,  # noqa: FBT001 - a case
) -> None:
    clock, entropy = FakeClock(), FakeEntropy(1)
    store = _Forgetful(lambda: clock.now().timestamp(), links=links)
    ours = sorted(key for part in ("00", "ab") for key in _keys(condemned, _OURS, part))
    for key in (*ours, *(key for part in ("00", "ab", "ff") for key in _keys(neighbours, _OTHERS, part))):
        store.bodies[key], store.modified[key] = b"1", 0.0
    objects = tuple(CondemnedObject(key=key, size=1) for key in ours)
    record = Condemned(batch=_BATCH, by="c", condemned_at="2026-01-18T15:00:00Z", objects=objects)
    verdict = Verdict(batch=_BATCH, nonce="n", decision="sweep", decided_at="2026-01-18T15:00:00Z", by="c")
    sweeper = Sweeper(store, store, Certainty(store, clock, entropy))
    log = batch_key(_BATCH, DELETED_FILE)

    store.kept = frozenset({ours[0], ours[-1]})
    first = sweeper.finish(record, verdict)
    assert (frozenset(first.failures), first.gone) == (store.kept, len(ours) - 2)
    assert log not in store.bodies, "the log says that keys are gone which are there"

    store.kept = frozenset()
    second = sweeper.finish(record, verdict)
    assert (second.failures, second.gone) == ({}, len(ours))
    assert store.bodies[log].count(b"\n") == len(ours)
    assert sum(key.startswith("store/") for key in store.bodies) == 3 * neighbours
