"""Small files on their way into packs: those that wait in a stage already, or else read from where they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, pack_key
from sealrun.domain.errors import RunChangedError
from sealrun.domain.manifest import Entry
from sealrun.domain.packing import Digesting, PackOptions, PackWriter, plan_packs
from sealrun.domain.publication import Stored
from sealrun.domain.records import sha256
from sealrun.ports import Source, Stage, StagedPack, Store

_WORTH_SENDING = 0.5


class Packing(msgspec.Struct, frozen=True):
    """How a registry packs. `spool` opens a place for packs where the store itself has no stage."""

    options: PackOptions
    spool: Callable[[], Stage]


class Packer:
    """Packs what one attempt has to upload. The packs are a function of the files, so a resumed attempt makes the same.

    What `items` yields is stored by the caller; `places` is complete once the last item was taken.
    """

    def __init__(self, store: Store, packing: Packing, attempt: AttemptId) -> None:
        """Make packs for `attempt`."""
        self._store = store
        self._options = packing.options
        self._spool = packing.spool
        self._attempt = attempt
        self._stage: Stage | None = None
        self.places: dict[Digest, Stored] = {}

    def fit(self, entries: Iterable[Entry], staged: Sequence[StagedPack], named: Collection[str]) -> list[Entry]:
        """Return those of the `entries` to be uploaded, in order of their paths, that go into packs.

        A file that is published under a name of its own stays an object, which can be copied there.
        """
        small = [entry for entry in entries if entry.size < self._options.below and entry.path not in named]
        in_stage = {member.digest for pack in staged for member in pack.members}
        if len({entry.sha256 for entry in small}) < self._options.least:
            small = [entry for entry in small if entry.sha256 in in_stage]
        return sorted(small, key=lambda entry: entry.path)

    def items(
        self,
        entries: Sequence[Entry],
        staged: Sequence[StagedPack],
        sources: Callable[[Entry], Source],
        *,
        resumed: bool,
    ) -> Iterator[tuple[Key, Source]]:
        """Yield every pack that has to be stored, with its key."""
        wanted = {entry.sha256 for entry in entries}
        for pack in staged:
            fresh = sum(member.size for member in pack.members if member.digest in wanted)
            if fresh and fresh >= _WORTH_SENDING * sum(member.size for member in pack.members):
                wanted -= {member.digest for member in pack.members}
                yield from self._item(pack, resumed=resumed)
        rest = [entry for entry in entries if entry.sha256 in wanted]
        for group in plan_packs(
            ((entry, entry.size) for entry in rest), msgspec.structs.replace(self._options, least=1)
        ):
            fresh_ones = {entry.sha256: entry for entry in reversed(group) if entry.sha256 in wanted}
            wanted -= fresh_ones.keys()
            if fresh_ones:
                ordered = [entry for entry in group if fresh_ones.get(entry.sha256) is entry]
                yield from self._item(self._pack(ordered, sources), resumed=resumed)

    def close(self) -> None:
        """Discard what was not stored. Harmless twice."""
        if self._stage is not None:
            self._stage.close()

    def _item(self, pack: StagedPack, *, resumed: bool) -> Iterator[tuple[Key, Source]]:
        key = pack_key(pack.source.digest, self._attempt)
        for member in pack.members:
            self.places.setdefault(member.digest, Stored(key, member.size, member.offset))
        there = (
            self._store.stat(key) if resumed else None
        )  # what an earlier life stored is whole: nobody else writes it
        if there is None or there.size != pack.source.size:
            yield key, pack.source

    def _pack(self, entries: Sequence[Entry], sources: Callable[[Entry], Source]) -> StagedPack:
        """Read files into a pack of their own."""
        if self._stage is None:
            self._stage = self._store.stage() or self._spool()
        incoming = self._stage.receive()
        try:
            writer = PackWriter(Digesting(incoming.write))
            for entry in entries:
                writer.add(entry.sha256, _bytes_of(sources(entry), entry))
            facts = writer.finish()
            return StagedPack(incoming.keep(facts.digest), facts.members)
        finally:
            incoming.drop()


def _bytes_of(source: Source, entry: Entry) -> bytes:
    with source.open() as stream:
        body = b""
        with suppress(OSError):  # read short, it is not what was hashed, whatever the reason
            body = stream.read(entry.size + 1)
    if sha256(body) != entry.sha256:
        msg = f"{entry.path}: the bytes read are not the ones that were hashed; settle again"
        raise RunChangedError(msg)
    return body
