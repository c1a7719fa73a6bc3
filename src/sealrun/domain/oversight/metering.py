"""What is measured: every metric of sealrun with its name, kind, labels and meaning.

Base units (seconds, bytes), moments as ``_timestamp_seconds`` and never as ages, counters end in ``_total``. A label
holds a name from the settings or one of a few fixed words, never a run's id, a path or a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]
"""The values of a metric's labels, in their order."""


class Metric(msgspec.Struct, frozen=True):
    """One metric. `labels` are the names of its labels; `buckets` are the upper bounds of a histogram's.

    `words` are all values of those labels that hold one of a few fixed words.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Sample(msgspec.Struct, frozen=True):
    """One value of a metric."""

    metric: Metric
    labels: Labels
    value: float


class Spread(msgspec.Struct, frozen=True):
    """One histogram: how many values each bucket has (the last one all that are larger), and their sum."""

    metric: Metric
    labels: Labels
    counts: tuple[int, ...]
    sum: float


OPERATIONS = (
    "create",
    "put_many",
    "put",
    "replace",
    "copy",
    "read",
    "open",
    "stat",
    "list",
    "list_folders",
    "discard",
    "delete",
)
"""What is asked of a store: the methods of `ports.Store`, and the remover's."""
OUTCOMES = ("ok", "missing", "unavailable", "unknown", "refused", "full", "error")
ENDS = ("ok", "failed")
STATES = ("up", "down", "full", "refused", "unknown")
CANDIDATE_STATES = ("settling", "sealed", "rejected", "stale", "skipped", "gone", "reclaimed")

_REQUEST_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)
_SEAL_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_DELIVERY_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)


def _counter(name: str, text: str, *labels: str, **words: tuple[str, ...]) -> Metric:
    return Metric(f"sealrun_{name}_total", "counter", text, (*labels, *words), (), tuple(words.items()))


def _gauge(name: str, text: str, *labels: str, **words: tuple[str, ...]) -> Metric:
    return Metric(f"sealrun_{name}", "gauge", text, (*labels, *words), (), tuple(words.items()))


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str, **words: tuple[str, ...]) -> Metric:
    return Metric(f"sealrun_{name}", "histogram", text, (*labels, *words), buckets, tuple(words.items()))


# ---------------------------------------------------------------- counted by this process: they begin at 0 with it

REQUESTS = _counter(
    "registry_requests",
    "Calls of a registry's store by what was asked and how it ended. A put_many stores any number of objects.",
    "registry",
    operation=OPERATIONS,
    outcome=OUTCOMES,
)
REQUEST_SECONDS = _histogram(
    "registry_request_duration_seconds",
    "How long calls of a registry's store took; of a list or an open, until the first answer.",
    _REQUEST_S,
    "registry",
    operation=OPERATIONS,
)
UPLOADED_OBJECTS = _counter("registry_uploaded_objects", "Objects stored; a pack is one object.", "registry")
UPLOADED_BYTES = _counter(
    "registry_uploaded_bytes", "Bytes of the objects stored; records are not counted.", "registry"
)
DOWNLOADED_BYTES = _counter("registry_downloaded_bytes", "Bytes read from a registry.", "registry")

PUBLISHED = _counter("registry_runs_published", "Deliveries that ended with the run in the registry.", "registry")
PARKED = _counter("registry_deliveries_parked", "Deliveries that were parked: they wait for a person.", "registry")
RETRIED = _counter("registry_deliveries_retried", "Tries that failed and are repeated later.", "registry")
CONTENTS = _counter(
    "registry_contents",
    "Different files of delivered runs: uploaded, or reused because the registry had their bytes.",
    "registry",
    how=("uploaded", "reused"),
)
DELIVERY_SECONDS = _histogram(
    "registry_delivery_duration_seconds",
    "From the moment a run was sealed until it stood in the registry, pointers moved; outages included.",
    _DELIVERY_S,
    "registry",
)

SEALED = _counter("watch_runs_sealed", "Runs that were sealed and queued.", "watch")
REJECTED = _counter("watch_runs_rejected", "Candidates that were rejected.", "watch")
SEAL_SECONDS = _histogram("watch_seal_duration_seconds", "How long sealing a run took.", _SEAL_S, "watch")
HASHED_BYTES = _counter("watch_hashed_bytes", "Bytes that were read and hashed, so not found in the cache.", "watch")

TIMER_RUNS = _counter("timer_runs", "Runs of a timer by how they ended.", "timer", outcome=ENDS)
RELOADS = _counter("settings_reloads", "Reloads of the settings by how they ended.", outcome=ENDS)
NOTIFICATIONS = _counter(
    "notifications", "Attempts to tell somebody, by channel and how they ended.", "target", outcome=ENDS
)

