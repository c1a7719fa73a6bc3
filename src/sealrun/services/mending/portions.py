"""What workers take when a registry is verified on an engine: a few runs, pointers or attempts, or bytes to be read.

Whoever takes records only says which bytes they need. One process hands out the bytes, each once, however many runs use
them. Repeating a portion is harmless, since nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.registry.places import PackPlaces
from sealrun.domain.registry.pointing import PointerName, Target
from sealrun.domain.registry.publication import Stored
from sealrun.domain.upkeep.damage import Damage, Window
from sealrun.services.access.members import SPAN, neighbours, plan_spans
from sealrun.services.access.reading import Reader
from sealrun.services.mending.comparing import check_pointer
from sealrun.services.mending.looking import Asked, Noted
from sealrun.services.mending.rereading import Advance, Outside, Rereader, Unseen
from sealrun.services.mending.verifying import Verifier
from sealrun.services.storage.streaming import Spare

_MOST_OBJECTS = 4096
_MOST_UNREAD = 64 << 20
_ENOUGH = 20_000


class Depth(msgspec.Struct, frozen=True):
    """How closely bytes are looked at; see `Rereader`."""

    read_bytes: bool = True
    window: Window = Window()
    outside: Outside = "look"


class RunsPortion(msgspec.Struct, frozen=True):
    """Some runs of an experiment; `first` is how many of its runs lie before them."""

    experiment: str
    first: int
    run_ids: tuple[str, ...]


class PointersPortion(msgspec.Struct, frozen=True):
    """Some pointers and published names; `first` is how many lie before them."""

    first: int
    pointers: tuple[PointerName, ...]


class AttemptPortion(msgspec.Struct, frozen=True):
    """One run as one attempt holds it; `place` is that of the pointer that keeps it."""

    target: Target
    place: int = 0


class BytesPortion(msgspec.Struct, frozen=True):
    """Objects and members of packs that are looked at and read, each once; of many members, columns in `packs`."""

    objects: tuple[tuple[Digest, Stored], ...] = ()
    packs: tuple[PackPlaces, ...] = ()


Portion = RunsPortion | PointersPortion | AttemptPortion | BytesPortion


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: the damage of records, the runs that stand, the bytes that they need.

    `left` are runs that were not looked at, since those before need so many objects. Of pointers, `at` says which of
    them each damage is of, and `kept` which of them keep a retired run. `broken` and `bytes_read` are of bytes.
    """

    damages: tuple[Damage, ...] = ()
    at: tuple[int, ...] = ()
    runs: int = 0
    sealed: frozenset[str] = frozenset()
    left: tuple[str, ...] = ()
    kept: tuple[tuple[int, Target], ...] = ()
    objects: Asked = ()
    broken: dict[Stored, Damage] = {}
    bytes_read: int = 0


def verify_portion(
    reader: Reader, depth: Depth, portion: Portion, advance: Advance | None = None, spare: Spare | None = None
) -> Answer:
    """Look at a portion; `advance` is told bytes. Reads only; errors of the store as they come.

    Those that are looked at meanwhile in this process share `spare` room for pieces of large objects.
    """
    match portion:
        case BytesPortion(objects, packs):
            rereader = Rereader(
                reader.store,
                read_bytes=depth.read_bytes,
                window=depth.window,
                outside=depth.outside,
                advance=advance,
                alone=False,
                spare=spare,
            )
            rereader.check(objects)
            rereader.check_packs(packs)
            return Answer(broken=dict(rereader.damaged), bytes_read=rereader.bytes_read)
        case PointersPortion(_, pointers):
            return _pointers(reader, pointers)
        case AttemptPortion(target, _):
            noted = Noted()
            damages = tuple(Verifier(reader, objects=noted).attempt(target))
            return Answer(damages=damages, runs=1, objects=noted.asked())
        case RunsPortion(experiment, _, run_ids):
            return _runs(reader, experiment, run_ids)


def _runs(reader: Reader, experiment: str, run_ids: tuple[str, ...]) -> Answer:
    noted, sealed = Noted(), set[str]()
    verifier = Verifier(reader, objects=noted)
    damages: list[Damage] = []
    done = 0
    for run_id in run_ids:
        damages += verifier.each_attempt(experiment, run_id, sealed)
        done += 1
        if noted.count >= _ENOUGH:
            break
    return Answer(
        damages=tuple(damages),
        runs=verifier.runs,
        sealed=frozenset(sealed),
        left=run_ids[done:],
        objects=noted.asked(),
    )


def _pointers(reader: Reader, pointers: tuple[PointerName, ...]) -> Answer:
    verifier = Verifier(reader, objects=Noted())
    damages: dict[int, Damage] = {}
    kept: list[tuple[int, Target]] = []
    for number, pointer in enumerate(pointers):
        found = check_pointer(reader, pointer)
        if isinstance(found, Damage):
            damages[number] = found
        elif verifier.keeps(found):
            kept.append((number, found))
    return Answer(damages=tuple(damages.values()), at=tuple(damages), kept=tuple(kept))


def cut_bytes(asked: Asked, unseen: Unseen, depth: Depth) -> Iterator[BytesPortion]:
    """Cut what is unseen into portions of some MiB: neighbours in a pack stay together, what is large is alone.

    Where not all of it is read they are larger: for each portion its packs are looked at once. Of many, the next
    portion is made when it is asked for.
    """
    most = SPAN if depth.read_bytes and depth.window.share >= 1 else _MOST_UNREAD
    if isinstance(asked, tuple):
        yield from _cut(unseen.objects(asked), most)
        return
    for places in asked:
        for some in unseen.of(places):
            yield from _cut_pack(some, most) if isinstance(some, PackPlaces) else _cut(some, most)


def _cut(objects: Sequence[tuple[Digest, Stored]], most: int) -> Iterator[BytesPortion]:
    spans = plan_spans(pair for pair in objects if pair[1].offset is not None)
    alone = [pair for pair in objects if pair[1].offset is None]
    for pieces in (
        (((pair,), pair[1].size) for pair in alone),
        ((span.members, span.end - span.begin) for span in spans),
    ):
        cut: list[tuple[Digest, Stored]] = []
        size = 0
        for some, length in pieces:
            if cut and (size + length > most or len(cut) + len(some) > _MOST_OBJECTS):
                yield BytesPortion(tuple(cut))
                cut, size = [], 0
            cut += some
            size += length
        if cut:
            yield BytesPortion(tuple(cut))


def _cut_pack(pack: PackPlaces, most: int) -> Iterator[BytesPortion]:
    """Cut members of a pack, in the order of their offsets."""
    ranges = list(zip(pack.columns.offsets, pack.sizes, strict=True))
    for some in neighbours(range(len(pack)), ranges.__getitem__, most):
        for begin in range(some[0], some[-1] + 1, _MOST_OBJECTS):
            columns = pack.columns.part(begin, min(begin + _MOST_OBJECTS, some[-1] + 1))
            yield BytesPortion(packs=(PackPlaces(pack.key, columns),))
