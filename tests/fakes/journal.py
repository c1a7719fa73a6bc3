"""A journal that lives as long as the test: every room of `ports.Journal` in dictionaries."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from tests.fakes.hints import FakeHints

from sealrun.domain.address import AttemptId, Digest
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import Delivery, DeliveryState, FileFacts, FolderRecord, FolderState, QueueCount


class FakeHashes:
    """`ports.HashCache` in a dictionary."""

    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, tuple[FileFacts, Digest]]] = {}

    def known(self, folder: str) -> Iterable[tuple[str, FileFacts, Digest]]:
        return [(path, *known) for path, known in sorted(self.rooms.get(folder, {}).items())]

    def remember(self, folder: str, digests: Iterable[tuple[str, FileFacts, Digest]]) -> None:
        self.rooms[folder] = {path: (facts, digest) for path, facts, digest in digests}


class FakeFolders:
    """`ports.Folders` in a dictionary; `writes` counts how often something was written down."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], FolderRecord] = {}
        self.writes = 0

    def get(self, watch: str, path: str) -> FolderRecord | None:
        return self.records.get((watch, path))

    def set(self, record: FolderRecord) -> None:
        record.path.encode()  # SQLite refuses lone surrogates, so this does too
        self.writes += 1
        self.records[record.watch, record.path] = record

    def all(self, watch: str | None = None) -> Sequence[FolderRecord]:
        return [record for key, record in sorted(self.records.items()) if watch in {None, key[0]}]

    def counts(self, watch: str) -> Mapping[str, int]:
        return Counter(record.state for record in self.all(watch))

    def page(
        self, watch: str, states: Collection[FolderState], offset: int = 0, limit: int | None = None
    ) -> Sequence[FolderRecord]:
        found = sorted((r for r in self.all(watch) if r.state in states), key=lambda each: (-each.since, each.path))
        return found[offset : None if limit is None else offset + limit]


class FakeEvents:
    """`ports.Events` in a list."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def record(self, kind: str, subject: str, /, **fields: object) -> None:
        self.seen.append({"at": len(self.seen), "kind": kind, "subject": subject, **fields})

    def recent(self, limit: int = 100, kind: str | None = None) -> Sequence[Mapping[str, Any]]:
        return [event for event in reversed(self.seen) if kind in {None, event["kind"]}][:limit]

    def after(self, number: int, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        return [{"id": at, **event} for at, event in enumerate(self.seen, 1) if at > number][:limit]

    def newest(self) -> int:
        return len(self.seen)

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.seen]


class FakeFacts:
    """`ports.Facts` in a dictionary."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def fact(self, key: str) -> object:
        return self.values.get(key)

    def set_fact(self, key: str, value: object) -> None:
        self.values[key] = value

    def facts(self, prefix: str) -> Mapping[str, object]:
        return {key: value for key, value in sorted(self.values.items()) if key.startswith(prefix)}

    def drop_fact(self, key: str) -> None:
        self.values.pop(key, None)


