"""The opening probe: does a store keep the promises that everything else is built on? Asked of it, not believed.

Servers exist that accept every condition and overwrite all the same, and gateways that list from a cache. The probe
plays through what publishers and collectors rely on, under keys of its own, and reports in words what went wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

import msgspec

from sealrun.domain.address import PROBES, Digest, Key
from sealrun.domain.errors import IntegrityError, NotFoundError, RunChangedError, StorageError
from sealrun.ports import Clock, Creation, Entropy, Store
from sealrun.services.storage.certainty import Certainty

_MAX_SKEW_S = 15 * 60
_LITTER_S = 24 * 3600
_SINGLE_WRITER = (
    "use a store that honours conditional writes, or open the registry as single-writer (single_writer = true), "
    "which turns the collector off"
)


@runtime_checkable
class ProvesChecksums(Protocol):
    """A store whose server is said to refuse bytes with a wrong checksum, and which lets us try."""

    def refuses_wrong_checksum(self, key: Key) -> bool | None:
        """Send bytes with a wrong checksum to `key`: True if they were refused, None if it could not be tried."""
        ...


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe found.

    `races`: reasons why several writers would harm each other; a single writer may live with them. `faults`: promises
    broken that nobody can live with. `warnings` forbid nothing. `clock_skew_s` is how far the store's clock is ahead
    of ours, in seconds. `features` is what was seen to work.
    """

    races: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    clock_skew_s: float = 0.0
    features: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that forbids using the store for many writers."""
        return self.races + self.faults

    @property
    def safe(self) -> bool:
        """Tell whether any number of writers may use the store."""
        return not self.problems


def probe(store: Store, *, clock: Clock, entropy: Entropy, writers: int = 32) -> ProbeReport:
    """Try `store` out with `writers` threads at once, and remove what was written.

    A store that cannot be reached, or forbids writing, raises as it does for everybody; a crash leaves keys below
    ``probe/`` that a later probe removes. Repeating is harmless.
    """
    trial = _Trial(store, clock, entropy, f"{PROBES}{entropy.hex(16)}/")
    try:
        trial.races = [*_race(trial, writers), *_create_again(trial)]
        trial.faults = [
            *_read_after_write(trial),
            *_list_after_write(trial),
            *_replace(trial),
            *_wrong_digest(trial),
            *_wrong_checksum(trial),
            *_delete(trial),
        ]
        skew = _skew(trial)
        _remove_litter(trial)
    finally:
        trial.clean_up()
    warnings = []
    if abs(skew) > _MAX_SKEW_S:
        warnings.append(
            f"{store.url}: its clock is {skew:+.0f} s from ours; set the clocks, or ages in lists will look wrong"
        )
    return ProbeReport(
        races=tuple(f"{store.url}: {problem}" for problem in trial.races),
        faults=tuple(f"{store.url}: {problem}" for problem in trial.faults),
        warnings=tuple(warnings),
        clock_skew_s=skew,
        features=tuple(trial.features),
    )


class _Trial:
    """A prefix of our own in the store under test, and what was seen so far."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, prefix: str) -> None:
        self.store = store
        self.clock = clock
        self.entropy = entropy
        self.certainty = Certainty(store, clock, entropy)
        self.prefix = prefix
        self.races: list[str] = []
        self.faults: list[str] = []
        self.features: list[str] = []
        self._keys: list[Key] = []

    def key(self, name: str) -> Key:
        """Return a key of ours, to be cleaned up."""
        key = Key(f"{self.prefix}{name}")
        self._keys.append(key)
        return key

    def read(self, key: Key) -> bytes | None:
        """Return what a reader gets."""
        try:
            return self.store.read(key)
        except NotFoundError:
            return None

    def clean_up(self) -> None:
        """Remove everything; what a failing store keeps is litter for a later probe."""
        for key in self._keys:
            with contextlib.suppress(StorageError):
                self.store.discard(key)


def _race(trial: _Trial, writers: int) -> Iterator[str]:
    """Exactly one of many simultaneous creators may win, and everybody must see that one's bytes."""
    if not trial.store.capabilities.write_once:
        yield f"stores of this kind cannot create a key exclusively; {_SINGLE_WRITER}"
        return
    key = trial.key("race")
    bodies = [f"writer {number} of {trial.prefix}\n".encode() for number in range(writers)]
    ready = threading.Barrier(writers)

    def create(body: bytes) -> bytes:
        ready.wait()
        return trial.certainty.create(key, body)

    with ThreadPoolExecutor(writers, thread_name_prefix="probe") as pool:
        standing = list(pool.map(create, bodies))
    winners = [body for body, stands in zip(bodies, standing, strict=True) if body == stands]
    if len(winners) != 1:
        yield (
            f"{writers} writers created the same key at once and {len(winners)} were told that they won, not 1: "
            f"its 'create only if absent' is a look before the write, or is ignored; {_SINGLE_WRITER}"
        )
    elif {*standing, trial.read(key)} != set(winners):
        yield (
            f"{writers} writers created the same key at once, and not everybody then read the winner's bytes: "
            f"a key was overwritten after it had been created; {_SINGLE_WRITER}"
        )
    else:
        trial.features.append(f"write-once among {writers} writers")


