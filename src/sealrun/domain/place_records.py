"""Long lists of digests and places in records, written and read some at a time: of a million, never all as objects."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key
from sealrun.domain.grouping import in_groups
from sealrun.domain.places import PackPlaces, Places, Stored
from sealrun.domain.ready import ready

_NO_DIGESTS, _DIGESTS = b'\n  "digests": []', b'\n  "digests": [\n'
_NO_PACKS, _PACKS = b'\n  "packs": {}', b'\n  "packs": {\n'
_AT_ONCE = 1024


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


_MANY_BYTES = 2 << 20
"""Refs of some twenty thousand contents: more are kept in columns."""


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
    in_columns: list[PackPlaces] = []
    for key, raw in written.packs.items():
        found = _members_decoder().decode(raw)
        places = PackPlaces.of(key, found) if body_size > _MANY_BYTES else None
        if places is not None:
            in_columns.append(places)
            continue
        members: dict[Digest, Any] = found  # changed where it is: nothing is held twice
        for digest, (offset, size) in found.items():
            members[digest] = Stored(key, size, offset)
        objects = objects | members if objects else members
    return Places(objects, in_columns) if in_columns else objects


@functools.cache
def _members_decoder() -> msgspec.json.Decoder[dict[Digest, tuple[int, int]]]:
    return msgspec.json.Decoder(dict[Digest, tuple[int, int]])


@functools.cache
def written_refs() -> msgspec.json.Decoder[WrittenRefs]:
    """Return what reads them."""
    return msgspec.json.Decoder(ready(WrittenRefs))
