"""``[retention.*]``, ``[gc]`` and ``[verify]``: what is kept, and how that is looked after."""

from __future__ import annotations

from sealrun.domain.upkeep.retention import Policy
from sealrun.settings.checking import duration_of, name_of, schedule_of, share_of
from sealrun.settings.expanding import Surroundings
from sealrun.settings.resolved import GcSettings, KeepingSettings, VerifySettings
from sealrun.settings.schema import GcTable, RetentionTable, SettingsFile, VerifyTable


def resolve_keeping(table: SettingsFile, around: Surroundings) -> KeepingSettings:
    """Resolve the three tables; `ConfigurationError` names the setting. Experiments need not exist."""
    return KeepingSettings(
        retention={name: _policy(name, retention, around) for name, retention in table.retention.items()},
        gc=GcSettings() if table.gc is None else _gc(table.gc, around),
        verify=None if table.verify is None else _verify(table.verify, around),
    )


def _policy(experiment: str, table: RetentionTable, around: Surroundings) -> Policy:
    setting = f"[retention.{experiment}]"
    name_of(experiment, "experiment", setting, around)
    if "" in table.keep_tags:
        raise around.wrong(f"{setting} keep_tags", "an empty tag is no tag; leave it away")
    within = None
    if table.keep_within is not None:
        within = duration_of(table.keep_within, f"{setting} keep_within", around)
        if not within:
            raise around.wrong(f"{setting} keep_within", "0 keeps nothing; leave the setting away")
    return Policy(
        keep_last=table.keep_last,
        keep_daily=table.keep_daily,
        keep_weekly=table.keep_weekly,
        keep_monthly=table.keep_monthly,
        keep_yearly=table.keep_yearly,
        keep_within_s=within,
        keep_tags=tuple(table.keep_tags),
        keep_status=tuple(table.keep_status),
    )


def _gc(table: GcTable, around: Surroundings) -> GcSettings:
    return GcSettings(
        schedule=schedule_of(table.schedule, "[gc] schedule", around),
        grace_s=duration_of(table.grace, "[gc] grace", around),
        max_delete_ratio=share_of(table.max_delete_ratio, "[gc] max_delete_ratio", around),
        repack_below=share_of(table.repack_below, "[gc] repack_below", around),
    )


def _verify(table: VerifyTable, around: Surroundings) -> VerifySettings:
    subset = share_of(table.subset, "[verify] subset", around)
    if not subset:
        raise around.wrong("[verify] subset", 'nothing would be verified; use schedule = "off" to turn it off')
    return VerifySettings(
        schedule=schedule_of(table.schedule, "[verify] schedule", around),
        subset=subset,
        budget_s=None if table.budget is None else duration_of(table.budget, "[verify] budget", around),
    )
