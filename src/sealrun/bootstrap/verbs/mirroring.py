"""Mirrors as the command line and the daemon ask for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sealrun.adapters.machine.locking import hold
from sealrun.adapters.mirroring.mirrors import LocalMirrorPlace
from sealrun.bootstrap.registries import RegistrySpec, expected_registry
from sealrun.bootstrap.verbs.holders import Holders
from sealrun.domain.errors import HeldError, NoRegistryError, UnavailableError, UsageError
from sealrun.domain.upkeep.mirroring import MirrorPlan, MirrorSpec
from sealrun.ports import Clock, Entropy, Journal
from sealrun.services.access.mirroring import Mirror, MirrorReport

_log = logging.getLogger("sealrun.mirror")

Advance = Callable[[int], None]


class Mirrors:
    """The mirrors of one state folder; a lock for each, in that folder, keeps two processes apart."""

    def __init__(
        self,
        state: Path,
        journal: Journal,
        registries: Mapping[str, RegistrySpec],
        mirrors: Sequence[MirrorSpec],
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """Fill `mirrors`; the journal remembers which one was where."""
        self._state = state
        self._journal = journal
        self._registries = registries
        self._mirrors = {mirror.name: mirror for mirror in mirrors}
        self._clock = clock
        self._entropy = entropy

    def names(self, wanted: str | None = None) -> list[str]:
        """All mirrors in the settings, or the one that is wanted; `UsageError` if there is no such one."""
        if wanted is None:
            return list(self._mirrors)
        if wanted not in self._mirrors:
            known = ", ".join(self._mirrors) or "none"
            msg = f"no mirror {wanted!r} in the settings (they name: {known})"
            raise UsageError(msg)
        return [wanted]

    def plan(self, name: str) -> MirrorPlan:
        """Say what would be copied and removed, and why. Takes no lock, changes nothing."""
        with self._opened(name) as mirror:
            return mirror.plan()

    def execute(self, name: str, advance: Advance | None = None, *, take_over: bool = False) -> MirrorReport:
        """Bring one mirror up to date; `HeldError` if another process is at it."""
        with hold(self._state / f"mirror-{name}"), self._opened(name) as mirror:
            self._journal.facts.set_fact(self._fact(name), mirror.enter(take_over=take_over))
            return mirror.execute(mirror.plan(), advance)

    def round(self, name: str, advance: Advance) -> None:
        """Do what the daemon does at every interval. Another process that is at it does the same."""
        try:
            report = self.execute(name, advance)
        except HeldError:
            return
        except (NoRegistryError, UnavailableError):
            if self._is_remembered(name):
                raise
            return  # nothing was ever published there: there is nothing to copy yet
        for ref in report.copied:
            _log.info("%s: %s copied", name, ref)
        for ref in report.removed:
            _log.info("%s: %s removed, by the mirror's own retention", name, ref)
        for failed in report.failed:
            _log.warning("%s: %s: %s", name, failed.ref, failed.reason)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Mirror]:
        spec = self._mirrors[name]
        holders = Holders(self._journal, self._registries, self._clock, self._entropy)
        known = self._journal.facts.fact(self._fact(name))
        expected = known if isinstance(known, str) else None
        place = LocalMirrorPlace(spec.path, self._journal.state_id, self._clock, self._entropy, expected)
        try:
            holder = holders(spec.registry)
            yield Mirror(spec, holder.reader, holder.registry_id, place, self._clock, self._journal.events)
        finally:
            place.close()
            holders.close()

    def _is_remembered(self, name: str) -> bool:
        spec = self._registries.get(self._mirrors[name].registry)
        return spec is None or expected_registry(self._journal, spec) is not None

    def _fact(self, name: str) -> str:
        return f"mirror:{name}:{self._mirrors[name].path}"
