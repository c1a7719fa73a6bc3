"""The grounds on which a run is kept whatever a policy says: pointers, published names, pins and holds."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sealrun.domain.address import EXPERIMENTS, NAMES, name_log, pointer_log, pointers_prefix
from sealrun.domain.registry.pointing import LATEST, Generation
from sealrun.ports import Store
from sealrun.services.keeping.pinning import describe_pin, read_pins
from sealrun.services.threads.fanning import fan_out

RunKey = tuple[str, str]


class Ground(msgspec.Struct, frozen=True):
    """One ground (``pointer train@latest``), and what to do for the run to be retired all the same."""

    text: str
    remedy: str


def read_grounds(store: Store, now: str, experiment: str | None = None) -> dict[RunKey, list[Ground]]:
    """What keeps which runs, by experiment and run id: pointers and names of all, pins of one experiment or of all.

    Only where a pointer stands now counts. Pins count if they do at `now`. A record that cannot be read is raised: a
    ground that is overlooked would cost a run.
    """
    grounds = read_pointed(store)
    for name in store.list_folders(EXPERIMENTS) if experiment is None else [experiment]:
        for run_id, found in _pinned(store, name, now):
            grounds.setdefault((name, run_id), []).append(found)
    return grounds


def read_pointed(store: Store) -> dict[RunKey, list[Ground]]:
    """Which runs a pointer of any experiment, or a published name, stands on."""
    grounds: dict[RunKey, list[Ground]] = {}
    logs = [*_logs(store)]

    def head(log: tuple[str, Ground]) -> RunKey | None:
        newest = next(iter(store.list(log[0], limit=1)), None)
        if newest is None:
            return None
        target = Generation.decode(store.read(newest.key), newest.key).target
        return target.experiment, target.run_id

    for (_, ground), run in zip(logs, fan_out(head, logs, store.capabilities.parallel), strict=True):
        if run is not None:
            grounds.setdefault(run, []).append(ground)
    return grounds


def pins_on(store: Store, experiment: str, run_id: str, now: str) -> list[Ground]:
    """Pins and holds of one run that count at `now`."""
    return [ground for _, ground in _pinned(store, experiment, now, run_id)]


def _pinned(store: Store, experiment: str, now: str, run_id: str | None = None) -> Iterator[tuple[str, Ground]]:
    for pin in read_pins(store, experiment, run_id):
        if pin.counts(now):
            remedy = f"lift it first: sealrun unpin {'--holds ' if pin.hold else ''}{experiment}/{pin.run_id}"
            yield pin.run_id, Ground(describe_pin(pin), remedy)


def _logs(store: Store) -> Iterator[tuple[str, Ground]]:
    for experiment in store.list_folders(EXPERIMENTS):
        for name in store.list_folders(pointers_prefix(experiment)):
            remedy = f"move it first: sealrun pointer set {experiment} {name} REF"
            if name == LATEST:
                remedy = "it moves by itself, to a run that finishes later"
            yield pointer_log(experiment, name), Ground(f"pointer {experiment}@{name}", remedy)
    for name in store.list_folders(NAMES):
        yield name_log(name), Ground(f"name {name}", "it moves by itself, to a newer run that publishes it")
