"""What surrounds the daemon, as ``sealrun doctor`` looks at it: its unit, its page, its secrets, and other journals."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shlex
import socket
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sealrun.adapters.journal.opening import JOURNAL_FILE
from sealrun.adapters.machine.installed_units import Unit
from sealrun.bootstrap.doctor.findings import Finding
from sealrun.domain.errors import ConfigurationError
from sealrun.settings.expanding import mask
from sealrun.settings.http import HttpSettings, Place

_SERVICE_STATE = Path("/var/lib/sealrun")
_SOURCES = ("env", "file", "credential")
_PATIENCE_S = 5.0


def judge_units(units: Sequence[Unit], *, systemd: bool) -> Iterator[Finding]:
    """Say whether a unit starts the daemon when the machine does."""
    if not systemd:
        do = "let your supervisor start `sealrun daemon`, or cron `sealrun scan --once`"
        yield Finding(level="note", what="unit", detail="systemd does not run here", do=do)
        return
    if not units:
        do = "sealrun service install --system (as root), or sealrun service install --user"
        detail = "no unit is installed: nothing starts the daemon when the machine starts"
        yield Finding(level="note", what="unit", detail=detail, do=do)
    for unit in units:
        yield from _judge_unit(unit)


def _judge_unit(unit: Unit) -> Iterator[Finding]:
    what = f"unit ({unit.scope})"
    control = "systemctl --user" if unit.scope == "user" else "systemctl"
    problems = []
    if unit.enabled not in {"enabled", "enabled-runtime", "static", "generated", "linked"}:
        detail = f"is not enabled ({unit.enabled or 'unknown'}): it does not start with the machine"
        problems.append(("warning", detail, f"{control} enable sealrun"))
    if unit.active == "failed":
        do = f"see why: {'journalctl --user' if unit.scope == 'user' else 'journalctl'} -u sealrun -n 50"
        problems.append(("error", "has failed", f"{do}; then: {control} reset-failed sealrun, {control} start sealrun"))
    elif unit.active not in {"active", "activating", "reloading"}:
        problems.append(("warning", f"does not run ({unit.active or 'unknown'})", f"{control} start sealrun"))
    if unit.lingers is False:
        problems.append(("warning", "ends when its user logs out", "loginctl enable-linger"))
    for level, detail, do in problems:
        yield Finding(level="error" if level == "error" else "warning", what=what, detail=detail, do=do)
    if not problems:
        yield Finding(level="ok", what=what, detail=f"{unit.file}: {unit.enabled}, {unit.active}")


def check_unit_reads(units: Sequence[Unit], file: Path | None) -> Iterator[Finding]:
    """Tell whether the user of a system unit may read the settings, by the modes of the file and its folders."""
    for unit in units:
        if file is None or unit.user is None or may_read(file, unit.user) is not False:
            continue
        detail = f"{file}: may not be read by {unit.user}, who runs the unit"
        do = f"chgrp {unit.user} {shlex.quote(str(file))} && chmod 0640 {shlex.quote(str(file))}"
        yield Finding(level="error", what=f"unit ({unit.scope})", detail=detail, do=do)


def may_read(file: Path, user: str) -> bool | None:
    """Tell whether `user` may read `file`, as far as modes say; None if there is no such user. ACLs are not seen."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    if entry.pw_uid == 0:
        return True
    groups = {entry.pw_gid, *(group.gr_gid for group in grp.getgrall() if user in group.gr_mem)}

    def allowed(path: Path, wanted: int) -> bool:
        status = path.stat()
        mine = status.st_uid == entry.pw_uid
        shift = 6 if mine else 3 if status.st_gid in groups else 0
        return bool(status.st_mode >> shift & wanted)

    try:
        return allowed(file, 4) and all(allowed(folder, 1) for folder in file.resolve().parents)
    except OSError:
        return None


def check_http(http: HttpSettings | None, *, running: bool) -> Iterator[Finding]:
    """Try the address of the page: is it free for the daemon, or, where one is `running`, does somebody answer?"""
    if http is None:
        do = 'add: [http] and listen = "127.0.0.1:9478"'
        yield Finding(level="note", what="http", detail="no page, API or metrics: the settings have no [http]", do=do)
        return
    try:
        http.open_token()
    except ConfigurationError as error:
        yield Finding(level="error", what="http", detail=str(error), do="write a token: openssl rand -hex 32")
    if http.place.socket is not None:
        yield _judge_socket(Path(http.place.socket), http.place)
    else:
        yield _judge_port(http.place, running=running)


def _judge_socket(path: Path, place: Place) -> Finding:
    if os.access(path.parent, os.W_OK | os.X_OK):
        return Finding(level="ok", what="http", detail=f"{place}: can be made")
    do = f"mkdir -p {shlex.quote(str(path.parent))}, owned by the daemon's user (a unit: RuntimeDirectory=sealrun)"
    return Finding(level="warning", what="http", detail=f"{place}: its folder is not there or not writable", do=do)


