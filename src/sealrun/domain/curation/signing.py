"""Signatures over a run's seal: the text that is signed, where signatures lie, and what a signature says of itself.

A signature is a file as ``ssh-keygen -Y sign`` writes it (OpenSSH's PROTOCOL.sshsig), stored as it is. Its key holds
the digest of its bytes, so any number of signers, and signatures, stand side by side. Who signed is decided by whoever
checks it, with a file of allowed signers: a signature itself names nobody, only a key.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from sealrun.domain.address import Key, experiment_prefix
from sealrun.domain.errors import IntegrityError
from sealrun.domain.records import sha256
from sealrun.domain.registry.pointing import Target

NAMESPACE = "sealrun"
"""What ``ssh-keygen -n`` is told: a signature made for something else, such as a commit, is none over a seal."""
SUFFIX = ".sig"
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_WORD = 4


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One stored signature, unverified: what it says of itself. `problem` says why nothing could be read from it."""

    key: Key
    body: bytes
    key_type: str = ""
    fingerprint: str = ""
    namespace: str = ""
    problem: str | None = None

    @property
    def maker(self) -> str:
        """The key that it says it was made with, as ``ssh-keygen -l`` names it."""
        return self.key.rpartition("/")[2] if self.problem else f"{self.key_type} {self.fingerprint}"


class Checked(msgspec.Struct, frozen=True):
    """What came of checking a signature: the identity of an allowed signer who made it, or None and why not."""

    identity: str | None
    reason: str = ""


class SignedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with a good signature: by whom, and with which key."""

    ref: str
    root_sha256: str
    identity: str
    fingerprint: str


def signed_text(target: Target) -> bytes:
    """Return what is signed for a run. It never changes: verifying makes it anew, and so does ``printf``."""
    text = f"sealrun seal 1\nrun {target.experiment}/{target.run_id}\nroot_sha256 {target.root_sha256}\n"
    return text.encode("ascii")


def signatures_prefix(experiment: str, run_id: str) -> str:
    """All signatures of one run. They lie beside its pins: its run folder holds what is sealed, and nothing else."""
    return f"{experiment_prefix(experiment)}signatures/{run_id}/"


def signature_key(experiment: str, run_id: str, body: bytes) -> Key:
    """Key of a signature with these bytes; write-once."""
    return Key(f"{signatures_prefix(experiment, run_id)}{sha256(body)}{SUFFIX}")


def read_signature(key: Key, body: bytes) -> Signature:
    """Return what a stored signature says of itself; one that is damaged has a `problem`."""
    if not key.endswith(f"/{sha256(body)}{SUFFIX}"):
        return Signature(key=key, body=body, problem="was changed since it was stored: its bytes have another digest")
    try:
        key_type, fingerprint, namespace = parse_signature(body, key)
    except IntegrityError as error:
        return Signature(key=key, body=body, problem=str(error))
    return Signature(key=key, body=body, key_type=key_type, fingerprint=fingerprint, namespace=namespace)


def parse_signature(body: bytes, where: str) -> tuple[str, str, str]:
    """Return the type and the fingerprint of a signature's key, and its namespace.

    `IntegrityError` that names `where` if it is no SSH signature. Nothing is verified.
    """
    try:
        public_key, rest = _string(_blob(body))
        namespace, _ = _string(rest)
        key_type, _ = _string(public_key)
        said = key_type.decode("ascii"), namespace.decode("utf-8")
    except ValueError as error:
        msg = f"{where}: is not a signature as ssh-keygen -Y sign writes it ({error})"
        raise IntegrityError(msg) from error
    digest = base64.b64encode(hashlib.sha256(public_key).digest()).decode().rstrip("=")
    return said[0], f"SHA256:{digest}", said[1]


def _blob(body: bytes) -> bytes:
    """Return what follows the magic words and the version of a signature."""
    text = body.strip()
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        msg = "its first and last line are missing"
        raise ValueError(msg)
    blob = base64.b64decode(b"".join(text[len(_BEGIN) : -len(_END)].split()), validate=True)
    if blob[: len(_MAGIC)] != _MAGIC:
        msg = "it is of something else"
        raise ValueError(msg)
    return blob[len(_MAGIC) + _WORD :]


def _string(blob: bytes) -> tuple[bytes, bytes]:
    """Split a string off an SSH blob: a length of four bytes, and so many bytes."""
    size = int.from_bytes(blob[:_WORD], "big")
    if len(blob) < _WORD + size or len(blob) < _WORD:
        msg = "it is cut short"
        raise ValueError(msg)
    return blob[_WORD : _WORD + size], blob[_WORD + size :]
