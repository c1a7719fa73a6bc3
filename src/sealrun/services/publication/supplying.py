"""The first half of an attempt: its intent, and then every byte of the run, found where it is or uploaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain

from sealrun.domain.address import Digest, intent_key
from sealrun.domain.registry.object_places import joined
from sealrun.domain.registry.publication import AttemptTicket, Hint, Intent, Stored
from sealrun.domain.runs.contents import FEW, Contents, Rest
from sealrun.domain.runs.sorted_digests import to_look_in
from sealrun.ports import Hints, StagedPack, Store
from sealrun.services.publication.placing import RunRecords
from sealrun.services.publication.reusing import Reuse, ask_hints, pack_digests
from sealrun.services.publication.uploading import RunBytes, Sent, Sources, Uploader
from sealrun.services.storage.certainty import Certainty
from sealrun.services.threads.fanning import both


class Supplier:
    """Sees to it that a registry has the bytes of runs. One instance serves many attempts."""

    def __init__(self, store: Store, registry_id: str, hints: Hints, certainty: Certainty, uploader: Uploader) -> None:
        """Look in the registry `registry_id` in `store`, which `hints` speak of."""
        self._store = store
        self._registry_id = registry_id
        self._hints = hints
        self._certainty = certainty
        self._uploader = uploader

    def supply(
        self,
        records: RunRecords,
        ticket: AttemptTicket,
        sources: Sources,
        staged: Sequence[StagedPack],
        begun: Intent | None,
        ahead: Sent | None,
    ) -> Mapping[Digest, Stored]:
        """Begin the attempt, or go on with it, until every byte of the run is durable.

        The hints are asked before the intent is written, since it has to name the packs that they speak of.
        """
        sizes = records.manifest.digests()
        hinted = ask_hints(self._hints, self._registry_id, sizes)
        run, digests = (records.envelope.experiment, records.envelope.run_id), chain(sizes, set(pack_digests(hinted)))
        intent = begun or Intent.to_publish(ticket, run, digests)
        if begun is None:  # what stands counts: an earlier life's may have arrived late, and names other packs
            key, body = intent_key(ticket.attempt), intent.body()
            stands = self._certainty.create(key, body)
            intent = intent if stands == body else Intent.decode(bytes(stands), key)
        bytes_of_run = RunBytes(records.manifest, frozenset(records.envelope.publish_names), sources, staged, ahead)
        # Its earlier life may have sent something ahead of its intent.
        upload = partial(self._uploader.upload, bytes_of_run, intent=intent, resumed=not ticket.fresh)
        if not hinted or len(hinted) > FEW or self._store.capabilities.links:
            reused = self._reusable(intent, hinted, sizes)
            return joined(reused, upload(Rest(sizes, reused) if reused else sizes))
        # What nobody has spoken of needs no look, and goes while the rest is looked at, which takes round trips.
        reused, new = both(
            partial(self._reusable, intent, hinted, sizes),
            partial(upload, Rest(sizes, hinted)),
            self._store.capabilities.side_by_side,
        )
        objects = joined(reused, new)
        return objects if len(reused) == len(hinted) else joined(objects, upload(Rest(sizes, objects)))

    def _reusable(self, intent: Intent, hinted: Mapping[Digest, Hint], sizes: Contents) -> Mapping[Digest, Stored]:
        if not hinted:
            return {}  # nothing to be looked at beside what is condemned
        objects = Reuse(self._store, intent.attempt, to_look_in(intent.digests)).find(hinted, sizes)
        if len(objects) < len(hinted):
            self._hints.forget(self._registry_id, (digest for digest in hinted if digest not in objects))
        return objects
