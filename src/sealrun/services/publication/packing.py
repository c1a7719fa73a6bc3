"""Small files on their way into packs: those that wait in a stage already, or else read from where they are."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, pack_key
from sealrun.domain.errors import RunChangedError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import Digesting, PackOptions, PackWriter, plan_shares
from sealrun.domain.registry.places import PackPlaces
from sealrun.domain.runs.contents import Marked
from sealrun.domain.runs.entries import hex_digests
from sealrun.domain.runs.manifest import Entry
from sealrun.ports import Source, Stage, StagedPack, Store

_WORTH_SENDING = 0.5


class Packing(msgspec.Struct, frozen=True):
    """How a registry packs. `spool` opens a place for packs where the store itself has no stage."""

    options: PackOptions
    spool: Callable[[], Stage]


class Packer:
    """Packs what one attempt has to upload. The packs are a function of the files, so a resumed attempt makes the same.

    What `items` yields is stored by the caller; `packs` says where all of it is once the last item was taken.
    """

    def __init__(self, store: Store, packing: Packing, attempt: AttemptId) -> None:
        """Make packs for `attempt`."""
        self._store = store
        self._options = packing.options
        self._spool = packing.spool
        self._attempt = attempt
        self._stage: Stage | None = None
        self._named: Collection[str] = ()
        self.packs: list[PackPlaces] = []

    def fit(
        self,
        entries: Iterable[Entry],
        contents: Mapping[Digest, int],
        staged: Sequence[StagedPack],
        named: Collection[str],
    ) -> Marked:
        """Return which of the `contents` to be uploaded go into packs; `entries` have them.

        A file that is published under a name of its own stays an object, which can be copied there.
        """
        self._named = named
        packed = Marked(contents)
        for entry in filter(self._is_small, entries):
            packed.add(entry.sha256)
        if packed.count < self._options.least:
            waiting = Marked(contents)
            for member in (member for pack in staged for member in pack.members if member.digest in packed):
                waiting.add(member.digest)
            return waiting
        return packed

    def items(
        self,
        entries: Iterable[Entry],
        packed: Marked,
        staged: Sequence[StagedPack],
        sources: Callable[[Entry], Source],
        *,
        resumed: bool,
    ) -> Iterator[tuple[Key, Source]]:
        """Yield every pack that has to be stored, with its key: for the `packed` contents, as `entries` have them.

        The entries are in order of their paths, and gone through more than once.
        """
        left = packed.copy()
        for pack in staged:
            digests, sizes = hex_digests(pack.members.columns.digests), pack.members.columns.sizes
            wanted = left.positions(digests)
            fresh = sum(sizes) if len(wanted) == len(sizes) else sum(sizes[at] for at in wanted)
            if fresh and fresh >= _WORTH_SENDING * sum(sizes):
                for digest in digests:
                    left.discard(digest)
                yield from self._item(pack, wanted, resumed=resumed)
        if not left.count:
            return
        missing = left.copy()
        rest_sizes = array("q", (entry.size for entry in self._rest(entries, missing)))
        rest = self._rest(entries, missing)
        for begin, end in plan_shares(rest_sizes, msgspec.structs.replace(self._options, least=1)):
            ordered: list[Entry] = []
            for entry in islice(rest, end - begin):
                if entry.sha256 in left:
                    left.discard(entry.sha256)
                    ordered.append(entry)
            if ordered:
                yield from self._item(self._pack(ordered, sources), range(len(ordered)), resumed=resumed)

    def _is_small(self, entry: Entry) -> bool:
        return entry.size < self._options.below and entry.path not in self._named

    def _rest(self, entries: Iterable[Entry], missing: Marked) -> Iterator[Entry]:
        return (entry for entry in entries if self._is_small(entry) and entry.sha256 in missing)

    def close(self) -> None:
        """Discard what was not stored. Harmless twice."""
        if self._stage is not None:
            self._stage.close()

    def _item(self, pack: StagedPack, wanted: Sequence[int], *, resumed: bool) -> Iterator[tuple[Key, Source]]:
        """Yield a pack of which the members at the positions `wanted` count."""
        key = pack_key(pack.source.digest, self._attempt)
        self.packs.append(PackPlaces(key, pack.members.columns.among(wanted)))
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
