"""One opened registry as a publisher's daemon needs it: publish, recover what others left, keep the index short."""

from __future__ import annotations

from sealrun.domain.address import EXPERIMENTS
from sealrun.domain.publication import AttemptTicket
from sealrun.domain.sealed import Published, SealedRun
from sealrun.ports import Clock, Entropy, Hints, Stage, Store
from sealrun.services.indexing import Index
from sealrun.services.publishing import Publisher, Sources
from sealrun.services.recovering import DEAD_AFTER_S, Recovery


class OpenedRegistry:
    """A registry that was opened for publishing. Safe to use from many threads."""

    def __init__(
        self,
        store: Store,
        registry_id: str,
        hints: Hints,
        clock: Clock,
        entropy: Entropy,
        owner: str,
        dead_after_s: float = DEAD_AFTER_S,
    ) -> None:
        """Publish to `store` in the name of the state folder `owner`."""
        self.store = store
        self.registry_id = registry_id
        self._clock = clock
        self._entropy = entropy
        self._hints = hints
        self._publisher = Publisher(store, registry_id, hints, clock, entropy, owner)
        self._recovery = Recovery(store, clock, entropy, owner, dead_after_s)

    def publish(self, run: SealedRun, ticket: AttemptTicket, sources: Sources) -> Published:
        """See `Publisher.publish`. Only a person's command brings a run back that was retired."""
        revive = run.envelope().completion.method == "command"
        return self._publisher.publish(run, ticket, sources, revive=revive)

    def recover(self) -> None:
        """Replay, clean up or void the intents that are there. Harmless to repeat, alone or beside others."""
        self._recovery.execute(self._recovery.plan())

    def compact(self) -> None:
        """Fold each experiment's pending index rows into its base, once they are worth it."""
        for experiment in self.store.list_folders(EXPERIMENTS):
            Index(self.store, self._clock, self._entropy, experiment).compact()

    def stage(self) -> Stage | None:
        """Open a stage, where the store has such a thing."""
        return self.store.stage()

    def worth_staging(self, size: int) -> bool:
        """Tell whether bytes of that size are probably new here, so that copying while hashing is not wasted."""
        return not self._hints.sizes_known(self.registry_id)(size)

    def close(self) -> None:
        """Close the store."""
        self.store.close()
