"""The registries of a daemon as its pages read them: opened when somebody first looks."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import msgspec

from sealrun.bootstrap.registries import RegistrySpec, open_reader
from sealrun.domain.errors import NoRegistryError, NotFoundError, SealrunError
from sealrun.domain.oversight.board import CollectionPlan
from sealrun.ports import Clock, Entropy
from sealrun.services.access.reading import Reader
from sealrun.services.access.run_reading import RunReading
from sealrun.services.oversight.descendants import Descendants
from sealrun.services.oversight.freshness import Fresh
from sealrun.services.oversight.pointer_lists import PointerLists
from sealrun.services.oversight.run_lists import RunLists

_IDLE_S = 900.0
_REFUSED_S = 10.0
_CLOSED_AFTER_S = 3600.0


class RegistryLook(msgspec.Struct, frozen=True, eq=False):
    """One registry that was opened for looking at, and what is remembered of it. `plans` holds the last plan."""

    spec: RegistrySpec
    reader: Reader
    lists: RunLists
    pointers: PointerLists
    runs: RunReading
    descendants: Descendants
    plans: dict[str, Fresh[CollectionPlan]] = msgspec.field(default_factory=dict)


class RegistryLooks:
    """The looks of one process. Any thread; a registry that takes long to open keeps nobody else waiting."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        """Open nothing yet."""
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._opening: dict[str, threading.Lock] = {}
        self._open: dict[str, RegistryLook] = {}
        self._used: dict[str, float] = {}
        self._refused: dict[str, tuple[float, SealrunError]] = {}
        self._retired: list[tuple[float, Reader]] = []

    def of(self, registries: Mapping[str, RegistrySpec], name: str, *, in_passing: bool = False) -> RegistryLook:
        """Return the look of a registry; `NotFoundError` where the settings name none, and what opening raises.

        What was refused a moment ago is refused again without asking. `in_passing`: it does not count as looked at.
        """
        spec = registries.get(name)
        if spec is None:
            msg = f"no registry {name!r} in the settings (they name: {', '.join(registries) or 'none'})"
            raise NotFoundError(msg)
        with self._lock:
            if not in_passing:
                self._used[name] = self._clock.monotonic()
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:
            found = self._open.get(name)
            if found is not None and found.spec == spec:
                return found
            if found is not None:  # the settings changed; whoever reads by it is given time
                self._retired.append((self._clock.monotonic() + _CLOSED_AFTER_S, found.reader))
                del self._open[name]
            self._open[name] = opened = self._look(spec, self._opened(spec))
            return opened

    def forget_idle(self) -> None:
        """Forget what was read of registries at which nobody looked for a quarter of an hour; they stay open."""
        now = self._clock.monotonic()
        for name, found in list(self._open.items()):
            with self._opening[name]:
                if self._used.get(name, now - _IDLE_S) <= now - _IDLE_S and self._open.get(name) is found:
                    self._open[name] = self._look(found.spec, found.reader)
        waiting, self._retired = self._retired, []
        for until, reader in waiting:
            if now < until:
                self._retired.append((until, reader))
            else:
                reader.store.close()

    def close(self) -> None:
        """Close every registry. Harmless twice."""
        readers = [*(found.reader for found in self._open.values()), *(reader for _, reader in self._retired)]
        self._open, self._retired = {}, []
        for reader in readers:
            reader.store.close()

    def _look(self, spec: RegistrySpec, reader: Reader) -> RegistryLook:
        return RegistryLook(
            spec,
            reader,
            RunLists(reader, self._clock),
            PointerLists(reader, self._clock),
            RunReading(reader),
            Descendants(reader.store),
        )

    def _opened(self, spec: RegistrySpec) -> Reader:
        until, refused = self._refused.get(spec.name, (0.0, None))
        if refused is not None and self._clock.monotonic() < until:
            raise refused
        try:
            reader = open_reader(spec, self._clock, self._entropy)
        except NoRegistryError:
            raise  # soon answered, and perhaps the first delivery makes one just now
        except SealrunError as error:
            self._refused[spec.name] = (self._clock.monotonic() + _REFUSED_S, error)
            raise
        self._refused.pop(spec.name, None)
        return reader
