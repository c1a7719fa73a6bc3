"""A run's place in a registry: under which id its folder stands, and the three records in it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from sealrun.domain.address import Digest, Key, RunId, parse_artifact_name, parse_name, run_key
from sealrun.domain.errors import IntegrityError
from sealrun.domain.pieces import Body
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, Manifest, Sums
from sealrun.domain.runs.run import Envelope, next_revision
from sealrun.services.storage.certainty import Certainty
from sealrun.services.threads.fanning import fan_out


class RunRecords(msgspec.Struct, frozen=True):
    """The records of a run folder, as they stand or will stand in a registry."""

    run_json: bytes
    envelope: Envelope
    manifest_json: Body
    manifest: Manifest

    def renamed(self, run_id: RunId) -> RunRecords:
        """Return the same content under the next revision's id."""
        envelope = msgspec.structs.replace(self.envelope, run_id=run_id, supersedes=self.envelope.run_id)
        return RunRecords(envelope.encode(), envelope, self.manifest_json, self.manifest)

    def adopting(self, run_json: bytes) -> RunRecords | None:
        """Return these records with the envelope that stands there, or None if that is of other content."""
        standing = Envelope.decode(run_json, RUN_FILE)
        if standing.manifest_sha256 != self.envelope.manifest_sha256:
            return None
        return RunRecords(run_json, standing, self.manifest_json, self.manifest)


class Filled(NamedTuple):
    """A run folder that is complete.

    `first`: this call made its run.json, so that no attempt had sealed the run before: each makes or adopts it first.
    """

    records: RunRecords
    root: Digest
    first: bool


def check_names(envelope: Envelope) -> None:
    """Refuse names that no key can hold before anything is written: past the outcome it would be too late."""
    parse_name(envelope.experiment, "experiment")
    parse_name(envelope.run_id, "run id")
    for name in envelope.publish_names.values():
        parse_artifact_name(name)


class Place:
    """Finds and fills run folders. The same id with other content is never merged: it becomes a revision."""

    def __init__(self, certainty: Certainty) -> None:
        """Work through `certainty`."""
        self._certainty = certainty

    def claim(self, records: RunRecords) -> tuple[RunRecords, bool]:
        """Find the run's place: its own id if that is free or holds the same content, else the next revision.

        Says also whether that content is there already.
        """
        while True:
            key = run_key(records.envelope.experiment, records.envelope.run_id, RUN_FILE)
            body = self._certainty.read(key)
            adopted = records if body is None else records.adopting(body)
            if adopted is not None:
                return adopted, body is not None
            records = records.renamed(next_revision(records.envelope.run_id))

    def fill(self, records: RunRecords) -> Filled:
        """Write the three records, or adopt those of another attempt at the same content; say if they are ours."""
        while True:
            experiment, run_id = records.envelope.experiment, records.envelope.run_id
            standing, first = self._certainty.create_first(run_key(experiment, run_id, RUN_FILE), records.run_json)
            adopted = records.adopting(standing)
            if adopted is not None:
                break
            records, _ = self.claim(records)  # other content took the id since we looked
        sums = Sums.build(adopted.run_json, adopted.manifest_json, adopted.manifest)
        bodies: dict[Key, Body] = {
            run_key(experiment, run_id, MANIFEST_FILE): adopted.manifest_json,
            run_key(experiment, run_id, SUMS_FILE): sums.body,
        }
        stand = fan_out(lambda key: self._certainty.create(key, bodies[key]), bodies, self._certainty.parallel)
        for (key, body), stands in zip(bodies.items(), stand, strict=True):
            if stands != body:
                msg = f"{key}: stands there with bytes that do not belong to its run.json; verify the registry"
                raise IntegrityError(msg)
        return Filled(adopted, sums.root, first)
