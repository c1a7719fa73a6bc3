"""The service manager of this machine, and the files it reads."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sealrun.domain.errors import SealrunError, UsageError

_BOOTED = "/run/systemd/system"
"""There exactly if systemd runs this machine: sd_booted(3)."""
_SHOWN = ("ActiveState", "SubState", "Result", "StatusText", "NRestarts", "UnitFileState", "MainPID")
_TIMEOUT_S = 120.0


class ServiceManagerError(SealrunError):
    """What was asked of the service manager failed. The message is its own."""


def packaged_unit(name: str) -> str:
    """Return a file of the package: the same as in ``deploy/systemd``."""
    return (Path(__file__).parent / "units" / name).read_text(encoding="utf-8")


def require_systemd(booted: str = _BOOTED) -> None:
    """`UsageError` unless systemd runs this machine."""
    if not os.path.isdir(booted) or shutil.which("systemctl") is None:  # noqa: PTH112 - a path of the kernel's
        msg = (
            "this machine is not run by systemd: start `sealrun daemon` by what runs services here, or take what is "
            "complete from cron with: sealrun scan --once"
        )
        raise UsageError(msg)


def run(command: Sequence[str]) -> str:
    """Run a command of systemd's and return what it printed; `ServiceManagerError` says what it complained about."""
    try:
        done = subprocess.run(  # noqa: S603 - one of a few commands, no shell
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceManagerError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise ServiceManagerError(f"{' '.join(command)}: ended with {done.returncode}: {said}")
    return done.stdout


def unit_state(name: str, *, user: bool) -> Mapping[str, str]:
    """Return what the manager says of a unit now; empty where nobody can be asked."""
    command = ["systemctl", *(["--user"] if user else []), "show", name, *(f"--property={each}" for each in _SHOWN)]
    try:
        said = run(command)
    except ServiceManagerError:
        return {}
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def read_file(path: str) -> str | None:
    """Return a file's text, or None if there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServiceManagerError(f"{path}: cannot be read: {error.strerror}") from error


def write_file(path: str, body: str) -> None:
    """Write a file whole or not at all, readable by everybody; folders on the way are made."""
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.new")
        beside.write_text(body, encoding="utf-8", errors="surrogateescape")
        beside.chmod(0o644)
        beside.replace(target)
    except OSError as error:
        raise ServiceManagerError(f"{path}: cannot be written: {error.strerror}; for --system be root") from error


def remove_file(path: str) -> None:
    """Remove a file, and its folder if that is a unit's own and empty now. Harmless twice."""
    target = Path(path)
    try:
        target.unlink(missing_ok=True)
        if target.parent.name.endswith(".service.d") and not any(target.parent.iterdir()):
            target.parent.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ServiceManagerError(f"{path}: cannot be removed: {error.strerror}; for --system be root") from error


def make_folder_for(path: str, user: str) -> bool:
    """Make a folder that belongs to `user` if there is none; tell whether it was made. Folders above stay root's."""
    if Path(path).exists():
        return False
    try:
        Path(path).mkdir(parents=True, mode=0o755)
        shutil.chown(path, user, user)
    except (OSError, LookupError) as error:
        raise ServiceManagerError(f"{path}: cannot be made for the user {user}: {error}") from error
    return True
