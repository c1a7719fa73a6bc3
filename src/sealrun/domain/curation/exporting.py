"""A sealed run in the formats of others: BagIt (RFC 8493), RO-Crate 1.1, and an in-toto statement with SLSA provenance.

Pure functions of the run: exporting it twice, anywhere, gives the same bytes. What a format cannot say is left to the
run's own records, which go along.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import quote

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.curation.comparing import flat
from sealrun.domain.curation.lineage import sources_of
from sealrun.domain.errors import UsageError
from sealrun.domain.grouping import in_groups
from sealrun.domain.long_json import Many, canonical_pieces
from sealrun.domain.pieces import Body, Pieces
from sealrun.domain.records import canonical_json, sha256
from sealrun.domain.registry.pointing import Target
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.domain.runs.run import Envelope

FORMATS = {
    "bagit": "a bag (RFC 8493): files in data/, with sums that bag tools check",
    "ro-crate": "a crate (RO-Crate 1.1): the run as it was, beside a description of it in JSON-LD",
    "in-toto": "a statement (v1) about the run's ROOT_SHA256, printed: to be signed; needs no DESTINATION",
}
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:sealrun:build:run:1"
_CRATE_FILE = "ro-crate-metadata.json"
_RECORDS = "sealrun/"
_LINES_AT_ONCE = 1000
_SLSA_DIGESTS = re.compile(r"[0-9a-f]{64}\Z")


class Layout(msgspec.Struct, frozen=True):
    """How a run is written to a folder: its files below `inside`, and these `files` beside; links unless left out."""

    inside: str = ""
    files: Mapping[str, Body] = {}
    links: bool = True


class Exported(msgspec.Struct, frozen=True):
    """What is exported: the run, its records as they are stored, and who exports (``sealrun 1.2``)."""

    target: Target
    envelope: Envelope
    manifest: Manifest
    records: Mapping[str, Body]
    agent: str

    @property
    def ref(self) -> str:
        """The run's reference."""
        return f"{self.target.experiment}/{self.target.run_id}"


def bag(run: Exported) -> Layout:
    """Return the run as a bag: files in ``data/``, sha256 manifests, and the run's own records in ``sealrun/``.

    Bags have neither links nor empty folders; ``sealrun/manifest.json`` tells of them.
    """
    envelope = run.envelope
    info = {
        "Bag-Software-Agent": run.agent,
        "Bagging-Date": envelope.finished_at[:10],
        "External-Identifier": envelope.urn,
        "External-Description": f"Run {run.ref}, {envelope.status}, finished {envelope.finished_at}",
        "Payload-Oxum": f"{run.manifest.size}.{len(run.manifest.entries)}",
        "Sealrun-Reference": run.ref,
        "Sealrun-Root-SHA256": run.target.root_sha256,
    }
    entries = run.manifest.entries
    tags: dict[str, Body] = {
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": "".join(f"{name}: {' '.join(value.split())}\n" for name, value in info.items()).encode(),
        "manifest-sha256.txt": Pieces(lambda: map(_sums, in_groups(_payload(entries), _LINES_AT_ONCE))),
        **{_RECORDS + name: body for name, body in run.records.items()},
    }
    tags["tagmanifest-sha256.txt"] = _sums((name, sha256(tags[name])) for name in sorted(tags))
    return Layout("data/", tags, links=False)


def _payload(entries: Iterable[Entry]) -> Iterator[tuple[str, Digest]]:
    return ((f"data/{entry.path}", entry.sha256) for entry in entries)


def _sums(lines: Iterable[tuple[str, str]]) -> bytes:
    return "".join(f"{digest}  {_bagged(path)}\n" for path, digest in lines).encode()


def _bagged(path: str) -> str:
    """Encode a path as RFC 8493 asks: percent signs and ends of lines."""
    return path.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")


