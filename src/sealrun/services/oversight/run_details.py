"""One run as its page shows it: what its records say, its files, and lines to copy into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.curation.lineage import Source, sources_of
from sealrun.domain.oversight.board import CheckRow, Command, FilePage, FileRow, Relation, RunRow
from sealrun.domain.oversight.previews import kind_of
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.entries import ROWS, Entries
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.run import Envelope
from sealrun.services.access.loading import RunFiles
from sealrun.services.oversight.overseeing import check_page
from sealrun.services.oversight.pointer_lists import Standing
from sealrun.services.oversight.run_lists import Listed, RunLists

_PASSED = {"pass", "passed", "ok", "success", True}


def run_row(registry: str, experiment: str, row: Listed, pointers: Iterable[Standing]) -> RunRow:
    """Return a line of a list."""
    stands = [
        each.name for each in pointers if each.generation.target.run_id == row.run_id and each.experiment == experiment
    ]
    return RunRow(
        registry=registry,
        experiment=experiment,
        run_id=row.run_id,
        ref=f"{experiment}/{row.run_id}",
        name=row.name,
        status=row.status,
        finished_at=row.finished_at,
        size=row.size,
        files=row.files,
        root_sha256=row.root_sha256,
        tags=row.tags,
        pointers=tuple(stands),
    )


def listed_of(view: RunFiles) -> Listed:
    """Return the row of a run that was opened: its index may not have it yet."""
    envelope = view.envelope
    return Listed(
        run_id=envelope.run_id,
        attempt=view.target.attempt,
        name=envelope.name,
        status=envelope.status,
        finished_at=envelope.finished_at,
        size=envelope.size,
        files=envelope.files,
        root_sha256=view.target.root_sha256,
        tags=envelope.tags,
    )


def said_checks(envelope: Envelope) -> Sequence[CheckRow]:
    """The run's own checks. What is no check is left out; one that says nothing of its end did not pass."""
    found = envelope.producer.get("checks")
    rows = [check for check in found if isinstance(check, dict)] if isinstance(found, list) else []
    return [CheckRow(name=str(row.get("name", "?")), passed=_passed(row), detail=_detail(row)) for row in rows]


def _passed(row: Mapping[str, Any]) -> bool:
    status = row.get("status", row.get("passed", row.get("ok")))
    return isinstance(status, (str, bool)) and status in _PASSED


def _detail(row: Mapping[str, Any]) -> str:
    status, detail = row.get("status"), row.get("detail", row.get("message", ""))
    said = detail if isinstance(detail, str) else msgspec.json.encode(detail).decode()
    return f"{status}: {said}".rstrip(": ") if isinstance(status, str) and not _passed(row) else said


def upstream_of(envelope: Envelope, lists: RunLists) -> Sequence[Relation]:
    """What a run says that it was made from, with a reference where that is a run which is listed here."""
    return [Relation(kind=source.role, label=source.text, ref=_there(source, lists)) for source in sources_of(envelope)]


def _there(source: Source, lists: RunLists) -> str | None:
    if source.kind != "run":
        return None
    experiment, _, run_id = source.text.partition("/")
    return source.text if lists.find(experiment, run_id) is not None else None


def counted(view: RunFiles) -> tuple[int, int]:
    """How many different contents of a run lie loose, and how many in packs."""
    packed = sum(1 for stored in view.objects.values() if stored.offset is not None)
    return len(view.objects) - packed, packed


def file_page(view: RunFiles, page: int, size: int, *, parquet: bool) -> FilePage:
    """Return a page of a run's files, by path. Costs what the page costs, however many there are."""
    begin = check_page(page, size)
    types = {artifact.path: artifact.type for artifact in view.envelope.artifacts or ()}
    rows = [
        FileRow(
            path=entry.path,
            size=entry.size,
            sha256=entry.sha256,
            kind=kind_of(entry.path, parquet=parquet),
            where=_where(view.objects, entry.sha256),
            types=(types[entry.path],) if entry.path in types else (),
        )
        for entry in _from(view.manifest.entries, begin, size)
    ]
    return FilePage(rows=rows, total=len(view.manifest.entries), page=page, size=size)


def _from(entries: Sequence[Entry], begin: int, count: int) -> Iterable[Entry]:
    if not isinstance(entries, Entries):
        return entries[begin : begin + count]
    blocks = entries.blocks[begin // ROWS :]
    return islice(chain.from_iterable(block.entries() for block in blocks), begin % ROWS, begin % ROWS + count)


def _where(objects: Mapping[Digest, Stored], digest: Digest) -> str:
    stored = objects.get(digest)
    if stored is None:
        return "missing"
    return "loose" if stored.offset is None else "packed"


def commands_for(ref: str, registry: str, first: str | None, pointers: Collection[str]) -> Sequence[Command]:
    """Return lines to copy, quoted for a POSIX shell. `first` is the registry that a command takes by itself."""
    where = [] if registry == first else ["--registry", registry]
    experiment, _, run_id = ref.partition("/")
    lines: list[tuple[str, list[str]]] = [
        ("Show it", ["show", ref]),
        ("Restore it to a folder, verified", ["get", ref, f"./{run_id}"]),
        ("Read every byte of it again", ["verify", ref]),
        ("What it was made from, and what from it", ["lineage", ref]),
        ("Keep it from being retired", ["pin", ref, "--why", "…"]),
    ]
    if "latest" in pointers:
        lines.append(("Restore whatever is the latest run", ["get", f"{experiment}@latest", "./latest"]))
    else:
        lines.append(("Compare it with the latest run", ["diff", f"{experiment}@latest", ref]))
    lines.append(("Retire it (undo brings it back)", ["retire", ref, "--why", "…"]))
    return [Command(what=what, line=shlex.join(["sealrun", *words, *where])) for what, words in lines]
