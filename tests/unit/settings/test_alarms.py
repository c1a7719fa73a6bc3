from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.domain.oversight.alarming import AlarmRules
from sealrun.domain.watches.cadence import Expectation
from sealrun.settings import Settings, load_settings

MAIL = 'to = "ops@example.org"\nfrom = "sealrun@example.org"\nserver = "mail.example.org"\n'


def load(folder: Path, text: str, **environ: str) -> Settings:
    (folder / "sealrun.toml").write_text(f"version = 1\n{text}")
    return load_settings(None, environ, folder)


def test_without_settings_the_rules_are_the_documented_ones(tmp_path: Path) -> None:
    rules = load(tmp_path, "").alarms
    assert (rules.unreachable_after_s, rules.clear_after_s, rules.interval_s) == (900, 120, 30)
    assert (rules.low_bytes, rules.low_share) == (1 << 30, 0.01)
    assert load(tmp_path, "[alarms]\n").alarms == rules


def test_low_space_is_a_size_or_a_share(tmp_path: Path) -> None:
    assert load(tmp_path, '[alarms]\nlow_space = "10GiB"').alarms == AlarmRules(
        low_bytes=10 << 30, low_share=0.0, low_most=1.0
    )
    assert load(tmp_path, '[alarms]\nlow_space = "5%"').alarms == AlarmRules(low_bytes=0, low_share=0.05, low_most=1.0)
    assert load(tmp_path, "[alarms]\nlow_space = 0").alarms == AlarmRules(low_bytes=0, low_share=0.0, low_most=1.0)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('low_space = "much"', "low_space"),
        ('low_space = "500%"', "low_space"),
        ('interval = "0s"', "interval: is less than a second"),
        ('clear_after = "soon"', "clear_after"),
        ('unreachable_after = "-1s"', "unreachable_after"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path: Path, table: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load(tmp_path, f"[alarms]\n{table}")


def expectation(folder: Path, table: str) -> Expectation | None:
    (folder / "in").mkdir(exist_ok=True)
    said = f'[registry.main]\nurl = "registry"\n[[watch]]\npath = "in"\n{table}'
    return load(folder, said).watches[0].expect


def test_a_watch_may_declare_how_often_runs_come_or_have_it_learned(tmp_path: Path) -> None:
    assert expectation(tmp_path, "") is None
    assert expectation(tmp_path, 'expect_every = "24h"') == Expectation(every_s=86400)
    declared = expectation(tmp_path, 'expect_every = "1h"\nexpect_grace = 60')
    assert declared == Expectation(every_s=3600, grace_s=60)
    assert expectation(tmp_path, 'expect_every = "learn"') == Expectation()


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('expect_every = "often"', "expect_every"),
        ("expect_every = 0", "expect_every: is not more than 0"),
        ('expect_grace = "1h"', "without expect_every"),
    ],
)
def test_expectations_that_cannot_be_meant_are_refused(tmp_path: Path, table: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        expectation(tmp_path, table)


def test_every_way_of_telling_is_resolved_and_named_without_giving_anything_away(tmp_path: Path) -> None:
    text = (
        '[[notify]]\nurl = "https://h.example/t0ken"\nformat = "slack"\nseverity = "critical"\n'
        f'[[notify]]\non = ["*"]\n[notify.mail]\n{MAIL}user = "u"\npassword = {{ env = "PW" }}\ndigest = "5s"\n'
        '[[notify]]\ncommand = ["/opt/tell me", "s3cret"]\ntimeout = "5s"\n'
        '[[notify]]\nping = "https://hc.example/t0ken?a=b"\ninterval = "10s"\nseverity = "critical"\n'
    )
    settings = load(tmp_path, text, PW="s3cret")
    hook, mail, command, ping = settings.targets
    assert (hook.on, hook.severity, hook.format) == (("alarm.*",), "critical", "slack")
    assert mail.mail is not None
    assert (mail.on, mail.mail.port, mail.mail.security, mail.mail.digest_s) == (("*",), 587, "starttls", 5)
    assert mail.mail.password is not None
    assert mail.mail.password.reveal() == "s3cret"
    assert (command.command, command.timeout_s) == (("/opt/tell me", "s3cret"), 5)
    assert ping.ping is not None
    assert ping.ping.fail_url.reveal() == "https://hc.example/t0ken/fail?a=b"
    assert ping.ping.interval_s == 10
    names = [target.name.rpartition("-")[0] for target in settings.targets]
    assert names == ["h.example", "mail-mail.example.org", "tell_me", "ping-hc.example"]
    shown = json.dumps(settings.shown()) + repr(settings) + repr(settings.targets)
    assert "t0ken" not in shown
    assert '"s3cret"' not in json.dumps(settings.shown())


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('on = ["*"]', "exactly one of url, mail, command, ping"),
        ('url = "http://h"\ncommand = ["x"]', "exactly one of"),
        ('command = ["x"]\nsecret = "y"', "secret: goes with url only"),
        ('url = "http://h"\ntimeout = "5s"', "timeout: goes with command only"),
        ('url = "http://h"\ninterval = "5s"', "interval: goes with ping only"),
        ('url = "http://h:port"', "is not an http or https URL"),
        ('ping = "ftp://h"', "ping: is not an http or https URL"),
        ('ping = "http://h"\nping_fail = "x"', "ping_fail: is not an http or https URL"),
        ('ping = "http://h"\non = ["*"]', "tells of no events"),
        ('ping = "http://h"\ninterval = "0s"', "interval: is less than a second"),
        ('command = ["x"]\nseverity = "bad"', "severity"),
        ("[notify.mail]\n" + MAIL.replace("ops@example.org", "ops"), "mail.to: 'ops' is not an address"),
        ("[notify.mail]\n" + MAIL.replace("ops@", "ops,x@"), "is not an address"),
        ("[notify.mail]\n" + MAIL.replace("ops@", "a\\r\\nBcc: x@"), "is not an address"),
        ("[notify.mail]\n" + MAIL.replace("sealrun@", "sealrün@"), "mail.from"),
        ("[notify.mail]\n" + MAIL.replace("mail.example.org", "a b"), "mail.server"),
        ("[notify.mail]\n" + MAIL.replace('"ops@example.org"', "[]"), "names nobody"),
        (f'[notify.mail]\n{MAIL}user = "u"', "user and password go together"),
        (f'[notify.mail]\n{MAIL}user = "u"\npassword = "p"\nsecurity = "none"', "would show the password"),
        (f"[notify.mail]\n{MAIL}port = 0", "port"),
        (f"[notify.mail]\n{MAIL}[[notify]]\n[notify.mail]\n{MAIL}", "mail: is that of another"),
    ],
)
def test_ways_of_telling_that_cannot_be_meant_are_refused(tmp_path: Path, table: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load(tmp_path, f"[[notify]]\n{table}\n")
