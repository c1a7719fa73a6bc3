"""The seal that is written into a run's own folder: ``MANIFEST.sha256``, which ``sha256sum -c`` takes as it is.

The first line says that sealrun wrote it, then comes one line for each file of the run but this one. The last one is
``# ROOT_SHA256 <hex>``, the sha256 of the lines above it. No time and no machine is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sealrun.domain.address import Digest
from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import Entry, sum_line
from sealrun.domain.watches.settling import SUMS_MARKER

_HEAD = b"# sealed in place by sealrun\n"
_NAMED = 5


def in_place_seal(entries: Iterable[Entry]) -> bytes:
    """Return the seal of a run with these entries."""
    lines = "".join(sum_line(entry.sha256, entry.path) for entry in entries if entry.path != SUMS_MARKER)
    head = _HEAD + lines.encode("utf-8")
    return head + f"# ROOT_SHA256 {sha256(head)}\n".encode()


def is_in_place_seal(body: bytes | None) -> bool:
    """Tell whether sealrun wrote this file whole: it is a seal, and no word of whoever made the run."""
    if body is None or not body.startswith(_HEAD):
        return False
    head, mark, root = body.rpartition(b"# ROOT_SHA256 ")
    return bool(mark) and root == f"{sha256(head)}\n".encode()


def differences(sealed: Mapping[str, Digest], actual: Mapping[str, Digest]) -> str | None:
    """Name what differs between a seal and the files that are there; None if nothing does."""
    named = [f"{path!r} is gone" for path in sorted(sealed.keys() - actual.keys())]
    named += [f"{path!r} is new" for path in sorted(actual.keys() - sealed.keys())]
    named += [f"{path!r} changed" for path in sorted(sealed.keys() & actual.keys()) if sealed[path] != actual[path]]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{', '.join(named[:_NAMED])}{more}" if named else None
