"""Where runs and scratch folders lie: read from the environment, as the experiments' documents have it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sealrun.domain.address import parse_name

DEFAULT_EXPERIMENT = "default"


@dataclass(frozen=True)
class Paths:
    """Folders of a producer: `experiments` holds ``<experiment>/runs/<run_id>``, `scratch` what may be lost.

    `experiment` is the one of a run that names none.
    """

    experiments: Path
    scratch: Path
    experiment: str = DEFAULT_EXPERIMENT

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read ``SEALRUN_EXPERIMENTS``, ``SEALRUN_SCRATCH`` and ``SEALRUN_EXPERIMENT``.

        The first two lie below ``SEALRUN_HOME`` by default, and that is ``artifacts`` in the current folder.
        `UsageError` if the experiment cannot be one.
        """
        around = os.environ if environ is None else environ
        home = Path(around.get("SEALRUN_HOME") or "artifacts").expanduser()
        experiments, scratch = around.get("SEALRUN_EXPERIMENTS"), around.get("SEALRUN_SCRATCH")
        return cls(
            experiments=Path(experiments).expanduser() if experiments else home / "experiments",
            scratch=Path(scratch).expanduser() if scratch else home / "scratch",
            experiment=parse_name(around.get("SEALRUN_EXPERIMENT") or DEFAULT_EXPERIMENT, "experiment"),
        )

    def runs(self, experiment: str) -> Path:
        """Return the folder of an experiment's runs: the one for a watch to look at."""
        return self.experiments / parse_name(experiment, "experiment") / "runs"
