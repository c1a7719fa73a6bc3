"""Every finding of `sealrun doctor`: what makes it, how grave it is, and what it says to do."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from sealrun.adapters.machine.installed_units import Unit, has_systemd, read_units
from sealrun.adapters.stores.s3_errors import translate
from sealrun.bootstrap.doctor.findings import Finding
from sealrun.bootstrap.doctor.folders import (
    check_mirrors,
    check_nested,
    check_rooms,
    check_state_folder,
    check_watch,
    judge_room,
)
from sealrun.bootstrap.doctor.machine import Limits, check_quiet_hours, check_versions, judge_limits, read_limits
from sealrun.bootstrap.doctor.registries import check_place, judge_clock, judge_error, judge_probe
from sealrun.bootstrap.doctor.surroundings import (
    check_http,
    check_orphans,
    check_other_journals,
    check_secrets,
    check_unit_reads,
    judge_units,
    may_read,
)
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.errors import (
    ConfigurationError,
    NoRegistryError,
    NoSpaceError,
    SealrunError,
    UnavailableError,
    UnsafeStoreError,
)
from sealrun.domain.space import Room
from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.domain.watches.watch import ReclaimRule, WatchSpec
from sealrun.services.storage.probing import ProbeReport
from sealrun.settings.expanding import Surroundings
from sealrun.settings.http import HttpSettings, parse_place
from sealrun.settings.schema import SecretTable

GIB = 1 << 30


def levels(findings: Iterable[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def the_one(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def a_watch(path: Path, **more: object) -> WatchSpec:
    return WatchSpec(name="w", path=str(path), experiment="e", registries=("main",), **more)  # type: ignore[arg-type] # tests name what they mean


def a_registry(url: str = "s3://bucket/x", **more: object) -> RegistrySpec:
    return RegistrySpec(name="main", url=url, **more)  # type: ignore[arg-type] # likewise


def a_room(free: int = 100 * GIB, inodes_free: int = 900) -> Room:
    return Room(mount="/", size=200 * GIB, free=free, inodes=1000, inodes_free=inodes_free)


# folders


def test_a_watch_that_is_there_is_well_and_says_how_it_is_watched(tmp_path: Path) -> None:
    finding = the_one(check_watch(a_watch(tmp_path), ()))
    assert finding.level == "ok"
    assert "inotify" in finding.detail or "polled" in finding.detail


def test_a_watch_that_is_not_there_is_an_error_that_says_how_to_make_it(tmp_path: Path) -> None:
    finding = the_one(check_watch(a_watch(tmp_path / "a b"), ()))
    assert (finding.level, finding.do) == ("error", f"mount its disk, or: mkdir -p '{tmp_path}/a b'")
    (tmp_path / "file").write_text("")
    assert "not a folder" in the_one(check_watch(a_watch(tmp_path / "file"), ())).detail


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Close a folder, also to a user who may do everything."""
    closed: list[str] = []
    allowed = os.access

    def access(path: str, mode: int) -> bool:
        return str(path) not in closed and allowed(path, mode)

    monkeypatch.setattr(os, "access", access)
    return lambda path: closed.append(str(path))


def test_folders_that_may_not_be_read_or_written_are_named(tmp_path: Path, shut: Callable[[Path], None]) -> None:
    watch = a_watch(tmp_path / "w", seal="in-place", reclaim=ReclaimRule(after_s=1.0))
    run = tmp_path / "w/run"
    run.mkdir(parents=True)
    shut(run)
    finding = list(check_watch(watch, [str(run)]))[-1]
    assert finding.level == "warning"
    assert str(run) in finding.detail
    shut(tmp_path / "w")
    assert "may not be read" in the_one(check_watch(watch, ())).detail
    shut(tmp_path)
    assert levels(check_state_folder(tmp_path / "state")) == ["error"]


def test_a_watch_that_seals_in_place_has_to_be_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and allowed(path, mode))
    watch = a_watch(tmp_path, seal="in-place", reclaim=ReclaimRule(after_s=1.0))
    finding = list(check_watch(watch, ()))[-1]
    assert finding.level == "error"
    assert 'seal = "in-place" and reclaim' in finding.detail
    assert levels(check_watch(a_watch(tmp_path), ())) == ["ok"]


