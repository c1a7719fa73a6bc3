"""Lightning's ``version_N`` folders: ``hparams.yaml`` beside metrics, event files or checkpoints.

Checkpoints are pickles and not opened; nothing tells the end of training, so quiet decides.
"""

from __future__ import annotations

from sealrun.domain.declarations import MAX_RECORD_BYTES, bounded
from sealrun.domain.presets.looking import Facts, Look, Preset, silent
from sealrun.domain.presets.plain_yaml import read_yaml
from sealrun.domain.presets.tables import last_of_csv
from sealrun.domain.presets.tensorboard import has_events
from sealrun.domain.settling import FrameworkStatus

_HPARAMS = "hparams.yaml"
_METRICS = "metrics.csv"


def _status(look: Look) -> FrameworkStatus | None:
    if _HPARAMS not in look.files:
        return None
    checkpoints = any(path.startswith("checkpoints/") and path.endswith(".ckpt") for path in look.files)
    if not checkpoints and _METRICS not in look.files and has_events(look) is None:
        return None
    return silent("lightning", _HPARAMS)


def _facts(look: Look) -> Facts:
    params = read_yaml(look.read(_HPARAMS, MAX_RECORD_BYTES))
    # Lightning writes an empty mapping where there are no parameters.
    facts = look.files.get(_HPARAMS)
    unread = not isinstance(params, dict) and facts is not None and facts.size > len("{}\n")
    return Facts(
        params=bounded(params),
        metrics=bounded(last_of_csv(look, _METRICS)),
        notes=(f"{_HPARAMS}: not used, it is too large or not plain YAML",) if unread else (),
    )


LIGHTNING = Preset(name="lightning", status=_status, facts=_facts)
