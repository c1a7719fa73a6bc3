"""A watch: this folder, these runs, this experiment, these registries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from sealrun.domain.settling import DEFAULT_FORBID, DEFAULT_MARKERS, SettleRules

OnFailed = Literal["seal", "skip", "quarantine"]


class ReclaimRule(msgspec.Struct, frozen=True, kw_only=True):
    """Delete a run's source so long after the last registry got it, once so many registries verified their copy."""

    after_s: float
    copies: int = 1


class WatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One ``[[watch]]`` of the settings, checked. Times in seconds; patterns in gitignore syntax.

    `path` is absolute. `glob` says how deep the runs lie: ``*`` is every folder directly below, ``*/*`` one deeper; for
    ``unit = "file"`` it selects files. `names` maps paths inside a run to names they are also published under.
    `on_failed`: what becomes of a run that declares failure: sealed as any other, skipped, or kept back with an alarm.
    """

    name: str
    path: str
    experiment: str
    registries: tuple[str, ...]
    unit: Literal["folder", "file"] = "folder"
    glob: str = "*"
    preset: str = "auto"
    settle_s: float = 30.0
    markers: tuple[str, ...] = DEFAULT_MARKERS
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = DEFAULT_FORBID
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    on_failed: OnFailed = "seal"
    stale_after_s: float = 72 * 3600.0
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
    reclaim: ReclaimRule | None = None

    @property
    def rules(self) -> SettleRules:
        """What completion means here. A dropped file has no markers and requires nothing but itself."""
        folder = self.unit == "folder"
        return SettleRules(
            settle_s=self.settle_s,
            markers=self.markers if folder else (),
            require=self.require if folder else (),
            forbid=self.forbid,
            stale_after_s=self.stale_after_s,
            preset=self.preset,
        )
