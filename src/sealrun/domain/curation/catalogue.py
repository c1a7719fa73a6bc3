"""The catalogue of a registry: every registry artifact known, and which run of each is active.

Both documents are functions of the registry's state alone. They hold no time of their own and nobody's name: built
again from the same state, on any machine, they are the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.records import FORMAT, JsonObject, canonical_json, sha256
from sealrun.domain.registry.pointing import Generation
from sealrun.domain.types import ArtifactType, TypedArtifact, mutability

CATALOG_EXPERIMENT = "catalog"
"""Experiment that the catalogue is published in; it does not list itself."""
CATALOG_FILE = "REGISTRY_CATALOG.json"
POINTERS_FILE = "ACTIVE_REGISTRY_POINTERS.json"
ACTIVE = "active"
"""The pointer that says which run of an experiment's registries counts."""
_BEGINNING = "1970-01-01T00:00:00Z"
_LISTED: frozenset[ArtifactType] = frozenset({"jsonl_registry", "json_snapshot", "index", "pointer"})


class KnownRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that stands and holds typed artifacts."""

    experiment: str
    run_id: str
    finished_at: str
    root_sha256: Digest
    artifacts: tuple[TypedArtifact, ...]

    @property
    def ref(self) -> str:
        """``EXPERIMENT/RUN_ID``."""
        return f"{self.experiment}/{self.run_id}"


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of both documents, and `as_of`: the newest time in what they were built from."""

    catalog: bytes
    pointers: bytes
    as_of: str
    inputs: tuple[Mapping[str, str], ...]
    cycles: tuple[str, ...]

    @property
    def run_id(self) -> str:
        """The id of the run that holds these bytes: the same state gives the same run."""
        return f"catalog-{sha256(self.catalog + self.pointers)[:16]}"


def build_catalogue(
    runs: Iterable[KnownRun], actives: Mapping[str, Generation], schemas: Mapping[str, Digest]
) -> Catalogue:
    """Build both documents from every run, the active pointers by experiment, and the schemas by ``NAME/VERSION``."""
    known = sorted(
        (run for run in runs if run.experiment != CATALOG_EXPERIMENT), key=lambda run: (run.finished_at, run.ref)
    )
    registries = _registries(known, actives)
    experiments = {str(entry["experiment"]) for entry in registries}
    standing = {name: actives[name] for name in sorted(experiments) if name in actives}
    order, cycles = _build_order(registries)
    catalog = {
        "build_order": order,
        "cycles": cycles,
        "format": FORMAT,
        "kind": "registry-catalog",
        "registries": registries,
        "schemas": [{"schema": name, "sha256": schemas[name]} for name in sorted(schemas)],
    }
    pointers = {
        "format": FORMAT,
        "kind": "active-registry-pointers",
        "pointers": [_active(name, generation, registries) for name, generation in standing.items()],
    }
    times = [run.finished_at for run in known] + [generation.moved_at for generation in standing.values()]
    return Catalogue(
        catalog=canonical_json(catalog),
        pointers=canonical_json(pointers),
        as_of=max(times, default=_BEGINNING),
        inputs=tuple(
            {
                "pointer": f"{name}@{ACTIVE}",
                "run": f"{generation.target.experiment}/{generation.target.run_id}",
                "root_sha256": generation.target.root_sha256,
            }
            for name, generation in standing.items()
        ),
        cycles=tuple(cycles),
    )


def _registries(runs: Sequence[KnownRun], actives: Mapping[str, Generation]) -> list[JsonObject]:
    builds: dict[tuple[str, str, str], list[tuple[KnownRun, TypedArtifact]]] = {}
    for run in runs:
        for artifact in run.artifacts:
            if artifact.type in _LISTED:
                builds.setdefault((run.experiment, artifact.registry, artifact.type), []).append((run, artifact))
    return [_entry(key, found, actives.get(key[0])) for key, found in sorted(builds.items())]


def _entry(
    key: tuple[str, str, str], builds: list[tuple[KnownRun, TypedArtifact]], pointer: Generation | None
) -> JsonObject:
    """Describe a registry as its active build has it, or, where none of its builds is active, its newest."""
    active = next(
        ((run, artifact) for run, artifact in reversed(builds) if pointer and run.run_id == pointer.target.run_id), None
    )
    newest, _ = builds[-1]
    _, artifact = active or builds[-1]
    return {
        "active": None if active is None else active[0].ref,
        "authority": artifact.authority,
        "builds": len({run.run_id for run, _ in builds}),
        "declared": artifact.declared,
        "depends_on": sorted({dependency.pointer for dependency in artifact.depends_on}),
        "experiment": key[0],
        "mutability": mutability(artifact.type, artifact.authority),
        "newest": newest.ref,
        "owner": artifact.owner,
        "path": artifact.path,
        "registry": key[1],
        "schema": artifact.schema,
        "type": artifact.type,
    }


def _active(experiment: str, generation: Generation, registries: Iterable[JsonObject]) -> JsonObject:
    target = generation.target
    ref = f"{target.experiment}/{target.run_id}"
    return {
        "by": generation.by,
        "generation": generation.generation,
        "moved_at": generation.moved_at,
        "pointer": f"{experiment}@{ACTIVE}",
        "registries": sorted({entry["registry"] for entry in registries if entry["active"] == ref}),
        "root_sha256": target.root_sha256,
        "run_id": target.run_id,
        "run_root": f"experiments/{target.experiment}/runs/{target.run_id}/",
        "why": generation.why,
    }


def _build_order(registries: Iterable[JsonObject]) -> tuple[list[str], list[str]]:
    """Order experiments so that each comes after what its registries are made from; name those that go in circles.

    A registry that is made from its own last build is no circle.
    """
    before: dict[str, set[str]] = {}
    for entry in registries:
        mine = before.setdefault(entry["experiment"], set())
        mine |= {pointer.partition("@")[0] for pointer in entry["depends_on"]} - {entry["experiment"]}
    for needed in sorted({name for names in before.values() for name in names} - before.keys()):
        before[needed] = set()
    cycles: set[str] = set()
    while True:
        sorter = TopologicalSorter(before)
        try:
            sorter.prepare()
        except CycleError as error:
            circle = sorted(set(error.args[1]))
            cycles |= set(circle)
            for name in circle:
                before[name] = before[name] - set(circle)
            continue
        break
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order, sorted(cycles)
