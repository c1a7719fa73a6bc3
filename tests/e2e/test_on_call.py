"""An on-call drill: something breaks, the right alarm stands, and what the runbook says about it makes it go away.

The real daemon and the real commands; a pager takes what the daemon tells: everything once, and in order.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.deployment import Deployment, make_run, wait_for
from tests.e2e.test_notifying import Server
from tests.servers import seaweedfs

QUICK = (
    '[alarms]\nunreachable_after = "1s"\nclear_after = "1s"\nlow_space = {low}\ninterval = "1s"\n'
    '[[notify]]\non = ["alarm.*", "run.missing"]\nurl = "{pager}/pager"\n'
    '[[notify]]\nping = "{pager}/ping"\ninterval = "1s"\n'
)


class Duty:
    """A deployment, whoever is on call for it, and the pager."""

    def __init__(self, root: Path, **registries: Mapping[str, Any]) -> None:
        self.root = root
        self.outputs = root / "outputs"
        self.outputs.mkdir()
        self.pager = Server()
        self.low: object = 0
        self.extra = ""
        self.deployment = Deployment(
            root,
            registries=registries or {"main": {"url": str(root / "registry")}},
            watch={"name": "training", "path": str(self.outputs), "experiment": "train", "settle": "1s"},
        )

    def configure(self, extra: str = "", **watch: object) -> None:
        self.extra = extra or self.extra
        self.deployment.watch = {**self.deployment.watch, **watch}
        self.deployment.write_settings(QUICK.format(low=json.dumps(self.low), pager=self.pager.url) + self.extra)

    def begin(self, extra: str = "", **watch: object) -> None:
        """Start the daemon, and wait until the pager is connected: it is told what happens from then on."""
        self.configure(extra, **watch)
        self.deployment.start()
        wait_for("the pager is known", lambda: "never told" not in self.deployment.asked("notify").stdout)

    def drop(self, name: str, **files: bytes) -> Path:
        return make_run(self.outputs / name, {"a.txt": name.encode(), **files})

    def published(self, count: int, registry: str = "main") -> None:
        wait_for(f"{count} runs", lambda: len(self.deployment.runs(registry)) == count)

    def reload(self) -> None:
        self.deployment.daemons[0].send_signal(signal.SIGHUP)

    def standing(self) -> dict[str, dict[str, Any]]:
        lines = self.deployment.asked("alarms", "--json").stdout.splitlines()
        return {alarm["kind"]: alarm for alarm in map(json.loads, lines)}

    def paged(self) -> list[tuple[str, str]]:
        """What the pager was told: the kind of event, and of which alarm."""
        events = [json.loads(body) for path, _, body in self.pager.got if path == "/pager"]
        assert len({event["id"] for event in events}) == len(events)
        return [(event["type"].removeprefix("sealrun."), event["data"].get("key", "")) for event in events]

    def pings(self) -> list[str]:
        """What the dead man's switch was asked for."""
        return [path for path, _, _ in self.pager.got if path.startswith("/ping")]

    def called_out(self, kind: str, subject: str, *said: str) -> dict[str, Any]:
        """Wait for an alarm; status leads with it, says what to do, and the runbook has its section."""
        wait_for(f"the alarm {kind}", lambda: kind in self.standing())
        alarm = self.standing()[kind]
        assert alarm["subject"] == subject
        for text in said:
            assert text in alarm["reason"]
        lines = self.deployment.run("status").stdout.splitlines()
        assert lines[0].startswith("ALARM")
        at = next(number for number, line in enumerate(lines) if line.startswith(f"ALARM     {kind} {subject}"))
        assert lines[at + 1] == f"  do        {alarm['do']}"
        assert alarm["help"] == f"sealrun runbook {kind}"
        assert self.deployment.run("runbook", kind).stdout.startswith(f"### {kind}\n")
        assert self.deployment.run("alarms", "--error-on-any", check=1).stdout.count(kind)
        wait_for("the pager rings", lambda: ("alarm.raised", f"{kind}:{subject}") in self.paged())
        wait_for("the switch is told", lambda: "/ping/fail" in self.pings())
        return alarm

    def is_over(self, kind: str, subject: str) -> None:
        """Wait until it is over; the pager was told of it once, from its beginning to its end."""
        wait_for(f"{kind} is over", lambda: kind not in self.standing())
        key = f"{kind}:{subject}"
        wait_for("the pager is told", lambda: ("alarm.cleared", key) in self.paged())
        assert [event for event, about in self.paged() if about == key] == ["alarm.raised", "alarm.cleared"]

    def end(self) -> None:
        self.deployment.stop()
        self.pager.http.shutdown()
        self.pager.http.server_close()


