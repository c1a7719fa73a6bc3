"""Signatures on a directory and on a server: kept beside the run, checked against its seal, left by collections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.builders.keys import a_key, allowed, fingerprint, signed_by_hand
from tests.builders.libraries import Library
from tests.conformance.libraries import KINDS, a_library

from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.products.signing import AllowedSigners, Signing, sign, with_signers
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.curation.signing import SignedRun, signature_key, signed_text
from sealrun.domain.errors import NotFoundError
from sealrun.domain.upkeep.damage import VerifyReport
from sealrun.ports import Creation, Store
from sealrun.services.curation.signing import signatures_of

Answer = tuple[list[str], list[tuple[str, str]]]


class Shelf:
    """A registry, keys, and who may sign what is in it."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.ada, self.bob, self.eve = (a_key(library.room, name) for name in ("ada", "bob", "eve"))
        self.signers = allowed(library.room / "signers", ("ada@x", self.ada), ("bob@x", self.bob))
        self._made = 0

    @contextmanager
    def parts(self) -> Iterator[Parts]:
        spec = RegistrySpec(name="main", url=self.library.url, storage_options=self.library.storage_options)
        with Parts(self.library.room / "reading", {"main": spec}, ()) as parts:
            yield parts

    @contextmanager
    def store(self) -> Iterator[Store]:
        with self.parts() as parts:
            yield parts.consumer().reader.store

    def publish(self, experiment: str = "train") -> str:
        self._made += 1
        finished = {"finished_at": f"2026-01-17T14:30:{self._made:02}Z"}
        return self.library.publish({"a.txt": str(self._made), "run.json": json.dumps(finished)}, experiment)

    def sign(self, ref: str, key: Path) -> Signing:
        with self.parts() as parts:
            return sign(parts, None, ref, key)

    def verify(self, ref: str | None = None, experiment: str | None = None, signer: str | None = None) -> Answer:
        """Return who signed, and of which run what is wrong."""
        with self.parts() as parts:
            consumer, checker = parts.consumer(), AllowedSigners(self.signers, signer)
            target = None if ref is None else consumer.reader.resolve(ref)
            report = consumer.verify(target, experiment=experiment)
            found: tuple[VerifyReport, list[SignedRun]] = with_signers(
                report, consumer.reader, target or experiment, checker
            )
        return (
            sorted(f"{each.ref} {each.identity} {each.fingerprint}" for each in found[1]),
            [(damage.ref, f"{damage.kind}: {damage.detail}") for damage in found[0].damages],
        )

    def put(self, ref: str, body: bytes) -> None:
        """Store a signature by hand, as anybody could who may write."""
        experiment, _, run_id = ref.partition("/")
        with self.store() as store:
            assert store.create(signature_key(experiment, run_id, body), body) is Creation.CREATED

    def text(self, ref: str) -> bytes:
        with self.parts() as parts:
            return signed_text(parts.consumer().reader.resolve(ref))


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return Shelf(a_library(request.param, tmp_path))


def test_several_sign_one_run_and_each_may_be_asked_for(shelf: Shelf) -> None:
    ref = shelf.publish()
    unsigned = shelf.verify(ref)
    assert unsigned[0] == []
    assert [why.startswith("signature: is not signed; sign it with") for _, why in unsigned[1]] == [True]

    first, again, second = shelf.sign(ref, shelf.ada), shelf.sign(ref, shelf.ada), shelf.sign("train@latest", shelf.bob)

    assert (first.fresh, again.fresh, second.fresh) == (True, False, True)
    assert again.signature == first.signature
    for signer, key in (("ada@x", shelf.ada), ("bob@x", shelf.bob)):
        assert shelf.verify(ref, signer=signer) == ([f"{ref} {signer} {fingerprint(key)}"], [])
    assert shelf.verify(ref, signer="eve@x")[0] == []
    with shelf.store() as store:
        stored = signatures_of(store, first.target)
    assert {each.fingerprint for each in stored} == {fingerprint(shelf.ada), fingerprint(shelf.bob)}


def test_a_signature_by_another_key_of_another_run_or_for_something_else_does_not_count(shelf: Shelf) -> None:
    ref, other = shelf.publish(), shelf.publish()
    shelf.sign(ref, shelf.eve)
    shelf.put(ref, signed_by_hand(shelf.ada, shelf.text(other)))
    shelf.put(ref, signed_by_hand(shelf.ada, shelf.text(ref), "git"))
    shelf.put(ref, b"rubbish\n")

    signed, [(damaged, why)] = shelf.verify(ref)

    assert (signed, damaged) == ([], ref)
    for reason in ("its key is not in", "incorrect signature", "namespace does not match", "is not a signature"):
        assert reason in why
    shelf.sign(ref, shelf.bob)
    assert shelf.verify(ref)[1] == []


def test_of_an_experiment_and_of_everything_each_run_that_is_not_signed_is_named(shelf: Shelf) -> None:
    first, second, elsewhere = shelf.publish(), shelf.publish(), shelf.publish("other")
    shelf.sign(first, shelf.ada)
    shelf.sign(elsewhere, shelf.bob)

    signed, wrong = shelf.verify(experiment="train")
    assert [line.split()[0] for line in signed] == [first]
    assert [ref for ref, _ in wrong] == [second]
    signed, wrong = shelf.verify()
    assert {line.split()[0] for line in signed} == {first, elsewhere}
    assert [ref for ref, _ in wrong] == [second]


def test_a_collection_leaves_signatures_of_runs_that_stand_and_those_of_others_do_no_harm(shelf: Shelf) -> None:
    gone, kept = shelf.publish(), shelf.publish()
    old = shelf.sign(gone, shelf.ada)
    shelf.sign(kept, shelf.ada)

    shelf.library.forget(gone)

    assert shelf.verify() == ([f"{kept} ada@x {fingerprint(shelf.ada)}"], [])
    with shelf.store() as store:
        assert [each.key for each in signatures_of(store, old.target)] == [old.signature.key]
    with pytest.raises(NotFoundError, match="was retired from"):
        shelf.sign(gone, shelf.bob)


def test_signing_a_run_that_never_was_is_refused(shelf: Shelf) -> None:
    shelf.publish()
    with pytest.raises(NotFoundError, match="no sealed run train/none"):
        shelf.sign("train/none", shelf.ada)


def test_a_run_that_was_brought_back_is_signed_as_it_was(shelf: Shelf) -> None:
    ref, newer = shelf.publish(), shelf.publish()
    shelf.sign(ref, shelf.ada)
    shelf.sign(newer, shelf.bob)
    with shelf.parts() as parts:
        keeper = parts.keeper()
        keeper.retire(keeper.plan_runs([ref], "a test"))
    assert shelf.verify() == ([f"{newer} bob@x {fingerprint(shelf.bob)}"], [])
    with shelf.parts() as parts:
        keeper = parts.keeper()
        keeper.undo(keeper.plan_undo(ref))
    assert shelf.verify(ref) == ([f"{ref} ada@x {fingerprint(shelf.ada)}"], [])
