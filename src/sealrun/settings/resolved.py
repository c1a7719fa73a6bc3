"""Settings as the program uses them: absolute paths, seconds, defaults filled in, secrets wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from sealrun.domain.curation.deriving import Rule
from sealrun.domain.curation.gating import Gate
from sealrun.domain.oversight.alarming import AlarmRules
from sealrun.domain.oversight.board import Severity
from sealrun.domain.oversight.quiet_hours import Quiet
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.domain.upkeep.retention import Policy
from sealrun.domain.watches.watch import WatchSpec
from sealrun.settings.expanding import Secret, mask, reveal
from sealrun.settings.http import HttpSettings


def _without_user(url: str) -> str:
    """Return `url` without user, password and query, which may be secrets."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _shown_packs(packs: PackOptions | Literal[False] | None) -> object:
    return True if packs is None else msgspec.to_builtins(packs)


def _shown_quiet(quiet: Quiet | None) -> object:
    if quiet is None:
        return None
    return {"hours": msgspec.to_builtins(quiet.hours), "timezone": None if quiet.zone is None else str(quiet.zone)}


class RegistrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """One registry. `url` is absolute; `storage_options` may hold `Secret` values."""

    name: str
    url: str
    storage_options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    single_writer: bool = False
    read_only: bool = False
    create: bool = True
    packs: PackOptions | Literal[False] | None = None
    limit: int | None = None
    quiet: Quiet | None = None

    def __repr__(self) -> str:
        return f"<registry {self.name}: {_without_user(self.url)}>"

    def revealed_options(self) -> dict[str, Any]:
        """Return the storage options with every secret in the clear: for the store, and for nobody else."""
        return {key: reveal(value) for key, value in self.storage_options.items()}


class GcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When retired and orphaned bytes are collected; `schedule` is None where only a command does it."""

    schedule: str | None = "30 3 * * *"
    grace_s: float = 24 * 3600.0
    max_delete_ratio: float = 0.2
    repack_below: float = 0.5


class VerifySettings(msgspec.Struct, frozen=True, kw_only=True):
    """When how much is verified: `subset` is a share above 0; `budget_s` None means as long as it takes."""

    schedule: str | None = "@weekly"
    subset: float = 0.05
    budget_s: float | None = None


class MailSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A server that takes mail, whom it is from and to; `ca` None: the system's certificates."""

    to: tuple[str, ...]
    sender: str
    server: str
    port: int
    security: Literal["starttls", "tls", "none"]
    ca: str | None = None
    user: str | None = None
    password: Secret | None = None
    digest_s: float = 60.0


class PingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for every `interval_s` while all is well, and what instead while an alarm stands."""

    url: Secret
    fail_url: Secret
    interval_s: float = 300.0


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to tell of which events, by exactly one of `url`, `mail`, `command` and `ping`.

    `name` tells targets apart and gives nothing away; the others may be secret. `severity`: of alarms only those.
    """

    name: str
    on: tuple[str, ...]
    severity: Severity | None = None
    url: Secret | None = None
    secret: Secret | None = None
    format: Literal["cloudevents", "slack"] = "cloudevents"
    mail: MailSettings | None = None
    command: tuple[str, ...] = ()
    timeout_s: float = 30.0
    ping: PingSettings | None = None


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where metrics are written, and how often, for machines that nobody scrapes; no `textfile`: nowhere.

    `labels` are on every one of them: they tell the files of several users of a machine apart.
    """

    textfile: Path | None = None
    interval_s: float = 30.0
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


class DeriveSettings(msgspec.Struct, frozen=True):
    """A rule, the registry it works on, and how often the daemon looks; `interval_s` None: only by command."""

    rule: Rule
    registry: str
    interval_s: float | None = 60.0


class KeepingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept, and how that is looked after. `retention` is by experiment, or ``default``; no `verify`: never."""

    retention: Mapping[str, Policy] = msgspec.field(default_factory=dict)
    gc: GcSettings = GcSettings()
    verify: VerifySettings | None = None

    def policy(self, experiment: str) -> Policy:
        """Return the policy of an experiment: its own, or the default, or the empty one."""
        return self.retention.get(experiment) or self.retention.get("default") or Policy()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A checked settings file, or what the environment says where there is none.

    `written` is the file's content with variables expanded, for showing, and `digest` the sha256 of the file;
    `warnings` name what is accepted and does nothing in this version.
    """

    file: Path | None
    state: Path
    registries: Mapping[str, RegistrySettings]
    watches: tuple[WatchSpec, ...]
    engine: str | None = None
    mirrors: tuple[MirrorSpec, ...] = ()
    keeping: KeepingSettings = KeepingSettings()
    rules: tuple[DeriveSettings, ...] = ()
    targets: tuple[NotifySettings, ...] = ()
    alarms: AlarmRules = AlarmRules()
    gates: Mapping[str, Gate] = msgspec.field(default_factory=dict)
    http: HttpSettings | None = None
    metrics: MetricsSettings = MetricsSettings()
    warnings: tuple[str, ...] = ()
    written: Mapping[str, Any] = msgspec.field(default_factory=dict)
    digest: str = ""

    def __repr__(self) -> str:
        return f"<settings of {self.file or 'the environment'}>"

    def shown(self) -> dict[str, Any]:
        """Return the settings fit for showing: secrets, and what sounds like one, are asterisks."""
        registries = {
            name: {
                "url": _without_user(registry.url),
                "storage_options": mask(dict(registry.storage_options)),
                "single_writer": registry.single_writer,
                "read_only": registry.read_only,
                "create": registry.create,
                "packs": _shown_packs(registry.packs),
                "limit": registry.limit,
                "quiet_hours": _shown_quiet(registry.quiet),
            }
            for name, registry in self.registries.items()
        }
        tables = {"registry", "watch", "mirror", "notify"}
        other = {key: value for key, value in self.written.items() if key not in tables}
        return {
            "file": str(self.file) if self.file else None,
            "state": str(self.state),
            "registry": registries,
            "watch": [msgspec.to_builtins(watch) for watch in self.watches],
            "mirror": [msgspec.to_builtins(mirror) for mirror in self.mirrors],
            "other": mask(other),
            "notify": [{"target": each.name, "on": list(each.on), "severity": each.severity} for each in self.targets],
            "warnings": list(self.warnings),
        }
