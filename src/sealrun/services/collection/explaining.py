"""Why is this object kept, or when, by whom and after which run was it deleted? Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from sealrun.domain.address import (
    ATTEMPTS,
    BATCHES,
    CONDEMNED,
    EXPERIMENTS,
    NAMES,
    OBJECTS,
    PACKS,
    AttemptId,
    Digest,
    Key,
    attempt_of,
    batch_key,
    batch_of,
    is_pack,
    name_log,
    parse_digest,
    parse_object_key,
    pointer_log,
    pointers_prefix,
    quarantine_key,
    refs_key,
    retired_key,
)
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.registry.pointing import Generation
from sealrun.domain.registry.publication import Intent, Outcome, Refs, Retired, Stored
from sealrun.domain.upkeep.collection import Condemned, Verdict
from sealrun.ports import Store
from sealrun.services.collection.batches import VERDICT_FILE
from sealrun.services.collection.sweeping import DELETED_FILE
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.standing import read_outcome
from sealrun.services.threads.fanning import fan_through

State = Literal["kept", "collectable", "condemned", "deleted", "missing", "unknown"]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one object, or of a pack.

    ``kept``: something needs it, or its attempt is undecided. ``collectable``: nothing does, and a collection takes it
    once it is older than the grace time. ``condemned``: a collector is about to delete it. ``deleted``: by the
    collection in `reasons`. ``missing``: needed, but not there. ``unknown``: nothing was ever heard of it. `member` is
    what was asked for, where that is a part of the pack: packs are kept and deleted as a whole.
    """

    key: Key
    state: State
    size: int | None
    reasons: tuple[str, ...]
    member: Digest | None = None


def explain(store: Store, text: str) -> tuple[Explanation, ...]:
    """Explain the key of an object or a pack, or every object and pack with a digest, or with a member that has it.

    `UsageError` for anything else.
    """
    key = text.strip()
    if key.startswith((OBJECTS, PACKS)):
        try:
            parse_object_key(key)
        except UnsupportedFormatError as error:
            raise UsageError(str(error)) from error
        return (_explain(store, Key(key)),)
    try:
        digest = parse_digest(key.removeprefix("sha256:"))
    except UsageError as error:
        msg = (
            f"{text!r} is neither the key of an object ({OBJECTS}…) or a pack ({PACKS}…) nor a sha256 digest (see: "
            "sealrun show REF --json)"
        )
        raise UsageError(msg) from error
    whole = [_explain(store, found) for found in _with_digest(store, digest)]
    members = [_explain(store, pack, digest) for pack in _holding(store, digest)]
    if not whole and not members:
        msg = f"{store.url}: no object with digest {digest} is or was there, and no pack that holds it"
        raise NotFoundError(msg)
    return (*whole, *members)


def _with_digest(store: Store, digest: Digest) -> list[Key]:
    """Every object and pack whose own bytes have the digest."""
    found: set[Key] = set()
    for kind in (OBJECTS, PACKS):
        begin = f"{kind}{digest[:2]}/{digest[2:4]}/"
        found |= {stat.key for stat in store.list(begin) if stat.key.removeprefix(begin).startswith(digest[4:])}
        found |= set(_logged(store, f"{begin}{digest[4:]}."))
    return sorted(found)


def _holding(store: Store, digest: Digest) -> list[Key]:
    """Every pack in which some refs say that the digest lies."""

    def packs(attempt: AttemptId) -> Key | None:
        stored = _refs(store, attempt).get(digest)
        return stored.key if stored is not None and stored.offset is not None else None

    attempts = (attempt_of(stat.key) for stat in store.list(ATTEMPTS) if stat.key.endswith("/refs.json"))
    return sorted({key for key in fan_through(packs, attempts, store.capabilities.parallel) if key is not None})


