"""Putting signatures together: ssh-keygen makes and checks them, the registry holds them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from sealrun.adapters.content.ssh_signing import AllowedSigners, SshKey
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import Opener, find_spec
from sealrun.domain.curation.signing import Signature, SignedRun
from sealrun.domain.registry.pointing import Target
from sealrun.domain.upkeep.damage import Damage, VerifyReport
from sealrun.ports import SignatureChecker
from sealrun.services.access.reading import Reader
from sealrun.services.curation import signing

__all__ = ["AllowedSigners", "Signing", "sign", "with_signers"]


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """What was signed, and with what. `fresh` is false if the very same signature stood there before."""

    target: Target
    signature: Signature
    fresh: bool


def sign(parts: Parts, registry: str | None, ref: str, key: Path) -> Signing:
    """Sign the seal of the run that `ref` names, in a registry that is opened for publishing; see `signing.sign`."""
    signer = SshKey(key)
    clock, entropy = SystemClock(), SystemEntropy()
    with closing(Opener(parts.journal, clock, entropy).for_publishing(find_spec(parts.registries, registry))) as opened:
        reader = Reader(opened.store, clock, entropy)
        target = msgspec.structs.replace(reader.resolve(ref), path=None)
        signature, fresh = signing.sign(reader, clock, entropy, target, signer)
    return Signing(target=target, signature=signature, fresh=fresh)


def with_signers(
    report: VerifyReport, reader: Reader, scope: Target | str | None, checker: SignatureChecker
) -> tuple[VerifyReport, list[SignedRun]]:
    """Add to a report which runs nobody signed who is allowed to: one run, those of an experiment, or with None all.

    Returns those that somebody did, too.
    """
    if isinstance(scope, Target):
        found = [signing.look_for_signer(reader.store, scope, checker)]
    else:
        found = list(signing.look_for_signers(reader, scope, checker))
    missing = tuple(each for each in found if isinstance(each, Damage))
    signed = [each for each in found if isinstance(each, SignedRun)]
    return msgspec.structs.replace(report, damages=report.damages + missing), signed
