"""Run ids of both kinds: ``<utc>__<pipeline>__<git7>`` and ``<utc>-<algo>[-<tag>]-<rand6>``."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

from sealrun.domain.errors import UsageError

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_UTC = "%Y%m%dT%H%M%SZ"
_NO_COMMIT = "0" * 7
_MAX_PART = 48


def pipeline_run_id(started: datetime, pipeline_id: str, commit: str | None, *, distinct: bool = False) -> str:
    """Name a pipeline's run: ``20260117T143052Z__P2-Backfill__a1b2c3d``.

    `commit` is that of the code; seven zeros stand for none. With `distinct` six random digits follow the pipeline: for
    when the plain name is taken by a run of the same second.
    """
    pipeline = _part(pipeline_id, "pipeline id")
    if distinct:
        pipeline = f"{pipeline}-{secrets.token_hex(3)}"
    return f"{started.strftime(_UTC)}__{pipeline}__{(commit or _NO_COMMIT)[:7].lower()}"


def algo_run_id(started: datetime, algo: str, tag: str | None) -> str:
    """Name an experiment's run: ``20260117T143052Z-hmc-chain0-a3f2d1``. Different at every call."""
    parts = [_part(algo, "algo"), *([_part(tag, "tag")] if tag else []), secrets.token_hex(3)]
    return f"{started.strftime(_UTC)}-{'-'.join(parts)}"


def _part(text: str, what: str) -> str:
    part = _NOT_IN_NAMES.sub("-", text).strip("-._")[:_MAX_PART].rstrip("-._")
    if not part:
        msg = f"not a usable {what}: {text!r} (it needs a letter or digit, a-z, A-Z, 0-9)"
        raise UsageError(msg)
    return part
