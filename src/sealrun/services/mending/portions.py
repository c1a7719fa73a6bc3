"""What workers take when a registry is verified on an engine: a few runs, pointers or attempts, or bytes to be read.

Whoever takes records only says which bytes they need. One process hands out the bytes, each once, however many runs use
them. Repeating a portion is harmless, since nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.registry.pointing import PointerName, Target
from sealrun.domain.registry.publication import Stored
from sealrun.domain.upkeep.damage import Damage, Window
from sealrun.services.access.reading import Reader
from sealrun.services.mending.comparing import check_pointer
from sealrun.services.mending.looking import Asked, Noted
from sealrun.services.mending.rereading import Advance, Outside, Rereader
from sealrun.services.mending.verifying import Verifier

_MOST_BYTES = 64 << 20
_MOST_OBJECTS = 4096
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
    """Objects and members of packs that are looked at and read."""

    objects: tuple[tuple[Digest, Stored], ...]


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


def verify_portion(reader: Reader, depth: Depth, portion: Portion, advance: Advance | None = None) -> Answer:
    """Look at a portion; `advance` is told bytes. Reads only; errors of the store as they come."""
    match portion:
        case BytesPortion(objects):
            rereader = Rereader(
                reader.store,
                read_bytes=depth.read_bytes,
                window=depth.window,
                outside=depth.outside,
                advance=advance,
                alone=False,
            )
            rereader.look(objects)
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


def cut_bytes(objects: Asked, is_wanted: Callable[[Digest, Stored], bool]) -> Iterator[BytesPortion]:
    """Cut those that are wanted into portions: what lies together in a pack stays together, what is large is alone.

    Of many, the next portion is made when it is asked for: columns have the members of a pack as they lie.
    """
    if isinstance(objects, list):
        wanted: Iterable[tuple[Digest, Stored]] = chain.from_iterable(some.items() for some in objects)
    else:
        wanted = sorted(objects, key=lambda pair: (pair[1].key, pair[1].offset or 0))
    cut: list[tuple[Digest, Stored]] = []
    size = 0
    for digest, stored in wanted:
        if not is_wanted(digest, stored):
            continue
        if cut and (size + stored.size > _MOST_BYTES or len(cut) == _MOST_OBJECTS):
            yield BytesPortion(tuple(cut))
            cut, size = [], 0
        cut.append((digest, stored))
        size += stored.size
    if cut:
        yield BytesPortion(tuple(cut))
