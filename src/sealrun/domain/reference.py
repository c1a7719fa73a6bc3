"""The one grammar for naming runs, artifacts and files: on the command line, in Python and in URLs.

::

    EXPERIMENT/RUN_ID                 one run
    EXPERIMENT@POINTER                where a pointer stands
    NAME                              the newest artifact published under a name
    urn:sealrun:TYPE:sha256:HEX       an artifact by content
    any of them :PATH                 one file inside
"""

from __future__ import annotations

import msgspec

from sealrun.domain.address import RunId, parse_artifact_name, parse_name
from sealrun.domain.errors import UsageError
from sealrun.domain.paths import path_problem
from sealrun.domain.urn import Urn, parse_urn


class RunReference(msgspec.Struct, frozen=True):
    """One run by its id."""

    experiment: str
    run_id: RunId
    path: str | None = None


class PointerReference(msgspec.Struct, frozen=True):
    """The run a pointer stands on."""

    experiment: str
    pointer: str
    path: str | None = None


class NameReference(msgspec.Struct, frozen=True):
    """The newest artifact published under a name."""

    name: str
    path: str | None = None


class UrnReference(msgspec.Struct, frozen=True):
    """An artifact by its content."""

    urn: Urn
    path: str | None = None


Reference = RunReference | PointerReference | NameReference | UrnReference
_URN_COLONS = 4


def parse_reference(text: str) -> Reference:
    """Read a reference, or raise `UsageError` that shows the grammar."""
    base, path = _split_path(text)
    if path is not None and (problem := path_problem(path)):
        msg = f"{text!r}: {problem}"
        raise UsageError(msg)
    if base.startswith("urn:"):
        return UrnReference(parse_urn(base), path)
    if "@" in base:
        experiment, _, pointer = base.partition("@")
        return PointerReference(parse_name(experiment, "experiment"), parse_name(pointer, "pointer"), path)
    if "/" in base:
        experiment, _, run_id = base.partition("/")
        return RunReference(parse_name(experiment, "experiment"), RunId(parse_name(run_id, "run id")), path)
    if not base:
        msg = f"empty reference: {text!r} (EXPERIMENT/RUN_ID, EXPERIMENT@POINTER, NAME or urn:sealrun:TYPE:sha256:HEX)"
        raise UsageError(msg)
    return NameReference(parse_artifact_name(base), path)


def _split_path(text: str) -> tuple[str, str | None]:
    if text.startswith("urn:"):
        parts = text.split(":", _URN_COLONS + 1)
        path = parts[_URN_COLONS + 1] if len(parts) > _URN_COLONS + 1 else None
        return ":".join(parts[: _URN_COLONS + 1]), path
    base, colon, path = text.partition(":")
    return base, path if colon else None
