"""Many files into a directory store: copied or staged, made durable together, then named."""

# Plain strings below the root: this runs for every object, and a Path costs more than the call.
# ruff: noqa: PTH104, PTH108

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import NamedTuple, ParamSpec, TypeVar

from sealrun.adapters.stores.posix_durable import write_all
from sealrun.adapters.stores.posix_errors import translated
from sealrun.adapters.stores.posix_folders import Folders, Root
from sealrun.adapters.stores.posix_room import Room
from sealrun.adapters.stores.posix_rounds import Rounds
from sealrun.adapters.stores.posix_stage import OBJECT_MODE, PosixStaged
from sealrun.domain.address import Key
from sealrun.domain.errors import RunChangedError
from sealrun.domain.grouping import in_portions
from sealrun.domain.turns import Turns
from sealrun.ports import Source

_BATCH_FILES = 4096
_BATCH_BYTES = 4 << 30
_GROUP_FILES = 32
_GROUP_BYTES = 8 << 20
_CHUNK = 1 << 20

P = ParamSpec("P")
T = TypeVar("T")


class _Waiting(NamedTuple):
    """A complete file that waits in the room for its final name; `staged` if it came from a stage."""

    key: Key
    final: str
    path: str
    size: int
    staged: PosixStaged | None


class Bulk:
    """One call of `put_many`.

    Every batch goes through: all bytes written, one barrier, all renames. A crash before the barrier leaves files
    in the room, one after it complete objects without references. The last barrier makes the names durable, also
    those that an earlier, killed call of ours left, which is why it is awaited even when there is nothing to store.
    """

    def __init__(self, root: Root, room: Room, folders: Folders, rounds: Rounds, parallel: int) -> None:
        """Copy with `parallel` threads, and wait in `rounds`, which were entered just now."""
        self._root = root
        self._room = room
        self._folders = folders
        self._parallel = parallel
        self._rounds = rounds
        self._named: set[str] = set()
        self._turns = Turns()

    def run(self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None) -> None:
        """Store `items`; see `ports.Store.put_many`."""
        # Small files are bundled: a task of its own would cost more than most of them.
        groups = in_portions(items, lambda item: item[1].size, _GROUP_BYTES, _GROUP_FILES)
        first = list(islice(groups, 2))
        alone = len(first) <= 1
        groups = chain(first, groups)
        with _Here() if alone else ThreadPoolExecutor(self._parallel, thread_name_prefix="store") as pool:
            while self._batch(pool, groups, on_stored):
                pass
        with translated(f"{self._root.path}: new names cannot be made durable"):
            self._rounds.wait()
            for final in self._named:
                self._folders.settle(final)

    def _batch(
        self,
        pool: Executor,
        groups: Iterator[list[tuple[Key, Source]]],
        on_stored: Callable[[Key, int], None] | None,
    ) -> bool:
        """Store one batch; False when there is nothing left."""
        futures: list[Future[list[_Waiting]]] = []
        try:
            full = self._submit(pool, groups, futures)
            waiting = [one for future in futures for one in future.result()]
            self._make_durable(waiting)
            for one in waiting:
                self._name(one)
                if on_stored is not None:
                    on_stored(one.key, one.size)
        except BaseException:
            for future in futures:
                future.cancel()
            for future in futures:
                if not future.cancelled() and future.exception() is None:  # waits: no copy is left running
                    _discard(future.result())
            raise
        return full

    def _submit(
        self,
        pool: Executor,
        groups: Iterator[list[tuple[Key, Source]]],
        futures: list[Future[list[_Waiting]]],
    ) -> bool:
        """Start copying one batch, a few groups ahead of the copying; True if there may be more."""
        files = size = 0
        running: deque[Future[list[_Waiting]]] = deque()
        for group in groups:
            future = pool.submit(self._receive, group)
            futures.append(future)
            running.append(future)
            if len(running) > 2 * self._parallel:
                running.popleft().result()
            files += len(group)
            size += sum(source.size for _, source in group)
            if files >= _BATCH_FILES or size >= _BATCH_BYTES:
                return True
        return False

    def _receive(self, group: list[tuple[Key, Source]]) -> list[_Waiting]:
        """Bring the bytes of a group into the room; on an error none of its files is left there."""
        waiting: list[_Waiting] = []
        try:
            with self._turns.turn(len(group), sum(source.size for _, source in group)):
                for key, source in group:
                    final = self._root.place(key)
                    path = source.take(self._room) if isinstance(source, PosixStaged) else None
                    staged = source if isinstance(source, PosixStaged) and path is not None else None
                    with translated(f"{final}: cannot be written"):
                        waiting.append(_Waiting(key, final, path or self._copy(key, source), source.size, staged))
        except BaseException:
            _discard(waiting)
            raise
        return waiting

    def _copy(self, key: Key, source: Source) -> str:
        """Copy `source` into the room, checking it on the way; return the path of the copy."""
        digest = hashlib.sha256()
        step = min(_CHUNK, source.size + 1)  # for a MiB that a small file does not fill, memory is mapped all the same
        with source.open() as stream:
            fd, path = self._room.new_file(OBJECT_MODE)
            try:
                try:
                    while chunk := _read(stream.read, step, key):
                        digest.update(chunk)
                        write_all(fd, chunk)
                    if digest.hexdigest() != source.digest:
                        raise RunChangedError(f"{key}: the bytes read are not the ones that were hashed; settle again")
                    if not self._rounds.whole:
                        os.fsync(fd)
                finally:
                    os.close(fd)
            except BaseException:
                os.unlink(path)
                raise
        return path

    def _make_durable(self, waiting: list[_Waiting]) -> None:
        with translated(f"{self._root.path}: bytes cannot be made durable"):
            # A stage's descriptor was open before its bytes were written; ours may be younger.
            for rounds in {one.staged.stage.rounds for one in waiting if one.staged is not None} | {self._rounds}:
                rounds.wait()
            if not self._rounds.whole:
                for one in waiting:
                    if one.staged is not None:
                        _sync_file(one.path)

    def _name(self, one: _Waiting) -> None:
        with translated(f"{one.final}: cannot be named"):
            self._folders.into(one.final, lambda: os.rename(one.path, one.final))
        if one.staged is not None:
            one.staged.moved(one.final)
        if not self._rounds.whole:
            self._named.add(one.final)


class _Here(Executor):
    """Works in the calling thread: for a single group another one costs more than it brings."""

    def submit(self, work: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Do it now."""
        future: Future[T] = Future()
        try:
            future.set_result(work(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 - the future raises it where its result is asked for
            future.set_exception(error)
        return future


def _read(read: Callable[[int], bytes], size: int, key: Key) -> bytes:
    try:
        return read(size)
    except OSError as error:
        raise RunChangedError(
            f"{key}: its source cannot be read to the end ({error.strerror}); settle again"
        ) from error


def _sync_file(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _discard(waiting: list[_Waiting]) -> None:
    """Remove copies that got no name; staged bytes stay for another try, and those already named are gone."""
    for one in waiting:
        if one.staged is not None:
            one.staged.give_back()
            continue
        with contextlib.suppress(OSError):  # what stays in the room goes when the room does
            os.unlink(one.path)
