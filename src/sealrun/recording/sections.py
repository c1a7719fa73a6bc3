"""Named sections of a run: which folders below ``artifacts/`` there may be. An unknown one is a mistake, refused."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sealrun.domain.errors import UsageError
from sealrun.domain.paths import path_problem

DEFAULT_SECTIONS = ("lab/tidy", "lab/probes", "lab/policy", "lab/audit", "world", "mind")
"""The sections of a run that declares none itself."""


def check_section(section: str, declared: Iterable[str]) -> str:
    """Return `section` if it is one of `declared`, or raise `UsageError` that names them."""
    known = tuple(declared)
    if section not in known:
        msg = f"unknown section {section!r}: this run has {', '.join(known) or 'none'}; declare it with sections=…"
        raise UsageError(msg)
    return section


def checked_sections(sections: Iterable[str]) -> tuple[str, ...]:
    """Return `sections` if each may be a folder below ``artifacts/``, or raise `UsageError`."""
    return tuple(str(inside(Path(), section)) for section in sections)


def inside(folder: Path, path: str | os.PathLike[str]) -> Path:
    """Return `folder` / `path`, or raise `UsageError` if that leaves it or cannot be in a run."""
    text = os.fspath(path)
    problem = path_problem(text) or (text != str(PurePosixPath(text)) and "is written differently from what it means")
    if problem:
        msg = f"{text!r}: {problem}; give a path inside {folder}, such as tidy/table.parquet"
        raise UsageError(msg)
    return folder / text