class FakeDeliveries:
    """`ports.Deliveries` in lists. Claims are never freed: a fake process does not die."""

    def __init__(self, folders: FakeFolders) -> None:
        self._folders = folders
        self._runs: list[SealedRun] = []
        self._all: dict[int, Delivery] = {}
        self._claimed: set[int] = set()

    def accept(self, run: SealedRun, registries: Sequence[str], folder: FolderRecord | None = None) -> int:
        sealed = self._runs.index(run) + 1 if run in self._runs else len(self._runs) + 1
        if sealed > len(self._runs):
            self._runs.append(run)
        there = {delivery.registry for delivery in self._all.values() if delivery.sealed == sealed}
        for registry in registries:
            if registry not in there:
                number = len(self._all) + 1
                self._all[number] = Delivery(
                    id=number, sealed=sealed, registry=registry, state="queued", tries=0, due=0.0
                )
        if folder is not None:
            self._folders.set(msgspec.structs.replace(folder, sealed=sealed))
        return sealed

    def run(self, sealed: int) -> SealedRun:
        return self._runs[sealed - 1]

    def claim(self, registry: str, now: float, sealed: int | None = None) -> Delivery | None:
        for delivery in sorted(self._all.values(), key=lambda each: (each.due, each.id)):
            mine = delivery.registry == registry and sealed in {None, delivery.sealed}
            if mine and delivery.state == "queued" and delivery.due <= now and delivery.id not in self._claimed:
                self._claimed.add(delivery.id)
                return delivery
        return None

    def begin(self, delivery: int, attempt: AttemptId, nonce: str, created_at: str) -> None:
        self._change(delivery, attempt=attempt, nonce=nonce, attempt_created_at=created_at)

    def finish(self, delivery: int, published: Published) -> None:
        self._change(delivery, state="published", published=published, error=None)

    def postpone(self, delivery: int, due: float, error: str, *, new_attempt: bool = False) -> None:
        self._claimed.discard(delivery)
        self._change(delivery, due=due, error=error, tries=self._all[delivery].tries + 1)
        if new_attempt:
            self._change(delivery, attempt=None, nonce=None, attempt_created_at=None)

    def park(self, delivery: int, error: str) -> None:
        self._change(delivery, state="parked", error=error)

    def release(self, registry: str | None = None) -> int:
        parked = [d.id for d in self._all.values() if d.state == "parked" and registry in {None, d.registry}]
        for number in parked:
            self._claimed.discard(number)
            self._change(number, state="queued", due=0.0)
        return len(parked)

    def repeat(self, sealed: int, registries: Collection[str]) -> None:
        for known in self.of(sealed):
            if known.registry in registries and known.state == "published":
                self._change(known.id, state="queued", tries=0, due=0.0, attempt=None, nonce=None)

    def all(self, *, registry: str | None = None, state: DeliveryState | None = None) -> Sequence[Delivery]:
        found = (d for d in self._all.values() if registry in {None, d.registry} and state in {None, d.state})
        return sorted(found, key=lambda each: -each.id)

    def counts(self) -> Sequence[QueueCount]:
        found = Counter((each.registry, each.state) for each in self._all.values())
        return [QueueCount(registry=name, state=state, count=count) for (name, state), count in found.items()]

    def waiting(self, registry: str, offset: int = 0, limit: int = 100) -> Sequence[Delivery]:
        found = [each for each in self.all(registry=registry) if each.state != "published"]
        return sorted(found, key=lambda each: (each.state == "parked", each.due, each.id))[offset : offset + limit]

    def last_error(self, registry: str) -> str | None:
        found = (each for each in self.all(registry=registry) if each.state != "published")
        return next((each.error for each in found if each.error is not None), None)

    def of(self, sealed: int) -> Sequence[Delivery]:
        return sorted((d for d in self._all.values() if d.sealed == sealed), key=lambda each: each.registry)

    def queued_of(self, sealed: Collection[int]) -> Collection[int]:
        return {each.sealed for each in self.all(state="queued")} & {*sealed}

    def next_due(self, registry: str) -> float | None:
        waiting = (d for d in self.all(registry=registry, state="queued") if d.id not in self._claimed)
        return min((d.due for d in waiting), default=None)

    def _change(self, delivery: int, **fields: object) -> None:
        self._all[delivery] = msgspec.structs.replace(self._all[delivery], **fields)


class FakeJournal:
    """`ports.Journal` in memory."""

    def __init__(self) -> None:
        self.folder = tempfile.gettempdir()
        self.state_id = "a-machine"
        self.hashes = FakeHashes()
        self.hints = FakeHints()
        self.folders = FakeFolders()
        self.deliveries = FakeDeliveries(self.folders)
        self.events = FakeEvents()
        self.facts = FakeFacts()

    def close(self) -> None:
        pass
