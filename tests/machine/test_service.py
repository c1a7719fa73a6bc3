"""The service on a machine of its own: installed, reloaded, killed, hung, stopped, upgraded, hardened, removed.

The tests share one machine and run in order; each publishes runs of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.machine.machines import VENV, Machine, booted, install, wait_for, wheel

pytestmark = [pytest.mark.machine, pytest.mark.timeout(1500)]

SEALRUN = f"{VENV}/bin/sealrun"
CONFIG = "/etc/sealrun/sealrun.toml"
SETTLE_S = 2
MOST_EXPOSED = 1.5
_KEYS = ("the-access-key", "the-secret-key-nobody-may-see")

SETTINGS = f"""\
version = 1
state = "/var/lib/sealrun"

[registry.main]
url = "/srv/registry"

[registry.cloud]
url = "s3://runs/prod"
[registry.cloud.storage_options]
endpoint_url = "http://127.0.0.1:8333"
key = {{ credential = "s3-key" }}
secret = {{ credential = "s3-secret" }}

[[watch]]
name = "outputs"
path = "/data/outputs"
settle = "{SETTLE_S}s"

[[watch]]
name = "homely"
path = "/home/bob/outputs"
settle = "{SETTLE_S}s"

[[watch]]
name = "inplace"
path = "/data/inplace"
settle = "{SETTLE_S}s"
seal = "in-place"

[http]
"""

CREDENTIALS = """\
[Service]
LoadCredential=s3-key:/etc/sealrun/credentials/s3-key
LoadCredential=s3-secret:/etc/sealrun/credentials/s3-secret
"""

QUICKLY = """\
[Service]
RestartSec=1
WatchdogSec=9
"""

WEED = """\
[Service]
ExecStart=/usr/local/bin/weed server -s3 -dir=/srv/weed -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3.port=8333 \
-s3.config=/etc/weed.json -s3.port.iceberg=0 -s3.port.lance=0 -master.telemetry=false -master.volumeSizeLimitMB=128 \
-volume.max=0 -master.electionTimeout=1s -volume.preStopSeconds=0
"""

MAKE_BUCKET = f"""\
import s3fs
fs = s3fs.S3FileSystem(key="{_KEYS[0]}", secret="{_KEYS[1]}", endpoint_url="http://127.0.0.1:8333")
fs.call_s3("create_bucket", Bucket="runs")
fs.pipe_file("runs/ready", b"ready")
"""

LIST_RUNS = f"""\
import s3fs
fs = s3fs.S3FileSystem(key="{_KEYS[0]}", secret="{_KEYS[1]}", endpoint_url="http://127.0.0.1:8333")
print(*(path for path in fs.find("runs/prod/experiments") if path.endswith("/run.json")), sep="\\n")
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with booted() as machine:
        _prepare(machine)
        yield machine


def _prepare(machine: Machine) -> None:
    everything = ["Admin", "Read", "List", "Tagging", "Write"]
    credentials = [{"accessKey": _KEYS[0], "secretKey": _KEYS[1]}]
    said = {"identities": [{"name": "daemon", "credentials": credentials, "actions": everything}]}
    machine.write("/etc/weed.json", json.dumps(said), 0o600)
    machine.write("/etc/systemd/system/weed.service", WEED)
    machine.write("/srv/weed/.keep", "")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "weed")
    wait_for(lambda: _python(machine, MAKE_BUCKET) is not None, "the S3 server does not start")
    for name in ("bob", "ann"):
        machine.run("useradd", "--create-home", name)
    machine.run("chmod", "755", "/home/bob")
    for folder in ("/data/outputs", "/home/bob/outputs", "/data/more"):
        machine.run("mkdir", "--parents", folder)
    machine.write(CONFIG, SETTINGS)
    for name, secret in zip(("s3-key", "s3-secret"), _KEYS, strict=True):
        machine.write(f"/etc/sealrun/credentials/{name}", secret, 0o600)
    machine.write("/etc/systemd/system/sealrun.service.d/50-credentials.conf", CREDENTIALS)
    machine.write("/etc/systemd/system/sealrun.service.d/60-quickly.conf", QUICKLY)


def _python(machine: Machine, code: str) -> str | None:
    said = machine.try_run(f"{VENV}/bin/python", "-c", f"{code}\nprint('DONE')")
    return said.removesuffix("DONE").strip() if said.endswith("DONE") else None


def _drop(machine: Machine, name: str, folder: str = "/data/outputs") -> None:
    machine.run("mkdir", f"{folder}/{name}")
    machine.run(
        "sh", "-c", f"echo {name} > {folder}/{name}/result.txt; head -c 3000000 /dev/urandom > {folder}/{name}/a"
    )