@pytest.fixture
def duty(tmp_path: Path) -> Iterator[Duty]:
    made = Duty(tmp_path)
    yield made
    made.end()


def on(tmp_path: Path, **registries: Mapping[str, Any]) -> Duty:
    return Duty(tmp_path, **registries)


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    with seaweedfs.running() as server:
        url = f"s3://{server.create_bucket()}/x"
        duty = on(tmp_path, cloud={"url": url, "storage_options": server.storage_options})
        duty.begin()
        duty.drop("one")
        duty.published(1, "cloud")
        server.stop()
        duty.drop("two")
        alarm = duty.called_out("registry-unreachable", "cloud")
        assert "sealrun doctor --retry" in alarm["do"]
        assert alarm["severity"] == "critical"
        assert server.secret_key not in json.dumps(alarm) + duty.deployment.log.read_text()
        server.start()
        duty.deployment.run("doctor", "--retry", check=None)
        duty.is_over("registry-unreachable", "cloud")
        duty.published(2, "cloud")
        duty.end()


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)], check=True)
    try:
        duty = on(tmp_path, tiny={"url": str(small / "registry")})
        duty.low = "6MiB"
        duty.begin()
        duty.drop("one")
        duty.published(1, "tiny")
        filler = small / "filler"
        filler.write_bytes(bytes(8_000_000))
        alarm = duty.called_out("low-space", str(small), "registry tiny")
        assert alarm["severity"] == "warning"
        duty.drop("two", big=os.urandom(6_000_000))
        duty.called_out("registry-full", "tiny", "space")
        assert duty.deployment.json("status")["registries"][0]["queued"] == 1
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        duty.deployment.run("doctor", "--retry", check=None)
        duty.is_over("registry-full", "tiny")
        duty.is_over("low-space", str(small))
        duty.published(2, "tiny")
        duty.end()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_credentials_that_are_wrong(tmp_path: Path, seaweedfs_server: seaweedfs.SeaweedFS) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not-the-right-secret-at-all\n")
    options = {**seaweedfs_server.storage_options, "secret": {"file": str(secret)}}
    duty = on(tmp_path, cloud={"url": f"s3://{seaweedfs_server.create_bucket()}/x", "storage_options": options})
    duty.begin()
    duty.drop("one")
    alarm = duty.called_out("registry-refused", "cloud")
    assert "not-the-right-secret" not in json.dumps(alarm) + duty.deployment.log.read_text()
    secret.write_text(seaweedfs_server.secret_key)
    duty.reload()
    duty.is_over("registry-refused", "cloud")
    duty.published(1, "cloud")
    duty.end()


def objects(registry: Path) -> list[Path]:
    return [path for path in (registry / "store" / "objects").rglob("*") if path.is_file()]


