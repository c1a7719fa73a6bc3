"""One opened registry as a publisher's daemon needs it: publish, recover what others left, keep the index short."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock

from sealrun.domain.address import EXPERIMENTS, Digest, Key
from sealrun.domain.errors import SealrunError
from sealrun.domain.registry.packing import plan_shares
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import Clock, Copying, Entropy, FileFacts, Hints, StagedPack, Store, Tree
from sealrun.services.index.indexing import Index
from sealrun.services.publication.beginning import declare_void, new_ticket
from sealrun.services.publication.head_start import WORTH_BYTES, HeadStart, SourceOf
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.recovering import DEAD_AFTER_S, Recovery
from sealrun.services.publication.uploading import Sent, Sources
from sealrun.services.storage.certainty import Certainty


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
        packing: Packing | None = None,
    ) -> None:
        """Publish to `store` in the name of the state folder `owner`."""
        self.store = store
        self.registry_id = registry_id
        self._clock = clock
        self._entropy = entropy
        self._hints = hints
        self._packing = packing
        self._owner = owner
        self._ahead: HeadStart | None = None
        self._closed = False
        self._lock = Lock()
        self._publisher = Publisher(store, registry_id, hints, clock, entropy, owner, packing)
        self._recovery = Recovery(store, clock, entropy, owner, dead_after_s)

    def publish(
        self,
        run: SealedRun,
        ticket: AttemptTicket,
        sources: Sources,
        staged: Sequence[StagedPack] = (),
        ahead: Sent | None = None,
    ) -> Published:
        """See `Publisher.publish`. Only a person's command brings a run back that was retired."""
        revive = run.envelope().completion.method == "command"
        try:
            published = self._publisher.publish(run, ticket, sources, revive=revive, staged=staged, ahead=ahead)
        finally:
            if ahead is not None:  # however it ended: nothing more goes ahead of this attempt
                ahead.hand_over()
        if revive:  # there may be no daemon that folds rows; the run is published, whatever becomes of that
            with suppress(SealrunError):
                Index(self.store, self._clock, self._entropy, published.experiment).compact_now_and_then()
        return published

    def recover(self) -> None:
        """Replay, clean up or void the intents that are there. Harmless to repeat, alone or beside others."""
        self._recovery.execute(self._recovery.plan())

    def compact(self) -> None:
        """Fold each experiment's pending index rows into its base, once they are worth it."""
        for experiment in self.store.list_folders(EXPERIMENTS):
            Index(self.store, self._clock, self._entropy, experiment).compact()

    def begin_ahead(self, sources: SourceOf) -> HeadStart | None:
        """Begin a head start for a run whose files `sources` has; whoever asks gives it up in the end.

        None on a directory, which takes bytes in before they have a name, and while another one is under way: runs
        that share the line would all arrive when the last one does.
        """
        with self._lock:
            if self._closed or self.store.capabilities.links or not (self._ahead is None or self._ahead.is_over):
                return None
            ticket = new_ticket(self._clock, self._entropy, self._owner)
            self._ahead = HeadStart(
                self.store, self.registry_id, ticket, sources, self._is_new, partial(self._declare_void, ticket)
            )
            return self._ahead

    def _is_new(self, key: Key) -> bool:
        """Tell whether nobody has stored these bytes: of a run that is there without a hint of it, somebody has."""
        folder, name = key[: key.rindex("/") + 1], key[: key.index(".") + 1]
        return not any(found.key.startswith(name) for found in self.store.list(folder))

    def _declare_void(self, ticket: AttemptTicket) -> None:
        certainty = Certainty(self.store, self._clock, self._entropy)
        why = "its run was not sealed, or is there already"
        declare_void(certainty, self._clock, ticket.attempt, ticket.nonce, by=self._owner, why=why)

    def plan_copying(self, tree: Tree, named: Collection[str], ahead: HeadStart | None = None) -> Copying | None:
        """Say what of a folder is copied while it is hashed, and where to; None if nothing is worth it.

        Small files go into packs; others wait alone where the store takes them in. What is there already is left out:
        by its size, or by its digest where it is packed. Files published under a name (`named`) are never packed.
        What can be sent at once goes `ahead`.
        """
        packs = self._plan_packs(tree, named)
        stage = self.store.stage()
        takes_files = stage is not None
        if stage is None and self._packing is not None and packs:
            stage = self._packing.spool()
        if stage is None and (ahead is None or all(facts.size < WORTH_BYTES for facts in tree.files.values())):
            return None
        known_sizes = self._hints.sizes_known(self.registry_id, (facts.size for facts in tree.files.values()))

        def alone(_path: str, facts: FileFacts) -> bool:
            return takes_files and facts.size not in known_sizes

        def known(sizes: Mapping[Digest, int]) -> Collection[Digest]:
            asked = [digest for digest, size in sizes.items() if size in known_sizes]
            return set(self._hints.places_of(self.registry_id, asked)) if asked else ()

        ahead = None if ahead is None else ahead.knowing(known)
        return Copying(stage=stage, alone=alone, packs=packs, known=known, ahead=ahead)

    def _plan_packs(self, tree: Tree, named: Collection[str]) -> list[Sequence[int]]:
        if self._packing is None:
            return []
        options = self._packing.options
        numbers, sizes = array("I"), array("I")  # columns: there may be a million
        for number, (path, facts) in enumerate(tree.files.items()):
            if facts.size < options.below and path not in named:
                numbers.append(number)
                sizes.append(facts.size)
        if numbers and numbers[-1] == len(numbers) - 1:  # none was left out
            return [range(begin, end) for begin, end in plan_shares(sizes, options)]
        return [numbers[begin:end] for begin, end in plan_shares(sizes, options)]

    def close(self) -> None:
        """Close the store; what is on its way ahead of a delivery is given up."""
        with self._lock:
            self._closed = True
            ahead = self._ahead
        if ahead is not None:
            ahead.give_up()
            ahead.wait()
        self.store.close()