def _in_directory(machine: Machine, name: str, experiment: str = "outputs") -> bool:
    """Whether a run of that content is sealed in the registry that is a directory."""
    runs = f"/srv/registry/experiments/{experiment}/runs"
    if not machine.there(runs):
        return False
    return any(
        (run / "artifacts" / "result.txt").exists()
        and (run / "artifacts" / "result.txt").read_text().strip() == name
        and any((run / "seals").glob("*"))
        for run in (machine.tree / runs.lstrip("/")).iterdir()
    )


def _run_ids(machine: Machine, experiment: str = "outputs") -> set[str]:
    folder = machine.tree / f"srv/registry/experiments/{experiment}/runs"
    return {each.name for each in folder.iterdir()} if folder.is_dir() else set()


def _on_s3(machine: Machine) -> set[str]:
    said = _python(machine, LIST_RUNS) or ""
    return {Path(line).parent.name for line in said.splitlines()}


def _arrives(machine: Machine, name: str, experiment: str = "outputs") -> None:
    wait_for(lambda: _in_directory(machine, name, experiment), f"{name} is not published")


def _all_on_s3(machine: Machine) -> None:
    wait_for(lambda: _run_ids(machine) <= _on_s3(machine), "not every run is on S3")


def _status(machine: Machine) -> str:
    return machine.unit("StatusText")


def test_the_service_is_installed_from_its_settings_and_says_that_it_is_ready(machine: Machine) -> None:
    planned = machine.run(SEALRUN, "service", "install", "--system", "--dry-run")
    assert "ReadWritePaths=-/srv/registry" in planned
    assert "ReadWritePaths=-/data/inplace" in planned
    assert "BindReadOnlyPaths=-/home/bob/outputs" in planned
    assert not machine.there("/etc/systemd/system/sealrun.service")
    machine.run(SEALRUN, "service", "install", "--system")
    assert machine.run("stat", "--format=%U:%G %a", CONFIG) == "root:sealrun 640"
    assert machine.run("stat", "--format=%U", "/srv/registry") == "sealrun"
    machine.run("systemctl", "enable", "--now", "sealrun")  # returns when it has said READY
    assert machine.unit("ActiveState") == "active"
    assert re.match(r"(.*; )?3 watches, 2 registries; \d+ queued, 0 parked", _status(machine))
    assert machine.unit("NRestarts") == "0"


def test_a_second_installation_changes_nothing_and_an_edited_unit_is_not_overwritten(machine: Machine) -> None:
    assert "wrote" not in machine.run(SEALRUN, "service", "install", "--system")
    unit = "/etc/systemd/system/sealrun.service"
    before = (machine.tree / unit.lstrip("/")).read_text()
    machine.write(unit, before + "# mine\n")
    assert "was edited" in machine.run("sh", "-c", f"{SEALRUN} service install --system 2>&1 || true")
    assert (machine.tree / unit.lstrip("/")).read_text().endswith("# mine\n")
    machine.run(SEALRUN, "service", "install", "--system", "--force")
    assert (machine.tree / unit.lstrip("/")).read_text() == before


def test_a_dropped_run_is_published_to_a_directory_and_to_s3_with_credentials(machine: Machine) -> None:
    _drop(machine, "first")
    _arrives(machine, "first")
    _all_on_s3(machine)
    assert len(_on_s3(machine)) == 1


def test_runs_below_a_home_are_seen_and_runs_are_sealed_in_place(machine: Machine) -> None:
    _drop(machine, "at-home", "/home/bob/outputs")
    _arrives(machine, "at-home", "homely")
    machine.run("chown", "sealrun", "/data/inplace")
    _drop(machine, "in-place", "/data/inplace")
    machine.run("chown", "--recursive", "sealrun", "/data/inplace/in-place")
    _arrives(machine, "in-place", "inplace")
    wait_for(lambda: machine.there("/data/inplace/in-place/MANIFEST.sha256"), "it is not sealed in place")


def test_the_service_is_hardly_exposed(machine: Machine) -> None:
    said = machine.run("systemd-analyze", "security", "--no-pager", "sealrun.service")
    found = re.search(r"Overall exposure level for sealrun.service: ([0-9.]+)", said)
    assert found is not None
    print(found[0])  # noqa: T201 - the figure is what the test is read for
    assert float(found[1]) <= MOST_EXPOSED


