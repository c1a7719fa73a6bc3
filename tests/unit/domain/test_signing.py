"""The text that is signed, the keys of signatures, and what is read from one without verifying it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from tests.builders.keys import a_key, fingerprint, signed_by_hand

from sealrun.domain.address import AttemptId, Digest, RunId
from sealrun.domain.curation.signing import parse_signature, read_signature, signature_key, signed_text
from sealrun.domain.errors import IntegrityError
from sealrun.domain.registry.pointing import Target

TARGET = Target(
    experiment="training",
    run_id=RunId("run-1"),
    attempt=AttemptId("20260117T143052Z-0123456789abcdef"),
    root_sha256=Digest("ab" * 32),
    finished_at="2026-01-17T14:30:52Z",
)


def test_the_signed_text_is_what_the_format_says_to_the_byte() -> None:
    assert signed_text(TARGET) == b"sealrun seal 1\nrun training/run-1\nroot_sha256 " + b"ab" * 32 + b"\n"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_signature_says_its_key_and_its_namespace_as_ssh_keygen_does(tmp_path: Path, kind: str) -> None:
    key = a_key(tmp_path, "key", kind)
    key_type, printed, namespace = parse_signature(signed_by_hand(key, b"text\n", "elsewhere"), "here")
    assert key_type == (tmp_path / "key.pub").read_text().split()[0]
    assert (printed, namespace) == (fingerprint(key), "elsewhere")


def _armored(blob: bytes) -> bytes:
    return b"-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(blob) + b"\n-----END SSH SIGNATURE-----\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"-----BEGIN SSH SIGNATURE-----",
        b"-----BEGIN SSH SIGNATURE-----\n?\n-----END SSH SIGNATURE-----\n",
        _armored(b"SSHSIF\0\0\0\1"),
        _armored(b"SSHSIG\0\0\0\1"),
        _armored(b"SSHSIG\0\0\0\1\0\0\0\5abc"),
        _armored(b"SSHSIG\0\0\0\1\0\0\0\2ab\0\0\0\1n"),
        _armored(b"SSHSIG\0\0\0\1\0\0\0\5\0\0\0\1\xff\0\0\0\1n"),
        _armored(b"SSHSIG\0\0\0\1\xff\xff\xff\xff"),
    ],
)
def test_what_is_no_signature_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(IntegrityError, match="here: is not a signature as ssh-keygen"):
        parse_signature(body, "here")
    stored = read_signature(signature_key("training", "run-1", body), body)
    assert "is not a signature" in (stored.problem or "")


def test_a_signature_that_was_changed_where_it_lies_is_noticed(tmp_path: Path) -> None:
    body = signed_by_hand(a_key(tmp_path, "key"), b"text\n")
    key = signature_key("training", "run-1", body)
    assert key.startswith("experiments/training/signatures/run-1/")
    assert read_signature(key, body).problem is None
    changed = read_signature(key, body + b"\n")
    assert "was changed since" in (changed.problem or "")
    assert changed.maker == key.rpartition("/")[2]
