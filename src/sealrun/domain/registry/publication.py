"""The attempt protocol's records, and who may decide what.

The order of writes, which the proof of the collection protocol stands on::

    intent ─ condemned batches ─ reuse or upload ─ run folder ─ refs ─ OUTCOME ─ seal ─ row ─ pointers ─ rm intent

``outcome.json`` is the only commit point. Before it, a crash leaves keys that only this attempt owns; after it, a
crash leaves an intent, which is the redo log of what is still to be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import ClassVar, Literal, Self

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, RunId
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.pieces import Body, Pieces
from sealrun.domain.records import FORMAT, UNREADABLE, JsonObject, Record, canonical_json_without_floats
from sealrun.domain.registry.place_records import (
    places_of,
    read_places,
    write_digests,
    write_packs,
    write_places,
    written_refs,
)
from sealrun.domain.registry.places import InColumns, Places, Stored
from sealrun.domain.runs.contents import FEW
from sealrun.domain.runs.sorted_digests import sorted_digests

__all__ = [
    "AttemptTicket",
    "Hint",
    "Intent",
    "Outcome",
    "Proposal",
    "Refs",
    "Resolution",
    "Retired",
    "Seal",
    "Stored",
    "plan_resolution",
]


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A pointer's next generation as its mover wants it: the exact record, so that anybody can carry it out."""

    key: Key
    body: str


class Intent(Record, frozen=True, kw_only=True):
    """Every digest the attempt may reference: of files, and of the packs that may hold them.

    It pins all of them until the attempt is void or its redo is done.

    `owner` is the state folder that may resume the attempt; anybody else must void it first. `heartbeat_at` is
    the owner's word that it still works; whoever doubts it compares the store's own times. One that moves a pointer
    says in `proposal` how.
    """

    KIND: ClassVar[str] = "intent"
    attempt: AttemptId
    nonce: str
    owner: str
    purpose: Literal["publish", "move"]
    experiment: str
    run_id: str
    created_at: str
    heartbeat_at: str
    digests: Sequence[Digest]
    proposal: Proposal | None = None

    @classmethod
    def to_publish(cls, ticket: AttemptTicket, run: tuple[str, RunId], digests: Iterable[Digest]) -> Self:
        """Return the intent to publish a run, given by its experiment and id, with these digests."""
        return cls(
            attempt=ticket.attempt,
            nonce=ticket.nonce,
            owner=ticket.owner,
            purpose="publish",
            experiment=run[0],
            run_id=run[1],
            created_at=ticket.created_at,
            heartbeat_at=ticket.created_at,
            digests=sorted_digests(digests),
        )

    def encode(self) -> bytes:
        """Return the record's canonical bytes."""
        return bytes(Pieces(self._pieces))

    def body(self) -> Body:
        """Return the same bytes, made when they are needed if there are many."""
        return Pieces(self._pieces) if len(self.digests) > FEW else self.encode()

    def to_json(self) -> JsonObject:
        """Return the record as it is written."""
        return {**self._without_digests(), "digests": list(self.digests)}

    def _without_digests(self) -> JsonObject:
        return Record.to_json(msgspec.structs.replace(self, digests=()))

    def _pieces(self) -> Iterable[bytes]:
        return write_digests(canonical_json_without_floats(self._without_digests()), self.digests)

    def checked(self, where: str) -> Self:  # noqa: ARG002 - the base's signature
        """Return the record with its digests as they are compared."""
        return self if isinstance(self.digests, tuple) else msgspec.structs.replace(self, digests=tuple(self.digests))


class Outcome(Record, frozen=True, kw_only=True):
    """How an attempt ended: THE decision, write-once and kept for ever.

    A sealed outcome names the run; a void one says who gave up on the attempt and why. An attempt that moves a pointer
    ends ``moved``: from then on its proposal is carried out by whoever finds its intent.
    """

    KIND: ClassVar[str] = "outcome"
    attempt: AttemptId
    nonce: str
    decision: Literal["sealed", "void", "moved"]
    decided_at: str
    by: str
    experiment: str | None = None
    run_id: RunId | None = None
    root_sha256: Digest | None = None
    why: str | None = None


class Hint(msgspec.Struct, frozen=True, gc=False):
    """Where bytes were once stored, and which attempt sealed a run with them there. It proves nothing."""

    stored: Stored
    sealed_by: AttemptId | None = None


