"""Signing and checking by ``ssh-keygen``: private keys stay with it, or with the agent; sealrun never reads one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sealrun.domain.curation.signing import NAMESPACE, Checked
from sealrun.domain.errors import ConfigurationError, UsageError

_TOO_OLD = ("unknown option", "illegal option", "Unsupported operation")
_INSTALL = "install OpenSSH 8.2 or newer (the package is openssh-client, or openssh)"


class SshKey:
    """Signs with one OpenSSH key: FILE holds it, or its public half while the agent holds the private one."""

    def __init__(self, file: Path) -> None:
        """Look whether there is such a file, and the program. `UsageError`, or `ConfigurationError`."""
        self._program = _program()
        self._file = file.absolute()
        _refuse_unreadable(self._file)

    def sign(self, text: bytes) -> bytes:
        """Return a signature over `text`. A passphrase is asked for by ssh-keygen, on the terminal or by askpass.

        `UsageError` with what ssh-keygen says if it cannot sign.
        """
        arguments = ["-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(self._file)]
        done = _run(self._program, arguments, text)
        if done.returncode or not done.stdout:
            said = _said(done) or "the agent or the key refused"
            msg = f"{self._file}: ssh-keygen cannot sign with it ({said}); unlock it, or add it to the agent: ssh-add"
            raise UsageError(msg)
        return done.stdout


class AllowedSigners:
    """Checks signatures against a file of allowed signers; see ALLOWED SIGNERS in ssh-keygen(1)."""

    def __init__(self, file: Path, identity: str | None = None) -> None:
        """Accept who is in `file`, or only `identity`. `UsageError`, or `ConfigurationError` without the program."""
        self._program = _program()
        self._file = file.absolute()
        self._identity = identity
        _refuse_unreadable(self._file)

    def check(self, text: bytes, signature: bytes) -> Checked:
        """Tell who of the allowed signers made `signature` over `text`; nobody did if its time is over by our clock."""
        with tempfile.TemporaryDirectory(prefix="sealrun-signature-") as room:
            stored = Path(room) / "signature"
            stored.write_bytes(signature)
            if self._identity is not None:
                return self._verify(text, stored, self._identity)
            arguments = ["-Y", "find-principals", "-s", str(stored), "-f", str(self._file)]
            done = _run(self._program, arguments, b"")
            if done.returncode:
                return Checked(None, _said(done) or f"its key is not in {self._file}")
            found = done.stdout.decode("utf-8", "replace").replace(",", "\n").split("\n")
            checked = Checked(None, f"its key is not in {self._file}")
            for identity in (each.strip() for each in found if each.strip() and not each.startswith("!")):
                checked = self._verify(text, stored, identity)
                if checked.identity is not None:
                    break
            return checked

    def _verify(self, text: bytes, stored: Path, identity: str) -> Checked:
        arguments = ["-Y", "verify", "-n", NAMESPACE, "-f", str(self._file), "-I", identity, "-s", str(stored)]
        done = _run(self._program, arguments, text)
        if done.returncode == 0:
            return Checked(identity)
        return Checked(None, _said(done) or f"{self._file} has no such key for {identity}")


def _program() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        msg = f"ssh-keygen, which makes and checks signatures, is not installed: {_INSTALL}"
        raise ConfigurationError(msg)
    return found


def _refuse_unreadable(file: Path) -> None:
    """Refuse a file that is not there or may not be read, without reading it."""
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        msg = f"{file}: cannot be read ({error.strerror})"
        raise UsageError(msg) from error


def _run(program: str, arguments: Sequence[str], text: bytes) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([program, *arguments], input=text, capture_output=True, check=False)  # noqa: S603 - no shell
    if done.returncode and any(word in done.stderr.decode("utf-8", "replace") for word in _TOO_OLD):
        msg = f"{program} is too old to make and check signatures: {_INSTALL}"
        raise ConfigurationError(msg)
    return done


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what it complained about, on one line; that no line of a file matched says less than why."""
    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return "; ".join(line for line in lines if line != "No principal matched.")
