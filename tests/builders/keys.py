"""Keys of people who sign, made by ssh-keygen, and files that say who may."""

from __future__ import annotations

import subprocess
from pathlib import Path


def a_key(folder: Path, name: str, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair; return the private key's file. The public key is beside it."""
    file = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", str(file)], check=True, capture_output=True
    )
    return file


def public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text().strip()


def allowed(file: Path, *lines: tuple[str, Path] | tuple[str, Path, str]) -> Path:
    """Write a file of allowed signers: identities with their key, and what it is limited to."""
    file.write_text("".join(f"{who} {' '.join([*limits, public(key)])}\n" for who, key, *limits in lines))
    return file


def signed_by_hand(key: Path, text: bytes, namespace: str = "sealrun") -> bytes:
    """Sign with ssh-keygen itself."""
    arguments = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key)]
    return subprocess.run(arguments, input=text, check=True, capture_output=True).stdout


def fingerprint(key: Path) -> str:
    """What ``ssh-keygen -l`` prints."""
    done = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, capture_output=True)
    return done.stdout.decode().split()[1]
