"""``[metrics]``: where numbers are written for machines that nobody scrapes."""

from __future__ import annotations

import re

from sealrun.domain.oversight.metering import CATALOGUE
from sealrun.settings.checking import duration_of
from sealrun.settings.expanding import Surroundings
from sealrun.settings.resolved import MetricsSettings
from sealrun.settings.schema import MetricsTable

_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*\Z")
_TAKEN = {"le", "job", "instance", *(label for metric in CATALOGUE for label in metric.labels)}
_SUFFIX = ".prom"
_LEAST_S = 1.0


def resolve_metrics(table: MetricsTable | None, around: Surroundings) -> MetricsSettings:
    """Return what ``[metrics]`` says; `ConfigurationError` names the setting."""
    if table is None:
        return MetricsSettings()
    interval = duration_of(table.interval, "[metrics] interval", around)
    if interval < _LEAST_S:
        raise around.wrong("[metrics] interval", f"expected at least 1s, got {table.interval!r}")
    for name in table.labels:
        if not _LABEL.match(name) or name in _TAKEN:
            problem = f"{name!r} cannot be one: expected letters, digits and _, and none of {', '.join(sorted(_TAKEN))}"
            raise around.wrong("[metrics] labels", problem)
    if table.textfile is None:
        return MetricsSettings(interval_s=interval, labels=table.labels)
    textfile = around.path(table.textfile)
    if textfile.suffix != _SUFFIX or textfile.name == _SUFFIX:
        problem = f"expected a name that ends in {_SUFFIX}: node_exporter reads no others, got {table.textfile!r}"
        raise around.wrong("[metrics] textfile", problem)
    return MetricsSettings(textfile=textfile, interval_s=interval, labels=table.labels)