def test_a_mirror_has_to_be_writable_or_be_makeable(tmp_path: Path, shut: Callable[[Path], None]) -> None:
    mirror = MirrorSpec(name="m", path=str(tmp_path / "not/there"), registry="main")
    assert levels(check_mirrors([mirror])) == ["ok"]
    shut(tmp_path)
    finding = the_one(check_mirrors([mirror]))
    assert (finding.level, str(tmp_path) in finding.do) == ("error", True)


def test_watches_inside_each_other_are_noted(tmp_path: Path) -> None:
    outer, inner = a_watch(tmp_path), a_watch(tmp_path / "a", glob="x-*")
    assert levels(check_nested([outer, inner])) == ["note"]
    assert levels(check_nested([outer])) == []


@pytest.mark.parametrize(
    ("room", "level"),
    [
        (a_room(), "ok"),
        (a_room(free=GIB // 2), "warning"),
        (a_room(free=1000), "error"),
        (a_room(inodes_free=5), "error"),
        (Room(mount="/", size=GIB, free=2 * GIB, inodes=1_000_000, inodes_free=5000), "warning"),
        (Room(mount="/", size=GIB, free=2 * GIB, inodes=0, inodes_free=0), "ok"),
    ],
)
def test_room_is_judged_by_bytes_and_by_inodes(room: Room, level: str) -> None:
    finding = judge_room(room, "state")
    assert finding.level == level
    assert bool(finding.do) == (level != "ok")


def test_each_file_system_is_named_once_with_all_that_lies_on_it(tmp_path: Path) -> None:
    finding = the_one(check_rooms({"state": tmp_path, "registry main": tmp_path / "not/there/yet"}, least=0))
    assert "for state, registry main" in finding.detail


# the machine


def test_low_limits_of_inotify_say_which_line_raises_them(tmp_path: Path) -> None:
    folder = tmp_path / "sys/fs/inotify"
    folder.mkdir(parents=True)
    (folder / "max_user_watches").write_text("8192\n")
    (folder / "max_user_instances").write_text("64\n")
    (folder / "max_queued_events").write_text("100\n")
    findings = list(judge_limits(read_limits(tmp_path), 0))
    assert levels(findings) == ["note"] * 3
    assert "sysctl fs.inotify.max_user_watches=524288" in findings[0].do
    assert read_limits(tmp_path / "none").inotify == {}


def test_few_open_files_are_a_warning_with_the_line_for_the_unit() -> None:
    finding = the_one(judge_limits(Limits(inotify={}, descriptors=256, descriptors_hard=256), 500))
    assert finding.level == "warning"
    assert "LimitNOFILE=8192" in finding.do
    assert "hard limit is 256" in finding.do
    assert not list(judge_limits(Limits(inotify={}, descriptors=-1, descriptors_hard=-1), 500))


def test_versions_without_security_fixes_are_a_warning() -> None:
    assert levels(check_versions(date(2026, 1, 1), (3, 11), (3, 0, 13))) == []
    assert levels(check_versions(date(2028, 1, 1), (3, 11), (1, 1, 1))) == ["warning", "warning"]
    assert levels(check_versions(date(2040, 1, 1), (3, 99), (3, 5, 0))) == []


def test_quiet_hours_tell_by_which_clock_they_are_read() -> None:
    hours = {"quiet_hours": ["Mon-Fri 08:00-18:00"]}
    utc = datetime(2026, 1, 17, 14, 30, tzinfo=UTC)
    finding = the_one(check_quiet_hours({"a": hours, "b": {"url": "x"}}, utc))
    assert (finding.level, finding.what) == ("note", "registry a")
    assert "14:30 now" in finding.detail
    assert levels(check_quiet_hours({"a": {**hours, "timezone": "Europe/Berlin"}}, utc)) == ["ok"]


# registries


def test_a_folder_that_the_first_scan_makes_is_a_note(tmp_path: Path) -> None:
    spec = a_registry(str(tmp_path / "a/b"))
    finding = check_place(spec, known=False)
    assert finding is not None
    assert finding.level == "note"
    assert check_place(spec, known=True) is None
    assert check_place(a_registry(str(tmp_path)), known=False) is None
    assert check_place(a_registry(f"file://{tmp_path}/x", create=False), known=False) is None
    assert check_place(a_registry(), known=False) is None


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, shut: Callable[[Path], None]) -> None:
    shut(tmp_path)
    finding = check_place(a_registry(str(tmp_path / "a")), known=False)
    assert finding is not None
    assert (finding.level, finding.do.split(",")[0]) == ("error", f"mkdir -p {tmp_path}/a")


def refused(code: str, status: int = 403) -> SealrunError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate(ClientError(answer, "PutObject"), "s3://b/k", "http://s3", write_once=False, fresh=False)


@pytest.mark.parametrize(
    ("error", "said", "do"),
    [
        (translate(NoCredentialsError(), "s3://b/k", "x", write_once=False, fresh=False), "are missing", "profile"),
        (refused("ExpiredToken", 400), "have expired", "renew"),
        (refused("InvalidAccessKeyId"), "are wrong", "compare"),
        (refused("SignatureDoesNotMatch"), "are wrong", "compare"),
        (refused("RequestTimeTooSkewed"), "too far apart", "timedatectl"),
        (refused("AccessDenied"), "do not permit", "sealrun policy --role publisher --url s3://bucket/x"),
        (UnavailableError("no answer"), "no answer", "network"),
        (NoRegistryError("another one"), "another one", "--forget-registry main"),
        (NoSpaceError("full"), "full", "make room"),
        (UnsafeStoreError("overwrites"), "overwrites", "single_writer"),
        (refused("NoSuchBucket", 404), "no such bucket", "config validate"),
        (ConfigurationError("wrong"), "wrong", "config validate"),
    ],
)
def test_each_refusal_says_what_to_do_about_it(error: SealrunError, said: str, do: str) -> None:
    finding = judge_error(a_registry(), error)
    assert finding.level == "error"
    assert said in finding.detail
    assert do in finding.do


def test_a_folder_of_another_user_is_given_to_this_one(tmp_path: Path) -> None:
    assert "chown" in judge_error(a_registry(str(tmp_path)), refused("AccessDenied")).do


@pytest.mark.parametrize(
    ("skew", "on_s3", "level"),
    [(59.0, True, []), (-61.0, True, ["warning"]), (901.0, True, ["error"]), (901.0, False, ["warning"])],
)
def test_clocks_apart_are_a_warning_and_past_what_s3_takes_an_error(
    skew: float,
    on_s3: bool,  # noqa: FBT001 - a parameter
    level: list[str],
) -> None:
    assert levels(judge_clock("registry main", skew, on_s3=on_s3)) == level


def test_a_probe_that_found_races_is_an_error_unless_there_is_one_writer() -> None:
    report = ProbeReport(races=("two winners",), warnings=("odd",))
    assert levels(judge_probe(a_registry(), report)) == ["error", "note"]
    assert levels(judge_probe(a_registry(single_writer=True), report)) == ["note", "note"]
    assert levels(judge_probe(a_registry(), ProbeReport(features=("x",)))) == ["ok"]
    assert levels(judge_probe(a_registry(), ProbeReport(faults=("lost",)))) == ["error"]


# the service


def a_unit(**more: object) -> Unit:
    said: dict[str, object] = {"scope": "system", "enabled": "enabled", "active": "active", "user": "root"}
    return Unit(**(said | more))  # type: ignore[arg-type] # likewise


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ([], [("note", "service install")]),
        ([a_unit()], [("ok", "")]),
        ([a_unit(enabled="disabled")], [("warning", "systemctl enable sealrun")]),
        ([a_unit(active="failed")], [("error", "journalctl -u sealrun")]),
        ([a_unit(active="inactive")], [("warning", "systemctl start sealrun")]),
        ([a_unit(scope="user", user=None, lingers=False)], [("warning", "enable-linger")]),
        (
            [a_unit(scope="user", user=None, lingers=True, enabled="disabled")],
            [("warning", "systemctl --user enable sealrun")],
        ),
    ],
)
def test_a_unit_is_judged_by_what_systemd_says(units: Sequence[Unit], expected: list[tuple[str, str]]) -> None:
    findings = list(judge_units(units, systemd=True))
    assert levels(findings) == [level for level, _ in expected]
    assert all(do in finding.do for finding, (_, do) in zip(findings, expected, strict=True))


