"""What systemd says of sealrun's unit on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

UNIT = "sealrun.service"
_PATIENCE_S = 10.0
_ASKED = ("LoadState", "UnitFileState", "ActiveState", "User", "FragmentPath", "ExecStart")
Ask = Callable[[Sequence[str]], str | None]


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """An installed unit. `enabled` and `active` are systemd's words; `user` is None for the user's own manager.

    `lingers`: whether a user's unit goes on when the user logs out; None for a system unit. `command`: what it starts.
    """

    scope: Literal["system", "user"]
    enabled: str
    active: str
    user: str | None = None
    file: str = ""
    command: str = ""
    lingers: bool | None = None


def has_systemd(folder: Path = Path("/run/systemd/system")) -> bool:
    """Tell whether systemd runs this machine; see sd_booted(3)."""
    return folder.is_dir() and shutil.which("systemctl") is not None


def read_units(user: str, ask: Ask | None = None, linger: Path = Path("/var/lib/systemd/linger")) -> list[Unit]:
    """Return the units of sealrun that are installed, for the system and for `user`. Nothing is changed."""
    asked = ask or _ask
    found = []
    for scope in ("system", "user"):
        options = ["--user"] if scope == "user" else []
        said = asked(["systemctl", *options, "show", UNIT, "--property", ",".join(_ASKED)])
        told = dict(line.split("=", 1) for line in (said or "").splitlines() if "=" in line)
        if told.get("LoadState", "not-found") == "not-found":
            continue
        of_user = scope == "user"
        unit = Unit(
            scope="user" if of_user else "system",
            enabled=told.get("UnitFileState", ""),
            active=told.get("ActiveState", ""),
            user=None if of_user else told.get("User") or "root",
            file=told.get("FragmentPath", ""),
            command=told.get("ExecStart", ""),
            lingers=(linger / user).exists() if of_user else None,
        )
        found.append(unit)
    return found


def _ask(command: Sequence[str]) -> str | None:
    """Run a command that only asks; None if it cannot be run, fails or hangs."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(  # noqa: S603 - systemctl, with arguments of our own
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
