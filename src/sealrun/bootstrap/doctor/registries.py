"""Registries, as ``sealrun doctor`` looks at them: the probe, credentials, clocks, and what to do about each."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from sealrun.bootstrap.doctor.findings import Finding
from sealrun.bootstrap.doctor.folders import nearest
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    NoRegistryError,
    NoSpaceError,
    SealrunError,
    UnavailableError,
    UnsafeStoreError,
)
from sealrun.services.storage.probing import ProbeReport

_SKEW_NOTED_S = 60.0
_SKEW_REFUSED_S = 900.0
"""S3 refuses requests whose time is further from its own: see RequestTimeTooSkewed in the S3 API reference."""
_SET_CLOCK = "set this machine's clock: timedatectl set-ntp true, or chronyc makestep"
_CREDENTIALS = (
    (r"TooSkewed|RequestExpired", "the clocks are too far apart", _SET_CLOCK),
    (
        r"no usable credentials|NoCredentials|PartialCredentials|NoAuthToken|SSO",
        "credentials are missing",
        (
            "give a profile, or key and secret as { credential = … }, in storage_options, or where the AWS tools look "
            "(for a service: of its user); see docs/how-to/publish-to-s3.md"
        ),
    ),
    (r"[Ee]xpired", "credentials have expired", "renew them (aws sso login, or a new session token); a daemon notices"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|TokenRefreshRequired",
        "credentials are wrong",
        "compare key, secret and endpoint_url with those of the server; a new line at the end of a file does not count",
    ),
)
"""What a refusal's code says; whatever else is refused, the credentials are known and do not permit it."""


def directory_of(spec: RegistrySpec) -> Path | None:
    """Return the folder of a registry that is one, or None."""
    return None if spec.folder is None else Path(spec.folder)


def check_place(spec: RegistrySpec, *, known: bool) -> Finding | None:
    """Judge a directory that is not there; None if it is, or if the registry is no directory.

    One that was never there is made by the first scan. Where a registry was before (`known`), a disk is missing.
    """
    place = directory_of(spec)
    if place is None or place.exists() or known or spec.read_only or not spec.create:
        return None
    above, what = nearest(place), f"registry {spec.name}"
    if os.access(above, os.W_OK | os.X_OK):
        detail = f"{place} is not there yet; the first scan, or the daemon, makes it"
        return Finding(level="note", what=what, detail=detail)
    do = f"mkdir -p {shlex.quote(str(place))}, and give it to the user that runs sealrun"
    detail = f"{place} is not there, and this user may not make it in {above}"
    return Finding(level="error", what=what, detail=detail, do=do)


def judge_error(spec: RegistrySpec, error: SealrunError) -> Finding:
    """Say what an error means for a registry, and what to do."""
    what, said, place = f"registry {spec.name}", str(error), directory_of(spec)
    do = ""
    if isinstance(error, AccessDeniedError) and place is not None:
        do = f"give the user that runs sealrun the folder: chown -R USER {shlex.quote(str(place))}"
    elif isinstance(error, AccessDeniedError):
        kind, do = _credentials(said, spec)
        said = f"{kind}: {said}"
    elif isinstance(error, NoRegistryError):
        do = f"mount its disk, or correct the url; if it was replaced: sealrun doctor --forget-registry {spec.name}"
    elif isinstance(error, UnavailableError):
        do = "bring the server or the network back; what is queued is delivered then, without a command"
    elif isinstance(error, NoSpaceError):
        do = "make room there: sealrun gc --dry-run shows what could go; then: sealrun doctor --retry"
    elif isinstance(error, UnsafeStoreError):
        do = "use a store that honours conditional writes; with a single writer: single_writer = true"
    elif isinstance(error, ConfigurationError):
        do = "correct the settings, then: sealrun config validate"
    detail = said if spec.shown_url in said else f"{spec.shown_url}: {said}"
    return Finding(level="error", what=what, detail=detail, do=do)


def _credentials(said: str, spec: RegistrySpec) -> tuple[str, str]:
    for pattern, kind, do in _CREDENTIALS:
        if re.search(pattern, said):
            return kind, do
    role = "reader" if spec.read_only else "publisher"
    permits = f"attach what it needs to its user: sealrun policy --role {role} --url {shlex.quote(spec.shown_url)}"
    return "credentials do not permit it", permits


def judge_probe(spec: RegistrySpec, report: ProbeReport) -> Iterator[Finding]:
    """Say what a probe found: broken promises, races, warnings, and how far the clocks are apart."""
    what = f"registry {spec.name}"
    for problem in report.faults:
        do = "nothing is published there until this is mended; use another store"
        yield Finding(level="error", what=what, detail=problem, do=do)
    for problem in report.races:
        do = "use a store that honours conditional writes; with a single writer: single_writer = true"
        alone = spec.single_writer
        yield Finding(level="note" if alone else "error", what=what, detail=problem, do="" if alone else do)
    clock = [*judge_clock(what, report.clock_skew_s, on_s3=spec.url.lower().startswith(("s3:", "s3a:")))]
    yield from clock or (Finding(level="note", what=what, detail=warning) for warning in report.warnings)
    if report.safe:
        detail = f"{spec.shown_url}: {', '.join(report.features)}; clock {report.clock_skew_s:+.0f} s from ours"
        yield Finding(level="ok", what=what, detail=detail)


def judge_clock(what: str, skew_s: float, *, on_s3: bool) -> Iterator[Finding]:
    """Judge how far a store's clock is ahead of ours."""
    if abs(skew_s) <= _SKEW_NOTED_S:
        return
    way = "ahead of" if skew_s > 0 else "behind"
    refused = on_s3 and abs(skew_s) > _SKEW_REFUSED_S
    so = "S3 refuses requests that are 15 minutes off" if on_s3 else "ages and the order of runs are judged by clocks"
    detail = f"its clock is {abs(skew_s):.0f} s {way} this machine's: {so}"
    yield Finding(level="error" if refused else "warning", what=what, detail=detail, do=_SET_CLOCK)