def test_where_no_systemd_runs_that_is_a_note(tmp_path: Path) -> None:
    assert levels(judge_units([], systemd=False)) == ["note"]
    assert not has_systemd(tmp_path / "none")


def test_units_are_read_from_what_systemctl_shows(tmp_path: Path) -> None:
    def ask(command: Sequence[str]) -> str | None:
        if "--user" in command:
            return "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nUser=\nExecStart={ path=/x ; a=b }\n"
        return "LoadState=not-found\n"

    (unit,) = read_units("ada", ask, tmp_path)
    assert (unit.scope, unit.active, unit.lingers, unit.command) == ("user", "active", False, "{ path=/x ; a=b }")
    (tmp_path / "ada").touch()
    assert read_units("ada", ask, tmp_path)[0].lingers
    assert read_units("ada", lambda _: None, tmp_path) == []


def test_settings_that_the_units_user_may_not_read_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "sealrun.toml"
    file.write_text("version = 1\n")
    file.chmod(0o600)
    assert may_read(file, "nobody") is False
    assert may_read(file, "root") is True
    assert may_read(file, "no-such-user-here") is None
    finding = the_one(check_unit_reads([a_unit(user="nobody")], file))
    assert (finding.level, f"chgrp nobody {file}" in finding.do) == ("error", True)
    assert not list(check_unit_reads([a_unit()], file))


