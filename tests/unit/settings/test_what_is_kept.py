"""``[retention.*]``, ``[gc]`` and ``[verify]``: what they mean, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.domain.upkeep.retention import Policy
from sealrun.settings import Settings, load_settings
from sealrun.settings.resolved import GcSettings, VerifySettings

REGISTRY = 'version = 1\n[registry.main]\nurl = "registry"\n'


def settings_of(folder: Path, text: str) -> Settings:
    file = folder / "sealrun.toml"
    file.write_text(REGISTRY + text)
    return load_settings(file, {}, Path("/"))


def test_without_tables_bytes_are_collected_daily_and_no_run_is_ever_retired(tmp_path: Path) -> None:
    keeping = settings_of(tmp_path, "").keeping
    assert keeping.gc == GcSettings(schedule="30 3 * * *", grace_s=86400.0, max_delete_ratio=0.2)
    assert keeping.policy("anything").empty
    assert keeping.verify is None


def test_every_rule_reaches_the_policy_and_nothing_is_warned_of(tmp_path: Path) -> None:
    text = """[retention.training]
        keep_last = 1\nkeep_daily = 2\nkeep_weekly = 3\nkeep_monthly = 4\nkeep_yearly = 5
        keep_within = "14d"\nkeep_tags = ["paper"]\nkeep_status = ["failed", "partial"]
        [gc]\nschedule = "@weekly"\ngrace = "3d"\nmax_delete_ratio = "50%"
        [verify]\nschedule = "0 1 * * *"\nsubset = "10%"\nbudget = "2h"
    """
    settings = settings_of(tmp_path, text)
    assert settings.keeping.retention == {
        "training": Policy(
            keep_last=1,
            keep_daily=2,
            keep_weekly=3,
            keep_monthly=4,
            keep_yearly=5,
            keep_within_s=14 * 86400.0,
            keep_tags=("paper",),
            keep_status=("failed", "partial"),
        )
    }
    assert settings.keeping.gc == GcSettings(schedule="@weekly", grace_s=3 * 86400.0, max_delete_ratio=0.5)
    assert settings.keeping.verify == VerifySettings(schedule="0 1 * * *", subset=0.1, budget_s=7200.0)
    assert settings.warnings == ()


def test_an_experiment_has_its_own_policy_or_the_default_and_never_a_mixture(tmp_path: Path) -> None:
    text = "[retention.default]\nkeep_last = 7\nkeep_daily = 3\n[retention.training]\nkeep_last = 1\n"
    keeping = settings_of(tmp_path, text + "[retention.unheard-of]\nkeep_last = 2\n").keeping
    assert keeping.policy("training") == Policy(keep_last=1)
    assert keeping.policy("evaluation") == Policy(keep_last=7, keep_daily=3)


def test_an_empty_table_of_its_own_exempts_an_experiment_from_the_default(tmp_path: Path) -> None:
    keeping = settings_of(tmp_path, "[retention.default]\nkeep_last = 1\n[retention.archive]\n").keeping
    assert keeping.policy("archive").empty


@pytest.mark.parametrize("off", ["", "off", "Off"])
def test_a_schedule_can_be_turned_off(tmp_path: Path, off: str) -> None:
    keeping = settings_of(tmp_path, f"[gc]\nschedule = '{off}'\n[verify]\nschedule = '{off}'\n").keeping
    assert keeping.gc.schedule is None
    assert keeping.verify is not None
    assert keeping.verify.schedule is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gc]\nschedule = 'never'\n", ("[gc] schedule", "'never'")),
        ("[gc]\nschedule = '61 * * * *'\n", ("[gc] schedule", "61")),
        ("[verify]\nschedule = '0 3 * * 8'\n", ("[verify] schedule", "weekday")),
        ("[gc]\ngrace = '-1h'\n", ("[gc] grace", "'-1h'")),
        ("[gc]\nmax_delete_ratio = '120%'\n", ("[gc] max_delete_ratio", "'120%'")),
        ("[verify]\nsubset = 0\n", ("[verify] subset", "nothing would be verified")),
        ("[verify]\nbudget = 'long'\n", ("[verify] budget", "'long'")),
        ("[retention.x]\nkeep_status = ['sucess']\n", ("[retention.x]: keep_status", "'success'")),
        ("[retention.x]\nkeep_within = 0\n", ("[retention.x] keep_within", "keeps nothing")),
        ("[retention.x]\nkeep_tags = ['']\n", ("[retention.x] keep_tags", "empty")),
        ("[retention.x]\nkeep_yearly = -1\n", ("[retention.x]: keep_yearly", ">= 1")),
        ("[retention.'a/b']\nkeep_last = 1\n", ("[retention.a/b]", "'a/b'")),
        ("[retention.x]\nkeep_latest = 1\n", ("[retention.x]", "'keep_last'")),
    ],
)
def test_a_mistake_that_could_cost_runs_is_refused_by_its_name(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(tmp_path, text)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
