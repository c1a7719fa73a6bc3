"""Bytes of a run on their way into a registry, under keys that only one attempt owns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from sealrun.domain.address import Digest, Key, intent_key, object_key
from sealrun.domain.moments import rfc3339
from sealrun.domain.registry.object_places import uploaded
from sealrun.domain.registry.places import Places
from sealrun.domain.registry.publication import Intent, Stored
from sealrun.domain.runs.contents import Contents, Marked
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.ports import Clock, Source, StagedPack, Store
from sealrun.services.publication.packing import Packer, Packing
from sealrun.services.publication.reusing import own_objects

_HEARTBEAT_S = 600.0

Sources = Callable[[Entry], Source]


class Sent(Protocol):
    """What an attempt has sent before its intent. See `services.publication.head_start.HeadStart`."""

    def hand_over(self) -> Collection[Key]:
        """Begin nothing more; return the keys that are on their way or stored."""
        ...

    def wait(self) -> Collection[Key]:
        """Wait until nothing is on its way any more; return the keys that are stored, durably."""
        ...

    def give_up(self) -> None:
        """Stop what is on its way; does not wait."""
        ...


class RunBytes(msgspec.Struct, frozen=True):
    """What a run's files are, which of their paths are published under a name, and where the bytes can be had.

    What was sent `ahead` is waited for, and what of it did not arrive is sent again.
    """

    manifest: Manifest
    named: Collection[str]
    sources: Sources
    staged: Sequence[StagedPack] = ()
    ahead: Sent | None = None


class _Missing:
    """The entries of a run whose contents are to be stored. May be gone through again and again."""

    def __init__(self, entries: Sequence[Entry], sizes: Mapping[Digest, int]) -> None:
        self._entries = entries
        self._sizes = sizes

    def __iter__(self) -> Iterator[Entry]:
        if isinstance(self._sizes, Contents):  # all that the run has
            return iter(self._entries)
        return (entry for entry in self._entries if entry.sha256 in self._sizes)


class Uploader:
    """Uploads for the attempts of one registry."""

    def __init__(self, store: Store, clock: Clock, packing: Packing | None) -> None:
        """Upload to `store`; small files into packs, if there is a `packing`."""
        self._store = store
        self._clock = clock
        self._packing = packing

    def upload(
        self, run: RunBytes, sizes: Mapping[Digest, int], intent: Intent, *, resumed: bool
    ) -> Mapping[Digest, Stored]:
        """Store the contents that `sizes` names; everything is durable on return. Repeating is harmless.

        `Contents` as `sizes` are those of the run, all of which are stored.

        A crash leaves objects and packs of an attempt without an outcome, which nobody references; the same attempt
        finds them when it is `resumed`.
        """
        missing = _Missing(run.manifest.entries, sizes)
        if self._packing is None:
            return self._store_all(run, missing, sizes, intent, None, resumed=resumed)
        packer = Packer(self._store, self._packing, intent.attempt)
        try:
            return self._store_all(run, missing, sizes, intent, packer, resumed=resumed)
        finally:
            packer.close()

    def _store_all(
        self,
        run: RunBytes,
        missing: Iterable[Entry],
        sizes: Mapping[Digest, int],
        intent: Intent,
        packer: Packer | None,
        *,
        resumed: bool,
    ) -> Mapping[Digest, Stored]:
        packed = Marked({}) if packer is None else packer.fit(missing, sizes, run.staged, run.named)

        def alone() -> Iterator[Entry]:
            taken = Marked(sizes)
            for entry in missing if packed.count < len(sizes) else ():
                if entry.sha256 not in packed and entry.sha256 not in taken:
                    taken.add(entry.sha256)
                    yield entry

        def key(entry: Entry) -> Key:
            return object_key(entry.sha256, intent.attempt)

        there = own_objects(self._store, intent.attempt, alone(), sizes) if resumed else Marked({})

        def items() -> Iterator[tuple[Key, Source]]:
            if packer is not None:
                yield from packer.items(missing, packed, run.staged, run.sources, resumed=resumed)
            yield from ((key(entry), run.sources(entry)) for entry in alone() if entry.sha256 not in there)

        self._send(items(), run.ahead, self._heartbeat(intent))
        objects = uploaded(intent.attempt, ((entry.sha256, entry.size) for entry in alone()))
        return objects if packer is None else Places(objects, packer.packs)

    def _send(self, items: Iterator[tuple[Key, Source]], ahead: Sent | None, beat: Callable[[Key, int], None]) -> None:
        """Send what did not go ahead, beside what is still on its way, and then what of that did not arrive."""
        begun = () if ahead is None else ahead.hand_over()
        waiting: dict[Key, Source] = {}

        def to_send() -> Iterator[tuple[Key, Source]]:
            for key, source in items:
                if key in begun:
                    waiting[key] = source
                else:
                    yield key, source

        self._store.put_many(to_send(), on_stored=beat)
        if ahead is not None and waiting:
            stored = ahead.wait()
            lost = [(key, source) for key, source in waiting.items() if key not in stored]
            if lost:
                self._store.put_many(lost, on_stored=beat)

    def _heartbeat(self, intent: Intent) -> Callable[[Key, int], None]:
        """Rewrite the intent now and then while uploads go on, so that nobody takes us for dead."""
        last = [self._clock.monotonic()]

        def beat(_key: Key, _size: int) -> None:
            if self._clock.monotonic() - last[0] < _HEARTBEAT_S:
                return
            last[0] = self._clock.monotonic()
            now = rfc3339(self._clock.now())
            self._store.put(intent_key(intent.attempt), msgspec.structs.replace(intent, heartbeat_at=now).encode())

        return beat
