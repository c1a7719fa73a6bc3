"""Why is this object kept, or when, by whom and after which run was it deleted? Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

import msgspec

from sealrun.domain.address import (
    ATTEMPTS,
    BATCHES,
    CONDEMNED_FILE,
    EXPERIMENTS,
    NAMES,
    OBJECTS,
    AttemptId,
    Digest,
    Key,
    attempt_of,
    batch_key,
    batch_of,
    name_log,
    parse_digest,
    parse_object_key,
    pointer_log,
    pointers_prefix,
    quarantine_key,
    refs_key,
    retired_key,
)
from sealrun.domain.collection import Condemned, Verdict
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.pointing import Generation
from sealrun.domain.publication import Intent, Outcome, Refs, Retired
from sealrun.ports import Store
from sealrun.services.batches import VERDICT_FILE
from sealrun.services.fanning import fan_through
from sealrun.services.standing import read_outcome
from sealrun.services.sweeping import DELETED_FILE

State = Literal["kept", "collectable", "condemned", "deleted", "missing", "unknown"]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one object.

    ``kept``: something needs it, or its attempt is undecided. ``collectable``: nothing does, and a collection takes it
    once it is older than the grace time. ``condemned``: a collector is about to delete it. ``deleted``: by the
    collection in `reasons`. ``missing``: needed, but not there. ``unknown``: nothing was ever heard of it.
    """

    key: Key
    state: State
    size: int | None
    reasons: tuple[str, ...]


def explain(store: Store, text: str) -> tuple[Explanation, ...]:
    """Explain an object's key, or every object with a digest. `UsageError` for anything else."""
    return tuple(_explain(store, key) for key in _keys(store, text))


def _keys(store: Store, text: str) -> list[Key]:
    key = text.strip()
    if key.startswith(OBJECTS):
        try:
            parse_object_key(key)
        except UnsupportedFormatError as error:
            raise UsageError(str(error)) from error
        return [Key(key)]
    try:
        digest = parse_digest(key.removeprefix("sha256:"))
    except UsageError as error:
        msg = (
            f"{text!r} is neither the key of an object ({OBJECTS}…) nor a sha256 digest (see: sealrun show REF --json)"
        )
        raise UsageError(msg) from error
    begin = f"{OBJECTS}{digest[:2]}/{digest[2:4]}/"
    there = {found.key for found in store.list(begin) if found.key.removeprefix(begin).startswith(digest[4:])}
    logged = set(_logged(store, f"{begin}{digest[4:]}."))
    if not there | logged:
        msg = f"{store.url}: no object with digest {digest} is or was there"
        raise NotFoundError(msg)
    return sorted(there | logged)


def _explain(store: Store, key: Key) -> Explanation:
    name = parse_object_key(key)
    found = store.stat(key)
    reasons = [*_users(store, key, name.digest)]
    needed = bool(reasons)
    outcome = read_outcome(store, name.creator)
    if found is not None and outcome is None:
        reasons.append(
            f"attempt {name.creator}, which uploaded it, is undecided: recovery voids it after a day of silence"
        )
    if store.stat(quarantine_key(key)) is not None:
        reasons.append("quarantined: verify found it damaged (sealrun repair)")
    if found is None:
        deletions = list(_deletions(store, key))
        state: State = "deleted" if deletions else "missing" if needed else "unknown"
        return Explanation(key=key, state=state, size=None, reasons=(*deletions, *reasons))
    condemned = list(_condemnations(store, key))
    if condemned:
        return Explanation(key=key, state="condemned", size=found.size, reasons=(*condemned, *reasons))
    if reasons:
        return Explanation(key=key, state="kept", size=found.size, reasons=tuple(reasons))
    return Explanation(key=key, state="collectable", size=found.size, reasons=tuple(_past(store, key, name.creator)))


def _users(store: Store, key: Key, digest: Digest) -> Iterator[str]:
    """Say who needs the object: intents, runs, pointers."""
    pointed = dict(_pointed(store))
    files: dict[AttemptId, set[str]] = {}
    for stat in store.list(ATTEMPTS):
        files.setdefault(attempt_of(stat.key), set()).add(stat.key.rsplit("/", 1)[-1])
    for attempt, names in files.items():
        if "intent.json" in names and (why := _intended(store, attempt, digest)):
            yield why
    with_refs = [attempt for attempt, names in files.items() if {"outcome.json", "refs.json"} <= names]
    for attempt, outcome, used in fan_through(
        lambda one: _uses(store, one, key), with_refs, store.capabilities.parallel
    ):
        if not used or outcome is None or outcome.decision != "sealed":
            continue
        ref = f"{outcome.experiment}/{outcome.run_id}"
        if "retired.json" not in files[attempt]:
            yield f"run {ref} uses it (attempt {attempt})"
        elif attempt in pointed:
            yield f"run {ref} uses it and is retired, but {pointed[attempt]} stands on it"