def test_an_object_that_is_damaged(tmp_path: Path) -> None:
    duty = on(tmp_path, main={"url": str(tmp_path / "a")}, backup={"url": str(tmp_path / "b")})
    duty.begin()
    duty.drop("one", big=bytes(range(256)) * 5000)
    duty.published(1, "main")
    duty.published(1, "backup")
    shutil.rmtree(duty.outputs / "one")
    damaged = max(objects(tmp_path / "a"), key=lambda path: path.stat().st_size)
    damaged.chmod(0o644)
    with damaged.open("r+b") as file:
        file.write(b"rot")
    duty.deployment.run("verify", "--all", "--registry", "main", check=20)
    (run,) = duty.deployment.runs("main")
    duty.called_out("damage", "main", f"1 damaged: train/{run['run_id']} (big: ")
    assert duty.deployment.run("alarms", "--error-on-critical", check=1).stdout.startswith("critical")
    duty.deployment.run("repair", "--registry", "main", "--dry-run", check=20)
    assert "damage" in duty.standing()
    duty.deployment.run("repair", "--registry", "main")
    duty.is_over("damage", "main")
    duty.deployment.run("verify", "--all", "--registry", "main")
    duty.end()


def test_a_folder_that_is_stuck(duty: Duty) -> None:
    duty.begin(stale_after="2s")
    left_over = duty.drop("stuck", **{"weights.part": b"half"}) / "weights.part"
    duty.called_out("run-stale", "training", "outputs/stuck", "weights.part")
    said = duty.deployment.run("detect", str(left_over.parent), "--explain").stdout
    assert "weights.part" in said
    left_over.unlink()
    duty.is_over("run-stale", "training")
    duty.published(1)
    assert duty.pings()[0] == "/ping"
    wait_for("the switch hears that all is well", lambda: duty.pings()[-1] == "/ping")


def test_a_folder_that_no_run_can_be(duty: Duty) -> None:
    duty.begin()
    bad = make_run(duty.outputs / "bad", {"fine.txt": b"fine"}, marker=False)
    (bad / "passwords").symlink_to("/etc/passwd")
    (bad / "_SUCCESS").touch()
    duty.called_out("run-rejected", "training", "outputs/bad", "passwords")
    (bad / "passwords").unlink()
    duty.reload()
    duty.is_over("run-rejected", "training")
    duty.published(1)


def test_a_watched_folder_that_is_gone(duty: Duty) -> None:
    duty.begin()
    duty.drop("one")
    duty.published(1)
    duty.outputs.rename(duty.root / "elsewhere")
    duty.reload()
    duty.called_out("watch-missing", "training", str(duty.outputs))
    (duty.root / "elsewhere").rename(duty.outputs)
    duty.reload()
    duty.is_over("watch-missing", "training")
    assert len(duty.deployment.runs("main")) == 1


def test_an_expected_run_that_does_not_come(duty: Duty) -> None:
    duty.begin(expect_every="8s", expect_grace="0s")
    duty.called_out("run-missing", "training", "runs are expected every 8 s")
    assert ("run.missing", "") in duty.paged()
    assert "  expects   a run by 20" in duty.deployment.run("status").stdout
    duty.drop("one")
    duty.is_over("run-missing", "training")
    duty.published(1)


def make_due(duty: Duty, timer: str) -> None:
    """Have a timer think that it ran long ago: it catches up soon after the start."""
    with sqlite3.connect(duty.root / "state" / "journal.sqlite") as journal:
        journal.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?, '0.0')", (f"timer:{timer}",))
    journal.close()


def test_a_collector_that_refuses(duty: Duty) -> None:
    duty.configure('[gc]\nschedule = "@daily"\ngrace = "0s"\nmax_delete_ratio = 0.01\n')
    for name in ("one", "two"):
        duty.deployment.run("publish", str(duty.drop(name)), "--experiment", "train")
    ref = f"train/{duty.deployment.runs('main')[0]['run_id']}"
    duty.deployment.run("retire", ref)
    make_due(duty, "gc:main")
    make_due(duty, "notify")
    duty.begin()
    duty.called_out("collector-refused", "main", "max_delete_ratio")
    assert duty.deployment.run("gc", "--dry-run").stdout
    duty.deployment.run("gc", "--max-delete-ratio", "1")
    duty.is_over("collector-refused", "main")


