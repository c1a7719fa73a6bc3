"""What keeps runs whatever becomes of their attempts: pins that count, and where pointers and published names stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from sealrun.domain.address import AttemptId, Key, pins_prefix, pointer_log, pointers_prefix
from sealrun.domain.registry.pointing import Generation
from sealrun.domain.upkeep.keeping import Pin
from sealrun.ports import Glimpse
from sealrun.services.threads.fanning import fan_out

_LIFTED_SUFFIX = ".lifted.json"


class Head(msgspec.Struct, frozen=True):
    """The newest generation of a log, and the attempt that it stands on."""

    log: str
    generation: Key
    attempt: AttemptId


def pinned_runs(store: Glimpse, experiment: str, now: str) -> set[tuple[str, str]]:
    """Runs of one experiment with a pin or hold that counts at `now`."""
    keys = [found.key for found in store.list(pins_prefix(experiment))]
    lifted = {key.removesuffix(_LIFTED_SUFFIX) for key in keys if key.endswith(_LIFTED_SUFFIX)}
    standing = (key for key in keys if not key.endswith(_LIFTED_SUFFIX) and key.removesuffix(".json") not in lifted)
    pins = (Pin.decode(store.read(key), key) for key in standing)
    return {(pin.experiment, pin.run_id) for pin in pins if pin.counts(now)}


def logs_of(store: Glimpse, experiment: str) -> Iterator[str]:
    """The logs of an experiment's pointers."""
    return (pointer_log(experiment, name) for name in store.list_folders(pointers_prefix(experiment)))


def read_heads(store: Glimpse, logs: Iterable[str], width: int) -> list[Head]:
    """The heads of those `logs` that have one, `width` at a time."""

    def look(log: str) -> Head | None:
        newest = next(iter(store.list(log, limit=1)), None)
        if newest is None:
            return None
        return Head(log, newest.key, Generation.decode(store.read(newest.key), newest.key).target.attempt)

    return [head for head in fan_out(look, logs, width) if head is not None]
