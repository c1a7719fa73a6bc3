"""What a run records of where it ran: machine, user, code, interpreter, arguments. Nothing here may fail a run."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path

from sealrun.domain.records import JsonObject
from sealrun.recording.masking import masked_arguments, masked_text
from sealrun.recording.triggers import user_name

_PATIENCE_S = 10.0
_GIT = "git"


def capture_machine(environ: Mapping[str, str]) -> JsonObject:
    """Host, user, process, system and interpreter."""
    return {
        "host": os.uname().nodename,
        "user": user_name(environ),
        "process": os.getpid(),
        "folder": str(Path.cwd()),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }


def capture_arguments(environ: Mapping[str, str]) -> list[str]:
    """Return the whole command line of this process, without secrets."""
    arguments = [sys.executable, *sys.argv]
    with contextlib.suppress(OSError):  # no process table here
        whole = Path("/proc/self/cmdline").read_bytes()
        arguments = [part.decode("utf-8", "replace") for part in whole.removesuffix(b"\0").split(b"\0")]
    return masked_arguments(arguments, environ)


def capture_versions() -> dict[str, str]:
    """Versions of the libraries that are loaded now, as they give them themselves."""
    found: dict[str, str] = {}
    for name, module in sorted(sys.modules.items(), key=itemgetter(0)):
        if "." not in name and not name.startswith("_") and name not in sys.stdlib_module_names:
            # Past whatever the module does when it is asked: one that is loaded lazily would be loaded by the question.
            with contextlib.suppress(AttributeError):
                version = object.__getattribute__(module, "__dict__").get("__version__")
                if isinstance(version, str):
                    found[name] = version
    return found


def capture_git(folder: Path, environ: Mapping[str, str]) -> JsonObject | None:
    """Commit, branch, remote and whether there are uncommitted changes of the checkout around `folder`; None for none.

    CI systems that check out without a repository say the commit in a variable.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        names = ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILD_SOURCEVERSION", "BUILDKITE_COMMIT", "CIRCLE_SHA1")
        given = next((environ[name] for name in names if environ.get(name)), None)
        return None if given is None else {"commit": given}
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    remote = _git(folder, "config", "--get", "remote.origin.url")
    said: JsonObject = {
        "commit": commit,
        "branch": _git(folder, "symbolic-ref", "--short", "-q", "HEAD") or None,
        "dirty": None if status is None else bool(status),
        "remote": masked_text(remote, environ) if remote else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _git(folder: Path, *arguments: str) -> str | None:
    """Ask git; None if there is no git, no repository or no answer in time."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed questions to the user's own git
            [_GIT, "--no-optional-locks", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
