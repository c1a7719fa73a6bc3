"""What ``sealrun doctor`` asks of the machine: limits of the kernel, Python and OpenSSL, and the time zone."""

from __future__ import annotations

import resource
import ssl
import sys
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from sealrun.bootstrap.doctor.findings import Finding

_FEW = {"max_user_watches": 65_536, "max_user_instances": 128, "max_queued_events": 16_384}
_PLENTY = {"max_user_watches": 524_288, "max_user_instances": 1024, "max_queued_events": 65_536}
_SO = {
    "max_user_watches": "many unsettled folders are then noticed by the rescan only",
    "max_user_instances": "watching may fail to start beside other programs, and the rescan then does the work alone",
    "max_queued_events": "bursts of files overflow it, and everything is looked at again each time",
}
_PYTHON_ENDS = {(3, 11): date(2027, 10, 31), (3, 12): date(2028, 10, 31), (3, 13): date(2029, 10, 31)}
_OLD_OPENSSL = (3, 0, 0)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel allows: inotify's limits by name (none where there is no inotify), and open files."""

    inotify: Mapping[str, int]
    descriptors: int
    descriptors_hard: int


def read_limits(proc: Path = Path("/proc")) -> Limits:
    """Ask the kernel."""
    inotify = {}
    for name in _FEW:
        try:
            inotify[name] = int((proc / "sys/fs/inotify" / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Limits(inotify=inotify, descriptors=soft, descriptors_hard=hard)


def descriptors_needed(watches: int, registries: int) -> int:
    """Return how many open files a daemon may need: runs that are followed and hashed, connections, its own."""
    return 256 + 96 * watches + 96 * registries


def judge_limits(limits: Limits, needed: int) -> Iterator[Finding]:
    """Compare the limits with what a daemon needs."""
    for name, limit in limits.inotify.items():
        if limit < _FEW[name]:
            setting = f"fs.inotify.{name}"
            do = (
                f"sysctl {setting}={_PLENTY[name]}; to keep it: "
                f"echo '{setting} = {_PLENTY[name]}' > /etc/sysctl.d/60-sealrun.conf"
            )
            yield Finding(level="note", what="inotify", detail=f"{setting} is {limit}: {_SO[name]}", do=do)
    if 0 <= limits.descriptors < needed:
        hard = limits.descriptors_hard
        detail = f"{limits.descriptors} files may be open at once, and a daemon with these settings may need {needed}"
        do = f"in the unit: LimitNOFILE={max(needed * 4, 8192)}; in a shell: ulimit -n {needed}"
        if 0 <= hard < needed:
            do += f" (the hard limit is {hard}: raise that first, in /etc/security/limits.conf)"
        yield Finding(level="warning", what="open files", detail=detail, do=do)


def check_versions(
    today: date, python: tuple[int, int] = sys.version_info[:2], openssl: tuple[int, ...] = ssl.OPENSSL_VERSION_INFO
) -> Iterator[Finding]:
    """Name a Python or an OpenSSL that gets no more security fixes."""
    ends = _PYTHON_ENDS.get(python)
    if ends is not None and today > ends:
        detail = f"Python {python[0]}.{python[1]} gets no security fixes since {ends}"
        do = "install sealrun into an environment of a newer Python"
        yield Finding(level="warning", what="python", detail=detail, do=do)
    if openssl[:3] < _OLD_OPENSSL:
        shown = ".".join(map(str, openssl[:3]))
        detail = f"Python uses OpenSSL {shown}, which gets no security fixes; connections to S3 rest on it"
        yield Finding(level="warning", what="openssl", detail=detail, do="use a Python that is built with OpenSSL 3")


def check_quiet_hours(registries: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    """Say by which clock quiet hours are read. `registries` as written; `now` in the zone of this machine."""
    for name, table in registries.items():
        if not isinstance(table, Mapping) or not table.get("quiet_hours"):
            continue
        zone = table.get("timezone")
        hours = ", ".join(map(str, table["quiet_hours"]))
        if zone:
            detail = f"quiet hours {hours} are read in {zone}"
            yield Finding(level="ok", what=f"registry {name}", detail=detail)
            continue
        offset = now.strftime("%z")
        detail = f"quiet hours {hours} are read in this machine's time, {now:%H:%M} now ({now.tzname()}, UTC{offset})"
        do = 'if that is not the time you mean: timezone = "Europe/Berlin" (or yours) beside quiet_hours'
        utc = offset == "+0000"
        yield Finding(level="note" if utc else "ok", what=f"registry {name}", detail=detail, do=do if utc else "")
