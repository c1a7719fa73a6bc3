"""A watch: this folder, these runs, this experiment, these registries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from sealrun.domain.address import parse_name
from sealrun.domain.errors import RunRejectedError, UsageError
from sealrun.domain.watches.cadence import Expectation
from sealrun.domain.watches.settling import DEFAULT_FORBID, DEFAULT_MARKERS, SettleRules

_LEVEL = re.compile(r"\{([1-9])\}\Z")
OnFailed = Literal["seal", "skip", "quarantine"]


def experiment_level(experiment: str) -> int | None:
    """Return n for ``{n}``, which stands for the n-th folder below a watch's path, and None for any other name."""
    found = _LEVEL.match(experiment)
    return int(found[1]) if found else None


class ReclaimRule(msgspec.Struct, frozen=True, kw_only=True):
    """Delete a run's source so long after the last registry got it, once so many registries verified their copy."""

    after_s: float
    copies: int = 1


class WatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One ``[[watch]]`` of the settings, checked. Times in seconds; patterns in gitignore syntax.

    `path` is absolute. `experiment` is a name, or ``{n}`` for the name of the n-th folder below `path`. `glob` says how
    deep the runs lie: ``*`` is every folder directly below, ``*/*`` one deeper; for ``unit = "file"`` it selects files.
    `names` maps paths inside a run to names they are also published under.
    `on_failed`: what becomes of a run that declares failure: sealed as any other, skipped, or kept back with an alarm.
    `gone_after_s`: when the producer of a recorded run counts as gone that gives no sign of life and runs elsewhere.
    `on_stale`: what becomes of a run that turns stale while its framework says that it runs: an alarm, or it is sealed
    as interrupted. `expect`: how often a run is expected; None: never missed. `seal`: whether the seal is also written
    into the run's own folder, as ``MANIFEST.sha256``.
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
    gone_after_s: float = 600.0
    on_stale: Literal["alarm", "seal"] = "alarm"
    seal: Literal["outside", "in-place"] = "outside"
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
    reclaim: ReclaimRule | None = None
    expect: Expectation | None = None

    def experiment_of(self, path: str) -> str:
        """Return the experiment of the run at `path`: `experiment`, or the folder below the watch's path that it names.

        `RunRejectedError` if that folder's name cannot be an experiment's.
        """
        level = experiment_level(self.experiment)
        if level is None:
            return self.experiment
        name = path.removeprefix(self.path.rstrip("/") + "/").split("/")[level - 1]
        try:
            return parse_name(name, "experiment")
        except UsageError as error:
            msg = f"{path!r}: its folder {name!r} names its experiment: {error}; rename it"
            raise RunRejectedError(msg) from error

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
            gone_after_s=self.gone_after_s,
            on_stale=self.on_stale,
            sealed_here=self.seal == "in-place",
        )
