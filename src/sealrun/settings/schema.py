"""The settings file as it is written: one struct per table. Nothing is resolved here; see `resolved`.

Durations and percentages stay as written until `checking` reads them. Every field's description is part of the
published JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import DEFAULT_FORBID, DEFAULT_MARKERS
from sealrun.settings.tables import Duration, Percent, SecretTable, Size
from sealrun.settings.telling_tables import AlarmsTable, MailTable, NotifyTable

__all__ = [
    "AlarmsTable",
    "DeriveTable",
    "GateTable",
    "GcTable",
    "HttpTable",
    "MailTable",
    "MetricsTable",
    "MirrorTable",
    "NotifyTable",
    "PacksTable",
    "ReclaimTable",
    "RegistryTable",
    "RetentionTable",
    "SecretTable",
    "SettingsFile",
    "VerifyTable",
    "WatchTable",
    "json_schema",
]

Count = Annotated[int, Meta(ge=1)]
Table = Annotated[dict[str, Any], Meta(description="Handed to fsspec as it is; values may be secret tables.")]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table: unknown keys are errors."""


class PacksTable(_Table, frozen=True, kw_only=True):
    """``packs``: which small files are stored together."""

    below: Annotated[Size, Meta(description="Only files smaller than this.")] = "1MiB"
    size: Annotated[Size, Meta(description="About so large is a pack.")] = "32MiB"
    least: Annotated[
        Count | None, Meta(description="So many small files a run must have; 64 in a directory, else 2.")
    ] = None


class RegistryTable(_Table, frozen=True, kw_only=True):
    """``[registry.NAME]``: a place where runs are published."""

    url: Annotated[str, Meta(description="A directory's path, or a URL that fsspec knows: s3://bucket/prefix, …")]
    storage_options: Table = {}
    single_writer: Annotated[
        bool, Meta(description="This is the only writer: accept a store without write-once creation.")
    ] = False
    read_only: Annotated[bool, Meta(description="Read from it, never publish to it.")] = False
    create: Annotated[bool, Meta(description="Create the registry if there never was one.")] = True
    packs: Annotated[bool | PacksTable, Meta(description="Store small files together; false: each by itself.")] = True
    limit: Annotated[str | int | None, Meta(description='Upload at most so much: "20 MB/s".')] = None
    quiet_hours: Annotated[list[str], Meta(description='No delivery begins then: "Mon-Fri 08:00-18:00".')] = []
    timezone: Annotated[str | None, Meta(description="Whose clock they go by; default: this machine's.")] = None


class ReclaimTable(_Table, frozen=True, kw_only=True):
    """``reclaim``: delete a run's source folder once enough registries verified their copy."""

    after: Annotated[Duration, Meta(description="How long after publishing.")]
    copies: Annotated[Count, Meta(description="How many registries must have verified it.")] = 1


