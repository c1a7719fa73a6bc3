"""``[alarms]``, and what a watch expects: when something is worth an alarm."""

from __future__ import annotations

from sealrun.domain.oversight.alarming import AlarmRules
from sealrun.domain.watches.cadence import Expectation
from sealrun.settings.checking import duration_of, share_of
from sealrun.settings.expanding import Surroundings
from sealrun.settings.quantities import parse_size
from sealrun.settings.schema import AlarmsTable, WatchTable

_LEARN = "learn"
_LEAST_INTERVAL_S = 1.0


def resolve_alarms(table: AlarmsTable | None, around: Surroundings) -> AlarmRules:
    """Return the rules; `ConfigurationError` names the setting."""
    if table is None:
        return AlarmRules()
    interval_s = duration_of(table.interval, "[alarms] interval", around)
    if interval_s < _LEAST_INTERVAL_S:
        raise around.wrong("[alarms] interval", "is less than a second")
    low_bytes, low_share, low_most = _low_space(table.low_space, around)
    return AlarmRules(
        unreachable_after_s=duration_of(table.unreachable_after, "[alarms] unreachable_after", around),
        clear_after_s=duration_of(table.clear_after, "[alarms] clear_after", around),
        low_bytes=low_bytes,
        low_share=low_share,
        low_most=low_most,
        interval_s=interval_s,
    )


def expectation_of(table: WatchTable, setting: str, around: Surroundings) -> Expectation | None:
    """Return how often a watch expects runs; None if it does not say."""
    if table.expect_every is None:
        if table.expect_grace is not None:
            raise around.wrong(f"{setting}: expect_grace", "means nothing without expect_every")
        return None
    learned = isinstance(table.expect_every, str) and table.expect_every.strip() == _LEARN
    every_s = None if learned else duration_of(table.expect_every, f"{setting}: expect_every", around)
    if every_s is not None and every_s <= 0:
        raise around.wrong(f"{setting}: expect_every", "is not more than 0")
    grace = table.expect_grace
    grace_s = None if grace is None else duration_of(grace, f"{setting}: expect_grace", around)
    return Expectation(every_s=every_s, grace_s=grace_s)


def _low_space(value: str | int | None, around: Surroundings) -> tuple[int, float, float]:
    """Return bytes, share, and the most of a disk that either may mean: what is declared is meant."""
    default = AlarmRules()
    if value is None:
        return default.low_bytes, default.low_share, default.low_most
    if isinstance(value, str) and value.strip().endswith("%"):
        return 0, share_of(value, "[alarms] low_space", around), 1.0
    try:
        return parse_size(value), 0.0, 1.0
    except ValueError as error:
        raise around.wrong("[alarms] low_space", f'{error}; or a share such as "5%"') from error
