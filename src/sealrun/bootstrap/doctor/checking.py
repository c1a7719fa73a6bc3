"""What `sealrun doctor` looks at, in order; each room of findings says what to do about its own."""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sealrun.adapters.machine.installed_units import has_systemd, read_units
from sealrun.adapters.machine.locking import holder
from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.bootstrap.doctor.findings import Finding
from sealrun.bootstrap.doctor.folders import (
    check_mirrors,
    check_nested,
    check_rooms,
    check_state_folder,
    check_unreadable,
    check_watch,
)
from sealrun.bootstrap.doctor.machine import (
    check_quiet_hours,
    check_versions,
    descriptors_needed,
    judge_limits,
    read_limits,
)
from sealrun.bootstrap.doctor.registries import check_place, directory_of, judge_error, judge_probe
from sealrun.bootstrap.doctor.surroundings import (
    check_http,
    check_orphans,
    check_other_journals,
    check_secrets,
    check_unit_reads,
    judge_units,
)
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import expected_registry
from sealrun.bootstrap.verbs.in_force import in_force
from sealrun.domain.errors import SealrunError
from sealrun.domain.oversight.alarming import RELOAD
from sealrun.settings.resolved import Settings

__all__ = ["Finding", "check_everything"]


def check_everything(parts: Parts, settings: Settings | None = None) -> list[Finding]:
    """Look at everything; probes write a few keys below ``probe/`` and remove them again.

    Nothing else is written, apart from the journal, which is made if there is none.
    """
    file = settings.file if settings is not None else None
    return [
        *(Finding(level="note", what="settings", detail=text) for text in (settings.warnings if settings else ())),
        *_check_state(parts, file),
        *_check_watches(parts),
        *check_mirrors(settings.mirrors if settings else ()),
        *_check_machine(parts, settings),
        *(finding for name in parts.registries for finding in _check_registry(parts, name)),
        *check_rooms(_places(parts)),
        *_check_service(parts, settings),
    ]


def _check_state(parts: Parts, file: Path | None) -> Iterator[Finding]:
    bad = list(check_state_folder(parts.state))
    yield from bad
    if any(finding.level == "error" for finding in bad):
        return
    try:
        identity = parts.journal.state_id
    except SealrunError as error:
        do = "mend or move the state folder: without one, everything is hashed again, and nothing is lost"
        yield Finding(level="error", what="state", detail=str(error), do=do)
        return
    yield Finding(level="ok", what="state", detail=f"{parts.state}: journal {identity}")
    waiting = [
        delivery
        for state in ("queued", "parked")
        for delivery in parts.journal.deliveries.all(state="queued" if state == "queued" else "parked")
    ]
    yield from check_orphans(Counter(delivery.registry for delivery in waiting), parts.registries)
    yield from check_other_journals(parts.state, file)
    process = holder(parts.state)
    if process:
        yield Finding(level="ok", what="daemon", detail=f"running, process {process}")
        yield from _check_read(parts, file)
    else:
        yield Finding(level="note", what="daemon", detail="not running", do="start it: sealrun daemon, or the unit")


def _check_read(parts: Parts, file: Path | None) -> Iterator[Finding]:
    """Say so if the daemon goes by other settings than those that are written now."""
    now = in_force(parts.journal.facts, file)
    if now is not None and now.unread is not None:
        yield Finding(level="warning", what="daemon", detail=now.unread, do=RELOAD)


def _check_watches(parts: Parts) -> Iterator[Finding]:
    for watch in parts.watches:
        source = LocalFolderSource(watch, NoHashes())
        yield from check_watch(watch, source.candidates() or ())
        yield from check_unreadable(watch, source.unreadable)
    yield from check_nested(parts.watches)


def _check_machine(parts: Parts, settings: Settings | None) -> Iterator[Finding]:
    yield from judge_limits(read_limits(), descriptors_needed(len(parts.watches), len(parts.registries)))
    yield from check_versions(datetime.now(UTC).date())
    if settings is not None:
        yield from check_quiet_hours(settings.written.get("registry", {}), datetime.now().astimezone())


def _places(parts: Parts) -> dict[str, Path]:
    folders = {f"registry {name}": directory_of(spec) for name, spec in parts.registries.items()}
    registries = {what: path for what, path in folders.items() if path is not None}
    return {"state": parts.state, **registries, **{f"watch {each.name}": Path(each.path) for each in parts.watches}}


def _check_registry(parts: Parts, name: str) -> Iterator[Finding]:
    spec = parts.registries[name]
    try:
        absent = check_place(spec, known=expected_registry(parts.journal, spec) is not None)
        if absent is not None:
            yield absent
        elif spec.read_only:
            parts.consumer(name)
            detail = f"{spec.shown_url}: readable; the settings say read-only"
            yield Finding(level="ok", what=f"registry {name}", detail=detail)
        else:
            yield from judge_probe(spec, parts.probe(name))
    except SealrunError as error:
        yield judge_error(spec, error)


def _check_service(parts: Parts, settings: Settings | None) -> Iterator[Finding]:
    systemd = has_systemd()
    units = read_units(getpass.getuser()) if systemd else []
    yield from judge_units(units, systemd=systemd)
    if settings is None:
        return
    ours = [unit for unit in units if settings.file is not None and str(settings.file) in unit.command]
    yield from check_unit_reads(ours, settings.file)
    yield from check_secrets(settings.file)
    yield from check_http(settings.http, running=holder(parts.state) is not None)