def _judge_port(place: Place, *, running: bool) -> Finding:
    problem = _bind(place)
    if problem is None and running:
        do = "reload the daemon (SIGHUP, systemctl reload sealrun), and read its log"
        return Finding(level="warning", what="http", detail=f"{place}: the daemon runs, and does not listen", do=do)
    if problem is None:
        return Finding(level="ok", what="http", detail=f"{place}: free")
    if problem == errno.EADDRINUSE and running and _answers(place):
        seen = f"127.0.0.1:{place.port}" if place.reach == "everywhere" else str(place)
        return Finding(level="ok", what="http", detail=f"{place}: the daemon answers; see http://{seen}/")
    why = os.strerror(problem) if problem > 0 else "no such host"
    if problem == errno.EADDRINUSE:
        do = f'who has it: ss -ltnp "sport = :{place.port}"; another port: [http] listen'
        return Finding(level="warning", what="http", detail=f"{place}: another program listens there", do=do)
    do = "correct [http] listen: an address of this machine, and a port from 1024 on"
    return Finding(level="warning", what="http", detail=f"{place}: cannot be listened on ({why})", do=do)


def _answers(place: Place) -> bool:
    """Tell whether a daemon of sealrun's answers there, as whoever asks from this machine sees it."""
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - where a daemon runs only

    host = "127.0.0.1" if place.reach == "everywhere" else place.host
    connection = HTTPConnection(host, place.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().getheader("Server") == "sealrun"
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _bind(place: Place) -> int | None:
    """Try to listen; None if that works, else the reason (-1: the host's name is unknown)."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return -1
    family, kind, _, _, address = found[0]
    with socket.socket(family, kind) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(address)
            tried.listen(1)
        except OSError as error:
            return error.errno or -1
    return None


def check_secrets(file: Path | None) -> Iterator[Finding]:
    """Look at who may read the secrets: those in the settings file itself, and those in files that it names."""
    if file is None:
        return
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if _holds_secrets(written) and _others_read(file):
        detail = f"{file}: holds secrets in the clear, and every user of this machine may read it"
        do = f'chmod o-rwx {shlex.quote(str(file))}, or move them out: {{ file = "…" }}, {{ credential = "…" }}'
        yield Finding(level="warning", what="secrets", detail=detail, do=do)
    for name in sorted(set(_files_of(written))):
        path = file.parent / os.path.expanduser(name)  # noqa: PTH111 - as the settings read it
        if _others_read(path):
            detail = f"{path}: holds a secret, and every user of this machine may read it"
            yield Finding(level="warning", what="secrets", detail=detail, do=f"chmod o-rwx {shlex.quote(str(path))}")


def _others_read(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _is_elsewhere(value: object) -> bool:
    """Tell whether a table says where a secret is, and does not hold it."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in _SOURCES


def _holds_secrets(value: object, key: str = "") -> bool:
    if _is_elsewhere(value):
        return False
    if isinstance(value, Mapping):
        return any(_holds_secrets(item, str(name)) for name, item in value.items())
    if isinstance(value, list):
        return any(_holds_secrets(item, key) for item in value)
    return isinstance(value, str) and "${" not in value and mask({key: value}) != {key: value}


def _files_of(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if _is_elsewhere(value) and isinstance(value.get("file"), str):
            yield value["file"]
            return
        for item in value.values():
            yield from _files_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from _files_of(item)


def check_other_journals(state: Path, file: Path | None, service: Path = _SERVICE_STATE) -> Iterator[Finding]:
    """Name journals beside the one in use: a command that takes another one sees another queue than the daemon."""
    beside = [service] + ([file.parent / ".sealrun"] if file is not None else [])
    for other in beside:
        if other.absolute() != state.absolute() and (other / JOURNAL_FILE).exists():
            detail = f"there is another journal in {other}; the one in use is in {state}"
            do = f'if the service uses the other: state = "{other}" in the settings; if nobody does, remove it'
            yield Finding(level="note", what="state", detail=detail, do=do)


def check_orphans(queued: Mapping[str, int], registries: Mapping[str, Any]) -> Iterator[Finding]:
    """Name deliveries to registries that the settings no longer know: they wait for ever."""
    for name, count in sorted(queued.items()):
        if name not in registries:
            detail = f"{count} deliveries wait for the registry {name!r}, which the settings no longer name"
            do = (
                f"name it again ([registry.{name}]) until they are through; if it is gone for good, publish the "
                "folders of those that no other registry has (an alarm says so): sealrun publish FOLDER"
            )
            yield Finding(level="warning", what="queue", detail=detail, do=do)