GC_OBJECTS = _counter("gc_deleted_objects", "Objects that collections deleted.", "registry")
GC_BYTES = _counter("gc_freed_bytes", "Bytes of the objects that collections deleted.", "registry")
GC_REFUSED = _counter("gc_refused", "Collections that refused to run, or could not finish.", "registry")
VERIFY_BYTES = _counter("verify_read_bytes", "Bytes that verifications read and compared.", "registry")
VERIFY_DAMAGE = _counter("verify_damage_found", "Damaged or missing files that verifications found.", "registry")

COUNTED = (
    REQUESTS,
    REQUEST_SECONDS,
    UPLOADED_OBJECTS,
    UPLOADED_BYTES,
    DOWNLOADED_BYTES,
    PUBLISHED,
    PARKED,
    RETRIED,
    CONTENTS,
    DELIVERY_SECONDS,
    SEALED,
    REJECTED,
    SEAL_SECONDS,
    HASHED_BYTES,
    TIMER_RUNS,
    RELOADS,
    NOTIFICATIONS,
    GC_OBJECTS,
    GC_BYTES,
    GC_REFUSED,
    VERIFY_BYTES,
    VERIFY_DAMAGE,
)

# ---------------------------------------------------------------- read when somebody asks: a restart keeps them

BUILD = _gauge("build_info", "Always 1; the labels say which version runs on which Python.", "version", "python")
STARTED = _gauge("start_timestamp_seconds", "When this process began to count.")
RELOAD_OK = _gauge("settings_reload_successful", "1 if the settings in force are those of the file, else 0.")
RELOAD_AT = _gauge("settings_reload_success_timestamp_seconds", "When settings were last taken.")

STATE = _gauge("registry_state", "1 for the state a registry is in, 0 for the others.", "registry", state=STATES)
STATE_SINCE = _gauge("registry_state_since_timestamp_seconds", "Since when it is in that state; 0: never.", "registry")
QUEUED = _gauge("registry_queued_runs", "Runs that wait for a registry or are on their way.", "registry")
QUEUED_BYTES = _gauge("registry_queued_bytes", "Size of the runs that wait or are on their way.", "registry")
OLDEST_QUEUED = _gauge(
    "registry_oldest_queued_timestamp_seconds", "When the run that waits longest was sealed; 0: none waits.", "registry"
)
PARKED_NOW = _gauge("registry_parked_runs", "Runs that wait for a person.", "registry")
LAST_PUBLISHED = _gauge(
    "registry_last_success_timestamp_seconds", "When a run was last published; 0: never.", "registry"
)
REGISTRY_FREE = _gauge("registry_free_bytes", "Free room where a registry in a directory lies.", "registry")
REGISTRY_PAUSED = _gauge("registry_paused", "1 while no delivery begins: paused, or quiet hours.", "registry")

CANDIDATES = _gauge("watch_candidates", "Candidates of a watch by state.", "watch", state=CANDIDATE_STATES)
LAST_SEALED = _gauge("watch_last_sealed_timestamp_seconds", "When a run was last sealed; 0: never.", "watch")
WATCH_FREE = _gauge("watch_free_bytes", "Free room where the watched folder lies.", "watch")
WATCH_PAUSED = _gauge("watch_paused", "1 while nothing is sealed because the watch is paused.", "watch")

TIMER_SUCCESS = _gauge(
    "timer_last_success_timestamp_seconds", "When the last run that ended well began; 0: never.", "timer"
)
GC_AT = _gauge("gc_last_success_timestamp_seconds", "When a collection last came to its end; 0: never.", "registry")
VERIFY_AT = _gauge(
    "verify_last_success_timestamp_seconds", "When a verification last came to its end; 0: never.", "registry"
)

JOURNAL_BYTES = _gauge("journal_bytes", "Size of the journal with its write-ahead log.")
STATE_FREE = _gauge("state_free_bytes", "Free room where the state folder lies.")
ALARMS = _gauge("alarms", "Alarms that stand, by kind.", "kind")

READ = (
    BUILD,
    STARTED,
    RELOAD_OK,
    RELOAD_AT,
    STATE,
    STATE_SINCE,
    QUEUED,
    QUEUED_BYTES,
    OLDEST_QUEUED,
    PARKED_NOW,
    LAST_PUBLISHED,
    REGISTRY_FREE,
    REGISTRY_PAUSED,
    CANDIDATES,
    LAST_SEALED,
    WATCH_FREE,
    WATCH_PAUSED,
    TIMER_SUCCESS,
    GC_AT,
    VERIFY_AT,
    JOURNAL_BYTES,
    STATE_FREE,
    ALARMS,
)

CATALOGUE = COUNTED + READ


def requests_of(totals: Mapping[Labels, float], registry: str) -> dict[str, int]:
    """Sum the totals of `REQUESTS` for one registry, by operation; those that never happened are left out."""
    found: dict[str, int] = {}
    for (name, operation, _outcome), count in totals.items():
        if name == registry and count:
            found[operation] = found.get(operation, 0) + int(count)
    return found
