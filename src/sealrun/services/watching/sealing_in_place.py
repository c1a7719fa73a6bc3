"""Writing the seal into the run's own folder, before the folder is sealed and published as any other.

Everything is hashed first and the seal comes last, whole: a crash before that leaves a folder that is not sealed, one
after it a folder that is. Then all of it is looked at again: the seal that is published is that of what is published.
"""

from __future__ import annotations

import msgspec

from sealrun.domain.errors import RunChangedError, RunRejectedError
from sealrun.domain.runs.declarations import read_sums
from sealrun.domain.watches.in_place import differences, in_place_seal, is_in_place_seal
from sealrun.domain.watches.settling import SUMS_MARKER
from sealrun.ports import FolderSeals, RunFolder, Survey
from sealrun.services.watching.detecting import fingerprint_of
from sealrun.services.watching.sealing import Sealing

_MAX_SUMS_BYTES = 64 << 20


class SealedInPlace(msgspec.Struct, frozen=True, kw_only=True):
    """How the folder looks now. `altered` names what changed since it was sealed before, if anything did."""

    fingerprint: str
    wrote: bool
    altered: str | None = None


def seal_in_place(folder: RunFolder, sealing: Sealing, seals: FolderSeals) -> SealedInPlace:
    """Write the seal of `sealing`, which hashed `folder`, into it; durable on return, and a repeat writes nothing.

    `RunRejectedError` if the run has a ``MANIFEST.sha256`` of its own that does not name exactly what is there: that is
    for whoever wrote it, and is not written over. `RunChangedError`: settle again. `AccessDeniedError` and
    `UnavailableError` where the folder cannot be written to.
    """
    actual = {entry.path: entry.sha256 for entry in sealing.manifest.entries if entry.path != SUMS_MARKER}
    body = folder.read_small(SUMS_MARKER, _MAX_SUMS_BYTES)
    altered = None
    if not actual:
        msg = f"{folder.path!r}: holds no files but a {SUMS_MARKER}; a run is at least one file"
        raise RunRejectedError(msg)
    if body is not None:
        altered = differences(read_sums(body) or {}, actual)
        if altered is None:
            return SealedInPlace(fingerprint=sealing.fingerprint, wrote=False)
        if not is_in_place_seal(body):
            msg = (
                f"{folder.path!r}: its own {SUMS_MARKER} does not name what is there ({altered}), and is not written "
                f"over; put right what is wrong, or remove it"
            )
            raise RunRejectedError(msg)
    newest = max(facts.mtime_ns for path, facts in sealing.facts.items() if path != SUMS_MARKER)
    seals.write(folder.path, in_place_seal(sealing.manifest.entries), newest)
    return SealedInPlace(fingerprint=_looks_now(folder, sealing), wrote=True, altered=altered)


def _looks_now(folder: RunFolder, sealing: Sealing) -> str:
    """How the folder looks with the seal in it. Nothing else may have changed since it was hashed."""
    tree = folder.scan()
    others = {path: facts for path, facts in tree.files.items() if path != SUMS_MARKER}
    if others != {path: facts for path, facts in sealing.facts.items() if path != SUMS_MARKER}:
        msg = f"{folder.path!r}: changed while it was sealed in place; settle again"
        raise RunChangedError(msg)
    return fingerprint_of(Survey(tree, None))