class Refs(Record, frozen=True, kw_only=True):
    """Where each digest of a run is stored. Keys may belong to other attempts (deduplication).

    In JSON the members of packs are grouped by pack, ``{"packs": {KEY: {DIGEST: [offset, size]}}}``: a key is longer
    than all that is said of a member, and a pack has thousands.
    """

    KIND: ClassVar[str] = "refs"
    attempt: AttemptId
    objects: Mapping[Digest, Stored]

    def encode(self) -> bytes:
        """Return the record's canonical bytes."""
        return bytes(self._written())

    def body(self) -> Body:
        """Return the same bytes, made when they are needed if there are many."""
        return self._written() if len(self.objects) > FEW else self.encode()

    def _written(self) -> Body:
        objects = self.objects.others if isinstance(self.objects, Places) else self.objects
        packs = self.objects.packs if isinstance(self.objects, Places) else ()
        if isinstance(objects, InColumns):
            empty = {**msgspec.structs.replace(self, objects={}).to_json(), **({"packs": {}} if packs else {})}
            frame = canonical_json_without_floats(empty)
            return Pieces(lambda: write_places(frame, objects.ordered_rows(), packs))
        if isinstance(self.objects, Places) and packs:
            others = msgspec.structs.replace(self, objects=self.objects.others).to_json()
            if "packs" not in others:  # else some are in packs by themselves, and all are put in order as one
                return Pieces(partial(self._pieces, {**others, "packs": {}}, self.objects))
        return canonical_json_without_floats(self.to_json())

    def _pieces(self, frame: JsonObject, places: Places) -> Iterable[bytes]:
        return write_packs(canonical_json_without_floats(frame), places.packs)

    def to_json(self) -> JsonObject:
        """Return the record as it is written, with places as they are: they may be a million."""
        objects: JsonObject = {}
        packs: dict[Key, dict[Digest, tuple[int, int]]] = {}
        for digest, stored in self.objects.items():
            if stored.offset is None:
                objects[digest] = stored
            else:
                packs.setdefault(stored.key, {})[digest] = (stored.offset, stored.size)
        known = {"attempt": self.attempt, "objects": objects, **({"packs": packs} if packs else {})}
        return {**self.extra, **known, "format": FORMAT, "kind": self.KIND}

    @classmethod
    def from_json(cls, value: JsonObject, where: str) -> Self:
        """Build from a stored record; see the base."""
        refs = super().from_json({name: item for name, item in value.items() if name != "packs"}, where)
        objects = dict(refs.objects)
        try:
            packs = msgspec.convert(value.get("packs", {}), dict[Key, dict[Digest, tuple[int, int]]])
        except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
            msg = f"{where}: packs: {error}"
            raise UnsupportedFormatError(msg) from error
        for key, members in packs.items():
            objects.update({digest: Stored(key, size, offset) for digest, (offset, size) in members.items()})
        return msgspec.structs.replace(refs, objects=objects)

    @classmethod
    def read(cls, body: Body, where: str) -> Self:
        """Do the same as `decode`; a long record is never in memory as a whole."""
        if isinstance(body, bytes):
            return cls.decode(body, where)
        try:
            frame, places = read_places(body)
            refs = cls._at_once(frame)
        except (*UNREADABLE, ValueError):
            refs = None
        if refs is None or refs.objects:
            return cls.decode(bytes(body), where)
        return msgspec.structs.replace(refs, objects=places)

    @classmethod
    def _at_once(cls, body: bytes) -> Self | None:
        """Build from bytes without unknown fields; see the base. Of a million members nothing is held twice."""
        try:
            written = written_refs().decode(body)
        except UNREADABLE:
            return None
        if written.kind != cls.KIND or written.format != FORMAT:
            return None
        try:
            return cls(attempt=written.attempt, objects=places_of(written, len(body)))
        except UNREADABLE:
            return None


class Seal(Record, frozen=True, kw_only=True):
    """Marker in a run folder: this attempt holds the run's bytes. It counts only with a sealed outcome."""

    KIND: ClassVar[str] = "seal"
    attempt: AttemptId
    root_sha256: Digest


class Retired(Record, frozen=True, kw_only=True):
    """Takes an attempt's run out of the live set. Undone by a new attempt that seals the same run."""

    KIND: ClassVar[str] = "retired"
    attempt: AttemptId
    retired_at: str
    by: str
    why: str


class Resolution(Enum):
    """What whoever finds an intent has to do about its attempt."""

    REPLAY = "sealed or moved: write what is still missing, then delete the intent"
    CLEAN_UP = "the attempt is void, or its run was retired since: delete the intent"
    RESUME = "undecided and ours: its delivery goes on with it"
    VOID = "undecided and silent for too long: write void, then delete the intent"
    LEAVE = "undecided and perhaps alive: leave it alone"


def plan_resolution(
    intent: Intent, outcome: Outcome | None, *, owner: str, silent_s: float, limit_s: float, retired: bool = False
) -> Resolution:
    """Decide what to do about an intent.

    `silent_s` is how long ago, by the store's own clock, the intent was last written. A wrong void costs an
    upload, never data, so clocks may enter here. A `retired` attempt was announced before it was retired: announcing
    it again would bring back a run whose bytes may be gone.
    """
    if outcome is not None:
        over = outcome.decision == "void" or (outcome.decision == "sealed" and retired)
        return Resolution.CLEAN_UP if over else Resolution.REPLAY
    if silent_s > limit_s:
        return Resolution.VOID
    return Resolution.RESUME if intent.owner == owner and intent.purpose == "publish" else Resolution.LEAVE


class AttemptTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of an attempt, durable in the journal before the attempt writes anything, so a restart resumes it.

    `fresh`: made just now and handed to nobody before, so that no store can know it.
    """

    attempt: AttemptId
    nonce: str
    created_at: str
    owner: str
    fresh: bool = False
