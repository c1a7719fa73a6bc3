"""What the daemon computes by itself: outputs that are declared and missing, a round at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.products.deriving import Deriver
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.curation.deriving import Rule
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.curation.deriving import Seen

_log = logging.getLogger("sealrun.deriving")


class DeriveRounds:
    """Rounds of some rules in one registry. What a round has seen the next one does not ask for."""

    def __init__(
        self,
        state: Path,
        registries: Mapping[str, RegistrySpec],
        watches: Sequence[WatchSpec],
        registry: str,
        rules: Sequence[Rule],
        names: Sequence[str],
    ) -> None:
        """Compute what the rules of these names, and those they build on, make, in the name of the state folder."""
        self._state = state
        self._registries = registries
        self._watches = watches
        self._registry = registry
        self._rules = rules
        self._names = names
        self._seen = Seen()

    def round(self, advance: Callable[[int], object]) -> None:
        """Compute what is missing and due, one at a time; a failure is logged, remembered and tried again later."""
        parts = Parts(self._state, self._registries, self._watches)
        with Deriver(parts, self._rules, self._registry, self._seen) as deriver:
            for rule in deriver.rules(self._names):
                for outcome in deriver.derive(deriver.plan(rule), patient=True, advance=advance):
                    label, fields = outcome.derivation.label, {"rule": rule.name, "registry": self._registry}
                    if outcome.state == "failed":
                        _log.warning("%s failed: %s", label, outcome.reason)
                        parts.journal.events.record("derive.failed", label, **fields, reason=outcome.reason)
                    elif outcome.state == "made":
                        _log.info("%s is published as %s", label, outcome.ref)
                        parts.journal.events.record("derive.made", str(outcome.ref), **fields, of=label)