def an_http(listen: str, token: Path | None = None) -> HttpSettings:
    table = SecretTable(file=str(token)) if token else None
    return HttpSettings(place=parse_place(listen), token=table, around=Surroundings("x", Path("/"), {}))


@contextmanager
def answering(name: str) -> Iterator[str]:
    """A web server that calls itself by `name`; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Server", name)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_page_s_address_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        finding = the_one(check_http(an_http(taken), running=False))
        assert (finding.level, "ss -ltnp" in finding.do) == ("warning", True)
    with answering("sealrun") as place:
        assert levels(check_http(an_http(place), running=True)) == ["ok"]
        assert levels(check_http(an_http(place), running=False)) == ["warning"]
    with answering("another") as place:
        assert levels(check_http(an_http(place), running=True)) == ["warning"]
    assert levels(check_http(an_http(taken), running=False)) == ["ok"]
    assert levels(check_http(an_http(taken), running=True)) == ["warning"]
    assert levels(check_http(an_http("192.0.2.1:9478"), running=False)) == ["warning"]
    assert levels(check_http(None, running=False)) == ["note"]


def test_the_page_s_socket_and_token_are_tried(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with TemporaryDirectory(dir="/tmp") as short:  # a socket's path has some hundred bytes at most
        assert levels(check_http(an_http(f"unix:{short}/s"), running=False)) == ["ok"]
        assert levels(check_http(an_http(f"unix:{short}/none/s"), running=False)) == ["warning"]
        assert levels(check_http(an_http(f"unix:{short}/s", token), running=False)) == ["error", "ok"]
        token.write_text("0123456789abcdef0123456789abcdef\n")
        assert levels(check_http(an_http(f"unix:{short}/s", token), running=False)) == ["ok"]


def test_secrets_that_others_may_read_are_a_warning_and_are_not_shown(tmp_path: Path) -> None:
    file, secret = tmp_path / "sealrun.toml", tmp_path / "s3-secret"
    secret.write_text("hidden-secret")
    secret.chmod(0o644)
    file.write_text(
        'version = 1\n[registry.a]\nurl = "s3://a"\n'
        'storage_options = { secret = { file = "s3-secret" }, key = { env = "KEY" } }\n'
    )
    file.chmod(0o644)
    finding = the_one(check_secrets(file))
    assert (finding.level, finding.do) == ("warning", f"chmod o-rwx {secret}")
    secret.chmod(stat.S_IRUSR)
    assert not list(check_secrets(file))
    file.write_text('version = 1\n[registry.a]\nurl = "s3://a"\nstorage_options = { secret = "in-the-clear" }\n')
    finding = the_one(check_secrets(file))
    assert "every user" in finding.detail
    assert "in-the-clear" not in repr(finding)
    file.write_text('version = 1\n[registry.a]\nurl = "s3://a"\nstorage_options = { secret = "${NAME}" }\n')
    assert not list(check_secrets(file))
    assert not list(check_secrets(None))
    assert not list(check_secrets(tmp_path / "none"))


def test_another_journal_beside_the_one_in_use_is_noted(tmp_path: Path) -> None:
    other = tmp_path / "lib"
    other.mkdir()
    assert not list(check_other_journals(tmp_path / "state", tmp_path / "sealrun.toml", other))
    (other / "journal.sqlite").touch()
    finding = the_one(check_other_journals(tmp_path / "state", tmp_path / "sealrun.toml", other))
    assert f'state = "{other}"' in finding.do
    assert not list(check_other_journals(other, None, other))


def test_deliveries_to_a_registry_that_is_gone_from_the_settings_are_a_warning() -> None:
    finding = the_one(check_orphans({"old": 3, "main": 1}, {"main": a_registry()}))
    assert (finding.level, finding.detail.split()[0]) == ("warning", "3")
