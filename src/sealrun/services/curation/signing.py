"""Sign the seals of runs, and tell which runs have a signature by somebody who is allowed to sign."""

from __future__ import annotations

from collections.abc import Iterator

from sealrun.domain.address import runs_prefix
from sealrun.domain.curation.signing import (
    NAMESPACE,
    Signature,
    SignedRun,
    parse_signature,
    read_signature,
    signature_key,
    signatures_prefix,
    signed_text,
)
from sealrun.domain.errors import ConflictError, IntegrityError, UsageError
from sealrun.domain.registry.pointing import Target
from sealrun.domain.upkeep.damage import Damage
from sealrun.ports import Clock, Entropy, SignatureChecker, Signer, Store
from sealrun.services.access.reading import Reader, no_such_run
from sealrun.services.mending.comparing import live_attempts
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import find_standing
from sealrun.services.threads.fanning import fan_through

_AT_ONCE = 8


def signatures_of(store: Store, target: Target) -> list[Signature]:
    """Every signature of a run, by key, unverified."""
    listed = [found.key for found in store.list(signatures_prefix(target.experiment, target.run_id))]
    return [read_signature(key, store.read(key)) for key in listed]


def sign(reader: Reader, clock: Clock, entropy: Entropy, target: Target, signer: Signer) -> tuple[Signature, bool]:
    """Sign the seal of a run; return the signature, and whether it is new. Durable on return.

    The run's records are checked against its seal first; its bytes are not read. Repeating is harmless: most keys sign
    the same text by the same bytes, the others add a signature. `NotFoundError` if the run is not there, or was
    retired; a run that is retired meanwhile leaves a signature that does no harm.
    """
    store = reader.store
    standing = find_standing(store, target.experiment, target.run_id)
    if standing is None:
        raise no_such_run(store, target.experiment, target.run_id)
    ref = f"{target.experiment}/{target.run_id}"
    if standing.root_sha256 != target.root_sha256:
        msg = f"{ref}: attempt {target.attempt} says another ROOT_SHA256; find the extent with: sealrun verify {ref}"
        raise IntegrityError(msg)
    reader.load_files(target)
    body = signer.sign(signed_text(target))
    key = signature_key(target.experiment, target.run_id, body)
    _, _, namespace = parse_signature(body, ref)
    if namespace != NAMESPACE:
        msg = f"{ref}: was signed for {namespace!r}, where {NAMESPACE!r} was asked for; nothing was stored"
        raise IntegrityError(msg)
    stands, fresh = Certainty(store, clock, entropy).create_first(key, body)
    if stands != body:
        msg = f"{key}: holds other bytes, which nobody trusts: ask who changed it; sign with another key meanwhile"
        raise ConflictError(msg)
    return read_signature(key, body), fresh


def look_for_signer(store: Store, target: Target, checker: SignatureChecker) -> SignedRun | Damage:
    """Return who of the allowed signers signed this very ROOT_SHA256, or why that can be said of nobody."""
    ref = f"{target.experiment}/{target.run_id}"
    text = signed_text(target)
    reasons: list[str] = []
    for signature in signatures_of(store, target):
        if signature.problem is None:
            checked = checker.check(text, signature.body)
            if checked.identity is not None:
                return SignedRun(
                    ref=ref,
                    root_sha256=target.root_sha256,
                    identity=checked.identity,
                    fingerprint=signature.fingerprint,
                )
            reasons.append(f"{signature.maker}: {checked.reason}")
        else:
            reasons.append(f"{signature.maker}: {signature.problem}")
    detail = f"is not signed; sign it with: sealrun sign {ref} --key FILE"
    if reasons:
        detail = f"is signed by nobody who is allowed to ({'; '.join(reasons)})"
    return Damage(ref=ref, kind="signature", detail=detail, attempt=target.attempt)


def look_for_signers(reader: Reader, experiment: str | None, checker: SignatureChecker) -> Iterator[SignedRun | Damage]:
    """Do so for every run that stands, of one experiment or of all. What is damaged otherwise is not told here."""
    store = reader.store

    def look(run: tuple[str, str]) -> list[SignedRun | Damage]:
        try:
            targets = live_attempts(store, *run)
        except (IntegrityError, UsageError):
            return []  # verifying the seals reports it
        by_root = {target.root_sha256: target for target in targets}
        return [look_for_signer(store, target, checker) for target in by_root.values()]

    names = reader.experiments() if experiment is None else [experiment]
    runs = ((name, run_id) for name in names for run_id in store.list_folders(runs_prefix(name)))
    for found in fan_through(look, runs, min(_AT_ONCE, store.capabilities.parallel)):
        yield from found
