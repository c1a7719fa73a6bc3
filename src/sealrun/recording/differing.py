"""``git.diff``: uncommitted changes of the code that ran, bounded and without what looks like a secret."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sealrun.recording.masking import MASK, masked_looks, masked_values

DIFF_FILE = "git.diff"
MAX_DIFF_BYTES = 1 << 20
_PATIENCE_S = 10.0
_SECRET_FILES = (
    ".env*",
    "*.env",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.kdbx",
    "id_rsa*",
    "id_ed25519*",
    "id_ecdsa*",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    "*kubeconfig*",
    "*secret*",
    "*credential*",
    "*password*",
    "*token*",
)
"""Files whose changes are left out, by their names."""
_PEM = re.compile(r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)")


class Difference(NamedTuple):
    """What differs from the commit, as ``git apply`` takes it where nothing is masked; whether the end is missing."""

    text: str
    truncated: bool


def capture_diff(folder: Path, environ: Mapping[str, str], limit: int = MAX_DIFF_BYTES) -> Difference | None:
    """Return the changes of tracked files in the checkout around `folder`; None if there are none or git cannot say.

    Files that are named like secrets are left out, and so is what comes after `limit` bytes. No program of the
    repository's settings is run for it.
    """
    excluded = [f":(top,exclude,icase,glob)**/{name}" for name in _SECRET_FILES]
    words = ["diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--", ":/", *excluded]
    try:
        asked = subprocess.Popen(  # noqa: S603 - a fixed question to the user's own git
            ["git", "--no-optional-locks", "-C", str(folder), *words],  # noqa: S607 - wherever the user has it
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
    impatience = threading.Timer(_PATIENCE_S, asked.kill)
    impatience.start()
    try:
        with asked:
            body = b"" if asked.stdout is None else asked.stdout.read(limit + 1)
            if len(body) > limit:
                asked.kill()
    finally:
        impatience.cancel()
    truncated = len(body) > limit
    if not body or (asked.returncode and not truncated):
        return None
    if truncated:
        body = body[: body.rfind(b"\n", 0, limit) + 1]
    text = _PEM.sub(rf"\1{MASK}\2", masked_values(body.decode("utf-8", "replace"), environ))
    return Difference("".join(masked_looks(line) for line in text.splitlines(keepends=True)), truncated)
