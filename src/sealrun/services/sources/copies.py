"""Is a registry's copy of a run good now? Asked before the run's source is deleted, never answered from memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from sealrun.domain.address import Digest, RunId
from sealrun.domain.errors import IntegrityError
from sealrun.domain.records import sha256
from sealrun.domain.reference import RunReference
from sealrun.domain.runs.manifest import Manifest
from sealrun.domain.runs.sealed import Published
from sealrun.services.access.reading import Reader
from sealrun.services.mending.verifying import Verifier


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A registry that was opened for reading. Two names of one registry have one `registry_id`."""

    registry: str
    registry_id: str
    reader: Reader


def verify_copy(
    holder: Holder, published: Published, manifest_sha256: str, advance: Callable[[int], None] | None = None
) -> Manifest:
    """Read every byte of a published run again; return its manifest, which is the one that was sealed.

    `NotFoundError`: the run is retired or not there. `IntegrityError`: its records or bytes are not those that were
    sealed. Storage errors as they come: then nothing is known.
    """
    reader = holder.reader
    target = reader.resolve_reference(RunReference(published.experiment, RunId(published.run_id), None))
    if target.root_sha256 != published.root_sha256:
        msg = f"{published.ref}: has ROOT_SHA256 {target.root_sha256}, published was {published.root_sha256}"
        raise IntegrityError(msg)
    report = Verifier(reader, advance=advance).run(target)
    for damage in report.damages:
        place = published.ref if damage.path is None else f"{published.ref}:{damage.path}"
        msg = f"{place}: {damage.kind}: {damage.detail}"
        raise IntegrityError(msg)
    view = reader.load(target)
    if sha256(view.manifest_json) != manifest_sha256:
        msg = f"{published.ref}: is sealed there with other content than on this machine"
        raise IntegrityError(msg)
    _check_all_was_read(published, report.bytes_read, view.manifest.digests())
    return view.manifest


def _check_all_was_read(published: Published, read: int, digests: Mapping[Digest, int]) -> None:
    """A verifier that skips bytes, for whatever good reason, has verified no copy."""
    if read < sum(digests.values()):
        msg = f"{published.ref}: {read} of {sum(digests.values())} bytes were read again"
        raise IntegrityError(msg)
