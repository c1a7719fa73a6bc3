"""Which plays are played to the end, with how many preemptions."""

from __future__ import annotations

import os

from tests.interleavings import collected, packed, plays
from tests.interleavings.baton import Play
from tests.interleavings.plays import PlayBase

HARDER = int(os.environ.get("SEALRUN_TEST_HARDER", "0"))
"""Preemptions more than usual, and ten times as many random schedules each."""

EXHAUSTIVE: list[tuple[type[Play], int]] = [
    (plays.SameRunTwice, 2),
    (plays.SameRunTwiceAhead, 2),
    (plays.SameNameTwice, 2),
    (plays.SharedBytes, 2),
    (plays.VoidedAnyTime, 2),
    (plays.VoidedOnReturn, 2),
    (plays.ReplayedTwice, 2),
    (plays.TwoMovers, 2),
    (plays.MoverAndPublishers, 1),
    (plays.Listed, 2),
    (plays.TwoCompactors, 1),
    (collected.Collected, 1),
    (collected.SentAhead, 2),
    (collected.OldPlan, 2),
    (collected.CollectedFromKept, 1),
    (collected.CollectedEcho, 1),
    (collected.SharedMark, 1),
    (collected.OneMarkEach, 1),
    (collected.TwoCollectors, 1),
    (collected.TakenOver, 1),
    (collected.WrongHints, 1),
    (collected.CollectedVoid, 1),
    (collected.VoidedWhileCollected, 1),
    (collected.RetiredMeanwhile, 1),
    (collected.PublishedAgain, 1),
    (collected.SeenAgainWhileRetired, 1),
    (collected.UndoneWhileCollected, 1),
    (collected.MovedWhileRetired, 1),
    (collected.PinnedWhileRetired, 1),
    (collected.MovedWhileTidied, 1),
    (collected.PinnedWhileTidied, 1),
]

PACKED: list[tuple[type[PlayBase], int]] = [
    (plays.SharedBytes, 1),
    (plays.VoidedOnReturn, 2),
    (collected.Collected, 1),
    (collected.SentAhead, 1),
    (collected.OldPlan, 2),
    (collected.CollectedEcho, 1),
    (collected.TwoCollectors, 1),
    (collected.TakenOver, 1),
    (collected.WrongHints, 1),
    (collected.CollectedVoid, 1),
    (collected.VoidedWhileCollected, 1),
    (collected.RetiredMeanwhile, 1),
    (collected.PublishedAgain, 1),
    (collected.UndoneWhileCollected, 1),
    (collected.MovedWhileRetired, 1),
    (collected.PinnedWhileRetired, 1),
    (collected.MovedWhileTidied, 1),
]
"""These once more with every file in a pack, and then those of packs alone."""

EXHAUSTIVE += [(packed.packed(play), preemptions) for play, preemptions in PACKED]
EXHAUSTIVE += [(packed.SharedPack, 1), (packed.ResumedWithHints, 1), (packed.LateIntent, 1)]

_TRUSTING: list[tuple[type[PlayBase], int]] = [
    (plays.SharedBytes, 1),
    (collected.Collected, 1),
    (collected.OldPlan, 2),
    (collected.TwoCollectors, 1),
    (collected.WrongHints, 1),
    (collected.CollectedVoidWithRefs, 1),
    (collected.RetiredMeanwhile, 1),
]
PROVEN: list[tuple[type[Play], int]] = [
    *_TRUSTING,
    (packed.packed(collected.Collected), 1),
    (packed.packed(collected.RetiredMeanwhile), 1),
    (packed.SharedPack, 1),
    (packed.ResumedWithHints, 1),
]
"""And these with publishers that look at the attempts which sealed what is hinted at, rather than at its keys."""
