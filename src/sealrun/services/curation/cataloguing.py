"""The catalogue of one registry, read from its state."""

from __future__ import annotations

from itertools import chain

from sealrun.domain.address import Digest, run_key
from sealrun.domain.curation.catalogue import ACTIVE, CATALOG_EXPERIMENT, Catalogue, KnownRun, build_catalogue
from sealrun.domain.errors import IntegrityError, NotFoundError
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.pointing import Generation, PointerName
from sealrun.domain.runs.manifest import RUN_FILE
from sealrun.domain.runs.run import Envelope
from sealrun.services.access.reading import Reader
from sealrun.services.curation.schemata import Schemata
from sealrun.services.index.pointers import Pointers
from sealrun.services.threads.fanning import fan_through


def read_catalogue(reader: Reader, pointers: Pointers, schemata: Schemata) -> Catalogue:
    """Build the catalogue of what stands now: one read for each run and each pointer. Writes nothing.

    Runs that are published meanwhile may be in it or not; built again when nothing moves it is the same bytes.
    `IntegrityError` if a run's record contradicts the index.
    """
    experiments = [name for name in reader.experiments() if name != CATALOG_EXPERIMENT]
    rows = chain.from_iterable(map(reader.runs, experiments))
    width = reader.store.capabilities.parallel
    found = fan_through(lambda row: _known(reader, row), rows, width)
    actives: dict[str, Generation] = {}
    for experiment in experiments:
        generation = pointers.newest(PointerName.of_experiment(experiment, ACTIVE))
        if generation is not None:
            actives[experiment] = generation
    schemas: dict[str, Digest] = {schema.id: schema.schema_sha256 for schema in schemata.all()}
    return build_catalogue((run for run in found if run is not None), actives, schemas)


def _known(reader: Reader, row: Row) -> KnownRun | None:
    """Read what a run's envelope says of its artifacts; None if it has none."""
    key = run_key(row.experiment, row.run_id, RUN_FILE)
    try:
        envelope = Envelope.decode(reader.store.read(key), key)
    except NotFoundError as error:
        msg = f"{row.experiment}/{row.run_id} is listed, but {key} is gone; find the extent with: sealrun verify --all"
        raise IntegrityError(msg) from error
    if (envelope.tree_digest, envelope.run_id) != (row.tree_digest, row.run_id):
        msg = f"{key}: is not of the run that the index lists; find the extent with: sealrun verify --all"
        raise IntegrityError(msg)
    if not envelope.artifacts:
        return None
    return KnownRun(
        experiment=row.experiment,
        run_id=row.run_id,
        finished_at=envelope.finished_at,
        root_sha256=row.root_sha256,
        artifacts=envelope.artifacts,
    )
