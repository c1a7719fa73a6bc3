"""What holds a daemon back on purpose: pauses, quiet hours, and limits that outlive a change of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from sealrun.adapters.stores.limiting import Limiter
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.consuming import whoami
from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.board import Pause
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Clock, Facts, Journal
from sealrun.services.delivery.pausing import Hold, Kind, held_registry, pause, paused_watch, resume


class Holds:
    """Of one daemon. What is still in flight when settings change shares its limiter with what begins after."""

    def __init__(self, facts: Facts, clock: Clock) -> None:
        """Hold back what `facts` say."""
        self._facts = facts
        self._clock = clock
        self._limiters: dict[str, Limiter] = {}

    def limited(self, registries: Mapping[str, RegistrySpec]) -> Mapping[str, RegistrySpec]:
        """Give each registry that has a limit, or had one, its limiter, and tell that the limit as it is now."""
        for name, spec in registries.items():
            if name in self._limiters:
                self._limiters[name].change(spec.limit)
            elif spec.limit is not None:
                self._limiters[name] = Limiter(self._clock, spec.limit)
        replace = msgspec.structs.replace
        return {
            name: spec if spec.limit is None else replace(spec, limiter=self._limiters[name])
            for name, spec in registries.items()
        }

    def of_registry(self, spec: RegistrySpec) -> Hold:
        """What holds deliveries to a registry."""
        return Hold(lambda now: held_registry(self._facts, spec.name, spec.quiet, now), self._clock)

    def of_watch(self, watch: WatchSpec) -> Hold:
        """What holds the intake of a watch."""
        return Hold(lambda now: paused_watch(self._facts, watch.name, now), self._clock)


class Paused(NamedTuple):
    """One registry or watch, and its pause; None after it was resumed, and `changed` if it had one."""

    kind: Kind
    name: str
    pause: Pause | None
    changed: bool = True


class Pauses:
    """What commands ask for, in the name of whoever runs this process. A running daemon obeys."""

    def __init__(
        self, journal: Journal, clock: Clock, registries: Mapping[str, RegistrySpec], watches: Sequence[WatchSpec]
    ) -> None:
        """Pause what these settings name."""
        self._journal = journal
        self._clock = clock
        self._registries = registries
        self._watches = watches

    def find(self, kind: Kind, name: str) -> Pause | None:
        """Why it is held back now; None if it is not."""
        now = self._clock.now()
        if kind == "watch":
            return paused_watch(self._journal.facts, name, now)
        return held_registry(self._journal.facts, name, self._registries[name].quiet, now)

    def pause(
        self, registries: Sequence[str], watches: Sequence[str], *, for_s: float | None = None, reason: str = ""
    ) -> list[Paused]:
        """Pause these, or with none named everything; durable on return. `UsageError` names what is not there."""
        by = whoami()
        return [
            Paused(kind, name, pause(self._journal, self._clock, kind, name, by=by, for_s=for_s, reason=reason))
            for kind, name in self._named(registries, watches)
        ]

    def resume(self, registries: Sequence[str], watches: Sequence[str]) -> list[Paused]:
        """End the pauses of these, or with none named all of them; durable on return, harmless to repeat."""
        by = whoami()
        return [
            Paused(kind, name, None, resume(self._journal, self._clock, kind, name, by=by))
            for kind, name in self._named(registries, watches)
        ]

    def _named(self, registries: Sequence[str], watches: Sequence[str]) -> list[tuple[Kind, str]]:
        writable = [name for name, spec in self._registries.items() if not spec.read_only]
        known: Mapping[Kind, Sequence[str]] = {"registry": writable, "watch": [each.name for each in self._watches]}
        wanted: Mapping[Kind, Sequence[str]] = {"registry": registries, "watch": watches}
        for kind, names in wanted.items():
            for name in names:
                if name not in known[kind]:
                    there = ", ".join(known[kind]) or "none"
                    raise UsageError(f"there is no {kind} {name!r} that runs go to or come from (there are: {there})")
        everything = not registries and not watches
        chosen = known if everything else wanted
        return [(kind, name) for kind, names in chosen.items() for name in dict.fromkeys(names)]
