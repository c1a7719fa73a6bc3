"""Rules for derived outputs: what they default to, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.settings import load_settings
from sealrun.settings.resolved import DeriveSettings

_HEAD = 'version = 1\n[registry.main]\nurl = "/srv/r"\n[registry.old]\nurl = "/srv/o"\nread_only = true\n'
_RULE = {"name": '"a"', "experiment": '"e"', "inputs": '["x"]', "command": '["c"]', "version": '"1"'}


def rules_of(folder: Path, *changes: dict[str, str], head: str = _HEAD) -> tuple[DeriveSettings, ...]:
    tables = [
        "".join(f"{key} = {value}\n" for key, value in {**_RULE, **change}.items() if value) for change in changes
    ]
    (folder / "sealrun.toml").write_text(head + "".join(f"[[derive]]\n{table}" for table in tables))
    return load_settings(None, {}, folder).rules


def test_little_has_to_be_said(tmp_path: Path) -> None:
    (found,) = rules_of(tmp_path, {})
    assert (found.registry, found.interval_s) == ("main", 60.0)
    assert (found.rule.target, found.rule.mode, found.rule.per) == ("e.a", "light", "run")
    assert (found.rule.statuses, found.rule.timeout_s) == (("success",), 3600.0)


def test_a_function_is_called_by_the_package(tmp_path: Path) -> None:
    (found,) = rules_of(tmp_path, {"command": "", "function": '"m.n:f"', "interval": '"off"', "to": '"there"'})
    assert found.rule.command == ("{python}", "-m", "sealrun.derivers", "m.n:f", "{inputs}", "{output}", "{mode}")
    assert (found.interval_s, found.rule.target) == (None, "there")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([{"name": '"a b"'}], "not a valid rule"),
        ([{"experiment": '"../x"'}], "not a valid experiment"),
        ([{"to": '"e"'}], "outputs would become inputs"),
        ([{"command": ""}], "say either command or function"),
        ([{"function": '"m:f"'}], "say either command or function"),
        ([{"command": "", "function": '"m"'}], "is not MODULE:NAME"),
        ([{"inputs": "[]"}], "inputs"),
        ([{"version": '""'}], "version"),
        ([{"timeout": "0"}], "0 ends every command at once"),
        ([{"interval": '"10ms"'}], "interval"),
        ([{"registry": '"old"'}], r"no writable \[registry.old\]"),
        ([{"of": '"b"'}], "there is no rule 'b'"),
        ([{}, {}], "two rules have this name"),
        ([{"of": '"b"'}, {"name": '"b"', "of": '"a"'}], "leads back to itself"),
        ([{"statuses": '["fine"]'}], "statuses"),
        ([{"mode": '"half"'}], "mode"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, changes: list[dict[str, str]], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        rules_of(tmp_path, *changes)


def test_the_settings_may_say_where_bulk_work_runs(tmp_path: Path) -> None:
    (tmp_path / "sealrun.toml").write_text(f'engine = "parsl:site:config"\n{_HEAD}')
    assert load_settings(None, {}, tmp_path).engine == "parsl:site:config"
    (tmp_path / "sealrun.toml").write_text(f'engine = ""\n{_HEAD}')
    with pytest.raises(ConfigurationError, match="engine"):
        load_settings(None, {}, tmp_path)