class WatchTable(_Table, frozen=True, kw_only=True):
    """``[[watch]]``: this folder, these runs, this experiment, these registries."""

    path: Annotated[str, Meta(description="The folder in which runs appear.")]
    name: Annotated[str | None, Meta(description="Default: the path's last component.")] = None
    experiment: Annotated[str | None, Meta(description="Default: the watch's name. {1}: that of a folder.")] = None
    unit: Annotated[Literal["folder", "file"], Meta(description="What a run is: a folder, or each dropped file.")] = (
        "folder"
    )
    glob: Annotated[str, Meta(description="How deep the runs lie: * is directly below, */* one deeper.")] = "*"
    preset: Annotated[str, Meta(description="Which framework's files are read; auto asks each, none nobody.")] = "auto"
    settle: Annotated[Duration, Meta(description="No change for so long means complete.")] = "30s"
    markers: Annotated[list[str], Meta(description="Files that declare a run complete.")] = msgspec.field(
        default_factory=lambda: list(DEFAULT_MARKERS)
    )
    require: Annotated[list[str], Meta(description="Patterns; until each matches a file, the run waits.")] = []
    forbid: Annotated[list[str], Meta(description="Patterns; while one matches, the run waits.")] = msgspec.field(
        default_factory=lambda: list(DEFAULT_FORBID)
    )
    include: Annotated[list[str], Meta(description="Patterns; only what matches is part of the run.")] = []
    exclude: Annotated[list[str], Meta(description="Patterns; what matches is not part of the run.")] = []
    on_failed: Annotated[
        Literal["seal", "skip", "quarantine"], Meta(description="What becomes of a run that declares failure.")
    ] = "seal"
    stale_after: Annotated[Duration, Meta(description="Unchanged and incomplete for so long is an alarm.")] = "72h"
    on_stale: Annotated[
        Literal["alarm", "seal"],
        Meta(description="What becomes of a run that turns stale while its framework says that it runs."),
    ] = "alarm"
    gone_after: Annotated[
        Duration,
        Meta(description="A recorded run elsewhere that gives no sign of life for so long has lost its producer."),
    ] = "10m"
    seal: Annotated[
        Literal["outside", "in-place"],
        Meta(description="in-place: the run's folder gets a MANIFEST.sha256, too."),
    ] = "outside"
    registries: Annotated[list[str] | None, Meta(description="Default: every registry that is not read-only.")] = None
    names: Annotated[dict[str, str], Meta(description="Path inside the run = name it is also published under.")] = {}
    reclaim: ReclaimTable | None = None
    expect_every: Annotated[
        Duration | None,
        Meta(description='No run for so long (and the grace) is an alarm; "learn": as often as they came before.'),
    ] = None
    expect_grace: Annotated[
        Duration | None, Meta(description="How late an expected run may be; a tenth of expect_every unless set.")
    ] = None


class MirrorTable(_Table, frozen=True, kw_only=True):
    """``[mirror.NAME]``: a folder of plain copies at natural paths, for people who browse."""

    path: Annotated[str, Meta(description="A folder on this machine or mounted here; it may be empty or not exist.")]
    registry: Annotated[str | None, Meta(description="Whose runs; default: the first registry.")] = None
    experiments: Annotated[list[str], Meta(description="Only these experiments; none named means all.")] = []
    keep_last: Annotated[
        Count | None, Meta(description="Keep the newest so many runs of each experiment that did not fail.")
    ] = None
    keep_within: Annotated[Duration | None, Meta(description="Keep runs that finished within this time.")] = None
    interval: Annotated[Duration, Meta(description="How often the daemon looks for something to copy.")] = "5m"


class RetentionTable(_Table, frozen=True, kw_only=True):
    """``[retention.EXPERIMENT]``, or ``[retention.default]``: which runs are kept."""

    keep_last: Annotated[Count | None, Meta(description="The newest successful runs of distinct content.")] = None
    keep_daily: Count | None = None
    keep_weekly: Count | None = None
    keep_monthly: Count | None = None
    keep_yearly: Annotated[
        Count | None, Meta(description="The newest successful run of each of so many years; likewise the others.")
    ] = None
    keep_within: Annotated[Duration | None, Meta(description="What finished within this time, any status.")] = None
    keep_tags: Annotated[list[str], Meta(description="What has any of these tags.")] = []
    keep_status: Annotated[list[Status], Meta(description="What ended in one of these ways.")] = []


class GcTable(_Table, frozen=True, kw_only=True):
    """``[gc]``: when unreachable objects are condemned and deleted."""

    schedule: Annotated[
        str, Meta(description='Five cron fields, or @daily and the like; UTC. "off": only by command.')
    ] = "30 3 * * *"
    grace: Annotated[Duration, Meta(description="What is younger is not touched; a retired run can be undone.")] = "24h"
    max_delete_ratio: Annotated[
        Percent, Meta(description="A collection that would delete a larger share does not begin.")
    ] = 0.2
    repack_below: Annotated[
        Percent, Meta(description="A pack of which a smaller share is alive is written again; 0: never.")
    ] = 0.5


class VerifyTable(_Table, frozen=True, kw_only=True):
    """``[verify]``: when stored bytes are read again and compared."""

    schedule: Annotated[
        str, Meta(description='Five cron fields, or @weekly and the like; UTC. "off": only by command.')
    ] = "@weekly"
    subset: Annotated[Percent, Meta(description="How much of the store each time, going round.")] = "5%"
    budget: Annotated[Duration | None, Meta(description="Stop after this time; the next time goes on there.")] = None


