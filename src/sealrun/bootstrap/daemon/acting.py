"""What a daemon does when it is asked over HTTP: the same services that the commands use, and an event for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from sealrun.bootstrap.parts import Parts
from sealrun.domain.errors import NotFoundError, UsageError
from sealrun.ports import Clock, Journal
from sealrun.services.daemon.running import Parts as Running
from sealrun.services.delivery import pausing
from sealrun.services.delivery.availability import release_deliveries
from sealrun.settings.quantities import parse_duration, read_moment

_BY = "http"
_MOST_TEXT = 300
_Kind = Literal["registry", "watch"]


class _Run(NamedTuple):
    registry: str
    experiment: str
    run: str


class Actor:
    """`sealrun.web.actions.Acting` of a running daemon. Any thread."""

    def __init__(
        self, journal: Journal, clock: Clock, running: Callable[[], Running], open_parts: Callable[[], Parts]
    ) -> None:
        """Act on what is `running` now; `open_parts` opens what a command would, by the settings in force."""
        self._journal = journal
        self._clock = clock
        self._running = running
        self._open_parts = open_parts

    def pause(self, kind: _Kind, name: str, given: Mapping[str, str]) -> str:
        """Pause; see the protocol."""
        self._check(kind, name)
        for_s = None if "for" not in given else _seconds(given["for"])
        reason = given.get("reason", "")
        done = pausing.pause(self._journal, self._clock, kind, name, by=_BY, for_s=for_s, reason=reason)
        return f"{kind} {name} is paused" + ("" if done.until is None else f" until {done.until}")

    def resume(self, kind: _Kind, name: str) -> str:
        """Resume; see the protocol."""
        self._check(kind, name)
        was = pausing.resume(self._journal, self._clock, kind, name, by=_BY)
        self._wake(kind, name)
        return f"{kind} {name} {'goes on' if was else 'was not paused'}"

    def retry(self, registry: str) -> str:
        """Deliver now; see the protocol."""
        self._check("registry", registry)
        count = release_deliveries(self._journal, self._clock, registry)
        self._wake("registry", registry)
        self._tell("retry", registry, registry=registry, deliveries=count)
        return f"{count} deliveries to {registry} are tried again now"

    def rescan(self, watch: str) -> str:
        """Look now; see the protocol."""
        self._check("watch", watch)
        for intake in self._running().intakes:
            if intake.watch.name == watch:
                intake.mark(None)
        self._tell("rescan", watch)
        return f"watch {watch} is looked at now"

    def promote(self, run: tuple[str, str, str], given: Mapping[str, str]) -> str:
        """Move a pointer; see the protocol."""
        named = self._run(run)
        if (pointer := given.get("pointer")) is None:
            raise UsageError("which pointer? Give its name in the field `pointer`")
        with self._open_parts() as parts:
            ref = f"{named.experiment}/{named.run}"
            mover = parts.mover(named.registry)
            move = mover.set(named.experiment, pointer, ref, _text(given, "reason") or "promoted", dry_run=False)
        self._tell("promote", ref, registry=named.registry, pointer=pointer, moved=move.changes)
        return f"{named.experiment}@{pointer} {'stands' if move.changes else 'stood already'} on {ref}"

    def roll_back(self, registry: str, experiment: str, pointer: str, given: Mapping[str, str]) -> str:
        """Move a pointer back; see the protocol."""
        self._check("registry", registry)
        to = None if "to" not in given else _number(given["to"])
        with self._open_parts() as parts:
            reason = _text(given, "reason") or "rollback"
            move = parts.mover(registry).rollback(experiment, pointer, to, reason, dry_run=False)
        ref = f"{move.target.experiment}/{move.target.run_id}"
        self._tell("rollback", f"{experiment}@{pointer}", registry=registry, ref=ref, moved=move.changes)
        return f"{experiment}@{pointer} stands on {ref}"

    def pin(self, run: tuple[str, str, str], given: Mapping[str, str]) -> str:
        """Pin; see the protocol."""
        named = self._run(run)
        ref = f"{named.experiment}/{named.run}"
        expires = None if "expires" not in given else read_moment(given["expires"], self._clock.now())
        with self._open_parts() as parts:
            made = parts.keeper(named.registry).pin(ref, _text(given, "reason"), expires)
        self._tell("pin", ref, registry=named.registry, expires_at=made.expires_at)
        return f"{ref} is pinned" + ("" if made.expires_at is None else f" until {made.expires_at}")

    def unpin(self, run: tuple[str, str, str], given: Mapping[str, str]) -> str:
        """Unpin; see the protocol."""
        named = self._run(run)
        ref = f"{named.experiment}/{named.run}"
        with self._open_parts() as parts:
            lifted = parts.keeper(named.registry).unpin(ref, _text(given, "reason"))
        self._tell("unpin", ref, registry=named.registry, lifted=len(lifted))
        return f"{len(lifted)} pins of {ref} are lifted"

    def undo(self, run: tuple[str, str, str]) -> str:
        """Bring a run back; see the protocol."""
        named = self._run(run)
        ref = f"{named.experiment}/{named.run}"
        with self._open_parts() as parts:
            keeper = parts.keeper(named.registry)
            plan = keeper.plan_undo(ref)
            if plan.standing is None:
                mender = parts.mender(named.registry)
                keeper.undo(plan, mender.sources(plan.experiment, plan.run_id) if plan.missing else None)
        self._tell("undo", ref, registry=named.registry, returned=plan.standing is None)
        return f"{ref} {'is back' if plan.standing is None else 'stands already'}"

    def _run(self, run: tuple[str, str, str]) -> _Run:
        named = _Run(*run)
        self._check("registry", named.registry)
        return named

    def _check(self, kind: _Kind, name: str) -> None:
        with self._open_parts() as parts:  # opens nothing yet
            known = list(parts.registries) if kind == "registry" else [watch.name for watch in parts.watches]
        if name not in known:
            raise NotFoundError(f"there is no {kind} {name!r} (there are: {', '.join(known) or 'none'})")

    def _wake(self, kind: _Kind, name: str) -> None:
        running = self._running()
        for line in running.lines if kind == "registry" else ():
            if line.registry == name:
                line.wake()
        for intake in running.intakes if kind == "watch" else ():
            if intake.watch.name == name:
                intake.mark(None)

    def _tell(self, what: str, subject: str, /, **more: object) -> None:
        self._journal.events.record(f"action.{what}", subject, by=_BY, **more)


def _text(given: Mapping[str, str], field: str) -> str:
    return " ".join(given.get(field, "").split())[:_MOST_TEXT]


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"for: {error}") from error


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:  # noqa: PLR2004 - far more than exist
        raise UsageError(f"to: expected the number of a generation, got {text!r}")
    return int(text)
