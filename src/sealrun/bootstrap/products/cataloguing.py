"""Publishing the catalogue: a derived run like any other, and the pointer that says which is active."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import Literal

import msgspec

from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import find_spec
from sealrun.domain.curation.catalogue import ACTIVE, CATALOG_EXPERIMENT, CATALOG_FILE, POINTERS_FILE, Catalogue
from sealrun.domain.errors import NotFoundError
from sealrun.recording.completing import declare


class CatalogueReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a build: `published` a new catalogue, or the active one `stands` already; or what `would` be."""

    state: Literal["published", "stands", "would publish"]
    ref: str
    registries: int
    cycles: tuple[str, ...]


class Cataloguer:
    """Builds the catalogue of one registry."""

    def __init__(self, parts: Parts, registry: str | None = None) -> None:
        """Work on `registry` (a name or URL; by default the first) by `parts`, whose owner closes them."""
        self._parts = parts
        self._registry = registry

    def read(self) -> Catalogue:
        """Build the catalogue of what stands now, and keep it nowhere."""
        return self._parts.governor(self._registry).catalogue()

    def build(self, *, dry_run: bool = False, why: str = "") -> CatalogueReport:
        """Publish the catalogue of what stands now and point ``catalog@active`` at it, unless it stands there already.

        Durable on return. Harmless to repeat, and by several at once: the same state is the same run. A crash in
        between leaves a catalogue that is published and not active; the next build moves the pointer.
        """
        catalogue = self.read()
        ref = f"{CATALOG_EXPERIMENT}/{catalogue.run_id}"
        count = len(msgspec.json.decode(catalogue.catalog)["registries"])
        state: Literal["published", "stands", "would publish"] = "stands"
        if self._active() != ref:
            state = "would publish" if dry_run else "published"
        if state == "published":
            self._publish(catalogue)
            mover = self._parts.mover(self._registry)
            mover.set(CATALOG_EXPERIMENT, ACTIVE, ref, why or "catalogue built", dry_run=False)
        return CatalogueReport(state=state, ref=ref, registries=count, cycles=catalogue.cycles)

    def _active(self) -> str | None:
        consumer = self._parts.consumer(self._registry)
        with suppress(NotFoundError):
            target = consumer.show(f"{CATALOG_EXPERIMENT}@{ACTIVE}").target
            return f"{target.experiment}/{target.run_id}"
        return None

    def _publish(self, catalogue: Catalogue) -> None:
        """Write the folder and publish it. What could not be delivered stays there, queued, and the error says why."""
        folder = self._parts.state / "catalog" / catalogue.run_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / CATALOG_FILE).write_bytes(catalogue.catalog)
        (folder / POINTERS_FILE).write_bytes(catalogue.pointers)
        declare(folder, _said(catalogue))
        spec = find_spec(self._parts.registries, self._registry)
        report = self._parts.producer.publish(
            str(folder), CATALOG_EXPERIMENT, registries=[spec.name], run_id=catalogue.run_id
        )
        for delivered in report.deliveries:
            delivered.arrived("the catalogue")
        shutil.rmtree(folder, ignore_errors=True)


def _said(catalogue: Catalogue) -> dict[str, object]:
    """What the catalogue's run declares of itself: nothing that depends on who builds it, or when."""

    def artifact(path: str, kind: str, schema: str) -> dict[str, object]:
        return {
            "path": path,
            "type": kind,
            "schema": schema,
            "authority": "derived",
            "owner": "sealrun",
            "depends_on": list(catalogue.inputs),
        }

    return {
        "run_id": catalogue.run_id,
        "status": "success",
        "finished_at": catalogue.as_of,
        "artifacts": [
            artifact(CATALOG_FILE, "json_snapshot", "sealrun.registry-catalog/1"),
            artifact(POINTERS_FILE, "pointer", "sealrun.active-registry-pointers/1"),
        ],
    }
