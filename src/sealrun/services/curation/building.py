"""The log of one build: claim it, give signs of life, say how it ended, or wait for whoever has it.

What a crash leaves behind: a claimed step whose builder is silent. Whoever waits takes over after the lease. A builder
that was only slow finds that out at its end, and the first of the two that says "built" is right.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.curation.building import (
    Beat,
    BuildStep,
    Move,
    Watched,
    beat_key,
    build_log,
    plan_move,
    step_key,
    step_of,
)
from sealrun.domain.errors import BuildFailedError, HeldError, NotFoundError, SealrunError
from sealrun.domain.moments import rfc3339
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.access.reading import Reader
from sealrun.services.storage.certainty import Certainty

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 5.0
_GROWTH = 1.5
_BEATS_PER_LEASE = 4
_log = logging.getLogger("sealrun.building")


def stands(reader: Reader, step: BuildStep) -> bool:
    """Tell whether the run that a built step names is still there; False if it was retired since."""
    try:
        reader.resolve(step.ref)
    except NotFoundError:
        return False
    return True


class BuildLog:
    """The steps of one configuration in one registry. Safe to use from one thread at a time, but for `alive`."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, by: str, kind: str, config: Digest) -> None:
        """Work on the log of `config`, in the name of `by`."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._certainty = Certainty(store, clock, entropy)
        self._by = by
        self._what = f"{kind} {config[:12]}"
        self._steps = build_log(kind, config)
        self._beat = beat_key(kind, config)
        self._seen: BuildStep | None = None

    def newest(self) -> BuildStep | None:
        """The step that counts, or None if nobody ever asked."""
        number = self._climb() if self._store.capabilities.links else self._list()
        if number is None:
            return None
        if self._seen is None or self._seen.step != number:  # steps never change
            key = step_key(self._steps, number)
            self._seen = BuildStep.decode(self._store.read(key), key)
        return self._seen

    def ask(self, lease_s: float, wait_s: float | None, stands: Callable[[BuildStep], bool]) -> BuildStep:
        """Return a built step whose content `stands`, or our own claim: then the caller has to build.

        Waits while somebody else is at it, as long as it gives signs of life: `HeldError` after `wait_s` seconds,
        `BuildFailedError` if it failed meanwhile.
        """
        began, watched, pause = self._clock.monotonic(), None, _FIRST_WAIT_S
        while True:
            newest, now = self.newest(), self._clock.monotonic()
            match plan_move(newest, watched, now, lease_s):
                case Move.TAKE if newest is not None and stands(newest):
                    return newest
                case Move.GIVE_UP:
                    raise self._failed(newest)
                case Move.WAIT if newest is not None:
                    if wait_s is not None and now - began > wait_s:
                        msg = f"{self._what} is still being built by {newest.by}, since {newest.at}; ask again later"
                        raise HeldError(msg)
                    watched = self._watch(newest, watched, now)
                    self._clock.sleep(pause * self._entropy.uniform(0.5, 1.0))
                    pause = min(pause * _GROWTH, _LONGEST_WAIT_S, lease_s)
                case _:  # nobody is at it, or what was built was retired since
                    claim = self._append(newest, "claimed", self._entropy.hex(32))
                    if claim is not None:
                        return claim

    def conclude(self, claim: BuildStep, run: tuple[str, str, str], stands: Callable[[BuildStep], bool]) -> BuildStep:
        """Say that `run` (experiment, run id, URN) is what was built; return the step that counts: perhaps another's.

        Durable on return. A builder that was taken for dead and was not comes here, too: whoever is first is right.
        """
        while True:
            newest = self.newest()
            if newest is not None and newest.state == "built" and newest.step > claim.step and stands(newest):
                return newest
            done = self._append(newest, "built", claim.nonce, run=run)
            if done is not None:
                return done

    def overtaken(self, claim: BuildStep, stands: Callable[[BuildStep], bool]) -> BuildStep | None:
        """Return what somebody else built meanwhile, if that is so: then ours need not be published."""
        newest = self.newest()
        there = newest is not None and newest.state == "built" and newest.step > claim.step and stands(newest)
        return newest if there else None

    def give_up(self, claim: BuildStep, error: BaseException, reason: str | None = None) -> None:
        """Say that the build failed, so that nobody waits for it; nothing if somebody else took over.

        Of the error only the kind is told, since its text may hold a secret; `reason` is for what may be told.
        """
        newest = self.newest()
        if newest is not None and newest.nonce == claim.nonce:
            self._append(newest, "failed", claim.nonce, error=type(error).__name__, reason=reason)

    @contextmanager
    def alive(self, claim: BuildStep, lease_s: float) -> Iterator[None]:
        """Give signs of life, several in each lease, from a thread of its own."""
        ended = threading.Event()

        def beat() -> None:
            count = 0
            while not ended.wait(lease_s / _BEATS_PER_LEASE):
                count += 1
                try:
                    self._store.replace(self._beat, Beat(nonce=claim.nonce, count=count).encode())
                except SealrunError as error:
                    _log.warning("%s: no sign of life could be given: %s", self._what, error)

        thread = threading.Thread(target=beat, name="build-beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _watch(self, newest: BuildStep, watched: Watched | None, now: float) -> Watched:
        count = self._count(newest.nonce)
        if watched is not None and (watched.nonce, watched.count) == (newest.nonce, count):
            return watched
        return Watched(newest.nonce, count, now)

    def _count(self, nonce: str) -> int:
        """Return how often the builder has given a sign of life; another one's does not count."""
        try:
            beat = Beat.decode(self._store.read(self._beat), self._beat)
        except NotFoundError:
            return 0
        return beat.count if beat.nonce == nonce else 0

    def _append(
        self,
        after: BuildStep | None,
        state: Literal["claimed", "built", "failed"],
        nonce: str,
        *,
        run: tuple[str, str, str] | None = None,
        error: str | None = None,
        reason: str | None = None,
    ) -> BuildStep | None:
        """Create the step that follows `after`; None if somebody else's took its place."""
        step = BuildStep(
            step=1 if after is None else after.step + 1,
            state=state,
            by=self._by,
            at=rfc3339(self._clock.now()),
            nonce=nonce,
            error=error,
            reason=reason,
        )
        if run is not None:
            step = msgspec.structs.replace(step, experiment=run[0], run_id=run[1], urn=run[2])
        body = step.encode()
        return step if self._certainty.create(step_key(self._steps, step.step), body) == body else None

    def _failed(self, newest: BuildStep | None) -> BuildFailedError:
        by, error = ("somebody", "an error") if newest is None else (newest.by, newest.reason or newest.error)
        msg = f"{self._what} was being built by {by}, which failed with {error}; look there, and ask again to retry"
        return BuildFailedError(msg)

    def _list(self) -> int | None:
        first = next(iter(self._store.list(self._steps, limit=1)), None)
        return None if first is None else step_of(first.key)

    def _climb(self) -> int | None:
        """Ask for steps one by one, from one that is there: a directory would list all of them for the first."""
        low = 0 if self._seen is None else self._seen.step
        ahead = 1
        while self._there(low + ahead):
            low, ahead = low + ahead, 2 * ahead
        high = low + ahead
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._there(middle) else (low, middle)
        return low or None

    def _there(self, number: int) -> bool:
        return self._store.stat(step_key(self._steps, number)) is not None