def _explain(store: Store, key: Key, member: Digest | None = None) -> Explanation:
    name = parse_object_key(key)
    found = store.stat(key)
    reasons = [*_users(store, key, name.digest, member)]
    needed = bool(reasons)
    if member is not None:
        reasons += [] if needed else [f"nothing needs {member}", *_past(store, key, name.creator, member)]
        others = [*_users(store, key, name.digest, None)]
        if others and not needed:
            reasons += ["the pack is kept as a whole, until little enough of it is alive (gc.repack_below):", *others]
        needed = needed or bool(others)
    outcome = read_outcome(store, name.creator)
    undecided = found is not None and outcome is None
    if undecided:
        reasons.append(
            f"attempt {name.creator}, which uploaded it, is undecided: "
            "recovery, or a collection, voids it after a day of silence"
        )
    quarantined = store.stat(quarantine_key(key)) is not None
    if quarantined:
        reasons.append("quarantined: verify found it damaged (sealrun repair)")
    deletions = list(_deletions(store, key)) if found is None else []
    condemned = list(_condemnations(store, key)) if found is not None else []
    state: State = "collectable"
    if found is None:
        state = "deleted" if deletions else "missing" if needed else "unknown"
    elif condemned:
        state = "condemned"
    elif needed or undecided or quarantined:
        state = "kept"
    elif member is None:
        reasons += _past(store, key, name.creator, None)
    if state == "collectable":
        reasons.insert(0, "nothing needs it: the next collection takes it once it is older than the grace time")
    return Explanation(
        key=key,
        state=state,
        size=None if found is None else found.size,
        reasons=(*deletions, *condemned, *reasons),
        member=member,
    )


def _users(store: Store, key: Key, digest: Digest, member: Digest | None) -> Iterator[str]:
    """Say who needs the object or pack, or one member of it: intents, runs, pointers."""
    pointed = dict(_pointed(store))
    files: dict[AttemptId, set[str]] = {}
    for stat in store.list(ATTEMPTS):
        files.setdefault(attempt_of(stat.key), set()).add(stat.key.rsplit("/", 1)[-1])
    for attempt, names in files.items():
        if "intent.json" in names and (why := _intended(store, attempt, member or digest)):
            yield why
    with_refs = [attempt for attempt, names in files.items() if {"outcome.json", "refs.json"} <= names]
    for attempt, outcome, used in fan_through(
        lambda one: _uses(store, one, key, member), with_refs, store.capabilities.parallel
    ):
        if not used or outcome is None or outcome.decision != "sealed":
            continue
        ref = f"{outcome.experiment}/{outcome.run_id}"
        what = f"{used} of its files" if is_pack(key) and member is None else "it"
        if "retired.json" not in files[attempt]:
            yield f"run {ref} uses {what} (attempt {attempt})"
        elif attempt in pointed:
            yield f"run {ref} uses {what} and is retired, but {pointed[attempt]} stands on it"


def _uses(store: Store, attempt: AttemptId, key: Key, member: Digest | None) -> tuple[AttemptId, Outcome | None, int]:
    """Return how many contents of an attempt's run lie there, or whether the `member` does."""
    places = _refs(store, attempt)
    if member is not None:
        used = int(member in places and places[member].key == key)
    else:
        used = sum(stored.key == key for stored in places.values())
    return attempt, read_outcome(store, attempt) if used else None, used


def _refs(store: Store, attempt: AttemptId) -> Mapping[Digest, Stored]:
    key = refs_key(attempt)
    try:
        return Refs.read(read_body(store, key), key).objects
    except NotFoundError:
        return {}


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


def _past(store: Store, key: Key, creator: AttemptId, member: Digest | None) -> Iterator[str]:
    """Say whose it was, oldest attempt first."""
    for stat in store.list(ATTEMPTS):
        if not stat.key.endswith("/retired.json"):
            continue
        attempt = attempt_of(stat.key)
        _, outcome, used = _uses(store, attempt, key, member)
        if used and outcome is not None:
            retired = Retired.decode(store.read(retired_key(attempt)), stat.key)
            ref = f"{outcome.experiment}/{outcome.run_id}"
            yield f"run {ref} used it until {retired.by} retired it at {retired.retired_at} ({retired.why})"
    outcome = read_outcome(store, creator)
    if outcome is not None and outcome.decision == "void":
        yield f"attempt {creator}, which uploaded it, was declared void by {outcome.by}: {outcome.why}"


def _condemnations(store: Store, key: Key) -> Iterator[str]:
    for stat in store.list(CONDEMNED):
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
