"""A run that was sealed locally and waits to be published: the exact bytes of its records, and where its files are."""

from __future__ import annotations

import msgspec

from sealrun.domain.pieces import Body
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, Manifest, Sums
from sealrun.domain.runs.run import Envelope


class SealedRun(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What sealing made of a folder. Kept in the journal, so that every retry writes the same bytes.

    `folder` is the absolute path of the run's folder on this machine, or of the one file of a file unit. `content` is
    what `manifest_json` says, for whoever just wrote it and need not read it again; it is no part of the value.
    """

    folder: str
    run_json: bytes
    manifest_json: Body
    content: Manifest | None = None

    def __eq__(self, other: object) -> bool:
        """Compare the exact bytes."""
        if not isinstance(other, SealedRun):
            return NotImplemented
        return self._bytes() == other._bytes()

    def __hash__(self) -> int:
        return hash(self._bytes())

    def _bytes(self) -> tuple[str, bytes, Body]:
        return self.folder, self.run_json, self.manifest_json

    def to_travel(self) -> SealedRun:
        """Return the same run without what can be read from its bytes."""
        return msgspec.structs.replace(self, content=None)

    def envelope(self) -> Envelope:
        """Decode ``run.json``."""
        return Envelope.decode(self.run_json, RUN_FILE)

    def manifest(self) -> Manifest:
        """Decode ``manifest.json``, unless that was done."""
        return self.content or Manifest.read(self.manifest_json, MANIFEST_FILE)

    def sums(self) -> Sums:
        """Compute MANIFEST.sha256 and ROOT_SHA256."""
        return Sums.build(self.run_json, self.manifest_json, self.manifest())


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it stands in one registry; with `retired` it was taken out there, and was not published again."""

    experiment: str
    run_id: str
    attempt: str
    root_sha256: str
    new: bool
    uploaded_objects: int = 0
    uploaded_bytes: int = 0
    reused_objects: int = 0
    retired: bool = False

    @property
    def ref(self) -> str:
        """The reference that names the run."""
        return f"{self.experiment}/{self.run_id}"
