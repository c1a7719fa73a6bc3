"""However the calls of a repacking interleave with those of others, nobody loses or shows what they should not."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests import deletions
from tests.deletions import Violation
from tests.interleavings import baton, repacked
from tests.interleavings.baton import Play, explore, sample
from tests.interleavings.searches import HARDER
from tests.invariants import check_no_loss

from sealrun.domain.address import AttemptId, retired_key
from sealrun.domain.registry.pointing import Generation, PointerName
from sealrun.services.index.moving import PointerMover

_PLAYS = [
    (repacked.Repacked, 1),
    (repacked.RepackedTwice, 1),
    (repacked.ReferencedWhileRepacked, 1),
    (repacked.MovedWhileRepacked, 1),
    (repacked.FollowedWhileRetired, 1),
    (repacked.RetiredWhileRepacked, 2),
]


@pytest.mark.parametrize(("play", "preemptions"), _PLAYS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_schedule_of_a_repacking_with_few_preemptions_keeps_the_invariants(
    play: type[Play], preemptions: int
) -> None:
    assert explore(play, preemptions + HARDER) > 1


def _unpinned(self: PointerMover, pointer: PointerName, old: AttemptId, new: AttemptId, why: str) -> Generation | None:
    seen = self._pointers.newest(pointer)
    if seen is None or seen.target.attempt != old:
        return None
    proposal = self._pointers.propose(pointer, msgspec.structs.replace(seen.target, attempt=new), why)
    return None if proposal is None else self._pointers.carry_out(proposal)


def _unchecked(self: PointerMover, pointer: PointerName, old: AttemptId, new: AttemptId, why: str) -> Generation | None:
    stat = type(self._store).stat
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(self._store), "stat", lambda at, key: None if key == retired_key(new) else stat(at, key))
        return _FOLLOW(self, pointer, old, new, why)


def _unnamed(self: PointerMover, pointer: PointerName, old: AttemptId, new: AttemptId, why: str) -> Generation | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PointerMover, "_digests", lambda _self, _target: ())
        return _FOLLOW(self, pointer, old, new, why)


_FOLLOW = PointerMover.follow


@pytest.mark.parametrize("follow", [_unpinned, _unchecked, _unnamed])
def test_bytes_are_lost_where_a_pointer_follows_without_an_intent_a_check_or_a_name(
    follow: Callable[..., Generation | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baton, "check_invariants", check_no_loss)
    monkeypatch.setattr(deletions, "deletion_faults", lambda _store: ())
    monkeypatch.setattr(PointerMover, "follow", follow)
    with pytest.raises(Violation, match="I8"):
        explore(repacked.FollowedWhileRetired, 1)


@pytest.mark.parametrize("play", [play for play, _ in _PLAYS], ids=lambda play: play.__name__)
def test_random_schedules_of_a_repacking_keep_the_invariants(play: type[Play]) -> None:
    sample(play, seed=20260117 + HARDER, times=40 * 10**HARDER)
