"""Worlds whose small files lie in packs, and what happens to packs."""

from __future__ import annotations

from collections.abc import Mapping

from tests.builders.worlds import EVERYTHING_PACKED, World

from sealrun.domain.address import PACKS, Key
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Stored

SMALL: Mapping[str, bytes] = {f"part/{number:02}": f"part {number} ".encode() * (number + 1) for number in range(12)}


def packed_world() -> World:
    """A registry without links in which every small file is packed."""
    return World(links=False, packs=EVERYTHING_PACKED)


def packs(world: World) -> list[Key]:
    """Every pack there is."""
    return sorted(Key(key) for key in world.store.bodies if key.startswith(PACKS))


def place(world: World, ref: str, path: str) -> Stored:
    """Where a run has the bytes of one file."""
    reader = world.reader()
    view = reader.load(reader.resolve(ref))
    return reader.stored(view, view.entry(path))


def flipped(body: bytes, at: int) -> bytes:
    """The same bytes, but for one."""
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def flip(world: World, stored: Stored) -> None:
    """Damage one member of a pack."""
    world.store.damage(stored.key, flipped(world.store.bodies[stored.key], (stored.offset or 0) + stored.size // 2))


def bodies(world: World, ref: str) -> dict[str, bytes]:
    """Every file of a run, read one by one, verified."""
    reader = world.reader()
    view = reader.load(reader.resolve(ref))
    return {entry.path: b"".join(reader.chunks(view, entry)) for entry in view.manifest.entries}


def is_named_by_its_bytes(world: World, key: Key) -> bool:
    """Whether a pack's key holds the sha256 of the pack."""
    digest = sha256(world.store.bodies[key])
    return key.startswith(f"{PACKS}{digest[:2]}/{digest[2:4]}/{digest[4:]}.")