def test_settings_that_are_wrong_at_a_reload(duty: Duty) -> None:
    duty.begin()
    good = duty.deployment.settings.read_text()
    duty.deployment.settings.write_text(f"nonsense = true\n{good}")
    duty.reload()
    key = "settings-refused:settings"
    wait_for("the pager rings", lambda: duty.paged() == [("alarm.raised", key)])
    event = json.loads(next(body for path, _, body in duty.pager.got if path == "/pager"))["data"]
    assert "nonsense" in event["reason"]
    assert event["help"] == "sealrun runbook settings-refused"
    for command in (["config", "validate"], ["status"], ["alarms"]):  # each names what is to be mended
        assert "nonsense" in duty.deployment.run(*command, check=78).stderr
    duty.drop("one")  # the old settings go on
    duty.deployment.settings.write_text(good)
    duty.called_out("settings-refused", "settings", "nonsense")
    duty.published(1)
    duty.reload()
    duty.is_over("settings-refused", "settings")


def test_a_pager_that_was_away_is_told_everything_later_in_order_and_no_run_waits_for_it(duty: Duty) -> None:
    duty.begin(stale_after="2s")
    duty.pager.status = 503
    left_over = duty.drop("stuck", **{"x.part": b""}) / "x.part"
    wait_for("it stands", lambda: "run-stale" in duty.standing())
    duty.drop("fine")
    duty.published(1)
    left_over.unlink()
    wait_for("it is over", lambda: not duty.standing())
    assert duty.paged() == []
    duty.pager.status = 204
    told: list[tuple[str, str]] = [(event, "run-stale:training") for event in ("alarm.raised", "alarm.cleared")]
    wait_for("the pager is told", lambda: duty.paged() == told)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_an_alarm_outlives_the_daemon_and_is_not_told_again(duty: Duty, stop: signal.Signals) -> None:
    duty.begin(stale_after="2s")
    left_over = duty.drop("stuck", **{"x.part": b""}) / "x.part"
    duty.called_out("run-stale", "training")
    since = duty.standing()["run-stale"]["since"]
    daemon = duty.deployment.daemons.pop()
    daemon.send_signal(stop)
    daemon.wait(120)
    assert duty.standing()["run-stale"]["since"] == since
    duty.deployment.start()
    wait_for("the daemon is back", lambda: duty.deployment.log.read_text().count("watching 1 folders") == 2)
    left_over.unlink()
    duty.is_over("run-stale", "training")


def test_a_command_and_a_mail_tell_of_an_alarm(duty: Duty, tmp_path: Path) -> None:
    from tests.servers.mail import PASSWORD, USER, serving_mail  # noqa: PLC0415 - only this test needs it

    told = tmp_path / "told"
    with serving_mail(tmp_path) as there:
        (tmp_path / "password").write_text(PASSWORD)
        tables = (
            f'[[notify]]\ncommand = ["sh", "-c", "echo $SEALRUN_EVENT_TYPE $SEALRUN_EVENT_ALARM >> {told}"]\n'
            f'[[notify]]\n[notify.mail]\nto = "ops@example.org"\nfrom = "sealrun@example.org"\nserver = "127.0.0.1"\n'
            f'port = {there.port}\nca = "{there.ca}"\ndigest = "1s"\n'
            f'user = "{USER}"\npassword = {{ file = "password" }}\n'
        )
        duty.begin(tables, stale_after="2s")
        tested = duty.deployment.run("notify", "--test").stdout
        assert tested.count(" ok") == 4
        assert told.read_text() == "sealrun.test\n"
        duty.drop("stuck", **{"x.part": b""})
        duty.called_out("run-stale", "training")
        wait_for("the command runs", lambda: told.read_text().endswith("alarm.raised run-stale\n"))
        wait_for("the mail is there", lambda: any("run-stale" in str(mail["Subject"]) for mail in there.inbox.mails))
        assert "sealrun detect FOLDER --explain" in there.inbox.mails[-1].get_content()
        shown = duty.deployment.run("notify").stdout + duty.deployment.run("config", "show").stdout
        assert PASSWORD not in shown + duty.deployment.log.read_text()
        duty.deployment.stop()