def test_hardened_as_it_is_it_watches_by_inotify_and_no_secret_is_logged(machine: Machine) -> None:
    log = machine.run("journalctl", "--unit=sealrun", "--output=cat")
    assert "watching /data/outputs (inotify" in log
    assert _KEYS[1] not in log
    assert "Traceback" not in log


def test_the_status_page_answers_on_loopback(machine: Machine) -> None:
    code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9478/-/healthy', timeout=20).status)"
    wait_for(lambda: _python(machine, code) == "200", "nobody answers")


def test_a_changed_file_is_taken_at_a_reload(machine: Machine) -> None:
    more = '\n[[watch]]\nname = "more"\npath = "/data/more"\nsettle = "2s"\n'
    machine.write(CONFIG, SETTINGS + more, 0o644)
    machine.run("systemctl", "reload", "sealrun")
    wait_for(lambda: "4 watches" in _status(machine), "the new settings are not taken")
    _drop(machine, "after-reload", "/data/more")
    _arrives(machine, "after-reload", "more")
    assert machine.unit("NRestarts") == "0"


def test_a_broken_file_changes_nothing_and_the_status_says_so(machine: Machine) -> None:
    machine.write(CONFIG, "version = 1\n[[watch]]\npaht = 3\n", 0o644)
    machine.run("systemctl", "reload", "sealrun")
    wait_for(lambda: "settings refused, the old ones stay" in _status(machine), "the status says nothing")
    assert machine.unit("ActiveState") == "active"
    _drop(machine, "with-old-settings", "/data/more")
    _arrives(machine, "with-old-settings", "more")
    machine.write(CONFIG, SETTINGS, 0o644)
    machine.run("systemctl", "reload", "sealrun")
    wait_for(lambda: "3 watches" in _status(machine), "the good settings are not taken")
    assert "refused" not in _status(machine)
    assert machine.unit("ActiveState") == "active"


def test_killed_at_work_it_is_started_again_and_nothing_is_lost(machine: Machine) -> None:
    for number in range(5):
        _drop(machine, f"killed-{number}")
    before = machine.unit("MainPID")
    machine.run("kill", "-KILL", before)
    wait_for(lambda: machine.unit("MainPID") not in {before, "0"}, "it is not started again")
    wait_for(lambda: machine.unit("ActiveState") == "active", "it is not ready")
    for number in range(5):
        _arrives(machine, f"killed-{number}")
    _all_on_s3(machine)


def test_hung_it_is_ended_by_the_watchdog_and_started_again(machine: Machine) -> None:
    before, restarts = machine.unit("MainPID"), int(machine.unit("NRestarts"))
    machine.run("kill", "-STOP", before)
    _drop(machine, "while-it-hung")
    wait_for(lambda: int(machine.unit("NRestarts")) > restarts, "nobody noticed")
    log = machine.run("journalctl", "--unit=sealrun", "--output=cat")
    assert "Watchdog timeout" in log
    assert "Current thread" in log or "Thread 0x" in log, "no thread said where it was"
    _arrives(machine, "while-it-hung")


def test_a_loop_that_hangs_in_one_call_is_named_with_its_stack_and_the_service_is_started_again(
    machine: Machine,
) -> None:
    """With a patience that is shorter than the time-outs of S3, a server that does not answer is a call that hangs."""
    drop_in = "/etc/systemd/system/sealrun.service.d/70-impatient.conf"
    machine.write(drop_in, "[Service]\nEnvironment=SEALRUN_PATIENCE=4s\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "sealrun")
    _all_on_s3(machine)
    restarts, server = int(machine.unit("NRestarts")), machine.unit("MainPID", "weed.service")
    machine.run("kill", "-STOP", server)
    try:
        _drop(machine, "to-a-dead-server")
        wait_for(lambda: int(machine.unit("NRestarts")) > restarts, "nobody noticed")
    finally:
        machine.run("kill", "-CONT", server)
    log = machine.run("journalctl", "--unit=sealrun", "--output=cat")
    assert re.search(r"delivery-cloud hangs: no progress for \d+ s;.*\n  File ", log)
    (machine.tree / drop_in.lstrip("/")).unlink()
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "sealrun")
    _arrives(machine, "to-a-dead-server")
    _all_on_s3(machine)


def test_a_stop_while_a_delivery_hangs_ends_within_its_limit_and_the_next_start_resumes_it(machine: Machine) -> None:
    server = machine.unit("MainPID", "weed.service")
    machine.run("kill", "-STOP", server)
    try:
        _drop(machine, "in-flight")
        _arrives(machine, "in-flight")
        wait_for(lambda: "1 queued" in _status(machine), "it is not in flight")
        machine.run("systemctl", "stop", "sealrun")
        assert machine.unit("Result") == "success"
        assert machine.unit("ActiveState") == "inactive"
    finally:
        machine.run("kill", "-CONT", server)
    machine.run("systemctl", "start", "sealrun")
    _all_on_s3(machine)


