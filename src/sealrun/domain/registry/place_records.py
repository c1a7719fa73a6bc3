"""Long lists of digests and places in records, written and read some at a time: of a million, never all as objects."""

from __future__ import annotations

import functools
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key
from sealrun.domain.cutting import Cutter, OtherwiseError
from sealrun.domain.grouping import in_groups
from sealrun.domain.pieces import Pieces
from sealrun.domain.ready import ready
from sealrun.domain.registry.columns import Cupboard, PackColumns
from sealrun.domain.registry.object_places import Gathered
from sealrun.domain.registry.places import PackPlaces, PlaceRow, Places, Stored

_NO_DIGESTS, _DIGESTS = b'\n  "digests": []', b'\n  "digests": [\n'
_NO_PACKS, _PACKS = b'\n  "packs": {}', b'\n  "packs": {\n'
_OBJECTS = b'\n  "objects": {'
_PACKS_END = b"\n  }"
_AT_ONCE = 1024
_MOST_AROUND = 1 << 20


def write_digests(frame: bytes, digests: Sequence[Digest]) -> Iterator[bytes]:
    """Yield the bytes of a record, given as it is written without digests, with these."""
    if not digests:
        yield frame
        return
    head, _, tail = frame.partition(_NO_DIGESTS)
    glue = head + _DIGESTS
    for some in in_groups(digests, _AT_ONCE):
        joined = "".join(some)
        plain = joined.isascii() and joined.isalnum()  # else they are no digests, and are escaped
        names: Sequence[str] = some if plain else [json.dumps(digest)[1:-1] for digest in some]
        yield glue + ('    "' + '",\n    "'.join(names) + '"').encode()
        glue = b",\n"
    yield b"\n  ]" + tail


def write_packs(frame: bytes, packs: Iterable[PackPlaces]) -> Iterator[bytes]:
    """Yield the bytes of refs, given as they are written without packs, with these; each has contents, and its key."""
    ordered = sorted(packs, key=lambda pack: pack.key)
    if not ordered:
        yield frame
        return
    head, _, tail = frame.partition(_NO_PACKS)
    glue = head + _PACKS
    for pack in ordered:
        glue += f"    {json.dumps(pack.key)}: {{\n".encode()
        for some in in_groups(pack.ordered(), _AT_ONCE):
            lines = [
                f'      "{digest}": [\n        {offset},\n        {size}\n      ]' for digest, offset, size in some
            ]
            yield glue + ",\n".join(lines).encode()
            glue = b",\n"
        yield b"\n    }"
        glue = b",\n"
    yield b"\n  }" + tail


def write_places(frame: bytes, objects: Iterable[PlaceRow], packs: Iterable[PackPlaces]) -> Iterator[bytes]:
    """Do the same with `objects`, of which there are some, in order of their digests."""
    head, _, tail = frame.partition(_OBJECTS + b"}")
    glue = head + _OBJECTS + b"\n"
    for some in in_groups(objects, _AT_ONCE):
        lines = [
            f'    "{raw.hex()}": {{\n      "key": {json.dumps(key)},\n      "size": {size}\n    }}'
            for raw, key, size, _ in some
        ]
        yield glue + ",\n".join(lines).encode()
        glue = b",\n"
    yield from write_packs(b"\n  }" + tail, packs)


_MANY_BYTES = 2 << 20
"""Refs of some twenty thousand contents: more are kept in columns."""


def read_places(body: Pieces) -> tuple[bytes, Mapping[Digest, Stored]]:
    """Return a long record of refs without its places, and those; what holds them is read some at a time.

    What is not written as here raises one of `records.UNREADABLE`.
    """
    cutter = Cutter(body)
    head = cutter.through(_OBJECTS, _MOST_AROUND)
    others = _read_objects(cutter)
    then = cutter.take(1)
    packs: list[PackPlaces] = []
    if then == b",":
        packs = _read_packs(cutter)
        then = cutter.take(1)
    return head + b"}" + then + cutter.rest(_MOST_AROUND), Places(others, packs) if packs else others


def _read_objects(cutter: Cutter) -> Mapping[Digest, Stored]:
    found = Gathered()
    if (then := cutter.take(1)) != b"\n":
        if then != b"}":
            raise OtherwiseError
        return found.places()
    for part in cutter.parts(b"\n    },\n", b"\n    }\n  }", len(b"\n    }")):
        for digest, stored in _objects_decoder().decode(b"{" + part + b"}").items():
            if stored.offset is not None:
                raise OtherwiseError
            found.add(digest, stored)
    return found.places()


def _read_packs(cutter: Cutter) -> list[PackPlaces]:
    packs, cupboard = list[PackPlaces](), Cupboard()
    if cutter.take(len(_PACKS)) != _PACKS:
        raise OtherwiseError
    while True:
        key = json.loads(cutter.through(b": {\n", _MOST_AROUND).removesuffix(b": {\n"))
        packs.append(PackPlaces(key, cupboard.keep(_read_pack(cutter))))
        then = cutter.take(2)
        if then == b",\n":
            continue
        if then + cutter.take(len(_PACKS_END) - 2) != _PACKS_END:
            raise OtherwiseError
        return packs


def _read_pack(cutter: Cutter) -> PackColumns:
    digests, offsets, sizes = bytearray(), array("I"), array("I")
    for part in cutter.parts(b"\n      ],\n", b"\n      ]\n    }", len(b"\n      ]")):
        some = PackColumns.of(_members_decoder().decode(b"{" + part + b"}"))
        if some is None or some.offsets.typecode != "I" or some.sizes.typecode != "I":
            raise OtherwiseError
        digests += some.digests
        offsets += some.offsets
        sizes += some.sizes
    return PackColumns(bytes(digests), offsets, sizes)


class WrittenRefs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refs as they are written. What packs hold is left as it is."""

    format: str
    kind: str
    attempt: AttemptId
    objects: dict[Digest, Stored]
    packs: dict[Key, msgspec.Raw] = {}


def places_of(written: WrittenRefs, body_size: int) -> Mapping[Digest, Stored]:
    """Return where things are, of refs of `body_size` bytes; what a pack holds is decoded pack by pack."""
    objects = written.objects
    in_columns, cupboard = list[PackPlaces](), Cupboard()
    for key, raw in written.packs.items():
        found = _members_decoder().decode(raw)
        places = PackPlaces.of(key, found) if body_size > _MANY_BYTES else None
        if places is not None:
            cupboard.keep(places.columns)
            in_columns.append(places)
            continue
        members: dict[Digest, Any] = found  # changed where it is: nothing is held twice
        for digest, (offset, size) in found.items():
            members[digest] = Stored(key, size, offset)
        objects = objects | members if objects else members
    return Places(objects, in_columns) if in_columns else objects


@functools.cache
def _objects_decoder() -> msgspec.json.Decoder[dict[Digest, Stored]]:
    return msgspec.json.Decoder(ready(dict[Digest, Stored]))


@functools.cache
def _members_decoder() -> msgspec.json.Decoder[dict[Digest, tuple[int, int]]]:
    return msgspec.json.Decoder(dict[Digest, tuple[int, int]])


@functools.cache
def written_refs() -> msgspec.json.Decoder[WrittenRefs]:
    """Return what reads them."""
    return msgspec.json.Decoder(ready(WrittenRefs))