def _uses(store: Store, attempt: AttemptId, key: Key) -> tuple[AttemptId, Outcome | None, bool]:
    refs_at = refs_key(attempt)
    try:
        refs = Refs.decode(store.read(refs_at), refs_at)
    except NotFoundError:
        return attempt, None, False
    used = any(stored.key == key for stored in refs.objects.values())
    return attempt, read_outcome(store, attempt) if used else None, used


def _intended(store: Store, attempt: AttemptId, digest: Digest) -> str | None:
    key = Key(f"{ATTEMPTS}{attempt}/intent.json")
    try:
        intent = Intent.decode(store.read(key), key)
    except NotFoundError:
        return None
    outcome = read_outcome(store, attempt)
    if digest not in intent.digests or (outcome is not None and outcome.decision == "void"):
        return None
    return f"attempt {attempt} may come to use it: it {intent.purpose}es {intent.experiment}/{intent.run_id}"


def _pointed(store: Store) -> Iterator[tuple[AttemptId, str]]:
    logs = [
        (pointer_log(experiment, name), f"pointer {experiment}@{name}")
        for experiment in store.list_folders(EXPERIMENTS)
        for name in store.list_folders(pointers_prefix(experiment))
    ] + [(name_log(name), f"published name {name}") for name in store.list_folders(NAMES)]
    for log, label in logs:
        head = next(iter(store.list(log, limit=1)), None)
        if head is not None:
            yield Generation.decode(store.read(head.key), head.key).target.attempt, label


def _past(store: Store, key: Key, creator: AttemptId) -> Iterator[str]:
    """Say whose it was."""
    yield "nothing needs it: the next collection takes it once it is older than the grace time"
    for stat in store.list(ATTEMPTS):
        if not stat.key.endswith("/retired.json"):
            continue
        attempt = attempt_of(stat.key)
        _, outcome, used = _uses(store, attempt, key)
        if used and outcome is not None:
            retired = Retired.decode(store.read(retired_key(attempt)), stat.key)
            ref = f"{outcome.experiment}/{outcome.run_id}"
            yield f"run {ref} used it until {retired.by} retired it at {retired.retired_at} ({retired.why})"
    outcome = read_outcome(store, creator)
    if outcome is not None and outcome.decision == "void":
        yield f"attempt {creator}, which uploaded it, was declared void by {outcome.by}: {outcome.why}"


def _condemnations(store: Store, key: Key) -> Iterator[str]:
    for stat in store.list(BATCHES):
        if not stat.key.endswith(f"/{CONDEMNED_FILE}"):
            continue
        try:
            condemned = Condemned.decode(store.read(stat.key), stat.key)
        except NotFoundError:
            continue
        if key in condemned.keys:
            yield f"condemned at {condemned.condemned_at} by {condemned.by} in batch {condemned.batch}"


def _deletions(store: Store, key: Key) -> Iterator[str]:
    for batch, line in _log_lines(store, key):
        verdict_at = batch_key(batch, VERDICT_FILE)
        verdict = Verdict.decode(store.read(verdict_at), verdict_at)
        after = f", last used by run {line['used_by']}" if "used_by" in line else ", never used by a sealed run"
        yield f"deleted by {verdict.by} in batch {batch}, decided at {verdict.decided_at}{after} ({line['size']} bytes)"


def _logged(store: Store, begin: str) -> Iterator[Key]:
    for _, line in _log_lines(store, begin):
        yield Key(line["key"])


def _log_lines(store: Store, begin: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the lines of all deletion logs whose key begins so, with their batch."""
    wanted = json.dumps(begin)[1:-1].encode()
    for stat in store.list(BATCHES):
        if not stat.key.endswith(f"/{DELETED_FILE}"):
            continue
        with store.open(stat.key) as log:
            for body in log:
                if wanted in body and (line := json.loads(body))["key"].startswith(begin):
                    yield batch_of(stat.key), line
