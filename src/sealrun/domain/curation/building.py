"""Builds that happen once: the log of one configuration, and what whoever asks for it has to do.

A log is a row of write-once steps, numbered like the generations of a pointer; whoever appends step n+1 has seen n.
The newest step counts::

    (nothing)  ─claim→  claimed  ─built→   built      everybody takes it
                          │  │
                          │  └──failed──→  failed     whoever waited is told; the next who asks claims again
                          └─────claim───→  claimed    the builder was silent for too long: somebody takes over

Nobody compares clocks: a builder's heartbeat changes, and whoever waits measures by its own clock how long it did not.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Literal

import msgspec

from sealrun.domain.address import Digest, Key, generation_key, generation_of
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.records import Record

BUILDS = "builds/"
DEFAULT_LEASE_S = 60.0
"""A builder that has given no sign of life for so long is taken for dead."""


class BuildStep(Record, frozen=True, kw_only=True):
    """One step of a build's log. A built one names the run that holds the content; a failed one the kind of error.

    `reason` is that with the error's text, its secrets masked.
    """

    KIND: ClassVar[str] = "build"
    step: int
    state: Literal["claimed", "built", "failed"]
    by: str
    at: str
    nonce: str
    experiment: str | None = None
    run_id: str | None = None
    urn: str | None = None
    error: str | None = None
    reason: str | None = None

    @property
    def run(self) -> tuple[str, str, str]:
        """Experiment, run id and URN of a built step."""
        if self.state != "built" or self.experiment is None or self.run_id is None or self.urn is None:
            msg = f"build step {self.step} by {self.by}: does not name what was built"
            raise UnsupportedFormatError(msg)
        return self.experiment, self.run_id, self.urn

    @property
    def ref(self) -> str:
        """Reference of the run that a built step names."""
        experiment, run_id, _ = self.run
        return f"{experiment}/{run_id}"


class Beat(Record, frozen=True, kw_only=True):
    """A sign of life of the builder that claimed with `nonce`; `count` grows. A projection, overwritten."""

    KIND: ClassVar[str] = "beat"
    nonce: str
    count: int


class Move(Enum):
    """What somebody who asks for a build does next."""

    CLAIM = "nobody is at it: claim it, and build"
    WAIT = "somebody is at it: look again later"
    TAKE = "it is built: take it"
    TAKE_OVER = "its builder was silent for too long: claim it, and build"
    GIVE_UP = "the build that we waited for failed: say so"


class Watched(msgspec.Struct, frozen=True):
    """What somebody who waits saw last: which claim, which beat of it, and since when that is unchanged."""

    nonce: str
    count: int
    since: float


def plan_move(newest: BuildStep | None, watched: Watched | None, now: float, lease_s: float) -> Move:
    """Decide by the newest step and by how long, by the asker's own monotonic clock, the builder has been silent.

    What failed before somebody asked is tried again. Of those who waited for it each is told, and none tries: a
    thousand would do so one after the other.
    """
    if newest is None:
        return Move.CLAIM
    if newest.state == "built":
        return Move.TAKE
    if newest.state == "failed":
        return Move.GIVE_UP if watched is not None and watched.nonce == newest.nonce else Move.CLAIM
    silent = watched is not None and watched.nonce == newest.nonce and now - watched.since > lease_s
    return Move.TAKE_OVER if silent else Move.WAIT


def build_log(kind: str, config: Digest) -> str:
    """Prefix of the steps of one configuration; the newest sorts first."""
    return f"{BUILDS}{kind}/{config}/log/"


def step_key(log: str, step: int) -> Key:
    """Key of a step; write-once."""
    return generation_key(log, step)


def step_of(key: str) -> int:
    """Number of the step in a key made by `step_key`."""
    return generation_of(key)


def beat_key(kind: str, config: Digest) -> Key:
    """Sign of life of whoever builds; a projection."""
    return Key(f"{BUILDS}{kind}/{config}/beat.json")
