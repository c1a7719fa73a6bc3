"""What must hold in a registry: at any instant (`check_invariants`), and when everybody is done (`check_settled`).

Written against the format alone: nothing here trusts the services' own notion of what is sealed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import msgspec
from tests.deletions import Violation, check_past
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.store import Kind, ModelStore, kind_of

from sealrun.domain.address import (
    AttemptId,
    Key,
    base_log,
    generation_of,
    intent_key,
    is_pack,
    latest_key,
    parse_object_key,
    pending_prefix,
    pointer_projection,
    refs_key,
    retired_key,
    run_key,
    seal_key,
)
from sealrun.domain.errors import NotFoundError
from sealrun.domain.records import parse_object, sha256
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.pointing import Generation, Target
from sealrun.domain.registry.publication import Intent, Outcome, Refs, Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, Manifest, Sums
from sealrun.domain.runs.run import Envelope
from sealrun.services.access.reading import Reader
from sealrun.services.mending.verifying import Verifier

_OUTCOME = re.compile(r"attempts/([^/]+)/outcome\.json\Z")
_LOG = re.compile(r"((?:experiments/[^/]+/pointers|names)/[^/]+/)[0-9]{12}\.json\Z")
_DROPPED = re.compile(r"experiments/[^/]+/index/pending/([^/]+)\.retired\.json\Z")
_RUN = re.compile(r"experiments/([^/]+)/runs/([^/]+)/")


def _require(holds: object, what: str) -> None:
    if not holds:
        raise Violation(what)


# ---------------------------------------------------------------- at any instant


def check_invariants(store: ModelStore) -> None:
    """Everything that holds between any two calls of any store method by anybody."""
    for key, body in store.bodies.items():
        kind = kind_of(key)
        if kind in {Kind.WRITE_ONCE, Kind.OBJECT}:
            _require(body == store.history[key], f"I1: {key} changed")
        if kind is Kind.OBJECT:
            _require(sha256(body) == parse_object_key(key).digest, f"I1: {key} holds other bytes than its name says")
    outcomes = _outcomes(store)
    for outcome in outcomes.values():
        _check_pinned(store, outcome)
        if outcome.decision == "sealed":
            _check_sealed(store, outcome)
    for key in store.bodies:
        if match := _DROPPED.match(key):
            _require(not _is_live(store, match[1]), f"I9: {key} leaves out the row of a run that was not retired")
    for log in sorted({match[1] for key in store.bodies if (match := _LOG.match(key))}):
        _check_log(store, log, outcomes)
    _check_reader(store, outcomes)
    check_past(store)


def check_no_loss(store: ModelStore) -> None:
    """Only this: every byte is there of every run that is not retired, or that a pointer stands on."""
    outcomes = _outcomes(store)
    for outcome in outcomes.values():
        if outcome.decision == "sealed" and _is_live(store, outcome.attempt):
            check_bytes(store, outcome)
    for log in {match[1] for key in store.bodies if (match := _LOG.match(key))}:
        head = next(store.list(log, limit=1))
        check_bytes(store, outcomes[Generation.decode(store.bodies[head.key], head.key).target.attempt])


def _outcomes(store: ModelStore) -> dict[str, Outcome]:
    found = {}
    for key, body in store.bodies.items():
        if match := _OUTCOME.match(key):
            outcome = Outcome.decode(body, key)
            _require(outcome.attempt == match[1], f"I2: {key} speaks of another attempt")
            found[match[1]] = outcome
    return found


def _is_live(store: ModelStore, attempt: str) -> bool:
    return retired_key(AttemptId(attempt)) not in store.bodies


def _check_sealed(store: ModelStore, outcome: Outcome) -> None:
    attempt = outcome.attempt
    _require(outcome.experiment and outcome.run_id and outcome.root_sha256, f"{attempt}: sealed, but names no run")
    if not _is_live(store, attempt):
        return
    check_bytes(store, outcome)
    in_index = any(row.attempt == attempt for row in _rows(store, outcome.experiment or ""))
    intended = intent_key(attempt) in store.bodies
    _require(in_index or intended, f"I9: {attempt} is sealed, but neither in the index nor intended")


def _check_pinned(store: ModelStore, outcome: Outcome) -> None:
    """I6: when it is decided, whatever an attempt references or leads to is its own or named in its intent, packs too.

    Once it is announced, others keep all that; an intent that arrives late may say less.
    """
    at = intent_key(outcome.attempt)
    if outcome.decision == "void" or at not in store.bodies:
        return
    intent, user = Intent.decode(store.bodies[at], at), outcome.attempt
    announced = seal_key(intent.experiment, outcome.run_id or intent.run_id, user)
    if intent.proposal is not None:
        user = Generation.decode(intent.proposal.body.encode(), at).target.attempt
        announced = intent.proposal.key
    if announced in store.bodies or refs_key(user) not in store.bodies:
        return
    for stored in Refs.decode(store.bodies[refs_key(user)], refs_key(user)).objects.values():
        name = parse_object_key(stored.key)
        pinned = name.digest in intent.digests or name.creator == outcome.attempt
        _require(pinned, f"I6: {at} does not pin {stored.key}")


def check_bytes(store: ModelStore, outcome: Outcome) -> None:
    """I8: a sealed run has its records, and every byte."""
    attempt, where = outcome.attempt, f"I8: {outcome.attempt}"
    keys = {f: run_key(outcome.experiment or "", outcome.run_id or "", f) for f in (RUN_FILE, MANIFEST_FILE, SUMS_FILE)}
    for key in (*keys.values(), refs_key(attempt)):
        _require(key in store.bodies, f"{where} is sealed without {key}")
    run_json, manifest_json = store.bodies[keys[RUN_FILE]], store.bodies[keys[MANIFEST_FILE]]
    envelope, manifest = Envelope.decode(run_json, keys[RUN_FILE]), Manifest.decode(manifest_json, keys[MANIFEST_FILE])
    sums = Sums.build(run_json, manifest_json, manifest)
    _require(store.bodies[keys[SUMS_FILE]] == sums.encode(), f"{where}: MANIFEST.sha256 is not that of the records")
    _require(sums.root == outcome.root_sha256, f"{where}: the outcome names another ROOT_SHA256")
    _require(envelope.manifest_sha256 == sha256(manifest_json), f"{where}: run.json is of another manifest")
    _require(envelope.run_id == outcome.run_id, f"{where}: run.json names another run")
    objects = Refs.decode(store.bodies[refs_key(attempt)], refs_key(attempt)).objects
    for digest, size in manifest.digests().items():
        _require(digest in objects, f"{where}: refs lack {digest}")
        stored = objects[digest]
        _require(stored.key in store.bodies, f"{where}: {stored.key} is not there")
        _require(stored.size == size, f"{where}: refs tell a wrong size of {digest}")
        _require(sha256(_body(store, stored, where)) == digest, f"{where}: {stored.key} holds other bytes")


def _body(store: ModelStore, stored: Stored, where: str) -> bytes:
    """The bytes of an object, or of a member of a pack, none of which may lie outside of it."""
    body = store.bodies[stored.key]
    _require(is_pack(stored.key) == (stored.offset is not None), f"{where}: {stored} is of two kinds")
    if stored.offset is None:
        return body
    _require(0 <= stored.offset <= len(body) - stored.size, f"{where}: {stored} leads out of its pack")
    return body[stored.offset : stored.offset + stored.size]


def _rows(store: ModelStore, experiment: str) -> list[Row]:
    """Every row that stands anywhere, those that are left out included."""
    pending = [f.key for f in store.list(pending_prefix(experiment)) if not _DROPPED.match(f.key)]
    rows = [Row.decode(store.bodies[key], key) for key in pending]
    head = next(store.list(base_log(experiment), limit=1), None)
    if head is not None:
        rows += [Row.from_json(parse_object(line, head.key), head.key) for line in store.bodies[head.key].splitlines()]
    return rows


def _check_log(store: ModelStore, log: str, outcomes: Mapping[str, Outcome]) -> None:
    """I10: dense, chained, never dangling; what moves by itself only moves forward."""
    keys = [found.key for found in store.list(log)][::-1]
    _require([generation_of(key) for key in keys] == [*range(1, len(keys) + 1)], f"I10: {log} is not dense")
    generations = [Generation.decode(store.bodies[key], key) for key in keys]
    before: bytes | None = None
    for number, (key, generation) in enumerate(zip(keys, generations, strict=True), 1):
        _require(generation.generation == number, f"I10: {key} says it is generation {generation.generation}")
        _require(generation.previous_sha256 == (before and sha256(before)), f"I10: {key} follows another one")
        before = store.bodies[key]
        _check_target(store, key, generation.target, outcomes, current=number == len(keys))
    if log.endswith("/latest/") or log.startswith("names/"):
        for old, new in pairwise(generations):
            repaired = msgspec.structs.replace(new.target, attempt=old.target.attempt) == old.target
            forward = new.target.order > old.target.order or (
                repaired and new.why.startswith(("repaired: ", "repacked: "))
            )
            _require(forward, f"I10: {log} moved back with generation {new.generation}")


def _check_target(
    store: ModelStore, where: str, target: Target, outcomes: Mapping[str, Outcome], *, current: bool
) -> None:
    """Every generation stands on a sealed run; the bytes of the current one are there, even if it is retired."""
    outcome = outcomes.get(target.attempt)
    _require(outcome is not None and outcome.decision == "sealed", f"I10: {where} leads to an unsealed attempt")
    assert outcome is not None
    _require(
        (outcome.experiment, outcome.run_id, outcome.root_sha256)
        == (target.experiment, target.run_id, target.root_sha256),
        f"I10: {where} leads to something else than {target.attempt} sealed",
    )
    if current:
        check_bytes(store, outcome)


def _check_reader(store: ModelStore, outcomes: Mapping[str, Outcome]) -> None:
    """Nothing unsealed is visible, by whatever name it is asked for."""
    reader = Reader(store, FakeClock(), FakeEntropy(0))

    def sealed(attempt: str, where: str) -> None:
        outcome = outcomes.get(attempt)
        _require(outcome is not None and outcome.decision == "sealed", f"{where} is visible, but not sealed")

    for row in reader.runs():
        sealed(row.attempt, f"row of {row.experiment}/{row.run_id}")
    for ref in _run_folders(store):
        try:
            target = reader.resolve(ref)
        except NotFoundError:
            continue
        sealed(target.attempt, ref)
        reader.load(target)
    for experiment in reader.experiments():
        for generation in reader.pointers(experiment):
            sealed(generation.target.attempt, generation.pointer)
            reader.load(generation.target)


def _run_folders(store: ModelStore) -> set[str]:
    return {f"{match[1]}/{match[2]}" for key in store.bodies if (match := _RUN.match(key))}


# ---------------------------------------------------------------- when everybody is done


class Expected(msgspec.Struct, frozen=True):
    """A run that must be there: under which id, with which files."""

    experiment: str
    run_id: str
    files: Mapping[str, bytes]


def check_settled(
    store: ModelStore, expected: Iterable[Expected], *, pointers: Mapping[str, str] | None = None
) -> None:
    """Everything that holds once all work is done and all wrecks are cleared away.

    Every expected run is listed exactly once and nothing else is; its bytes read back; ``latest`` stands on the run
    that finished last; `pointers` (``train@best`` → ``train/r1``) stand where they should; projections are up to
    date; no intent is left (a dead process's probe key may be).
    """
    check_invariants(store)
    wanted = {f"{run.experiment}/{run.run_id}": run for run in expected}
    reader = Reader(store, FakeClock(), FakeEntropy(0))
    left = [key for key in store.bodies if key.endswith("/intent.json")]
    _require(not left, f"left behind: {left}")
    listed = [f"{row.experiment}/{row.run_id}" for row in reader.runs()]
    _require(sorted(listed) == sorted(wanted), f"listed are {listed}, expected were {sorted(wanted)}")
    for ref, run in wanted.items():
        view = reader.load(reader.resolve(ref))
        bodies = {entry.path: b"".join(reader.chunks(view, entry)) for entry in view.manifest.entries}
        _require(bodies == dict(run.files), f"{ref} reads back differently")
    _check_latest(reader, wanted)
    for pointer, ref in (pointers or {}).items():
        target = reader.resolve(pointer)
        _require(f"{target.experiment}/{target.run_id}" == ref, f"{pointer} leads to {target.run_id}, not {ref}")
    _check_projections(store, reader)
    report = Verifier(reader, copies=True).everything()
    _require(not report.damages, f"verify finds {report.damages}")


def _check_latest(reader: Reader, wanted: Mapping[str, Expected]) -> None:
    for experiment in {run.experiment for run in wanted.values()}:
        newest = max(reader.runs(experiment), key=lambda row: (row.finished_at, row.run_id))
        target = reader.resolve(f"{experiment}@latest")
        _require(target.run_id == newest.run_id, f"{experiment}@latest is {target.run_id}, not {newest.run_id}")


def _check_projections(store: ModelStore, reader: Reader) -> None:
    """Convenience copies show what the records say."""
    for experiment in reader.experiments():
        for generation in reader.pointers(experiment):
            key = pointer_projection(experiment, generation.pointer.partition("@")[2])
            _require(store.bodies.get(key) == generation.encode(), f"{key} is out of date")
        head = next(store.list(base_log(experiment), limit=1), None)
        if head is not None:
            shown = store.bodies.get(f"experiments/{experiment}/manifest.jsonl")
            _require(shown == store.bodies[head.key], f"the manifest.jsonl of {experiment} is out of date")
        for row in reader.runs(experiment):
            _check_run_folder(store, reader, row)
    for name in store.list_folders("names/"):
        view = reader.load(reader.resolve(name))
        digest = view.entry(view.path or "").sha256
        body = store.bodies.get(latest_key(name))
        _require(body is not None and sha256(body) == digest, f"latest/{name} is out of date")
        meta = parse_object(store.bodies[f"latest/{name}.meta.json"], name)
        _require(meta["sha256"] == digest and meta["ref"].startswith(view.ref), f"latest/{name}.meta.json is wrong")


def _check_run_folder(store: ModelStore, reader: Reader, row: Row) -> None:
    if not store.capabilities.links:
        return
    view = reader.load(reader.resolve(f"{row.experiment}/{row.run_id}"))
    for path, digest in view.sums.lines.items():
        if digest in view.objects and view.objects[digest].offset is not None:
            continue  # a part of a pack cannot be linked to
        key = run_key(row.experiment, row.run_id, path)
        _require(key in store.bodies and sha256(store.bodies[key]) == digest, f"{key} is not linked")


def unused_objects(store: ModelStore) -> Iterator[Key]:
    """Objects that no sealed attempt references: what a collector would take."""
    used: set[str] = set()
    for attempt, outcome in _outcomes(store).items():
        key = refs_key(AttemptId(attempt))
        if outcome.decision == "sealed" and key in store.bodies:
            used |= {stored.key for stored in Refs.decode(store.bodies[key], key).objects.values()}
    for found in store.bodies:
        if kind_of(found) is Kind.OBJECT and found not in used:
            yield Key(found)