class GateTable(_Table, frozen=True, kw_only=True):
    """``[gate.POINTER]``: what a run has to pass before that pointer moves to it by command."""

    require: Annotated[
        list[Literal["seal", "composition", "schema", "pointers", "dependencies", "checks"]],
        Meta(description="Checks that have to pass; what they look at: sealrun validate."),
    ] = []
    command: Annotated[
        str | list[str] | None, Meta(description="Has to exit with 0, in a restored copy of the run.")
    ] = None


class DeriveTable(_Table, frozen=True, kw_only=True):
    """``[[derive]]``: an output that is computed from runs, and published as a run itself."""

    name: Annotated[str, Meta(description="The rule's name.")]
    experiment: Annotated[str, Meta(description="Whose runs are the inputs.")]
    inputs: Annotated[
        list[str],
        Meta(description="Patterns; a run counts if each matches a file, and these are the inputs.", min_length=1),
    ]
    version: Annotated[
        str, Meta(description="Of what is computed; another version makes everything anew.", min_length=1)
    ]
    command: Annotated[
        list[str], Meta(description="Writes files to {output}; {inputs}, {mode} and {python} are replaced, too.")
    ] = []
    function: Annotated[
        str | None, Meta(description="MODULE:NAME, called with inputs, output and mode, instead of a command.")
    ] = None
    per: Annotated[
        Literal["run", "experiment"], Meta(description="One output for each run, or one of all of them.")
    ] = "run"
    of: Annotated[str | None, Meta(description="Compute from the outputs of the rule of this name.")] = None
    to: Annotated[str | None, Meta(description="Experiment of the outputs; default: EXPERIMENT.NAME.")] = None
    mode: Annotated[
        Literal["light", "full"], Meta(description="Told to the command; outputs of each are kept apart.")
    ] = "light"
    statuses: Annotated[list[Status], Meta(description="Only runs that ended so.", min_length=1)] = msgspec.field(
        default_factory=lambda: ["success"]
    )
    timeout: Annotated[Duration, Meta(description="A command that takes longer is ended, and counts as failed.")] = "1h"
    registry: Annotated[str | None, Meta(description="Which registry; default: the first.")] = None
    interval: Annotated[
        Duration | Literal["off"], Meta(description='How often the daemon looks for new runs; "off": only by command.')
    ] = "1m"


class HttpTable(_Table, frozen=True, kw_only=True):
    """``[http]``: the daemon's own page, API and metrics."""

    listen: Annotated[str, Meta(description="HOST:PORT, [ADDRESS]:PORT or unix:/PATH.")] = "127.0.0.1:9478"
    token: Annotated[
        SecretTable | None, Meta(description="Whoever knows it may read from elsewhere, and change things.")
    ] = None
    hosts: Annotated[list[str], Meta(description="More names under which browsers and programs reach it.")] = []


class MetricsTable(_Table, frozen=True, kw_only=True):
    """``[metrics]``: numbers for a monitoring system that does not ask the daemon itself."""

    textfile: Annotated[
        str | None, Meta(description="A file that node_exporter's textfile collector reads; its name ends in .prom.")
    ] = None
    interval: Annotated[Duration, Meta(description="How often the daemon writes it.")] = "30s"
    labels: Annotated[dict[str, str], Meta(description="More labels of everything in that file.")] = {}


class SettingsFile(_Table, frozen=True, kw_only=True):
    """A whole settings file."""

    version: Annotated[Literal[1], Meta(description="Version of this format.")]
    state: Annotated[str | None, Meta(description="Where the daemon keeps its journal.")] = None
    engine: Annotated[
        str | None, Meta(description="Where commands do bulk work: threads, processes, dask, parsl, …")
    ] = None
    registry: dict[str, RegistryTable] = {}
    watch: list[WatchTable] = []
    mirror: dict[str, MirrorTable] = {}
    retention: dict[str, RetentionTable] = {}
    gc: GcTable | None = None
    verify: VerifyTable | None = None
    gate: dict[str, GateTable] = {}
    derive: list[DeriveTable] = []
    notify: list[NotifyTable] = []
    alarms: AlarmsTable | None = None
    http: HttpTable | None = None
    metrics: MetricsTable | None = None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a settings file, for editors."""
    schema = msgspec.json.schema(SettingsFile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "sealrun settings", **schema}
