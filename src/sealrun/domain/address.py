"""Every key of the registry format, version 1, and the rules for the names inside keys.

Keys are relative, ``/``-separated and valid UTF-8. Names from outside are checked here before they become
part of a key: everything that builds a key takes values that passed through one of the ``parse_*`` functions.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NewType

from sealrun.domain.errors import UnsupportedFormatError, UsageError

Key = NewType("Key", str)
"""A key of the registry, relative to its root."""
Digest = NewType("Digest", str)
"""64 lower-case hexadecimal digits: a sha256."""
AttemptId = NewType("AttemptId", str)
"""``<utc>-<16 hex digits>``: sorts by time of creation, unique without coordination."""
RunId = NewType("RunId", str)
"""Name of a run inside its experiment."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_ATTEMPT = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_OBJECT = re.compile(r"store/objects/sha256/([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{60})\.([^/]+)\Z")
_PACK = re.compile(r"store/packs/sha256/([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{60})\.([^/]+)\.zip\Z")
_GENERATION = re.compile(r"([0-9]{12})\.jsonl?\Z")
_MAX_ARTIFACT_NAME_BYTES = 200
_LAST_GENERATION = 999_999_999_999

REGISTRY = Key("registry.json")
OBJECTS = "store/objects/sha256/"
PACKS = "store/packs/sha256/"
ATTEMPTS = "attempts/"
EXPERIMENTS = "experiments/"
BATCHES = "gc/"
CONDEMNED = "gc/condemned/"
QUARANTINE = "quarantine/"
NAMES = "names/"
LATEST = "latest/"
PROBES = "probe/"
META_SUFFIX = ".meta.json"
_ZIP = ".zip"


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest, or raise `UsageError`."""
    if not _DIGEST.match(text):
        msg = f"not a sha256 digest (64 lower-case hexadecimal digits): {text!r}"
        raise UsageError(msg)
    return Digest(text)


def parse_attempt(text: str) -> AttemptId:
    """Return `text` as an attempt id, or raise `UsageError`."""
    if not _ATTEMPT.match(text):
        msg = f"not an attempt id: {text!r}"
        raise UsageError(msg)
    return AttemptId(text)


def attempt_id(utc_compact: str, entropy: str) -> AttemptId:
    """Build an attempt id from ``20260117T143052Z`` and 16 hexadecimal digits of entropy."""
    return parse_attempt(f"{utc_compact}-{entropy}")


def parse_name(text: str, what: str) -> str:
    """Return `text` if it may name a run, an experiment, a pointer or a registry; `what` says which."""
    if not _NAME.match(text):
        msg = f"not a valid {what}: {text!r} (at most 128 letters, digits, '.', '_', '-'; the first a letter or digit)"
        raise UsageError(msg)
    return text


def is_name(text: str) -> bool:
    """Tell whether `text` may name a run, an experiment or a pointer."""
    return _NAME.match(text) is not None


def parse_artifact_name(text: str) -> str:
    """Return `text` if an artifact may be published under it: one printable path component, at most 200 bytes.

    ``:`` and ``@`` are left out because references use them, the backslash because some servers take it for ``/``.
    """
    bad = (
        not text
        or text in {".", ".."}
        or any(sign in text for sign in "/:@\\")
        or not text.isprintable()
        or text.endswith(META_SUFFIX)
        or len(text.encode("utf-8", "surrogateescape")) > _MAX_ARTIFACT_NAME_BYTES
    )
    if bad:
        msg = (
            f"not a name an artifact can be published under: {text!r} "
            f"(one printable path component of at most 200 bytes, without : @ and \\, not ending in {META_SUFFIX})"
        )
        raise UsageError(msg)
    return text


def object_key(digest: Digest, attempt: AttemptId) -> Key:
    """Key of the bytes with `digest` that `attempt` uploaded; nobody else ever writes it."""
    return Key(f"{OBJECTS}{digest[:2]}/{digest[2:4]}/{digest[4:]}.{attempt}")


def pack_key(digest: Digest, attempt: AttemptId) -> Key:
    """Key of the pack whose bytes have `digest` and that `attempt` uploaded; nobody else ever writes it."""
    return Key(f"{PACKS}{digest[:2]}/{digest[2:4]}/{digest[4:]}.{attempt}.zip")


class ObjectName(NamedTuple):
    """What the key of an object or a pack says: which bytes, and who wrote them."""

    digest: Digest
    creator: AttemptId


def parse_object_key(key: str) -> ObjectName:
    """Read the key of an object or a pack, or raise `UnsupportedFormatError`."""
    match = _OBJECT.match(key) or _PACK.match(key)
    if not match or not _ATTEMPT.match(match[4]):
        msg = f"{key}: not the key of an object or a pack"
        raise UnsupportedFormatError(msg)
    return ObjectName(Digest(match[1] + match[2] + match[3]), AttemptId(match[4]))


def is_pack(key: str) -> bool:
    """Tell whether `key` is that of a pack."""
    return key.startswith(PACKS)


def intent_key(attempt: AttemptId) -> Key:
    """Digests the attempt may reference; deletable once the attempt is resolved."""
    return Key(f"{ATTEMPTS}{attempt}/intent.json")


def outcome_key(attempt: AttemptId) -> Key:
    """The decision, sealed or void; write-once, kept for ever."""
    return Key(f"{ATTEMPTS}{attempt}/outcome.json")


def refs_key(attempt: AttemptId) -> Key:
    """Where each digest of the attempt's run is stored; write-once."""
    return Key(f"{ATTEMPTS}{attempt}/refs.json")


def retired_key(attempt: AttemptId) -> Key:
    """Who took the attempt's run out of the live set, when and why; write-once."""
    return Key(f"{ATTEMPTS}{attempt}/retired.json")


def condemned_key(batch: str) -> Key:
    """What one collection batch is about to delete; deletable. Publishers list these, and nothing of what is over."""
    return Key(f"{CONDEMNED}{batch}.json")


def batch_key(batch: str, file: str) -> Key:
    """What became of one collection batch: ``verdict.json`` or ``deleted.jsonl``."""
    return Key(f"{BATCHES}{batch}/{file}")


def batch_of(key: str) -> str:
    """The batch that a key below ``gc/`` belongs to."""
    return parse_attempt(key.removeprefix(CONDEMNED).removeprefix(BATCHES).removesuffix(".json").split("/", 1)[0])


def quarantine_key(key: Key) -> Key:
    """Says that the object or pack `key` is damaged: nobody references it any more, and nobody deletes it."""
    name = parse_object_key(key)
    return Key(f"{QUARANTINE}{name.digest}.{name.creator}{_ZIP if is_pack(key) else ''}.json")


def quarantined_object(key: str) -> Key:
    """The object or pack that a key below ``quarantine/`` speaks of."""
    digest, _, creator = key.removeprefix(QUARANTINE).removesuffix(".json").partition(".")
    if creator.endswith(_ZIP):
        return pack_key(parse_digest(digest), parse_attempt(creator.removesuffix(_ZIP)))
    return object_key(parse_digest(digest), parse_attempt(creator))


def attempt_of(key: str) -> AttemptId:
    """The attempt that a key below ``attempts/`` belongs to."""
    return parse_attempt(key.removeprefix(ATTEMPTS).split("/", 1)[0])


def experiment_prefix(experiment: str) -> str:
    """Everything of one experiment lies below this."""
    return f"{EXPERIMENTS}{experiment}/"


def runs_prefix(experiment: str) -> str:
    """Run folders of one experiment."""
    return f"{EXPERIMENTS}{experiment}/runs/"


def run_key(experiment: str, run_id: str, file: str) -> Key:
    """A file of a run folder: ``run.json``, ``manifest.json`` or ``MANIFEST.sha256``; write-once."""
    return Key(f"{runs_prefix(experiment)}{run_id}/{file}")


def artifact_key(experiment: str, run_id: str, path: str) -> Key:
    """Projection of one entry in a run folder (directories only)."""
    return run_key(experiment, run_id, f"artifacts/{path}")


def seals_prefix(experiment: str, run_id: str) -> str:
    """Seal markers of one run."""
    return f"{runs_prefix(experiment)}{run_id}/seals/"


def seal_key(experiment: str, run_id: str, attempt: AttemptId) -> Key:
    """Says that `attempt` holds the bytes of the run; write-once."""
    return Key(f"{seals_prefix(experiment, run_id)}{attempt}.json")


def pointers_prefix(experiment: str) -> str:
    """All pointers of one experiment."""
    return f"{EXPERIMENTS}{experiment}/pointers/"


def pointer_log(experiment: str, name: str) -> str:
    """Prefix of a pointer's generations."""
    return f"{pointers_prefix(experiment)}{name}/"


def pointer_projection(experiment: str, name: str) -> Key:
    """Convenience copy of a pointer's newest generation."""
    return Key(f"{pointers_prefix(experiment)}{name}.json")


def name_log(name: str) -> str:
    """Prefix of the generations of a published artifact name."""
    return f"{NAMES}{name}/"


def latest_key(name: str) -> Key:
    """Convenience copy of the newest artifact published under `name`."""
    return Key(f"{LATEST}{name}")


def generation_key(log: str, generation: int, suffix: str = ".json") -> Key:
    """Key of a generation: numbers are inverted and zero-padded, so the newest sorts first."""
    if not 1 <= generation <= _LAST_GENERATION:
        msg = f"generation out of range: {generation}"
        raise UsageError(msg)
    return Key(f"{log}{_LAST_GENERATION - generation:012d}{suffix}")


def generation_of(key: str) -> int:
    """The generation number in a key made by `generation_key`, or raise `UnsupportedFormatError`."""
    match = _GENERATION.match(key.rsplit("/", 1)[-1])
    if not match:
        msg = f"{key}: not the key of a generation"
        raise UnsupportedFormatError(msg)
    return _LAST_GENERATION - int(match[1])


def pending_prefix(experiment: str) -> str:
    """Index rows that no base holds yet."""
    return f"{EXPERIMENTS}{experiment}/index/pending/"


def pending_key(experiment: str, attempt: AttemptId) -> Key:
    """The index row of one attempt; deletable once a base holds it."""
    return Key(f"{pending_prefix(experiment)}{attempt}.json")


def dropped_key(experiment: str, attempt: AttemptId) -> Key:
    """Says that the row of a retired attempt is to be left out; deletable once a base left it out."""
    return Key(f"{pending_prefix(experiment)}{attempt}.retired.json")


def pins_prefix(experiment: str) -> str:
    """All pins and holds of one experiment."""
    return f"{EXPERIMENTS}{experiment}/pins/"


def pin_key(experiment: str, run_id: str, pin: str) -> Key:
    """One reason to keep a run; write-once."""
    return Key(f"{pins_prefix(experiment)}{run_id}/{pin}.json")


def lifted_key(experiment: str, run_id: str, pin: str) -> Key:
    """Says that the pin counts no longer; write-once."""
    return Key(f"{pins_prefix(experiment)}{run_id}/{pin}.lifted.json")


def base_log(experiment: str) -> str:
    """Prefix of the index bases; the newest sorts first."""
    return f"{EXPERIMENTS}{experiment}/index/base/"


def experiment_manifest_key(experiment: str) -> Key:
    """Convenience copy of the newest index base."""
    return Key(f"{EXPERIMENTS}{experiment}/manifest.jsonl")


def is_discardable(key: str) -> bool:
    """Tell whether a publisher may delete `key`: an intent, a pending row or a probe's litter, nothing else.

    Everything else is deleted by a collector, which holds a `Remover`, or never.
    """
    parts = key.split("/")
    return (
        key.startswith(PROBES)
        or (len(parts) == 3 and parts[0] == "attempts" and parts[2] == "intent.json")  # noqa: PLR2004 - parts of the key
        or (parts[0] == "experiments" and parts[2:4] == ["index", "pending"])
    )
