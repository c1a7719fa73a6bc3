"""Which plays are played to the end, with how many preemptions."""

from __future__ import annotations

import os

from tests.interleavings import collected, plays
from tests.interleavings.baton import Play

HARDER = int(os.environ.get("SEALRUN_TEST_HARDER", "0"))
"""Preemptions more than usual, and ten times as many random schedules each."""

EXHAUSTIVE: list[tuple[type[Play], int]] = [
    (plays.SameRunTwice, 2),
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
    (collected.PinnedWhileTidied, 1),
]