def _create_again(trial: _Trial) -> Iterator[str]:
    """Creating a key that exists must change nothing and say so: a server that ignores the condition fails here."""
    key = trial.key("again")
    first = b"first\n"
    trial.certainty.create(key, first)
    answer = trial.store.create(key, b"second\n")
    if answer is not Creation.EXISTS:
        yield (
            "created the same key 2 times: it ignores the condition 'If-None-Match: *' (create only if absent) and "
            f"overwrites; {_SINGLE_WRITER}"
        )
    elif trial.read(key) != first:
        yield (
            f"said that a key exists, and overwrote it all the same: what was published would change; {_SINGLE_WRITER}"
        )


def _read_after_write(trial: _Trial) -> Iterator[str]:
    key = trial.key("fresh")
    if trial.store.stat(key) is not None:  # also lets a cache remember that it is absent
        yield "shows a key that nobody wrote; use a store that answers about the key it was asked for"
    body = b"fresh\n"
    trial.certainty.create(key, body)
    found = trial.store.stat(key)
    if trial.read(key) != body or found is None or found.size != len(body):
        yield (
            "acknowledged a write and then did not show it: it answers from a cache, or from a copy that lags behind; "
            "use a store with read-after-write consistency, or switch its cache off"
        )


def _list_after_write(trial: _Trial) -> Iterator[str]:
    expected: list[Key] = []
    for number in range(3):
        before = [found.key for found in trial.store.list(f"{trial.prefix}listed/")]
        if before != expected:
            break
        key = trial.key(f"listed/{number}")
        trial.certainty.create(key, b"listed\n")
        expected.append(key)
    listed = [found.key for found in trial.store.list(f"{trial.prefix}listed/")]
    if listed != expected or "listed" not in set(trial.store.list_folders(trial.prefix)):
        yield (
            f"acknowledged {len(expected)} new keys and then listed {len(listed)} of them: its listings come late, or "
            "from a cache; use a store with list-after-write consistency, or switch its cache off"
        )


def _replace(trial: _Trial) -> Iterator[str]:
    key = trial.key("replaced")
    for body in (b"one\n", b"another\n"):
        trial.store.replace(key, body)
        if trial.read(key) != body:
            yield "shows old bytes after a key was replaced: it answers from a cache; switch that cache off"
            return


def _wrong_digest(trial: _Trial) -> Iterator[str]:
    """Bytes that are not the ones their digest promises must not get a name."""
    true, lie = trial.key("true"), trial.key("lie")
    digest = Digest(hashlib.sha256(b"true\n").hexdigest())
    trial.store.put_many([(true, _Body(b"true\n", digest))])
    if trial.read(true) != b"true\n":
        yield "acknowledged an upload and then did not show its bytes; use another store"
    try:
        trial.store.put_many([(lie, _Body(b"lie!\n", digest))])
    except (RunChangedError, IntegrityError):
        if trial.read(lie) is None:
            trial.features.append("bytes checked on the way")
            return
    yield "stored bytes that do not have the digest they were sent with; use another store"


def _wrong_checksum(trial: _Trial) -> Iterator[str]:
    """Let the server itself refuse a wrong checksum, where it is claimed to check."""
    if not trial.store.capabilities.verifies_uploads or not isinstance(trial.store, ProvesChecksums):
        return
    refused = trial.store.refuses_wrong_checksum(trial.key("checksum"))
    if refused:
        trial.features.append("checksums verified by the server")
    elif refused is False:
        yield (
            "accepted bytes with a wrong checksum, although stores of this kind are said to verify them: damage on the "
            "way would be sealed; use a server that verifies checksums"
        )


def _delete(trial: _Trial) -> Iterator[str]:
    key = trial.key("deleted")
    trial.certainty.create(key, b"deleted\n")
    trial.store.discard(key)
    trial.store.discard(key)
    if trial.store.stat(key) is not None or trial.read(key) is not None:
        yield "shows a key after deleting it: it answers from a cache or keeps what it was told to delete"


def _skew(trial: _Trial) -> float:
    """Return how many seconds the store's clock is ahead of ours, give or take the time one request takes."""
    key = trial.key("clock")
    before = trial.clock.now().timestamp()
    trial.certainty.create(key, b"clock\n")
    after = trial.clock.now().timestamp()
    found = trial.store.stat(key)
    if found is None or before - 1 <= found.modified <= after + 1:  # stores round to seconds
        return 0.0
    return found.modified - (before + after) / 2


def _remove_litter(trial: _Trial) -> None:
    """Remove what killed probes left, when it is a day old by the store's own clock."""
    own = trial.store.stat(trial.key("clock"))
    if own is None:
        return
    for found in trial.store.list(PROBES):
        if own.modified - found.modified > _LITTER_S:
            trial.store.discard(found.key)


class _Body(NamedTuple):
    """A source that may lie about its digest."""

    body: bytes
    digest: Digest

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.body)

    def open(self) -> BinaryIO:
        """Open the bytes."""
        return io.BytesIO(self.body)