def crate(run: Exported) -> Layout:
    """Return the run as an RO-Crate: its files as they are, and ``ro-crate-metadata.json``, which describes the run.

    `UsageError` if the run itself holds a file of that name, or a folder ``sealrun``.
    """
    taken = [
        entry.path for entry in run.manifest.entries if entry.path == _CRATE_FILE or entry.path.startswith(_RECORDS)
    ]
    if taken:
        msg = f"{run.ref} holds {taken[0]!r} itself, where an RO-Crate's own files belong; export it as bagit"
        raise UsageError(msg)
    itself = {
        "@id": _CRATE_FILE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    graph = Many(lambda: chain([itself], _described(run)))
    body = canonical_pieces({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph})
    return Layout("", {_CRATE_FILE: body, **{_RECORDS + name: record for name, record in run.records.items()}})


def _described(run: Exported) -> Iterator[dict[str, Any]]:
    """Yield what there is: the run, its files one at a time, what is known of it."""
    envelope, producer, entries = run.envelope, run.envelope.producer, run.manifest.entries
    values: list[dict[str, Any]] = [
        {"@id": f"#{group}-{quote(name, safe='')}", "@type": "PropertyValue", "name": name, "value": _plain(value)}
        for group in ("params", "metrics")
        for name, value in flat(producer.get(group)).items()
    ]
    sources: list[dict[str, Any]] = [
        {"@id": quote(source.text, safe=":/@%"), "@type": "CreativeWork", "name": source.text}
        for source in sources_of(envelope)
    ]
    params = [value for value in values if value["@id"].startswith("#params-")]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{run.ref} ({envelope.name})",
        "description": f"Run {run.ref}, {envelope.status}, sealed with ROOT_SHA256 {run.target.root_sha256}",
        "identifier": envelope.urn,
        "datePublished": envelope.finished_at,
        "hasPart": Many(lambda: ({"@id": quote(entry.path)} for entry in entries)),
        "mentions": [{"@id": "#run"}],
        "variableMeasured": [{"@id": value["@id"]} for value in values if value not in params],
    }
    failed = envelope.status in {"failed", "interrupted"}
    action: dict[str, Any] = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": run.ref,
        "actionStatus": {"@id": f"http://schema.org/{'Failed' if failed else 'Completed'}ActionStatus"},
        "endTime": envelope.finished_at,
        "object": [{"@id": each["@id"]} for each in (*sources, *params)],
        "result": [{"@id": "./"}],
    }
    if envelope.started_at is not None:
        action["startTime"] = envelope.started_at
    others = [*values, *sources]
    if isinstance(pipeline := producer.get("pipeline_id"), str):
        action["instrument"] = {"@id": "#pipeline"}
        software = {"@id": "#pipeline", "@type": "SoftwareApplication", "name": pipeline}
        version = producer.get("pipeline_version")
        others.append({**software, "softwareVersion": version} if isinstance(version, str) else software)
    yield from (root, action)
    yield from map(_file, entries)
    yield from others


def _file(entry: Entry) -> dict[str, Any]:
    return {
        "@id": quote(entry.path),
        "@type": "File",
        "name": entry.path,
        "contentSize": str(entry.size),
        "sha256": entry.sha256,
    }


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool) else canonical_json(value).decode().strip()


def statement(run: Exported) -> bytes:
    """Return an in-toto statement (v1) about the run's ROOT_SHA256, with SLSA's provenance as the predicate.

    The subject is MANIFEST.sha256 without its last line, of which ROOT_SHA256 is the digest. What is returned is to be
    signed as it is.
    """
    envelope, producer = run.envelope, run.envelope.producer
    metadata = {"invocationId": run.ref, "startedOn": envelope.started_at, "finishedOn": envelope.finished_at}
    return canonical_json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": run.ref, "digest": {"sha256": run.target.root_sha256}}],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "params": producer.get("params") or {},
                        "trigger": producer.get("trigger") or {},
                    },
                    "internalParameters": {
                        "status": envelope.status,
                        "urn": envelope.urn,
                        "manifest_sha256": envelope.manifest_sha256,
                    },
                    "resolvedDependencies": _dependencies(envelope),
                },
                "runDetails": {
                    "builder": {
                        "id": f"urn:sealrun:pipeline:{quote(str(producer.get('pipeline_id') or 'unknown'), safe='')}",
                        "version": {"pipeline": str(producer.get("pipeline_version") or "unknown")},
                    },
                    "metadata": {name: value for name, value in metadata.items() if value is not None},
                },
            },
        }
    )


def _dependencies(envelope: Envelope) -> list[dict[str, Any]]:
    """What the run was made from, with digests where they were recorded."""
    known: dict[str, str] = {}
    inputs = envelope.producer.get("inputs")
    for item in inputs if isinstance(inputs, list) else []:
        if isinstance(item, Mapping):
            digest = next((item.get(name) for name in ("root_sha256", "sha256") if item.get(name)), None)
            if isinstance(digest, str) and _SLSA_DIGESTS.match(digest):
                known[str(item.get("ref"))] = digest
    return [
        {"name": source.text, "digest": {"sha256": known[source.text]}}
        if source.text in known
        else {"name": source.text}
        for source in sources_of(envelope)
    ]
