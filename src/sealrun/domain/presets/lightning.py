"""Lightning's ``version_N`` folders: ``hparams.yaml`` beside metrics, event files or checkpoints.

Nothing tells the end of training, so quiet decides. Checkpoints are zips around pickles: of the newest a few opcodes
are read, which say the version. Parameters that are objects of Python are left out.
"""

from __future__ import annotations

import re

from sealrun.domain.presets.looking import Facts, Look, Preset, silent
from sealrun.domain.presets.pickles import text_after
from sealrun.domain.presets.tables import last_of_csv
from sealrun.domain.presets.tensorboard import has_events
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, bounded
from sealrun.domain.watches.settling import FrameworkStatus

_HPARAMS = "hparams.yaml"
_METRICS = "metrics.csv"
_CHECKPOINT = re.compile(r"checkpoints/(?:.*epoch=[0-9]+-step=[0-9]+(?:-v[0-9]+)?|last(?:-v[0-9]+)?)\.ckpt\Z")
_HEAD_BYTES = 4096
_VERSION = "pytorch-lightning_version"


def _status(look: Look) -> FrameworkStatus | None:
    own = min((path for path in look.files if _CHECKPOINT.match(path)), default=None)
    if _HPARAMS not in look.files:
        return None if own is None else silent("lightning", own)
    some = any(path.startswith("checkpoints/") and path.endswith(".ckpt") for path in look.files)
    if not some and _METRICS not in look.files and has_events(look) is None:
        return None
    return silent("lightning", _HPARAMS)


def _facts(look: Look) -> Facts:
    from sealrun.domain.presets.plain_yaml import read_yaml_parts  # noqa: PLC0415 - only where Lightning was

    params, skipped = read_yaml_parts(look.read(_HPARAMS, MAX_RECORD_BYTES))
    # Lightning writes an empty mapping where there are no parameters.
    facts = look.files.get(_HPARAMS)
    unread = not isinstance(params, dict) and facts is not None and facts.size > len("{}\n")
    notes = [f"{_HPARAMS}: not used, it is too large or not plain YAML"] if unread else []
    notes += [f"{_HPARAMS}: {', '.join(skipped)} not used, no plain values"] if skipped else []
    saved = max(
        (path for path in look.files if path.startswith("checkpoints/") and path.endswith(".ckpt")), default=None
    )
    return Facts(
        version=text_after(look.start(saved, _HEAD_BYTES), _VERSION) if saved is not None else None,
        params=bounded(params),
        metrics=bounded(last_of_csv(look, _METRICS)),
        notes=tuple(notes),
    )


LIGHTNING = Preset(name="lightning", status=_status, facts=_facts)