def test_writers_of_other_users_are_seen_with_the_drop_in_that_says_so(machine: Machine) -> None:
    drop_in = Path(__file__).parents[2] / "deploy" / "systemd" / "drop-ins" / "writers.conf"
    inside = "/etc/systemd/system/sealrun.service.d/70-writers.conf"
    machine.write(inside, drop_in.read_text())
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "sealrun")
    machine.run("mkdir", "/data/outputs/written")
    machine.run("sh", "-c", "echo written > /data/outputs/written/result.txt")
    hold = "exec 3>/data/outputs/written/still-open; sleep infinity"
    machine.run("systemd-run", "--quiet", "--unit=writer", "sh", "-c", hold)

    def reasons() -> str:
        return machine.run("runuser", "--user=sealrun", "--", SEALRUN, "status")  # with the service's credentials

    wait_for(lambda: re.search(r"written: .*(open|writ)", reasons()), "the writer is not seen")
    assert not _in_directory(machine, "written")
    machine.run("systemctl", "stop", "writer")
    _arrives(machine, "written")
    (machine.tree / inside.lstrip("/")).unlink()
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "sealrun")


def test_an_upgrade_in_place_keeps_every_run(machine: Machine, tmp_path: Path) -> None:
    before = _run_ids(machine)
    install(machine, wheel(tmp_path, "0.999.0"))
    machine.run(SEALRUN, "service", "install", "--system")
    machine.run("systemctl", "restart", "sealrun")
    assert "0.999.0" in machine.run(SEALRUN, "--version")
    _drop(machine, "after-upgrade")
    _arrives(machine, "after-upgrade")
    _all_on_s3(machine)
    assert before < _run_ids(machine)
    listed = machine.run(
        "runuser", "--user=sealrun", "--", SEALRUN, "ls", "outputs", "--registry", "/srv/registry", "--json"
    )
    assert {json.loads(line)["run_id"] for line in listed.splitlines()} == _run_ids(machine)


def test_a_user_has_a_service_without_being_logged_in(machine: Machine) -> None:
    machine.run("loginctl", "enable-linger", "ann")
    number = machine.run("id", "--user", "ann")
    wait_for(
        lambda: (
            machine.there(f"/run/user/{number}/systemd/private")
            or machine.try_run("systemctl", "is-active", f"user@{number}.service") == "active"
        ),
        "her service manager does not start",
    )
    home = "/home/ann"
    text = f'version = 1\n[registry.mine]\nurl = "{home}/registry"\n[[watch]]\npath = "{home}/outbox"\nsettle = "2s"\n'
    machine.run("mkdir", f"{home}/outbox", user="ann")
    machine.run("sh", "-c", f"cat > {home}/sealrun.toml", user="ann", stdin=text)
    machine.run(SEALRUN, "service", "install", "--user", "--config", f"{home}/sealrun.toml", user="ann")
    machine.run("systemctl", "--user", "enable", "--now", "sealrun", user="ann")
    assert "1 watch, 1 registry" in machine.run(
        "systemctl", "--user", "show", "sealrun", "--property=StatusText", "--value", user="ann"
    )
    machine.run("sh", "-c", f"mkdir {home}/outbox/hers && echo hers > {home}/outbox/hers/a", user="ann")
    wait_for(
        lambda: any((machine.tree / "home/ann/registry/experiments").glob("outbox/runs/*/seals/*")), "not published"
    )
    machine.run(SEALRUN, "service", "uninstall", "--user", user="ann")
    assert not machine.there(f"{home}/.config/systemd/user/sealrun.service")
    assert machine.there(f"{home}/registry/experiments")


def test_uninstalling_removes_what_was_written_and_nothing_else(machine: Machine) -> None:
    machine.run(SEALRUN, "service", "uninstall", "--system")
    assert machine.try_run("systemctl", "is-active", "sealrun") == "inactive"
    for path in ("systemd/system/sealrun.service", "sysusers.d/sealrun.conf", "tmpfiles.d/sealrun.conf"):
        assert not machine.there(f"/etc/{path}")
    assert machine.there("/etc/systemd/system/sealrun.service.d/50-credentials.conf")
    assert machine.there(CONFIG)
    assert machine.there("/var/lib/sealrun")
    assert _run_ids(machine)
    assert machine.try_run("systemctl", "is-failed", "sealrun") != "failed"
